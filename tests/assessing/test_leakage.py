from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from crossrec_llm.assessing.leakage import held_out, leakage
from crossrec_llm.tables import EVENTS_SCHEMA, Histories, HistoryOptions
from tests.small import N_ITEMS, plain_catalogue

CATALOGUE = plain_catalogue()
DAY, START = 86_400.0, 1.7e9
OWN = np.arange(N_ITEMS)


def log(*rows):
    """Events (user, row, day) on the plain catalogue; a day of None = no time."""
    return pa.Table.from_pylist(
        [
            {"user_id": user, "item_id": f"i{row}", "event": "", "value": None,
             "timestamp": None if day is None else START + DAY * day}
            for user, row, day in rows
        ],
        schema=EVENTS_SCHEMA,
    )  # fmt: skip


def looked(events, twins=OWN):
    histories = Histories.from_events(events, CATALOGUE, HistoryOptions())
    return {f.check: f for f in leakage(CATALOGUE, events, histories, twins)}


def compared(events, test, twins=OWN):
    return {f.check: f for f in held_out(CATALOGUE, events, test, twins)}


def test_a_last_item_that_was_taken_under_another_id():
    twins = OWN.copy()
    twins[4] = twins[1]
    found = looked(log(("u", 1, 0), ("u", 2, 1), ("u", 4, 2), ("v", 1, 0), ("v", 2, 3)), twins)
    assert found["found through a twin"].value == 0.5
    assert found["found through a twin"].grade == "bad"
    assert found["found through a twin"].examples == ("u: i1 and i4",)


def test_people_who_are_copies():
    rows = [(user, row, row) for user in "uv" for row in range(5)]
    short = [(user, row, row) for user in "xy" for row in range(3)]
    found = looked(log(*rows, *short))
    assert found["people twice"].value == 0.25
    assert found["people twice"].examples == ("u and v, 5 items",)
    turned = [("v", row, 9 - row) for row in range(5)]
    assert looked(log(*rows[:5], *turned))["people twice"].value == 0


def test_times_that_are_none():
    found = looked(log(("u", 1, None), ("u", 2, None), ("v", 2, 1)))
    assert found["no time"].value == pytest.approx(2 / 3)
    assert found["no time"].grade == "bad"
    assert "one clock for all" in found
    assert looked(log(("u", 1, None), ("u", 2, None)))["no time"].value == 1
    assert "same" in looked(log(("u", 1, 1), ("v", 2, 1)))["one clock for all"].words


def test_positions_mixed_units_the_future_and_numbers_for_dates():
    positions = -START / DAY
    found = looked(log(*[(u, row, positions + row / DAY) for u in "uvw" for row in range(3)]))
    assert "positions" in found["one clock for all"].words
    assert found["time of another kind"].grade == "ok"
    found = looked(log(("u", 1, 0), ("u", 2, positions), ("v", 1, 3), ("v", 3, 5)))
    assert found["time of another kind"].value == 0.25
    assert found["time of another kind"].grade == "bad"
    found = looked(log(("u", 1, 0), ("v", 2, 100_000)))
    assert found["in the future"].value == 0.5
    dates = [(20240101 + n - START) / DAY for n in range(4)]
    found = looked(log(*[("u", row, day) for row, day in enumerate(dates)]))
    assert found["time of another kind"].grade == "bad"
    assert "20240101" in found["time of another kind"].words


def test_two_newest_items_of_one_moment():
    found = looked(log(("u", 1, 0), ("u", 2, 0), ("v", 1, 0), ("v", 2, 1)))
    assert found["last item is a toss-up"].value == 0.5


CLEAN = log(*[(f"u{n}", row, row) for n in range(4) for row in range(4)])


def test_an_honest_split_is_clean():
    test = log(*[(f"u{n}", 7, 9) for n in range(4)])
    assert {f.grade for f in compared(CLEAN, test).values()} == {"ok"}


def test_a_planted_copy_is_caught_with_and_without_its_time():
    for day, told in ((3, "1 with the same time"), (None, "0 with the same time"), (9, "0 with")):
        found = compared(CLEAN, log(("u0", 3, day), ("u1", 7, 9), ("u2", 7, 9)))
        copies = found["held out, and in the log"]
        assert copies.grade == "bad"
        assert told in copies.words
        assert copies.examples == ("u0 took i3",)
    assert compared(CLEAN, log(("u0", 7, None)))["log goes on after it"].grade == "ok"


def test_a_planted_twin_is_caught():
    twins = OWN.copy()
    twins[7] = twins[2]
    found = compared(CLEAN, log(("u0", 7, 9), ("u1", 8, 9)), twins)
    assert found["held out, its twin in the log"].grade == "bad"
    assert found["held out, its twin in the log"].examples == ("u0 took i7",)
    assert found["held out, and in the log"].grade == "ok"


def test_people_who_take_things_again_are_no_leak():
    again = log(*[("u", 1, day) for day in range(8)], ("u", 2, 9))
    found = compared(again, log(("u", 1, 20)))["held out, and in the log"]
    assert found.grade == "look"
    assert "taken them again" in found.means
    assert compared(again, log(("u", 1, 3)))["held out, and in the log"].grade == "bad"


def test_a_log_that_goes_on_after_the_cut():
    found = compared(CLEAN, log(("u0", 7, 1), ("new", 7, 1)))
    assert found["log goes on after it"].value == 0.5
    assert found["log goes on after it"].grade == "bad"
