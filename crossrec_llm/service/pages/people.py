"""People: what somebody did, beside what is read off it, and their own word on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Request
from starlette.responses import HTMLResponse, RedirectResponse

from crossrec_llm import correcting
from crossrec_llm.profiles import Profile
from crossrec_llm.recommender import Recommender
from crossrec_llm.records import Item
from crossrec_llm.service.asked import Administering, Asked
from crossrec_llm.service.bodies import Id
from crossrec_llm.service.pages.rendering import page

router = APIRouter()

EVENTS = 300
"""So many of somebody's newest events are shown."""


@dataclass(frozen=True)
class Moment:
    """One event of a history.

    when : a day, "" where it is not known.
    interest : of the item, from 1; None = of none.
    state : "" where it counts; "disliked", "struck".
    """

    item: Item
    when: str
    event: str
    interest: int | None
    state: str


@dataclass(frozen=True)
class Person:
    """What is shown of somebody: nothing that lies behind a wall.

    timeline : newest first; `earlier` is how many more there are.
    """

    profile: Profile
    timeline: tuple[Moment, ...]
    earlier: int


def person(rec: Recommender, user_id: str) -> Person:
    """Somebody's timeline and profile.

    Raises
    ------
    UnknownUser : nothing is recorded of this id, outside of all walls.
    """
    profile = rec.profile(user_id)
    events = rec.generation.walls.visible(rec.ledger.events_of(user_id)).to_pylist()
    counted = {entry.item.item_id: entry.interest for entry in profile.history}
    state = {entry.item.item_id: "disliked" for entry in profile.disliked}
    state |= {item.item_id: "struck" for item in profile.struck}
    there = [event for event in events if event["item_id"] in rec.catalogue]
    # The order they came in, where there is no time.
    newest = sorted(there, key=lambda event: event["timestamp"] or 0.0)[::-1]
    return Person(
        profile,
        tuple(
            Moment(
                rec.item(event["item_id"]),
                _day(event["timestamp"]),
                event["event"],
                counted.get(event["item_id"]),
                state.get(event["item_id"], ""),
            )
            for event in newest[:EVENTS]
        ),
        max(len(newest) - EVENTS, 0),
    )


def _day(moment: float | None) -> str:
    if moment is None:
        return ""
    try:
        return datetime.fromtimestamp(moment, UTC).strftime("%-d %b %Y")
    except (ValueError, OverflowError, OSError):
        return ""


@router.get("/people")
async def people(request: Request, asked: Administering, user: str = "") -> HTMLResponse:
    shown = await asked.do(lambda rec: person(rec, user.strip())) if user.strip() else None
    return page("people.html", here="/people", user=user.strip(), shown=shown)


User = Annotated[Id, Form()]


@router.post("/people/pin")
async def pin(asked: Administering, user: User, sentence: Annotated[str, Form()] = "") -> Any:
    return await _corrected(asked, user, lambda rec: correcting.pin(rec, user, sentence))


@router.post("/people/strike")
async def strike(asked: Administering, user: User, item: Annotated[Id, Form()]) -> Any:
    return await _corrected(asked, user, lambda rec: correcting.strike(rec, user, [item]))


@router.post("/people/strike-interest")
async def strike_interest(asked: Administering, user: User, number: Annotated[int, Form()]) -> Any:
    return await _corrected(asked, user, lambda rec: correcting.strike_interest(rec, user, number))


@router.post("/people/undo")
async def undo(asked: Administering, user: User, number: Annotated[int, Form()]) -> Any:
    return await _corrected(asked, user, lambda rec: correcting.undo(rec, user, number))


async def _corrected(
    asked: Asked, user: str, correct: Callable[[Recommender], Profile]
) -> RedirectResponse:
    """Back to the person, as they are with it."""
    await asked.change(correct)
    return RedirectResponse(f"/people?{urlencode({'user': user})}", 303)
