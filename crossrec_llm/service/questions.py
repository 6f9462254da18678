"""/v1: questions."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from crossrec_llm.errors import QueryError
from crossrec_llm.recommender import Recommender
from crossrec_llm.records import Recommendations
from crossrec_llm.service import documents
from crossrec_llm.service.asked import Asked, Reading
from crossrec_llm.service.bodies import (
    AudienceQuestion,
    LikeQuestion,
    PersonQuestion,
    Question,
    SimilarQuestion,
    UserQuestion,
)
from crossrec_llm.service.documents import (
    AnswerDocument,
    AudienceDocument,
    BridgesDocument,
    ItemDocument,
)
from crossrec_llm.service.paging import Came, Next, opened, page
from crossrec_llm.service.problems import RESPONSES

router = APIRouter(prefix="/v1", responses=RESPONSES)
_SPARSE: dict[str, Any] = {"response_model_exclude_unset": True}


@router.post("/recommendations", tags=["questions"], **_SPARSE)
async def recommendations(question: UserQuestion, asked: Reading) -> AnswerDocument:
    """What a person may want next; `crossrec user`."""
    return await _answer(asked, question)


@router.post("/like", tags=["questions"], **_SPARSE)
async def like(question: LikeQuestion, asked: Reading) -> AnswerDocument:
    """What matches a free text; `crossrec like`."""
    return await _answer(asked, question)


@router.post("/similar", tags=["questions"], **_SPARSE)
async def similar(question: SimilarQuestion, asked: Reading) -> AnswerDocument:
    """More like an item; `crossrec similar`."""
    return await _answer(asked, question)


@router.post("/next", tags=["questions"], **_SPARSE)
async def next_page(further: Next, asked: Reading) -> AnswerDocument:
    """The next page of an answer; 410 where the list is another one by now."""
    question, before = opened(further)
    return await _answer(asked, question, before)


@router.post("/audience", tags=["questions"], **_SPARSE)
async def audience(question: AudienceQuestion, asked: Reading) -> AudienceDocument:
    """Who would want an item; `crossrec audience`. What they took is told to admins only."""
    question.within(asked.service.options.limits)
    found = await asked.do(lambda rec: rec.audience(question.item_id, question.k))
    return documents.audience(found, histories=asked.may("admin"))


@router.get("/item", tags=["catalogue"])
async def item(
    item_id: Annotated[str, Query(min_length=1, max_length=1_000, examples=["i1"])], asked: Reading
) -> ItemDocument:
    """One item of the catalogue."""
    return documents.item(await asked.do(lambda rec: rec.item(item_id)))


@router.get("/bridges", tags=["catalogue"])
async def bridges(asked: Reading) -> BridgesDocument:
    """How credible it is to cross, for each pair of top categories; `crossrec bridges`."""

    def told(rec: Recommender) -> list[dict[str, Any]]:
        pairs = rec.bridges()
        fields = ("home", "target", "credibility", "low", "high", "evidence", "basis", "open")
        return [
            {**{name: getattr(pair, name) for name in fields},
             "policy": rec.policy(pair.home, pair.target)}
            for pair in pairs
        ]  # fmt: skip

    return BridgesDocument.model_validate({"bridges": await asked.do(told)})


async def _answer(asked: Asked, question: Question, before: Came | None = None) -> AnswerDocument:
    question.within(asked.service.options.limits)
    return page(await asked.do(lambda rec: put(rec, question)), question, before)


def put(rec: Recommender, question: Question) -> Recommendations:
    """The whole answer to a question. Raises as `Recommender` does."""
    if isinstance(question, LikeQuestion):
        return rec.like(
            question.text,
            user=question.user_id,
            liked=question.liked,
            disliked=question.disliked,
            **question.asking(),
        )
    if isinstance(question, SimilarQuestion):
        return rec.similar(question.item_id, mode=question.mode, **question.asking())
    assert isinstance(question, UserQuestion)
    return for_user(rec, question)


def for_user(rec: Recommender, question: PersonQuestion) -> Recommendations:
    """The answer for a known person, or for a visitor.

    Raises
    ------
    QueryError : both are named, or none. Others as `Recommender.for_user`.
    """
    if (question.user_id is None) == (question.history is None):
        raise QueryError("give either user_id or history")
    if question.user_id is not None:
        return rec.for_user(question.user_id, without=question.without, **question.asking())
    if question.without:
        raise QueryError("without takes items out of a user's history: leave them out of history")
    return rec.for_history(question.history or (), **question.asking())
