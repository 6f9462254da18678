"""Whether timestamps are times, and where to cut them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from crossrec_llm.errors import DataError
from crossrec_llm.tables.events import REAL_TIME
from crossrec_llm.tables.histories import ranked

_NEARLY_ALL = 0.9


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


def cut_in_time(events: pa.Table, *, later: float) -> float:
    """The time that leaves a share of the events (0..1) at or after it, and some before it.

    Raises
    ------
    DataError : the timestamps are no times.
    """
    if problem := no_clock(events):
        raise DataError(
            f"protocol temporal needs one clock for everybody, but {problem}; take protocol warm"
        )
    times = np.sort(np.asarray(events["timestamp"].drop_null().to_numpy(), np.float64))
    cut = times[min(int((1 - later) * len(times)), len(times) - 1)]
    return float(cut if cut > times[0] else times[times > times[0]][0])
