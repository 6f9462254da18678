"""Whether timestamps are times, and where to cut them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from crossrec_llm.errors import DataError
from crossrec_llm.tables.catalogue import Catalogue
from crossrec_llm.tables.events import REAL_TIME
from crossrec_llm.tables.histories import Histories, HistoryOptions, ranked

_NEARLY_ALL = 0.9
_NOTHING = np.empty(0, np.int64), np.empty(0, np.float32)


def no_clock(events: pa.Table) -> str:
    """Why the timestamps of a log say nothing about the order between people; "" = they do.

    Positions (0, 1, 2 ... in each person's own history) are recognised by this: none is as late as
    1980, and at least nine people in ten begin at most 1 after the earliest of all. With a clock
    that all share, people begin at different times.
    """
    times = np.asarray(events["timestamp"].to_numpy(), np.float64)
    known = np.isfinite(times)
    if not known.any():
        return "the log has no timestamps"
    if known.mean() < _NEARLY_ALL:
        return f"only {known.mean():.0%} of the events have a timestamp"
    times = times[known]
    if times.min() == times.max():
        return f"all {len(times):,} timestamps are the same"
    users, names = ranked(events["user_id"])
    first = np.full(len(names), np.inf)
    np.minimum.at(first, users[known], times)
    begin = first[np.isfinite(first)]
    if times.max() < REAL_TIME and (begin <= begin.min() + 1).mean() >= _NEARLY_ALL:
        return "the timestamps are positions in each person's own history, not times"
    return ""


@dataclass(frozen=True, eq=False)
class Later:
    """One person on both sides of a cut in time.

    history, new : (h,) and (n,) int64 rows that were wanted before it, and for the first time
        after it; oldest first, neither empty.
    """

    user_id: str
    history: np.ndarray
    new: np.ndarray


@dataclass(frozen=True, eq=False)
class Cut:
    """A log cut in time for everybody.

    time : of the first event after it.
    before : the events before it, and those of unknown time.
    after : how many are after it.
    people : those with something new after it, in the order of their ids in the log.
    unknown : how many people came only after it, or wanted nothing before.
    """

    time: float
    before: pa.Table
    after: int
    people: list[Later]
    unknown: int


def cut_in_time(
    catalogue: Catalogue, events: pa.Table, options: HistoryOptions, *, later: float
) -> Cut:
    """Cut so that a share of the events (0..1) lies at or after the cut, and some before it.

    Raises
    ------
    DataError : the log has no clock.
    """
    if problem := no_clock(events):
        raise DataError(
            f"a cut in time needs one clock for everybody, but {problem}; take protocol warm"
        )
    times = np.asarray(events["timestamp"].to_numpy(), np.float64)
    known = np.sort(times[np.isfinite(times)])
    time = known[min(int((1 - later) * len(known)), len(known) - 1)]
    time = float(time if time > known[0] else known[known > known[0]][0])
    past = times >= time  # an unknown time is False: it is learned from
    before, after = events.filter(pa.array(~past)), events.filter(pa.array(past))
    before_cut = Histories.from_events(before, catalogue, options)
    place = {user_id: u for u, user_id in enumerate(before_cut.user_ids)}
    after_cut = Histories.from_events(_first_events(after), catalogue, options)
    people, unknown = [], 0
    for u, user_id in enumerate(after_cut.user_ids):
        seen, liking = before_cut.history(place[user_id])[:2] if user_id in place else _NOTHING
        history = seen[liking > 0].astype(np.int64)
        if not len(history):
            unknown += 1
            continue
        rows, weights, _ = after_cut.history(u)
        new = rows[(weights > 0) & ~np.isin(rows, seen)].astype(np.int64)
        if len(new):
            people.append(Later(user_id, history, new))
    return Cut(time, before, len(after), people, unknown)


def _first_events(events: pa.Table) -> pa.Table:
    """Of each (person, item) the earliest event."""
    ordered = events.sort_by([("timestamp", "ascending")])
    pair = pc.binary_join_element_wise(ordered["user_id"], ordered["item_id"], "\x1f")
    codes = pair.combine_chunks().dictionary_encode().indices.to_numpy(zero_copy_only=False)
    _, first = np.unique(codes, return_index=True)
    return ordered.take(pa.array(np.sort(first)))
