from __future__ import annotations

import pytest

from crossrec_llm.errors import DataError
from crossrec_llm.evaluation import split
from crossrec_llm.tables import HistoryOptions
from tests.small import events_of, plain_catalogue

CATALOGUE = plain_catalogue()
EVENTS = events_of([[0, 1, 2, 3], [4, 5, 4], [6, 7, 6, 8], [1, 2, 3]])


def test_the_last_item_is_asked_and_not_learned_from():
    parts = split("warm", CATALOGUE, EVENTS, HistoryOptions())
    asked = {case.user_id: (case.history, case.targets) for case in parts.cases}
    assert asked == {
        "u0": (("i0", "i1", "i2"), ("i3",)),
        "u2": (("i7", "i6"), ("i8",)),
        "u3": (("i1", "i2"), ("i3",)),
    }
    learned = {(e["user_id"], e["item_id"]) for e in parts.events.to_pylist()}
    for case in parts.cases:
        assert (case.user_id, case.targets[0]) not in learned
        assert {(case.user_id, item_id) for item_id in case.history} <= learned
    assert ("u1", "i5") in learned


def test_validation_never_sees_the_test_items():
    test = {
        c.user_id: c.targets[0] for c in split("warm", CATALOGUE, EVENTS, HistoryOptions()).cases
    }
    parts = split("validation", CATALOGUE, EVENTS, HistoryOptions())
    learned = {(e["user_id"], e["item_id"]) for e in parts.events.to_pylist()}
    for case in parts.cases:
        assert test[case.user_id] not in (*case.history, *case.targets)
        assert (case.user_id, test[case.user_id]) not in learned
        assert (case.user_id, case.targets[0]) not in learned


def test_a_log_that_is_too_short_is_refused():
    with pytest.raises(DataError, match="nobody has 3 items"):
        split("warm", CATALOGUE, events_of([[0, 1], [2]]), HistoryOptions())
