from __future__ import annotations

import pyarrow as pa
import pytest

from crossrec_llm.tables import HistoryOptions
from crossrec_llm.tables.clock import cut_in_time, no_clock
from tests.small import events_of, plain_catalogue

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


def test_clocks():
    assert no_clock(timed([START, START + DAY])) == ""
    # Days since an opening are a clock, although small: people come at different times.
    assert no_clock(timed([0, 3, 7, 40, 41, 90])) == ""


def cut(times, users=None, later=0.2):
    return cut_in_time(plain_catalogue(), timed(times, users), HistoryOptions(), later=later)


def test_the_cut_leaves_a_fifth_after_it():
    ten = cut([START + i for i in range(10)])
    assert (ten.time, len(ten.before), ten.after, ten.unknown) == (START + 8, 8, 2, 2)
    assert cut([START] * 9 + [START + 1]).time == START + 1


def test_people_on_both_sides_of_a_cut():
    """Rows 0 ... 11 in the order of time; u1 comes only after the cut."""
    found = cut([START + i for i in range(12)], [0, 2, 0, 2, 0, 0, 0, 0, 0, 0, 1, 0], later=0.25)
    assert found.time == START + 9
    assert len(found.before) == 9
    (one,) = found.people
    assert (one.user_id, one.history.tolist(), one.new.tolist()) == (
        "u0",
        [0, 2, 4, 5, 6, 7, 8],
        [9, 11],
    )
    assert found.unknown == 1


def test_an_unknown_time_is_before_the_cut():
    times = [START + i for i in range(11)]
    found = cut([*times, None], [0] * 6 + [1] * 6, later=0.2)
    assert found.time == START + 8
    assert len(found.before) == 9
    (one,) = found.people
    assert (one.history.tolist(), one.new.tolist()) == ([11, 6, 7], [8, 9, 10])
