"""/v1: two answers side by side, and one asked again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from crossrec_llm import comparing
from crossrec_llm.errors import DataError, QueryError
from crossrec_llm.recommender import Recommender
from crossrec_llm.service import documents
from crossrec_llm.service.asked import Reading
from crossrec_llm.service.bodies import (
    Body,
    LikeQuestion,
    Narrowed,
    PersonQuestion,
    Question,
    SimilarQuestion,
    UserQuestion,
)
from crossrec_llm.service.documents import AnswerDocument
from crossrec_llm.service.problems import RESPONSES
from crossrec_llm.service.questions import for_user

router = APIRouter(prefix="/v1", tags=["comparisons"], responses=RESPONSES)


class CompareQuestion(Body):
    """A question, and what is set otherwise in the second answer."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"question": {"user_id": "u1"}, "changed": {"cross": "only"}}]
        }
    )
    question: PersonQuestion
    changed: Narrowed = Field(description="Only what is given takes the place of the question's.")

    def both(self) -> tuple[PersonQuestion, PersonQuestion]:
        first = self.question.model_dump(exclude_unset=True)
        second = self.changed.model_dump(exclude_unset=True)
        return self.question, PersonQuestion.model_validate({**first, **second})


class PlaceDocument(BaseModel):
    """An item in two lists: its rank in each, none where it is not in it."""

    item_id: str
    title: str
    before: int | None
    after: int | None


class SidesDocument(BaseModel):
    """What moved, is new and is gone. `overlap`: the share of the longer list that both have."""

    moved: list[PlaceDocument]
    new: list[PlaceDocument]
    gone: list[PlaceDocument]
    k: int
    overlap: float


class CompareDocument(SidesDocument):
    """Two answers side by side."""

    before: AnswerDocument
    after: AnswerDocument


class ReplayDocument(SidesDocument):
    """An answer, and what its question gives today.

    `causes`: what made the answer and is not the same; `differences`: in the answer itself.
    """

    reproduced: bool
    causes: list[str]
    differences: list[str]
    answer: AnswerDocument | None


_SPARSE: dict[str, Any] = {"response_model_exclude_unset": True}


@router.post("/compare", **_SPARSE)
async def compare(body: CompareQuestion, asked: Reading) -> CompareDocument:
    """Two settings side by side for one person; `crossrec compare`."""
    first, second = body.both()
    for question in (first, second):
        question.within(asked.service.options.limits)

    def work(rec: Recommender) -> CompareDocument:
        before, after = for_user(rec, first), for_user(rec, second)
        return CompareDocument.model_validate(
            {
                **comparing.compare(before, after).to_dict(),
                "before": documents.answer(before),
                "after": documents.answer(after),
            }
        )

    return await asked.do(work)


@router.post("/replay", **_SPARSE)
async def replay(answer: AnswerDocument, asked: Reading) -> ReplayDocument:
    """The question of an answer again, and what has changed if it is another one.

    The body is an answer as it was given, its receipt with it; `crossrec replay`. A page of a list
    is refused: the whole list is asked again, without `page_size`.
    """
    if answer.next is not None or (answer.items and answer.items[0].rank != 1):
        raise QueryError("this is a page of a list: ask without page_size for one to replay")
    _question_of(answer.query).within(asked.service.options.limits)
    told = {**answer.model_dump(exclude_unset=True), "shortfall": answer.shortfall}
    before = comparing.from_document(told)
    found = await asked.do(lambda rec: comparing.replay(rec, before))
    return ReplayDocument.model_validate(found.to_dict())


def _question_of(query: Mapping[str, Any]) -> Question:
    """What was asked, as a body that asks it.

    Raises
    ------
    DataError : it is no question of ours.
    """
    kinds: dict[str, tuple[type[Question], tuple[str, ...]]] = {
        "user": (UserQuestion, ("user_id", "history", "without")),
        "like": (LikeQuestion, ("text", "user_id", "liked", "disliked")),
        "similar": (SimilarQuestion, ("item_id", "mode")),
    }
    try:
        kind, own = kinds[query["kind"]]
        names = (*own, "k", "cross_share", "diversity")
        return kind.model_validate(
            {**query["filter"], **{n: query[n] for n in names if n in query}}
        )
    except (LookupError, TypeError, ValidationError) as error:
        words = (
            "; ".join(
                f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()[:3]
            )
            if isinstance(error, ValidationError)
            else repr(error)
        )
        raise DataError(f"the query of this answer is not one of ours: {words}") from error
