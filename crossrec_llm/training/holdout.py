"""Which events are hidden from a fit, so that its answers can be compared with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from crossrec_llm.tables import Catalogue, Histories, HistoryOptions
from crossrec_llm.tables.clock import Later, cut_in_time

LEAST_ITEMS = 3
LAST_TARGETS = 10
LATER_SHARE = 0.1
COLD_SHARE = 0.1

By = Literal["last", "later"]


@dataclass(frozen=True, eq=False)
class HeldOut:
    """One person's question: (h,) rows of the history, oldest first, and the (t,) hidden rows."""

    history: np.ndarray
    targets: np.ndarray


@dataclass(frozen=True, eq=False)
class Holdout:
    """What may be learned from, and what is asked.

    events : without those on hidden (person, item) pairs, and on items that play new ones.
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
    by: By = "last",
    n_user: int,
    n_cross: int,
    seed: int,
) -> Holdout:
    """Hide the end of histories, one top category of other people, and some items of everybody.

    The end is by "last" the last item of some people, and by "later" what everybody took in the
    last tenth of the log, which needs a clock: as it is when one asks for what nobody knows yet.
    A tenth of the items that somebody took is hidden from all, and in no history: as new items
    they are asked for all the same.

    People with dislikes only, or with fewer than 3 items, are not asked. At most half of all have
    their last item hidden, and a quarter of those at home in several top categories all of one
    category, so that enough is left to learn from. Where more than 10 items of a category are
    hidden, the last 10 are asked for; of those after a cut, the first 10.

    Parameters
    ----------
    n_user, n_cross : at most so many people of either kind, drawn by `seed`.
    """
    later: list[Later] | None = None
    if by == "later":
        cut = cut_in_time(catalogue, events, options, later=LATER_SHARE)
        events, later = cut.before, cut.people
    histories = Histories.from_events(events, catalogue, options)
    rng = np.random.default_rng(seed)
    wanted = [_wanted(histories, u) for u in range(len(histories))]
    taken = np.unique(np.concatenate([np.empty(0, np.int64), *wanted]))
    cold = np.zeros(len(catalogue), bool)
    cold[rng.choice(taken, int(COLD_SHARE * len(taken)), replace=False)] = True
    asked = np.array([u for u, rows in enumerate(wanted) if len(rows) >= LEAST_ITEMS], np.int64)
    tops = catalogue.top_codes
    several = [u for u in asked if len(_named(tops[wanted[u]], catalogue.no_category)) > 1]
    crossing = rng.permutation(several)[: min(n_cross, len(several) // 4)].astype(np.int64)

    hidden: list[tuple[int, np.ndarray]] = []
    user, cross = [], []
    if later is None:
        others = rng.permutation(np.setdiff1d(asked, crossing))
        for u in np.sort(others[: min(n_user, (len(asked) + 1) // 2)]):
            rows = wanted[u]
            user.append(HeldOut(_warm(rows[:-1], cold), rows[-1:]))
            hidden.append((u, rows[-1:]))
    else:
        elsewhere = {histories.user_ids[u] for u in crossing}
        people = [one for one in later if one.user_id not in elsewhere]
        for n in np.sort(rng.permutation(len(people))[:n_user]):
            user.append(HeldOut(_warm(people[n].history, cold), people[n].new[:LAST_TARGETS]))
    for u in np.sort(crossing):
        rows = wanted[u]
        there = tops[rows] == rng.choice(_named(tops[rows], catalogue.no_category))
        cross.append(HeldOut(_warm(rows[~there], cold), rows[there][-LAST_TARGETS:]))
        hidden.append((u, rows[there]))
    left = _without(events, histories, catalogue, hidden, cold)
    user, cross = ([one for one in some if len(one.history)] for some in (user, cross))
    return Holdout(left, user, cross)


def _warm(rows: np.ndarray, cold: np.ndarray) -> np.ndarray:
    return rows[~cold[rows]]


def _wanted(histories: Histories, user: int) -> np.ndarray:
    rows, weights, _ = histories.history(user)
    return rows[weights > 0].astype(np.int64)


def _named(codes: np.ndarray, no_category: int) -> np.ndarray:
    distinct = np.unique(codes)
    return distinct[distinct != no_category]


def _without(
    events: pa.Table,
    histories: Histories,
    catalogue: Catalogue,
    hidden: list[tuple[int, np.ndarray]],
    cold: np.ndarray,
) -> pa.Table:
    """The events that are on no hidden (user number, rows) pair, and on no item of a mask."""
    width = len(catalogue) + 1
    pairs = [u * np.int64(width) + rows for u, rows in hidden]
    place = pc.index_in(events["user_id"], pa.array(histories.user_ids, pa.string())).fill_null(-1)
    users = place.to_numpy().astype(np.int64)
    rows = catalogue.rows(events["item_id"])
    gone = np.isin(users * width + rows, np.concatenate([np.empty(0, np.int64), *pairs]))
    gone = ((users >= 0) & (rows >= 0) & gone) | (cold[rows] & (rows >= 0))
    return events.filter(pa.array(~gone))
