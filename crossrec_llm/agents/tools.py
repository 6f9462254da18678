"""What an assistant may ask, and what it may change where that is allowed.

The docstrings of `Asking` and `Changing` are what a model reads of each tool.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
from mcp.server.mcpserver.tools import Tool
from mcp_types import ToolAnnotations
from pydantic import BaseModel, ConfigDict, Field

from crossrec_llm import correcting, live
from crossrec_llm.agents.documents import (
    AddedDocument,
    AnswerDocument,
    CorrectedDocument,
    ExplanationDocument,
    ProfileDocument,
)
from crossrec_llm.comparing import counterfactual
from crossrec_llm.errors import QueryError
from crossrec_llm.filter import Cross, Filter
from crossrec_llm.recommender import Recommender
from crossrec_llm.records import Recommendation, Recommendations, SimilarMode
from crossrec_llm.service.keys import Scope

LONGEST, ENTRIES, EVENTS = 50, 200, 1_000  # a list, ids in an argument, events in one call
WITHOUT = 3  # history items that an explanation is asked again without, at most

K = Annotated[int, Field(ge=1, le=LONGEST, description="Length of the list.")]
Share = Annotated[float, Field(ge=0, le=1)]
Name = Annotated[str, Field(min_length=1, max_length=10_000)]
Names = Annotated[list[Name], Field(max_length=ENTRIES)]
UserId = Annotated[Name, Field(description="Id of a user of this index.")]
ItemId = Annotated[Name, Field(description="Id of an item, as a tool gave it.")]
CrossShare = Annotated[
    Share | None, Field(description="Share of the list outside the home categories.")
]
Diversity = Annotated[Share | None, Field(description="0 (relevance only) to 1.")]


class Given(BaseModel):
    """An argument with fields of its own."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, coerce_numbers_to_str=True)


class Narrow(Given):
    """Which items may come. Category paths look like "Garden > Tools"."""

    category: Names = Field(default=[], description="Only under one of these paths.")
    not_category: Names = Field(default=[], description="Nothing under these paths.")
    cross: Cross = Field(
        default="any", description='"only" outside the home categories, "none" inside, "any" both.'
    )
    price_min: float | None = None
    price_max: float | None = None
    brand: Names = Field(default=[], description="Only these brands.")
    available: bool = Field(default=False, description="Only what can be had now.")
    exclude: Names = Field(default=[], description="Not these item ids.")
    include_seen: bool = Field(default=False, description="Items of the history may come again.")
    since: str | None = Field(default=None, description="Only items added on or after this date.")
    max_per_brand: Annotated[int, Field(ge=1)] | None = None
    max_per_category: Annotated[int, Field(ge=1)] | None = None

    def filter(self) -> Filter:
        return Filter(**{name: getattr(self, name) for name in type(self).model_fields})


ANYTHING = Narrow()


class Event(Given):
    """Somebody did something with an item."""

    user_id: Name
    item_id: Name
    timestamp: str | None = Field(
        default=None, description="ISO 8601, or epoch seconds.", examples=["2026-01-31T12:00:00Z"]
    )
    event: Annotated[str, Field(max_length=200)] | None = Field(
        default=None, description="view, purchase, dislike ...: a name that this index knows."
    )
    value: float | None = Field(default=None, description="Rating or quantity.")
    event_id: Name | None = Field(default=None, description="The same again adds nothing.")


class Asking:
    """Tools that read."""

    def __init__(self, recommender: Recommender) -> None:
        self.recommender = recommender

    def recommend(
        self,
        user_id: UserId | None = None,
        history: Annotated[
            Names | None,
            Field(description="Instead of a user: item ids of a visitor, oldest first."),
        ] = None,
        k: K = 10,
        filter: Narrow = ANYTHING,
        cross_share: CrossShare = None,
        diversity: Diversity = None,
    ) -> AnswerDocument:
        """What a person may want next, with reasons. Give either user_id or history."""
        if (user_id is None) == (history is None):
            raise QueryError("give either user_id or history")
        asked = _asked(k, filter, cross_share, diversity)
        if user_id is not None:
            return AnswerDocument.of(self.recommender.for_user(user_id, **asked))
        return AnswerDocument.of(self.recommender.for_history(history or (), **asked))

    def like(
        self,
        text: Annotated[
            str, Field(min_length=1, max_length=4_000, description="What is wanted, in any words.")
        ],
        user_id: Annotated[UserId | None, Field(description="Whose taste bends the order.")] = None,
        liked: Annotated[Names | None, Field(description="Item ids to bend toward.")] = None,
        disliked: Annotated[Names | None, Field(description="Item ids to bend away from.")] = None,
        k: K = 10,
        filter: Narrow = ANYTHING,
        cross_share: CrossShare = None,
        diversity: Diversity = None,
    ) -> AnswerDocument:
        """Items that match a free text, by meaning and by words. The way to find item ids."""
        asked = _asked(k, filter, cross_share, diversity)
        found = self.recommender.like(
            text, user=user_id, liked=liked or (), disliked=disliked or (), **asked
        )
        return AnswerDocument.of(found)

    def similar(
        self,
        item_id: ItemId,
        mode: Annotated[
            SimilarMode,
            Field(description='"alike": instead of it; "together": goes with it; or "both".'),
        ] = "both",
        k: K = 10,
        filter: Narrow = ANYTHING,
        cross_share: CrossShare = None,
        diversity: Diversity = None,
    ) -> AnswerDocument:
        """More like an item, or what goes with it."""
        asked = _asked(k, filter, cross_share, diversity)
        return AnswerDocument.of(self.recommender.similar(item_id, mode=mode, **asked))

    def explain(
        self,
        user_id: UserId,
        item_id: ItemId,
        k: K = 10,
        filter: Narrow = ANYTHING,
        cross_share: CrossShare = None,
        diversity: Diversity = None,
    ) -> ExplanationDocument:
        """Why recommend gave this item to this user.

        Reasons, what the score is made of, and whether the item would still come without the
        history items that carried it. Give the same k, filter, cross_share and diversity as to
        recommend.
        """
        asked = _asked(k, filter, cross_share, diversity)
        answer = self.recommender.for_user(user_id, **{**asked, "explain": "full"})
        found = _found(answer, self.recommender.item(item_id).item_id)
        carried = dict.fromkeys(one.item_id for one in found.reasons if one.item_id is not None)
        without = [
            counterfactual(self.recommender, answer, [one]) for one in list(carried)[:WITHOUT]
        ]
        return ExplanationDocument.of(found, answer.notes, without)

    def profile(self, user_id: UserId) -> ProfileDocument:
        """What is known of a person: interests, history, corrections."""
        return ProfileDocument.of(self.recommender.profile(user_id))


