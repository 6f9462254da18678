"""What a request may say: the words and defaults of the command line."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from crossrec_llm.filter import Cross, Filter
from crossrec_llm.records import SimilarMode
from crossrec_llm.service.options import LimitOptions
from crossrec_llm.service.problems import Refused

Share = Annotated[float, Field(ge=0, le=1)]
Id = Annotated[str, Field(min_length=1, max_length=1_000)]
Path = Annotated[str, Field(min_length=1, max_length=1_000)]
Strength = Annotated[float, Field(gt=0, le=1)]


class Body(BaseModel):
    """Anything that is sent: no unknown field, no number that is none, no half character."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _is_text(cls, sent: Any) -> Any:
        if isinstance(sent, dict):
            try:
                json.dumps(sent, ensure_ascii=False, default=repr).encode()
            except UnicodeEncodeError as error:
                raise ValueError("there is half of a character in it (a lone surrogate)") from error
        return sent

    def within(self, limits: LimitOptions) -> None:
        """Refuse what asks for more than the service gives.

        Raises
        ------
        Refused : 422 with the field and its limit.
        """
        for name in type(self).model_fields:
            value = getattr(self, name)
            if name == "k" and value > limits.k:
                raise too_much(name, f"{value:,} is more than the {limits.k:,} that a list has")
            if isinstance(value, str) and len(value) > limits.text:
                raise too_much(
                    name, f"{len(value):,} characters are more than the {limits.text:,} taken"
                )
            if isinstance(value, list | dict) and len(value) > limits.entries:
                raise too_much(
                    name, f"{len(value):,} entries are more than the {limits.entries:,} taken"
                )


def too_much(name: str, words: str) -> Refused:
    return Refused(422, "invalid-request", f"{name}: {words}")


class Narrowed(Body):
    """What may be in an answer, and how the list is made up: the fields of `Filter`, and more."""

    k: Annotated[int, Field(ge=1, description="Length of the list.")] = 10
    category: list[Path] = Field([], description="Only under one of these paths.")
    not_category: list[Path] = Field([], description="Nothing under these paths.")
    cross: Cross = Field("any", description="Only outside the home categories, none of it, or any.")
    cross_share: Share | None = Field(
        None, description="Share of the list outside the home categories."
    )
    diversity: Share | None = Field(None, description="0 (relevance only) to 1.")
    price_min: float | None = Field(None, description="Lowest price, inclusive.")
    price_max: float | None = Field(None, description="Highest price, inclusive.")
    brand: list[Path] = Field([], description="Only these brands.")
    available: bool = Field(False, description="Only what can be had now.")
    exclude: list[Id] = Field([], description="Not these item ids.")
    only: list[Id] | None = Field(None, description="No other item ids than these.")
    include_seen: bool = Field(False, description="Items of the history may come again.")
    since: float | str | None = Field(
        None, description="Only items added then or later: a date, or epoch seconds."
    )
    added_within: Annotated[float, Field(gt=0)] | None = Field(
        None, description="Only items added within so many days of the one added last."
    )
    pin: list[Id] = Field([], description="Item ids for the first places, in this order.")
    boost: dict[str, Strength] = Field(
        {}, description="Targets to bring forward, and how much.", examples=[{"brand:Acme": 0.3}]
    )
    bury: list[Path] = Field([], description="Targets that come only where nothing else fits.")
    max_per_brand: Annotated[int, Field(ge=1)] | None = None
    max_per_category: Annotated[int, Field(ge=1)] | None = None
    max_per_top_category: Annotated[int, Field(ge=1)] | None = None
    quota: dict[str, Share] = Field(
        {}, description="Paths, and the exact share of the list under each."
    )
    new_share: Share | None = Field(None, description="Least share that nobody took yet.")
    calibration: Share | None = Field(
        None, description="How much the list follows the categories of the history."
    )
    standing: bool = Field(True, description="Whether the rules of the recipe hold too.")
    explain: bool | Literal["full"] = Field(
        True, description='Reasons; "full" has every contribution to the scores too.'
    )

    why_not: Id | None = Field(None, description="Say why this item is not in the list.")

    def asking(self) -> dict[str, Any]:
        """Keyword arguments that for_user, for_history, like and similar share."""
        own = {name: getattr(self, name) for name in Filter.__dataclass_fields__}
        beside = ("k", "cross_share", "diversity", "explain", "why_not")
        return {**{name: getattr(self, name) for name in beside}, "filter": Filter(**own)}


class Question(Narrowed):
    """Anything that is answered with a list."""

    page_size: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Give the list in pages of so many; `next` leads to the next one."
    )


class PersonQuestion(Narrowed):
    """What a person may want next: one who is known, or a visitor with some items."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"user_id": "u1", "k": 5}]})

    user_id: Id | None = Field(None, description="A user of the index.")
    history: list[Id] | None = Field(
        None, description="Instead of a user: item ids of a visitor, oldest first."
    )
    without: list[Id] = Field([], description="Items that the history is taken without.")


class UserQuestion(PersonQuestion, Question):
    """What a person may want next, in pages where that is asked."""


class LikeQuestion(Question):
    """What matches a free text."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"text": "a waterproof jacket for trail running"}]}
    )

    text: Annotated[str, Field(min_length=1)]
    user_id: Id | None = Field(None, description="Bend toward this user's history.")
    liked: list[Id] = Field([], description="Item ids to bend toward.")
    disliked: list[Id] = Field([], description="Item ids to bend away from.")


class SimilarQuestion(Question):
    """More like an item."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"item_id": "i1"}]})

    item_id: Id
    mode: SimilarMode = Field("both", description="Alike in meaning, taken together, or both.")


class AudienceQuestion(Body):
    """Who would want an item."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"item_id": "i1"}]})

    item_id: Id
    k: Annotated[int, Field(ge=1)] = 10
