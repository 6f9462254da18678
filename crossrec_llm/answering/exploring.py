"""Places that are filled by chance, so that what was not shown can be judged from what was.

The list is made first, with every rule. Then each place is drawn for with the same probability, and
the places drawn for are filled by an arrangement, every one as likely as any other, of what stood
there and of the best below the list. Only like is exchanged for like: an item comes to a place only
if every rule counts it as the one that stood there, so that each rule is kept exactly, and the
probability of every item at every place is known exactly (`chances`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import comb
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge, Le

from crossrec_llm.answering.arranging import Arranged, Demands
from crossrec_llm.records import STRICT, Offer

STAYS = -1
"""The class of places that are not drawn for, and of items that come to no place."""

_SCALE = 2.0**-64


@dataclass(frozen=True)
class ExperimentsOptions:
    """Exploration in lists that are recorded, and how long records of them are kept.

    explore : share of the places that are drawn for, on average; 0 shows every list as it is.
    pool : how many of the best items below a list may come to such a place.
    salt : makes other draws; exploration is drawn by a hash of it, the person and the day.
    keep_days : `crossrec gc` removes exposures that are older, with their outcomes; 0 keeps all.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    explore: Annotated[float, Ge(0), Le(0.3)] = 0.0
    pool: Annotated[int, Ge(0), Le(1_000)] = 10
    salt: str = ""
    keep_days: Annotated[int, Ge(0)] = 400


@dataclass(frozen=True)
class Chances:
    """Probabilities at a place, of what may stand there.

    stay : of the item that the list has there.
    swap : of each item that it has at another place of the class.
    come : of each item from below.
    """

    stay: float
    swap: float
    come: float


@dataclass(frozen=True, eq=False)
class Explored:
    """A list after the draw: its (k,) positions and rules, and all that might have come.

    offers : (position in the pool, its Offer without the id).
    """

    arranged: Arranged
    offers: tuple[tuple[int, Offer], ...]


def luck(*names: str) -> float:
    """A number in [0, 1) that is the same for the same names in every process, on every machine.

    The first 64 bits of their sha256, which no two lists of names share by being joined.
    """
    joined = b"".join(len(part).to_bytes(8, "big") + part for part in map(str.encode, names))
    return int.from_bytes(hashlib.sha256(joined).digest()[:8], "big") * _SCALE


@cache
def chances(places: int, below: int, share: float) -> Chances:
    """Of a class with so many places in the list and items below it.

    A place is drawn for with probability e. With B others of n drawn for beside it, each of the
    1 + B + c items is as likely to come: come = e E[1 / (1 + B + c)], B ~ Bin(places - 1, e). For
    an item of another place that one has to be drawn for too: swap = e^2 E[1 / (2 + B + c)], B ~
    Bin(places - 2, e). What is left is stay = 1 - (places - 1) swap - c come = 1 - e + come.
    """
    if places + below < 2:
        return Chances(1.0, 0.0, 0.0)
    come = share * _mean_part(places - 1, 1 + below, share)
    swap = share**2 * _mean_part(places - 2, 2 + below, share) if places > 1 else 0.0
    return Chances(1 - share + come, swap, come)


def _mean_part(others: int, at_least: int, share: float) -> float:
    """E[1 / (at_least + B)], B ~ Bin(others, share)."""
    return sum(
        comb(others, b) * share**b * (1 - share) ** (others - b) / (at_least + b)
        for b in range(others + 1)
    )


def alike_by_rule(demands: Demands, *further: np.ndarray) -> np.ndarray:
    """(n,) int64 classes of a pool: two items of one are the same to every rule of the list.

    Parameters
    ----------
    further : (n,) arrays by which items must be alike too, one at least.
    """
    columns = [np.asarray(one, np.int64) for one in further]
    columns += [np.asarray(cap.codes, np.int64) for cap in demands.caps]
    for ruled in (demands.split, demands.floors, demands.calibration):
        columns += [np.asarray(ruled.codes, np.int64)] if ruled is not None else []
    for mask in (demands.new, demands.buried):
        columns += [mask.astype(np.int64)] if mask is not None else []
    _, classes = np.unique(np.stack(columns), axis=1, return_inverse=True)
    return classes.reshape(-1)


def explore(
    arranged: Arranged,
    order: np.ndarray,
    classes: np.ndarray,
    pinned: np.ndarray,
    ids: Sequence[str],
    options: ExperimentsOptions,
    key: Sequence[str],
) -> Explored:
    """Draw for the places of a list.

    Each place is drawn for, and the order in which items come to the places of their class is, by
    `luck` of the salt, the key, and the place or the item: the same question and key give the same
    list again.

    Parameters
    ----------
    order : (n,) int64, all positions of the pool, best first.
    classes : (n,) int64 of the pool, by `alike_by_rule`.
    pinned : (p,) int64 positions that keep their places.
    ids : of the pool.
    key : whose draw it is, and which: the person and the day.
    """
    seed = (options.salt, *key)
    homes = arranged.positions
    open_ = ~np.isin(homes, pinned)
    of_place = np.where(open_, classes[homes], STAYS)
    below = order[~np.isin(order, homes) & np.isin(classes[order], of_place[open_])]
    below = below[: options.pool] if options.explore else below[:0]

    shown = homes.copy()
    offers: list[tuple[int, Offer]] = []
    brought = dict(zip(homes.tolist(), arranged.acted, strict=True))
    for kind in dict.fromkeys(of_place.tolist()):
        places = np.flatnonzero(of_place == kind)
        come = below[classes[below] == kind] if kind != STAYS else below[:0]
        drawn = [
            place
            for place in places
            if kind != STAYS and luck(*seed, "place", str(place)) < options.explore
        ]
        if drawn:
            there = [*homes[drawn].tolist(), *come.tolist()]
            there.sort(key=lambda at: luck(*seed, "item", ids[at]))
            shown[drawn] = there[: len(drawn)]
        offers += _offers(kind, places, homes, come, shown, options.explore)
    acted = tuple(
        brought.get(int(at), ()) + (("explored",) if at != home else ())
        for at, home in zip(shown, homes, strict=True)
    )
    return Explored(Arranged(shown, acted), tuple(offers))


def _offers(
    kind: int,
    places: np.ndarray,
    homes: np.ndarray,
    come: np.ndarray,
    shown: np.ndarray,
    share: float,
) -> list[tuple[int, Offer]]:
    """What might have come to the places of a class."""
    found = chances(len(places), len(come), share if kind != STAYS else 0.0)
    ranks = {at: place for place, at in enumerate(shown.tolist(), 1)}
    inside = [
        (at, Offer("", kind, place + 1, ranks.get(at, 0), found.stay, found.swap))
        for place, at in zip(places.tolist(), homes[places].tolist(), strict=True)
    ]
    outside = [(at, Offer("", kind, 0, ranks.get(at, 0), 0.0, found.come)) for at in come.tolist()]
    return [*inside, *outside]
