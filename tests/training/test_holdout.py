from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from crossrec_llm.tables import Histories, HistoryOptions
from crossrec_llm.training import hold_out, holdout
from tests.small import events_of, plain_catalogue

CATALOGUE = plain_catalogue()
# Even rows lie in A, odd ones in B.
LOG = [[0, 2, 4, 6], [1, 3, 5], [0, 1, 2, 3], [8, 10, 9, 11], [4, 5, 6, 7], [2, 1, 0, 5], [0, 1]]
LOG = LOG * 6
EVENTS = events_of(LOG)


def held_out(**sizes):
    return hold_out(CATALOGUE, EVENTS, HistoryOptions(), seed=3, **sizes)


def learned(held):
    return {(e["user_id"], e["item_id"]) for e in held.events.to_pylist()}


@pytest.fixture
def _none_cold(monkeypatch):
    monkeypatch.setattr(holdout, "COLD_SHARE", 0.0)


@pytest.mark.usefixtures("_none_cold")
def test_what_is_asked_for_is_not_learned_from():
    held = held_out(n_user=10, n_cross=5)
    assert len(held.user) == 10
    assert len(held.cross) == 5
    hidden = {(e["user_id"], e["item_id"]) for e in EVENTS.to_pylist()} - learned(held)
    assert len(hidden) == sum(len(one.targets) for one in (*held.user, *held.cross))
    for one in held.user:
        assert [*one.history, *one.targets] in [list(map(int, rows)) for rows in LOG]
        assert len(one.targets) == 1


def test_some_items_are_new_to_everybody():
    """A tenth of the 12 items that somebody took: one, in no history and asked for all the same."""
    held = hold_out(CATALOGUE, EVENTS, HistoryOptions(), n_user=1000, n_cross=0, seed=1)
    items = {e["item_id"] for e in EVENTS.to_pylist()}
    (new,) = items - {item for _, item in learned(held)}
    row = int(new[1:])
    assert not any(row in one.history for one in held.user)
    assert any(row in one.targets for one in held.user)
    assert len({len(one.history) for one in held.user}) > 1


def test_a_whole_category_is_hidden_for_crossing():
    for one in held_out(n_user=0, n_cross=5).cross:
        assert len(set(one.targets % 2)) == 1
        assert set(one.history % 2) == {1 - one.targets[0] % 2}


def test_enough_is_left_to_learn_from():
    held = held_out(n_user=1000, n_cross=1000)
    asked = sum(len(rows) >= 3 for rows in LOG)
    several = sum(len({row % 2 for row in rows}) > 1 and len(rows) >= 3 for rows in LOG)
    assert len(held.cross) == several // 4
    assert len(held.user) <= (asked + 1) // 2
    rest = Histories.from_events(held.events, CATALOGUE, HistoryOptions())
    assert len(rest) == len(LOG)


def test_the_seed_decides():
    one, two = held_out(n_user=10, n_cross=5), held_out(n_user=10, n_cross=5)
    assert learned(one) == learned(two)
    other = hold_out(CATALOGUE, EVENTS, HistoryOptions(), n_user=10, n_cross=5, seed=4)
    assert learned(other) != learned(one)


def test_nobody_to_ask():
    held = hold_out(CATALOGUE, events_of([[0, 1]]), HistoryOptions(), n_user=5, n_cross=5, seed=0)
    assert held.user == held.cross == []
    assert len(held.events) == 2


@pytest.mark.usefixtures("_none_cold")
def test_repeats_of_a_hidden_item_are_hidden_with_it():
    events = events_of([[3, 0, 1, 3]] * 4)
    held = hold_out(CATALOGUE, events, HistoryOptions(), n_user=2, n_cross=0, seed=0)
    for one in held.user:
        assert list(one.targets) == [3]
        assert list(one.history) == [0, 1]
    assert len(held.events) == len(events) - 2 * 2


def timed():
    """The log on one clock, a day an event, and each person a minute after the one before."""
    events = events_of(LOG)
    users = np.array([int(user[1:]) for user in events["user_id"].to_pylist()])
    times = pa.array(1.6e9 + 86_400 * events["timestamp"].to_numpy() + 60.0 * users)
    return events.set_column(events.column_names.index("timestamp"), "timestamp", times)


@pytest.mark.usefixtures("_none_cold")
def test_a_cut_in_time_hides_all_that_came_later():
    events = timed()
    held = hold_out(CATALOGUE, events, HistoryOptions(), by="later", n_user=99, n_cross=0, seed=0)
    last = max(e["timestamp"] for e in held.events.to_pylist())
    after = [e for e in events.to_pylist() if e["timestamp"] > last]
    assert len(held.events) + len(after) == len(events)
    assert 0.05 < len(after) / len(events) < 0.15
    asked = sorted(int(row) for one in held.user for row in one.targets)
    assert asked == sorted(int(e["item_id"][1:]) for e in after)
    assert all(len(one.history) for one in held.user)


def test_who_crosses_is_not_asked_for_what_came_later():
    events = timed()
    held = hold_out(CATALOGUE, events, HistoryOptions(), by="later", n_user=99, n_cross=99, seed=0)
    assert held.cross
    alone = hold_out(CATALOGUE, events, HistoryOptions(), by="later", n_user=99, n_cross=0, seed=0)
    assert len(held.user) < len(alone.user)