class Changing:
    """Tools that write."""

    def __init__(self, recommender: Recommender, index: Path) -> None:
        self.recommender, self.index = recommender, index

    def add_events(
        self, events: Annotated[list[Event], Field(min_length=1, max_length=EVENTS)]
    ) -> AddedDocument:
        """Record what people did; it counts in the next answer.

        The same again adds nothing. Users may be new; items must be in the catalogue.
        """
        rows = [event.model_dump(mode="json") for event in events]
        given = [name for name in Event.model_fields if any(row[name] is not None for row in rows)]
        types = {"value": pa.float64()}
        schema = pa.schema([(name, types.get(name, pa.string())) for name in given])
        table = pa.Table.from_pylist(rows, schema=schema)
        return AddedDocument.of(live.add_events(self.index, table))

    def pin(
        self,
        user_id: UserId,
        sentence: Annotated[str, Field(min_length=1, max_length=correcting.LONGEST)],
    ) -> CorrectedDocument:
        """Add a sentence, in a person's own words, to their profile; answers go by it at once."""
        found = correcting.pin(self.recommender, user_id, sentence)
        return CorrectedDocument(kind="pin", number=found.corrections[-1].number)

    def strike(
        self, user_id: UserId, item_ids: Annotated[Names, Field(min_length=1)]
    ) -> CorrectedDocument:
        """Have items of a person's history count no more, and never come again."""
        found = correcting.strike(self.recommender, user_id, item_ids)
        return CorrectedDocument(kind="strike", number=found.corrections[-1].number)

    def undo(
        self,
        user_id: UserId,
        number: Annotated[
            int | None, Field(description="Of the correction, as it was told; null: the last.")
        ] = None,
    ) -> CorrectedDocument:
        """Take back a pin or a strike."""
        correcting.undo(self.recommender, user_id, number)
        return CorrectedDocument(kind="undo", number=number)


def needed(tool: str) -> Scope:
    """What a key must be allowed to call a tool; as on HTTP, whole histories are for admins."""
    if tool == Asking.profile.__name__:
        return "admin"
    return "write" if hasattr(Changing, tool) else "read"


def reading(recommender: Recommender) -> list[Tool]:
    """The tools that change nothing."""
    ask = Asking(recommender)
    return [
        _tool(method, title, read_only=True, idempotent=True)
        for method, title in (
            (ask.recommend, "Recommend for a person"),
            (ask.like, "Find items by a text"),
            (ask.similar, "More like an item"),
            (ask.explain, "Why was this recommended?"),
            (ask.profile, "What is known of a person"),
        )
    ]


def writing(recommender: Recommender, index: Path) -> list[Tool]:
    """The tools that change the records of an index."""
    change = Changing(recommender, index)
    return [
        _tool(change.add_events, "Record events", idempotent=True),
        _tool(change.pin, "Pin a sentence", idempotent=True),
        _tool(change.strike, "Strike items", destructive=True, idempotent=True),
        _tool(change.undo, "Take back a correction", destructive=True),
    ]


def _tool(
    method: Callable[..., BaseModel],
    title: str,
    *,
    read_only: bool = False,
    destructive: bool = False,
    idempotent: bool = False,
) -> Tool:
    """A method as a tool that refuses arguments it does not know."""
    hints = ToolAnnotations(
        title=title,
        read_only_hint=read_only,
        destructive_hint=destructive,
        idempotent_hint=idempotent,
        open_world_hint=False,
    )
    description = " ".join((method.__doc__ or "").split())
    tool = Tool.from_function(method, title=title, description=description, annotations=hints)
    told = tool.fn_metadata.arg_model
    strict: Any = type(told.__name__, (told,), {"model_config": Given.model_config})
    tool.fn_metadata.arg_model = strict
    tool.parameters = strict.model_json_schema()
    return tool


def _asked(
    k: int, narrow: Narrow, cross_share: float | None, diversity: float | None
) -> dict[str, Any]:
    return {
        "k": k,
        "filter": narrow.filter(),
        "cross_share": cross_share,
        "diversity": diversity,
    }


def _found(answer: Recommendations, item_id: str) -> Recommendation:
    listed: Sequence[Recommendation] = [one for one in answer if one.item_id == item_id]
    if not listed:
        raise QueryError(
            f"{item_id!r} is not among the {len(answer)} that recommend gives with these settings: "
            "give the same k, filter, cross_share and diversity"
        )
    return listed[0]
