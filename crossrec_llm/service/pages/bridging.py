"""Bridges: how credible it is to cross, from each top category into each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

import numpy as np
from fastapi import APIRouter, Query
from starlette.responses import HTMLResponse

from crossrec_llm.answering import Bridge
from crossrec_llm.errors import QueryError
from crossrec_llm.generation import Generation
from crossrec_llm.recommender import Recommender
from crossrec_llm.service.asked import Reading
from crossrec_llm.service.pages.foryou import categories
from crossrec_llm.service.pages.rendering import page

router = APIRouter()

Sort = Literal["home", "target", "credibility", "evidence", "basis", "open"]
Name = Annotated[str, Query(max_length=1_000)]

SORTS: dict[Sort, tuple[str, Callable[[Cell], Any], bool]] = {
    "home": ("Home", lambda one: one.bridge.home.casefold(), False),
    "target": ("Target", lambda one: one.bridge.target.casefold(), False),
    "credibility": ("Credibility", lambda one: one.bridge.credibility, True),
    "evidence": ("People", lambda one: one.bridge.evidence, True),
    "basis": ("Judged by", lambda one: one.bridge.basis, False),
    "open": ("State", lambda one: one.bridge.open, True),
}
"""What the list can be sorted by: its heading, and whether the largest come first."""

_SHADES = 10
_EXAMPLES = 4


@dataclass(frozen=True)
class Cell:
    """One pair.

    policy : what the recipe says of it; empty where nothing.
    shade : of its colour, 0 to 9: 9 for the most credible one.
    """

    bridge: Bridge
    policy: str = ""
    shade: int = 0

    @property
    def state(self) -> str:
        return "open" if self.bridge.open else "closed"


@dataclass(frozen=True)
class Chosen:
    """A pair, and items at home whose like in the target can be looked at."""

    cell: Cell
    examples: tuple[tuple[str, str], ...]


@router.get("/bridges")
async def bridges(
    asked: Reading,
    sort: Sort = "credibility",
    view: Literal["map", "list"] = "map",
    home: Name = "",
    target: Name = "",
) -> HTMLResponse:
    """The pairs as a heat map or a list, and one of them in detail."""
    if bool(home) != bool(target):
        raise QueryError("give both home and target, or none of them")

    def told(rec: Recommender) -> dict[str, Any]:
        pairs = rec.bridges()
        most = max((pair.credibility for pair in pairs), default=0.0)
        cells = [
            Cell(pair, rec.policy(pair.home, pair.target), _shade(pair.credibility, most))
            for pair in pairs
        ]
        generation = rec.generation
        return {
            "cells": cells,
            "most": most,
            "untested_open": generation.tuned.bridges.untested_open,
            "gate": generation.recipe.bridges.gate,
            "chosen": _chosen(rec, generation, home, target) if home else None,
        }

    values = await asked.do(told)
    cells: list[Cell] = values.pop("cells")
    heading, key, falling = SORTS[sort]
    ordered = sorted(cells, key=lambda one: (one.bridge.home, one.bridge.target))
    ordered.sort(key=key, reverse=falling)
    return page(
        "bridges.html",
        here="/bridges",
        cells=ordered,
        by_pair={(one.bridge.home, one.bridge.target): one for one in cells},
        homes=sorted({one.bridge.home for one in cells}),
        targets=sorted({one.bridge.target for one in cells}),
        sorts={name: words for name, (words, _, _) in SORTS.items()},
        sort=sort,
        heading=heading,
        falling=falling,
        view=view,
        **values,
    )


def _shade(credibility: float, most: float) -> int:
    return min(_SHADES - 1, int(credibility / most * _SHADES)) if most else 0


def _chosen(rec: Recommender, generation: Generation, home: str, target: str) -> Chosen:
    """A pair in detail, seen or not.

    Raises
    ------
    QueryError : one of the two is no top category.
    """
    names, seen = generation.catalogue.top_names, categories(generation)
    for name in (home, target):
        if name not in seen:
            raise QueryError(f"no top category is called {name!r}")
    cell = Cell(generation.tuned.bridges.of(home, target), rec.policy(home, target))
    catalogue, people = generation.catalogue, generation.signals.popularity.people
    there = generation.visible & (catalogue.top_codes == names.index(home))
    rows = np.flatnonzero(there[: len(people)])
    rows = rows[np.argsort(-people[rows], kind="stable")][:_EXAMPLES]
    examples = [
        (
            catalogue.item(int(row)).title,
            urlencode({"item": catalogue.ids[row], "category": target, "cross": "only"}),
        )
        for row in rows
    ]
    return Chosen(cell, tuple(examples))
