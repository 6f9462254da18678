"""/v1: what is known of a person, what they correct in it, and forgetting them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from crossrec_llm import correcting
from crossrec_llm.erasing import ErasureReceipt, erase_items, forget_user
from crossrec_llm.profiles import Profile
from crossrec_llm.recommender import Recommender
from crossrec_llm.service.asked import Administering, Writing
from crossrec_llm.service.bodies import Body, Id
from crossrec_llm.service.problems import RESPONSES
from crossrec_llm.service.repeating import Answer, IdempotencyKey, once

router = APIRouter(prefix="/v1", tags=["people"], responses=RESPONSES)


def exactly_one(body: BaseModel, *names: str) -> None:
    """Raises ValueError unless one of these fields is given."""
    if sum(getattr(body, name) is not None for name in names) != 1:
        raise ValueError(f"give exactly one of {', '.join(names)}")


class Person(Body):
    """Somebody."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"user_id": "u1"}]})
    user_id: Id


class CorrectionBody(Body):
    """One correction of a profile."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"user_id": "u1", "pin": "I grow tomatoes"}]}
    )
    user_id: Id
    pin: str | None = Field(None, description="A sentence that answers go by from now on.")
    strike: Annotated[list[Id], Field(min_length=1)] | None = Field(
        None, description="Items of the history that count no more, and never come."
    )
    strike_interest: Annotated[int, Field(ge=1)] | None = Field(
        None, description="The items of this interest count no more; its number in the profile."
    )
    undo: Annotated[int, Field(ge=1, lt=1 << 63)] | None = Field(
        None, description="Take this correction back; its number."
    )

    @model_validator(mode="after")
    def _one(self) -> CorrectionBody:
        exactly_one(self, "pin", "strike", "strike_interest", "undo")
        return self


class ErasureBody(Body):
    """Whom or what to erase."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"user_ids": ["u1"]}]})
    user_ids: Annotated[list[Id], Field(min_length=1)] | None = None
    item_ids: Annotated[list[Id], Field(min_length=1)] | None = None
    refit: bool = Field(False, description="Fit at once what holds sums over them.")
    prove: bool = Field(False, description="Look for them in every byte of the index.")

    @model_validator(mode="after")
    def _one(self) -> ErasureBody:
        exactly_one(self, "user_ids", "item_ids")
        return self


class InterestDocument(BaseModel):
    """One interest: its share of the history, its most central titles, its item ids."""

    share: float
    name: str
    items: list[str]


class HistoryItemDocument(BaseModel):
    """An item of a history: `weight` below 0 for a dislike; `interest` from 1."""

    item_id: str
    title: str
    category: str
    weight: float
    share: float
    interest: int | None


class StruckDocument(BaseModel):
    """An item that counts no more."""

    item_id: str
    title: str


class CorrectionDocument(BaseModel):
    """A correction in effect; `made` in epoch seconds."""

    kind: Literal["pin", "strike"]
    number: int
    sentence: str
    items: list[str]
    made: float


class ProfileDocument(BaseModel):
    """What is known of a person, as answers use it; corrections in effect."""

    user_id: str
    text: str
    interests: list[InterestDocument]
    history: list[HistoryItemDocument]
    disliked: list[HistoryItemDocument]
    struck: list[StruckDocument]
    corrections: list[CorrectionDocument]


class CorrectedDocument(Answer):
    """A correction that was made, or taken back; by its number it can be undone."""

    kind: Literal["pin", "strike", "undo"]
    number: int


class LearnedDocument(BaseModel):
    """A fitted part that had learned from what was erased, and what became of it."""

    part: str
    holds: str
    done: str
    fitted_in: str


class ErasureDocument(Answer):
    """What was erased from where, and what is out of reach; `subjects` are hashes of the ids."""

    number: int
    kind: Literal["user", "item"]
    subjects: list[str]
    moment: str
    removed: dict[str, int]
    generation: str
    generations_removed: list[str]
    learned: list[LearnedDocument]
    out_of_reach: list[str]
    to_fill: list[str]
    scan: dict[str, Any] | None
    seconds: dict[str, float]
    resumed: bool

    def nameless(self) -> ErasureDocument:
        return self.model_copy(update={"scan": None})


@router.post("/profile")
async def profile(person: Person, asked: Administering) -> ProfileDocument:
    """What is known of a person; `crossrec profile`. It tells a history: for admins only."""
    found = await asked.do(lambda rec: rec.profile(person.user_id))
    return ProfileDocument.model_validate(found.to_dict())


@router.post("/profile/corrections")
async def correct(
    body: CorrectionBody, asked: Writing, response: Response, key: IdempotencyKey = None
) -> CorrectedDocument:
    """Pin a sentence, strike items or an interest, or undo one of these.

    In effect with the next answer. The profile itself is not told.
    """
    body.within(asked.service.options.limits)
    return await once(
        asked, response, key, body, CorrectedDocument, lambda rec: _corrected(rec, body)
    )


@router.post("/erasures")
async def erase(
    body: ErasureBody, asked: Administering, response: Response, key: IdempotencyKey = None
) -> ErasureDocument:
    """Erase people or items for good; `crossrec forget-user`. The answer is the receipt.

    It takes seconds to minutes. What is cut off goes on, and is finished by the same request.
    """
    limits = asked.service.options.limits
    body.within(limits)
    index = asked.caller.tenant.index

    def work(_: Recommender) -> ErasureDocument:
        erase, ids = (
            (forget_user, body.user_ids) if body.user_ids else (erase_items, body.item_ids or [])
        )
        return _told(erase(index, ids, refit=body.refit, prove=body.prove))

    return await once(asked, response, key, body, ErasureDocument, work, limits.erasure)


def _corrected(rec: Recommender, body: CorrectionBody) -> CorrectedDocument:
    if body.undo is not None:
        correcting.undo(rec, body.user_id, body.undo)
        return CorrectedDocument(kind="undo", number=body.undo)
    found: Profile
    if body.pin is not None:
        found = correcting.pin(rec, body.user_id, body.pin)
    elif body.strike is not None:
        found = correcting.strike(rec, body.user_id, body.strike)
    else:
        found = correcting.strike_interest(rec, body.user_id, body.strike_interest or 0)
    kind: Literal["pin", "strike"] = "pin" if body.pin is not None else "strike"
    return CorrectedDocument(kind=kind, number=found.corrections[-1].number)


def _told(receipt: ErasureReceipt) -> ErasureDocument:
    return ErasureDocument.model_validate(receipt.to_dict())
