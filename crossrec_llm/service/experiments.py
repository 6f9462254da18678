"""/v1: what people are shown, written down as it is answered, and what came of it."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from crossrec_llm.experimenting import Shown
from crossrec_llm.service import documents
from crossrec_llm.service.asked import Exposing, Writing
from crossrec_llm.service.bodies import Body, Id, Narrowed, too_much
from crossrec_llm.service.documents import AnswerDocument
from crossrec_llm.service.options import LimitOptions
from crossrec_llm.service.problems import RESPONSES
from crossrec_llm.store import Outcome, Recorded

router = APIRouter(prefix="/v1", tags=["experiments"], responses=RESPONSES)

_EXAMPLE: dict[str, Any] = {"exposure_id": "0f3a9d1c5b7e2a4680cd", "item_id": "i1", "kind": "click"}


class Showing(Narrowed):
    """What a person is about to be shown."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"user_id": "u1", "k": 5}]})

    user_id: Id = Field(description="A user of the index.")


class ShownDocument(BaseModel):
    """An answer that is written down. `experiment`, `arm`: that it is part of; empty = of none."""

    exposure_id: str = Field(description="What outcomes name.")
    experiment: str
    arm: str
    answer: AnswerDocument


class OutcomeBody(Body):
    """What a person did with an item that they were shown."""

    exposure_id: Id
    item_id: Id
    kind: Annotated[str, Field(min_length=1, max_length=100)] = "click"
    value: float = Field(1.0, description="What it is worth; 1 where it only counts.")
    at: float | None = Field(None, description="Epoch seconds; now where it is left out.")


class Outcomes(Body):
    """Outcomes to record; at most `[limits] batch` of them."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"outcomes": [_EXAMPLE]}]})

    outcomes: Annotated[list[OutcomeBody], Field(min_length=1)]

    def within(self, limits: LimitOptions) -> None:
        if (n := len(self.outcomes)) > limits.batch:
            raise too_much("outcomes", f"{n:,} are more than the {limits.batch:,} taken")


class RecordedDocument(BaseModel):
    """How many outcomes were new, and how many had been recorded before."""

    recorded: int
    repeated: int


@router.post("/exposures", response_model_exclude_unset=True)
async def show(question: Showing, asked: Exposing) -> ShownDocument:
    """What a person is shown: by the arm they are in, explored as the recipe says, and recorded.

    It takes a key that may read and write.
    """
    question.within(asked.service.options.limits)
    tenant = asked.caller.tenant

    def work(_: object) -> Shown:
        return tenant.recorder.for_user(question.user_id, **question.asking())

    shown = await asked.do(work)
    return ShownDocument(**shown.to_dict(), answer=documents.answer(shown.answer))


@router.post("/outcomes")
async def record(body: Outcomes, asked: Writing) -> RecordedDocument:
    """What people did with what they were shown; each counts once by exposure, item and kind."""
    body.within(asked.service.options.limits)
    tenant = asked.caller.tenant
    outcomes = [Outcome(**one.model_dump()) for one in body.outcomes]

    def work(_: object) -> Recorded:
        return tenant.recorder.record(outcomes)

    found = await asked.do(work)
    return RecordedDocument(recorded=found.recorded, repeated=found.repeated)
