"""What `scripts/bench openapi` and `scripts/bench tenants` measure."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bars import Bar
from durability import _shop

from crossrec_llm import Recommender, build
from crossrec_llm.service import ServiceOptions
from crossrec_llm.service.app import create_app
from service.openapi import Found, fuzzed
from service.tenants import mixed

CASES, OPERATIONS = 50_000, 100_000
_ROUND = 5_000  # cases over one copy: what is added to it and erased from it makes it slow
_USERS = ("user_id", "user_ids")
_ITEMS = "item_id item_ids history without liked disliked exclude only pin strike".split()


Figures = tuple[dict[str, Bar], dict[str, Any]]


def openapi(folder: Path, n: int = CASES) -> Figures:
    """Cases made from the OpenAPI document, over copies of a tiny index."""
    index = _tiny(folder)
    rounds = [
        asked(index, folder / str(start), min(_ROUND, n - start), seed=start)
        for start in range(0, n, _ROUND)
    ]
    statuses = sum((one.statuses for one in rounds), start=type(rounds[0].statuses)())
    bars = {
        "cases": Bar(sum(one.cases for one in rounds), n),
        "answers 5xx": Bar(sum(one.failed for one in rounds), 0, most=True),
        "errors that are no problem+json": Bar(
            sum(one.other_errors for one in rounds), 0, most=True
        ),
        "answers of another schema": Bar(sum(one.other_schemas for one in rounds), 0, most=True),
    }
    trouble = [text for one in rounds for text in one.examples]
    return bars, {"statuses": _sorted(statuses), "trouble": trouble[:20]}


def asked(index: Path, folder: Path, n: int, *, seed: int) -> Found:
    """`n` cases over a copy of an index."""
    place = Path(shutil.copytree(index, folder))
    with Recommender.open(place) as recommender:
        users, items = recommender.generation.users.ids, recommender.catalogue.ids
        known = {**dict.fromkeys(_USERS, users), **dict.fromkeys(_ITEMS, items)}
    return fuzzed(create_app(ServiceOptions(tenants={"default": place})), n, known, first=seed)


def tenants(folder: Path, n: int = OPERATIONS) -> Figures:
    """Operations of three tenants in a mix, over copies of a tiny index."""
    index = _tiny(folder)
    found = mixed(index, folder, n)
    bars = {
        "operations": Bar(found.operations.total(), n),
        "cross-reads": Bar(len(found.crossed), 0, most=True),
        "answers that were not to come": Bar(len(found.wrong), 0, most=True),
    }
    return bars, {
        "operations by kind": dict(found.operations.most_common()),
        "statuses": _sorted(found.statuses),
        "trouble": [*found.crossed[:10], *found.wrong[:10]],
    }


def _tiny(folder: Path) -> Path:
    """An index of 40 items; texts become vectors by hashing their words."""
    _shop.quick_encoder()
    build(_shop.items(), _shop.events(), folder / "tiny", recipe=_shop.RECIPE)
    return folder / "tiny"


def _sorted(statuses: Mapping[int, int]) -> dict[str, int]:
    return {str(status): n for status, n in sorted(statuses.items())}
