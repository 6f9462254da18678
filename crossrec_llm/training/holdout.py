"""Which events are hidden from a fit, so that its answers can be compared with them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from crossrec_llm.tables import Catalogue, Histories, HistoryOptions

LEAST_ITEMS = 3
LAST_TARGETS = 10


@dataclass(frozen=True, eq=False)
class HeldOut:
    """One person's question: (h,) rows of the history, oldest first, and the (t,) hidden rows."""

    history: np.ndarray
    targets: np.ndarray


@dataclass(frozen=True, eq=False)
class Holdout:
    """What may be learned from, and what is asked.

    events : without those on hidden (person, item) pairs.
    user : people whose last item is hidden.
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
    n_user: int,
    n_cross: int,
    seed: int,
) -> Holdout:
    """Hide the last item of some people, and one top category of others.

    People with dislikes only, or with fewer than 3 items, are not asked. At most half of all have
    their last item hidden, and a quarter of those at home in several top categories all of one
    category, so that enough is left to learn from. Where everything hidden of a category is more
    than 10 items, the last 10 are asked for.

    Parameters
    ----------
    n_user, n_cross : at most so many people of either kind, drawn by `seed`.
    """
    histories = Histories.from_events(events, catalogue, options)
    rng = np.random.default_rng(seed)
    wanted = [_wanted(histories, u) for u in range(len(histories))]
    asked = np.array([u for u, rows in enumerate(wanted) if len(rows) >= LEAST_ITEMS], np.int64)
    tops = catalogue.top_codes
    several = [u for u in asked if len(_named(tops[wanted[u]], catalogue.no_category)) > 1]
    crossing = rng.permutation(several)[: min(n_cross, len(several) // 4)].astype(np.int64)
    others = rng.permutation(np.setdiff1d(asked, crossing))
    inside = np.sort(others[: min(n_user, (len(asked) + 1) // 2)])

    hidden: list[tuple[int, np.ndarray]] = []
    user, cross = [], []
    for u in inside:
        rows = wanted[u]
        user.append(HeldOut(rows[:-1], rows[-1:]))
        hidden.append((u, rows[-1:]))
    for u in np.sort(crossing):
        rows = wanted[u]
        there = tops[rows] == rng.choice(_named(tops[rows], catalogue.no_category))
        cross.append(HeldOut(rows[~there], rows[there][-LAST_TARGETS:]))
        hidden.append((u, rows[there]))
    return Holdout(_without(events, histories, catalogue, hidden), user, cross)


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
) -> pa.Table:
    """The events that are on no hidden (user number, rows) pair."""
    if not hidden:
        return events
    width = len(catalogue) + 1
    keys = np.concatenate([u * np.int64(width) + rows for u, rows in hidden])
    place = pc.index_in(events["user_id"], pa.array(histories.user_ids)).fill_null(-1)
    users = place.to_numpy().astype(np.int64)
    rows = catalogue.rows(events["item_id"])
    gone = (users >= 0) & (rows >= 0) & np.isin(users * width + rows, keys)
    return events.filter(pa.array(~gone))
