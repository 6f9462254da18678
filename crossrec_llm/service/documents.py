"""What the service answers with: the documents that `--json` prints, spelled out."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from crossrec_llm.records import Audience, Item, Recommendations


class ReasonDocument(BaseModel):
    """One cause of a recommendation."""

    kind: str = Field(examples=["neighbours"])
    share: float
    text: str
    item_id: str | None = None


class ContributionDocument(BaseModel):
    """What a signal adds to a score through one item of the history."""

    signal: str
    item_id: str | None = None
    value: float


class ItemDocument(BaseModel):
    """An item of the catalogue."""

    item_id: str
    title: str
    description: str
    category: str = Field(examples=["Garden > Tools"])
    brand: str
    price: float | None
    image_url: str
    available: bool
    added: float | None


class RecommendationDocument(BaseModel):
    """One line of an answer. `cross`: outside the home categories; `cold`: nobody took it yet."""

    rank: int
    item_id: str
    title: str
    category: str
    brand: str
    price: float | None
    image_url: str
    score: float
    cross: bool
    cold: bool
    reasons: list[ReasonDocument]
    signals: dict[str, float]
    rules: list[str] | None = Field(default=None, description="Rules that acted on it.")
    contributions: list[ContributionDocument] | None = None
    interest: int | None = Field(default=None, description="Which interest brought it, from 1.")
    propensity: float | None = Field(
        default=None, description="How likely it was to come to this place."
    )


class ReceiptDocument(BaseModel):
    """What made an answer."""

    generation: str
    recipe: str
    blend: str
    version: str
    history: str | None = None
    change: int | None = None
    explored: int | None = Field(
        default=None, description="How many items the draw moved or brought."
    )


_EXAMPLE: dict[str, Any] = {
    "query": {
        "kind": "similar",
        "item_id": "i1",
        "k": 1,
        "home": ["Garden"],
        "filter": {},
        "cross_share": 0.5,
        "diversity": 0.0,
    },
    "items": [
        {
            "rank": 1,
            "item_id": "i2",
            "title": "A garden fork",
            "category": "Garden > Tools",
            "brand": "Acme",
            "price": 24.0,
            "image_url": "",
            "score": 1.93,
            "cross": False,
            "cold": False,
            "reasons": [{"kind": "text", "share": 1.0, "text": "reads like it", "item_id": "i1"}],
            "signals": {"text": 1.93},
        }
    ],
    "notes": [],
    "receipt": {"generation": "000001", "recipe": "5e1c", "blend": "90ab", "version": "0.1.0"},
}


class AbsenceDocument(BaseModel):
    """Why an item is not in the list, or its `rank` in it."""

    item_id: str
    title: str
    causes: list[str] = Field(description="In words; the first one decides.")
    rank: int | None
    place: int | None = Field(description="Where its score alone would put it.")
    of: int | None = Field(description="How many candidates there were.")
    score: float | None
    last: float | None = Field(description="The lowest score of the list.")


class AnswerDocument(BaseModel):
    """A list of recommendations, best first."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    query: dict[str, Any] = Field(description="What was asked, resolved.")
    items: list[RecommendationDocument]
    shortfall: str | None = Field(default=None, description="Why there are fewer than k.")
    notes: list[str] = Field(description="A label for every fallback.")
    receipt: ReceiptDocument
    why_not: AbsenceDocument | None = Field(default=None, description="Where it was asked for.")
    next: str | None = Field(
        default=None, description="Cursor of the next page, where there is one."
    )


class AudienceMemberDocument(BaseModel):
    """A user who may want an item. `because`: of the history; only where the caller may see it."""

    rank: int
    user_id: str
    score: float
    because: dict[str, str] | None = None


class AudienceDocument(BaseModel):
    """Who would want an item, best first."""

    query: dict[str, Any]
    users: list[AudienceMemberDocument]
    shortfall: str | None
    notes: list[str]
    receipt: ReceiptDocument


class BridgeDocument(BaseModel):
    """How credible it is to cross from one top category to another."""

    home: str
    target: str
    credibility: float
    low: float
    high: float
    evidence: int
    basis: str
    open: bool
    policy: str = Field(description="What the recipe says of it; empty where nothing.")


class BridgesDocument(BaseModel):
    """Every pair of top categories that people were seen in."""

    bridges: list[BridgeDocument]


class DueDocument(BaseModel):
    """What came since the build, and whether the recipe says that it is time for another."""

    generation: str
    changes: int
    share: float
    due: bool


def item(found: Item) -> ItemDocument:
    own = (name for name in ItemDocument.model_fields if name != "category")
    return ItemDocument(
        category=found.category_path, **{name: getattr(found, name) for name in own}
    )


def answer(found: Recommendations) -> AnswerDocument:
    return AnswerDocument.model_validate(found.to_dict())


def audience(found: Audience, *, histories: bool) -> AudienceDocument:
    """Without what other people took, unless `histories`."""
    told = found.to_dict()
    if not histories:
        told["users"] = [{**user, "because": None} for user in told["users"]]
    return AudienceDocument.model_validate(told)
