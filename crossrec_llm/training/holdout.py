"""Which events are hidden from a fit, so that its answers can be compared with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa

from crossrec_llm.tables import Catalogue, Histories, HistoryOptions
from crossrec_llm.tables.clock import Later, cut_in_time
from crossrec_llm.tables.histories import without

LEAST_ITEMS = 3
LAST_TARGETS = 10
LATER_SHARE = 0.1
COLD_SHARE = 0.1

HideBy = Literal["last", "later"]


@dataclass(frozen=True, eq=False)
class HeldOut:
    """One person's question: (h,) rows of the history, oldest first, and the (t,) hidden rows."""

    history: np.ndarray
    targets: np.ndarray


@dataclass(frozen=True, eq=False)
class Holdout:
    """What may be learned from, and what is asked.

    events : without those on hidden (person, item) pairs and on items that play new ones.
    user : people whose last item, or everything after a cut in time, is hidden.
    cross : people of whom everything in one of their top categories is hidden.
    """

    events: pa.Table
    user: list[HeldOut]
    cross: list[HeldOut]


def hold_out(
    catalogue: Catalogue,
    events: pa.Table,
    options: HistoryOptions,
    *,
    by: HideBy = "last",
    n_user: int,
    n_cross: int,
    seed: int,
) -> Holdout:
    """Hide the end of histories, one top category of other people, and some items from everybody.

    The end is by "last" the last item of some people with 3 items or more, at most half of them;
    by "later" what everybody took for the first time in the last tenth of the log: as it is when
    nobody knows yet what comes. Of people with 3 items or more who are at home in several top
    categories, at most a quarter lose all of one. A tenth of the items that somebody took is
    hidden from all, and in no history: as new items they are asked for all the same.

    Where more than 10 items of a category are hidden, the last 10 are asked for; of those after a
    cut, the first 10.

    Parameters
    ----------
    n_user, n_cross : at most so many people of either kind, drawn by `seed`.

    Raises
    ------
    DataError : by "later", on a log without a clock.
    """
    later: list[Later] | None = None
    if by == "later":
        cut = cut_in_time(catalogue, events, options, later=LATER_SHARE)
        events, later = cut.before, cut.people
    histories = Histories.from_events(events, catalogue, options)
    rng = np.random.default_rng(seed)
    wanted = [_wanted(histories, u) for u in range(len(histories))]
    cold = _draw_cold(wanted, len(catalogue), rng)
    asked = np.array([u for u, rows in enumerate(wanted) if len(rows) >= LEAST_ITEMS], np.int64)
    tops, none = catalogue.top_codes, catalogue.no_category
    several = [u for u in asked if len(_named(tops[wanted[u]], none)) > 1]
    crossing = rng.permutation(several)[: min(n_cross, len(several) // 4)].astype(np.int64)

    hidden: list[tuple[int, np.ndarray]] = []
    if later is None:
        others = rng.permutation(np.setdiff1d(asked, crossing))
        ends = np.sort(others[: min(n_user, (len(asked) + 1) // 2)])
        user = [HeldOut(wanted[u][:-1], wanted[u][-1:]) for u in ends]
        hidden += [(u, wanted[u][-1:]) for u in ends]
    else:
        elsewhere = {histories.user_ids[u] for u in crossing}
        people = [one for one in later if one.user_id not in elsewhere]
        drawn = np.sort(rng.permutation(len(people))[:n_user])
        user = [HeldOut(people[n].history, people[n].new[:LAST_TARGETS]) for n in drawn]
    cross = []
    for u in np.sort(crossing):
        rows = wanted[u]
        there = tops[rows] == rng.choice(_named(tops[rows], none))
        cross.append(HeldOut(rows[~there], rows[there][-LAST_TARGETS:]))
        hidden.append((u, rows[there]))
    left = without(events, catalogue, histories, hidden, np.flatnonzero(cold))
    return Holdout(left, _without_cold(user, cold), _without_cold(cross, cold))


def _draw_cold(wanted: Sequence[np.ndarray], n_items: int, rng: np.random.Generator) -> np.ndarray:
    """(n_items,) bool: the items that play new ones."""
    taken = np.unique(np.concatenate([np.empty(0, np.int64), *wanted]))
    cold = np.zeros(n_items, bool)
    cold[rng.choice(taken, int(COLD_SHARE * len(taken)), replace=False)] = True
    return cold


def _without_cold(asked: Sequence[HeldOut], cold: np.ndarray) -> list[HeldOut]:
    """With no cold item in a history; who has no other is not asked."""
    known = (HeldOut(one.history[~cold[one.history]], one.targets) for one in asked)
    return [one for one in known if len(one.history)]


def _wanted(histories: Histories, user: int) -> np.ndarray:
    rows, weights, _ = histories.history(user)
    return rows[weights > 0].astype(np.int64)


def _named(codes: np.ndarray, no_category: int) -> np.ndarray:
    distinct = np.unique(codes)
    return distinct[distinct != no_category]
