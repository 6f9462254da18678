"""For you: a list for a person, a text or an item, and every setting of it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow.compute as pc
from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import HTMLResponse

from crossrec_llm.comparing import Counterfactual, counterfactual
from crossrec_llm.generation import Generation
from crossrec_llm.recommender import Recommender
from crossrec_llm.records import Recommendations
from crossrec_llm.service.asked import Reading
from crossrec_llm.service.bodies import Id
from crossrec_llm.service.pages.copying import copies
from crossrec_llm.service.pages.rendering import page
from crossrec_llm.service.pages.settings import Settings

router = APIRouter()

SUGGESTED, LONGEST = 12, 200
"""Ids that are suggested at once, and characters that are looked at, at most."""


class ForYou(Settings):
    """The settings of a list, and what is asked about it."""

    without: list[Id] = Field([], description="History items to show the list without.")


@dataclass(frozen=True)
class _Shown:
    """A list, and what was asked about it."""

    answer: Recommendations
    changed: Counterfactual | None


@router.get("/")
async def for_you(request: Request, asked: Reading) -> HTMLResponse:
    settings = ForYou.of(request.query_params.multi_items())
    settings.within(asked.service.options.limits)

    def work(rec: Recommender) -> tuple[_Shown | None, Sequence[str]]:
        return (_shown(rec, settings) if settings.asks else None), categories(rec.generation)

    shown, tops = await asked.do(work)
    keyed = asked.service.keys is not None
    return page(
        "foryou.html",
        here="/",
        settings=settings,
        shown=shown,
        tops=tops,
        hidden=hidden(settings, tops),
        copied=copies(settings, str(request.base_url), keyed=keyed) if shown else None,
        keyed=keyed,
    )


def _shown(rec: Recommender, settings: ForYou) -> _Shown:
    answer, changed = settings.answer(rec), None
    if settings.without:
        changed = counterfactual(rec, answer, settings.without)
    return _Shown(answer, changed)


CONTROLS = (
    "user", "text", "item", "mode", "k", "cross_share", "diversity", "price_min", "price_max",
    "available", "include_seen", "category", "not_category",
)  # fmt: skip
"""Settings that the form has a control for; the others of an address stay in hidden fields."""

_ABOUT = ("why_not", "without")


def hidden(settings: Settings, tops: Sequence[str]) -> list[tuple[str, str]]:
    """What of an address the form has no control for, and so keeps as it is."""
    several = ("brand",) if len(settings.brand) == 1 else ()
    return [
        (name, value)
        for name, value in settings.pairs()
        if name not in (*CONTROLS, *_ABOUT, *several)
    ]


def categories(generation: Generation) -> list[str]:
    """The top categories that items are in, outside of all walls."""
    catalogue = generation.catalogue
    there = np.unique(catalogue.top_codes[generation.visible])
    return [catalogue.top_names[code] for code in there if code != catalogue.no_category]


@router.get("/suggest")
async def suggest(request: Request, asked: Reading, of: Literal["user", "item"]) -> HTMLResponse:
    """Ids of people, or of items, that go with what was typed: `q`, or the field's own name.

    Who the people are is told to admins; nobody is suggested to others.
    """
    typed = [value for name, value in request.query_params.multi_items() if name != "of"]
    words = (typed[0] if typed else "").strip()[:LONGEST]

    def work(rec: Recommender) -> list[tuple[str, str]]:
        if of == "item":
            return items_like(rec, words)
        return people_like(rec, words) if asked.may("admin") else []

    return page("suggest.html", found=await asked.do(work))


def people_like(rec: Recommender, start: str) -> list[tuple[str, str]]:
    """(id, "") of people whose id begins with a text: of those that a build made profiles of."""
    ids = rec.generation.users.in_order
    at = bisect_left(ids, start)
    return [(one, "") for one in ids[at : at + SUGGESTED] if one.startswith(start)]


def items_like(rec: Recommender, words: str) -> list[tuple[str, str]]:
    """(id, title) of items whose id begins with a text, then of those with it in the title.

    None lies behind a wall.
    """
    generation = rec.generation
    catalogue = generation.catalogue
    if not words:
        return []
    columns: Any = catalogue.table
    hits = [
        pc.starts_with(columns["item_id"], pattern=words),
        pc.match_substring(columns["title"], pattern=words, ignore_case=True),
    ]
    found: dict[int, None] = {}
    for hit in hits:
        rows = np.flatnonzero(np.asarray(hit) & generation.visible)
        found |= dict.fromkeys(rows[:SUGGESTED].tolist())
    items = [catalogue.item(row) for row in list(found)[:SUGGESTED]]
    return [(one.item_id, one.title) for one in items]
