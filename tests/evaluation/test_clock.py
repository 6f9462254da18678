from __future__ import annotations

import pyarrow as pa
import pytest

from crossrec_llm.errors import DataError
from crossrec_llm.evaluation.clock import cut_in_time, no_clock
from tests.small import events_of

DAY = 86_400.0
START = 1.6e9


def timed(times, users=None):
    """Events u0 ... one a person unless `users` says whose they are."""
    events = events_of([[i % 12] for i in range(len(times))])
    names = [f"u{u}" for u in (users or range(len(times)))]
    for name, values in (("timestamp", times), ("user_id", names)):
        at = events.column_names.index(name)
        events = events.set_column(at, name, pa.array(values, events.schema.field(name).type))
    return events


@pytest.mark.parametrize(
    ("times", "users", "words"),
    [
        ([None] * 4, None, "no timestamps"),
        ([START, None, None, None], None, "only 25%"),
        ([START] * 4, None, "all 4 timestamps are the same"),
        ([0, 1, 2, 0, 1, 2], [0, 0, 0, 1, 1, 1], "positions"),
        ([1, 2, 5, 0, 1, 9], [0, 0, 0, 1, 1, 1], "positions"),
    ],
)
def test_what_is_no_clock(times, users, words):
    assert words in no_clock(timed(times, users))
    with pytest.raises(DataError, match="take protocol warm"):
        cut_in_time(timed(times, users), later=0.2)


def test_clocks():
    assert no_clock(timed([START, START + DAY])) == ""
    # Days since an opening are a clock, although small: people come at different times.
    assert no_clock(timed([0, 3, 7, 40, 41, 90])) == ""


def test_the_cut_leaves_a_fifth_after_it():
    assert cut_in_time(timed([START + i for i in range(10)]), later=0.2) == START + 8
    assert cut_in_time(timed([START] * 9 + [START + 1]), later=0.2) == START + 1
