"""/v1: long lists and the catalogue, a page at a time.

A cursor is the question with how far it has come: nothing is kept here. It is no secret and proves
nothing: whoever writes one asks what they may ask anyway.
"""

from __future__ import annotations

import base64
import hashlib
import heapq
import json
from collections.abc import Iterable
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from crossrec_llm.errors import QueryError
from crossrec_llm.recommender import Recommender
from crossrec_llm.records import Recommendations
from crossrec_llm.service import documents
from crossrec_llm.service.asked import Reading
from crossrec_llm.service.bodies import Body, LikeQuestion, Question, SimilarQuestion, UserQuestion
from crossrec_llm.service.documents import AnswerDocument, ItemDocument
from crossrec_llm.service.problems import RESPONSES, Refused

router = APIRouter(prefix="/v1", tags=["catalogue"], responses=RESPONSES)

_QUESTIONS: dict[str, type[Question]] = {
    "user": UserQuestion,
    "like": LikeQuestion,
    "similar": SimilarQuestion,
}
_LONGEST = 200_000  # characters of a cursor: a question may have many long ids


class Next(Body):
    """What `next` of an answer gave."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"cursor": "eyJvZiI6InVzZXIi..."}]})
    cursor: Annotated[str, Field(min_length=1, max_length=_LONGEST)]


class Came(Body):
    """How far a list has come: `list` is a digest of its ids."""

    of: str
    question: dict[str, Any]
    offset: Annotated[int, Field(ge=1, le=1_000_000)]
    list: str


class ItemsDocument(BaseModel):
    """A page of the catalogue, by id; `next` is the cursor of the one after it."""

    items: list[ItemDocument]
    next: str | None


@router.get("/items")
async def items(
    asked: Reading,
    cursor: Annotated[
        str | None, Query(max_length=8_000, description="`next` of the page before.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1_000, description="Items of a page.")] = 100,
) -> ItemsDocument:
    """The catalogue in the order of ids, a page at a time; what comes meanwhile has its place."""
    after = "" if cursor is None else _decoded(cursor)
    if not isinstance(after, str):
        raise _no_cursor()

    def some(rec: Recommender) -> ItemsDocument:
        catalogue = rec.catalogue
        there = zip(catalogue.ids, catalogue.present.tolist(), strict=True)
        further: Iterable[str] = (id for id, present in there if present and id > after)
        ids = heapq.nsmallest(limit + 1, further)
        found = [documents.item(catalogue.item(catalogue.row(id))) for id in ids[:limit]]
        return ItemsDocument(items=found, next=_encoded(ids[limit - 1]) if ids[limit:] else None)

    return await asked.do(some)


def page(found: Recommendations, question: Question, before: Came | None = None) -> AnswerDocument:
    """The answer to a question: all of it where no page size is asked, else the next page.

    Parameters
    ----------
    before : how far it has come; None = the first page.

    Raises
    ------
    Refused : the list is another one than it was before (410).
    """
    told = documents.answer(found)
    if question.page_size is None:
        return told
    start = before.offset if before else 0
    if before and before.list != _digest(found):
        raise Refused(410, "list-changed", "the list is another one by now: ask the question again")
    end = start + question.page_size
    changed: dict[str, Any] = {"items": told.items[start:end]}
    if end < len(found):
        asked = question.model_dump(mode="json", exclude_unset=True)
        came = Came(of=found.query["kind"], question=asked, offset=end, list=_digest(found))
        changed["next"] = _encoded(came.model_dump())
    return told.model_copy(update=changed)


def opened(further: Next) -> tuple[Question, Came]:
    """The question of a cursor, and how far it has come.

    Raises
    ------
    QueryError : it is none of ours.
    """
    try:
        came = Came.model_validate(_decoded(further.cursor))
        return _QUESTIONS[came.of].model_validate(came.question), came
    except (ValidationError, KeyError) as error:
        raise _no_cursor() from error


def _digest(found: Recommendations) -> str:
    return hashlib.sha256(json.dumps(found.ids).encode()).hexdigest()[:32]


def _encoded(value: Any) -> str:
    raw = json.dumps(value, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _decoded(cursor: str) -> Any:
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        return json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise _no_cursor() from error


def _no_cursor() -> QueryError:
    return QueryError("this is no cursor of an answer: give `next` as it was given")
