"""/v1: events and items that come and go; in the next answer once this one is given."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from crossrec_llm import live
from crossrec_llm.recommender import Recommender
from crossrec_llm.service.asked import Writing
from crossrec_llm.service.bodies import Body, Id, too_much
from crossrec_llm.service.documents import DueDocument
from crossrec_llm.service.options import LimitOptions
from crossrec_llm.service.problems import RESPONSES
from crossrec_llm.service.repeating import Answer, IdempotencyKey, once

router = APIRouter(prefix="/v1", tags=["changes"], responses=RESPONSES)

Text = str | int | None
Number = str | int | float | None
Texts = str | list[str] | None


class Row(BaseModel):
    """A row as a file would have it: what is wrong with it is told of the row, not of the body."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)

    def line(self) -> str:
        """As a line of JSON."""
        return json.dumps(self.model_dump(exclude_unset=True))


class EventRow(Row):
    """What somebody did; the columns of `crossrec add-events`."""

    user_id: Text = None
    item_id: Text = None
    timestamp: Number = Field(None, description="Epoch seconds or milliseconds, or ISO 8601.")
    event: str | None = Field(None, description="What was done: purchase, view ...")
    value: Number | bool = Field(None, description="A rating, or a quantity.")
    event_id: Text = Field(None, description="An event with an id is taken once.")


class ItemRow(Row):
    """A whole item; the columns of `crossrec add-items`. Any other field is kept as metadata."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False, frozen=True)
    __pydantic_extra__: dict[str, str | int | float | bool | list[str] | None]

    item_id: Text = None
    title: Texts = None
    description: Texts = None
    category: Texts = Field(None, description="A path, “Garden > Tools”, or its parts.")
    brand: str | None = None
    price: Number = None
    image_url: str | None = None
    available: str | bool | int | None = None
    added: Number = None


class Batch(Body):
    """Rows; at most `[limits] batch` of them."""

    rows: ClassVar[str]

    def within(self, limits: LimitOptions) -> None:
        if (n := len(getattr(self, self.rows))) > limits.batch:
            raise too_much(self.rows, f"{n:,} rows are more than the {limits.batch:,} taken")


class Events(Batch):
    """Events to add."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "events": [
                        {
                            "user_id": "u1",
                            "item_id": "i1",
                            "event": "purchase",
                            "timestamp": 1767225600,
                            "event_id": "e1",
                        }
                    ]
                }
            ]
        }
    )
    rows: ClassVar[str] = "events"
    events: Annotated[list[EventRow], Field(min_length=1)]


class Items(Batch):
    """Items to add or to change."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "items": [
                        {"item_id": "i1", "title": "A hand trowel", "category": "Garden > Tools"}
                    ]
                }
            ]
        }
    )
    rows: ClassVar[str] = "items"
    items: Annotated[list[ItemRow], Field(min_length=1)]


class ItemIds(Batch):
    """Items to take out."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"item_ids": ["i1"]}]})
    rows: ClassVar[str] = "item_ids"
    item_ids: Annotated[list[Id], Field(min_length=1)]


class RejectDocument(BaseModel):
    """A row that was not used, from 1, and why."""

    row: int
    reason: str = Field(examples=["unknown item"])


class ChangeDocument(Answer):
    """What a change did: how many items or events came, changed, or were there already.

    `change`: the number of the last change of the index. `erased`: events of erased people, left
    out because they are older than the erasure.
    """

    change: int
    added: int
    changed: int
    unchanged: int
    repeated: int
    removed: int
    erased: int
    rejected: int
    rejects: list[RejectDocument]
    due: DueDocument
    notes: list[str]

    def nameless(self) -> ChangeDocument:
        return self.model_copy(update={"notes": []})  # they quote what was sent


@router.post("/events")
async def add_events(
    batch: Events, asked: Writing, response: Response, key: IdempotencyKey = None
) -> ChangeDocument:
    """Add events, of known people or new ones; `crossrec add-events`.

    Adding the same again adds nothing. Rows that cannot be used are named; the others count.
    """
    batch.within(asked.service.options.limits)
    index = asked.caller.tenant.index

    def work(_: Recommender) -> ChangeDocument:
        rows = _lines(batch.events)
        return _told(live.add_events(index, rows, examples=len(batch.events)))

    return await once(asked, response, key, batch, ChangeDocument, work)


@router.post("/items")
async def add_items(
    batch: Items, asked: Writing, response: Response, key: IdempotencyKey = None
) -> ChangeDocument:
    """Add items, or change those that are there; `crossrec add-items`.

    A row is the whole item: what it does not say, the item has not.
    """
    batch.within(asked.service.options.limits)
    index = asked.caller.tenant.index

    def work(_: Recommender) -> ChangeDocument:
        return _told(live.add_items(index, _lines(batch.items), examples=len(batch.items)))

    return await once(asked, response, key, batch, ChangeDocument, work)


@router.post("/items/remove")
async def remove_items(
    batch: ItemIds, asked: Writing, response: Response, key: IdempotencyKey = None
) -> ChangeDocument:
    """Take items out of every answer; `crossrec remove-items`. They come back when added again."""
    batch.within(asked.service.options.limits)
    index = asked.caller.tenant.index

    def work(_: Recommender) -> ChangeDocument:
        return _told(live.remove_items(index, batch.item_ids))

    return await once(asked, response, key, batch, ChangeDocument, work)


def _lines(rows: Sequence[Row]) -> io.BytesIO:
    """Rows as a file of JSON lines: they are read as any other."""
    return io.BytesIO("".join(f"{row.line()}\n" for row in rows).encode())


def _told(report: live.LiveReport) -> ChangeDocument:
    sources = report.report.sources if report.report else ()
    rejects = [
        RejectDocument(row=one.line, reason=one.reason)
        for source in sources
        for one in source.examples
    ]
    counts: dict[str, Any] = {
        name: getattr(report, name)
        for name in ChangeDocument.model_fields
        if name not in ("rejects", "due", "notes")
    }
    return ChangeDocument(
        **counts,
        rejects=sorted(rejects, key=lambda one: one.row),
        due=DueDocument(**vars(report.due)),
        notes=list(report.notes),
    )
