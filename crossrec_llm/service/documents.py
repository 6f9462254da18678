"""What the service answers with: the documents that `--json` prints, spelled out."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

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


class ReceiptDocument(BaseModel):
    """What made an answer."""

    generation: str
    recipe: str
    blend: str
    version: str
    history: str | None = None
    change: int | None = None


class AnswerDocument(BaseModel):
    """A list of recommendations, best first."""

    query: dict[str, Any] = Field(description="What was asked, resolved.")
    items: list[RecommendationDocument]
    shortfall: str | None = Field(description="Why there are fewer than k.")
    notes: list[str] = Field(description="A label for every fallback.")
    receipt: ReceiptDocument
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
