from __future__ import annotations

import pyarrow as pa
import pytest

from crossrec_llm.errors import DataError, QueryError
from crossrec_llm.evaluation import split
from crossrec_llm.filter import Filter
from crossrec_llm.tables import EVENTS_SCHEMA, HistoryOptions
from tests.small import catalogue_of, events_of, plain_catalogue

CATALOGUE = plain_catalogue()
EVENTS = events_of([[0, 1, 2, 3], [4, 5, 4], [6, 7, 6, 8], [1, 2, 3]])


def cut(protocol, events=EVENTS, **options):
    return split(protocol, CATALOGUE, events, HistoryOptions(), **options)


def learned(parts):
    return {(e["user_id"], e["item_id"]) for e in parts.events.to_pylist()}


def asked(cases):
    return {case.user_id: (case.history, case.targets) for case in cases}


def test_the_last_item_is_asked_and_not_learned_from():
    parts = cut("warm")
    assert asked(parts.cases) == {
        "u0": (("i0", "i1", "i2"), ("i3",)),
        "u2": (("i7", "i6"), ("i8",)),
        "u3": (("i1", "i2"), ("i3",)),
    }
    for case in parts.cases:
        assert (case.user_id, case.targets[0]) not in learned(parts)
        assert {(case.user_id, item_id) for item_id in case.history} <= learned(parts)
    assert ("u1", "i5") in learned(parts)
    assert parts.notes == ("learned from, not asked: 1 person with fewer than 3 items",)


def test_validation_never_sees_the_test_items():
    test = {c.user_id: c.targets[0] for c in cut("warm").cases}
    parts = cut("validation")
    for case in parts.cases:
        assert test[case.user_id] not in (*case.history, *case.targets)
        assert (case.user_id, test[case.user_id]) not in learned(parts)
        assert (case.user_id, case.targets[0]) not in learned(parts)


@pytest.mark.parametrize("protocol", ["warm", "validation"])
def test_a_log_that_is_too_short_is_refused(protocol):
    with pytest.raises(DataError, match="no 2 people have 3 items"):
        cut(protocol, events_of([[0, 1, 2], [2]]))
    with pytest.raises(DataError, match="no usable event"):
        cut(protocol, events_of([]))


def test_dislikes_and_unknown_items_are_neither_history_nor_target():
    rows = events_of([[0, 1, 2], [3, 4, 5]]).to_pylist()
    more = [("u0", "i9", "dislike"), ("u0", "gone", "")]
    rows += [dict(rows[0], user_id=u, item_id=i, event=e, timestamp=9.0) for u, i, e in more]
    parts = cut("warm", pa.Table.from_pylist(rows, schema=EVENTS_SCHEMA))
    assert asked(parts.cases)["u0"] == (("i0", "i1"), ("i2",))
    assert ("u0", "i9") in learned(parts)


def test_one_cut_in_time_for_everybody():
    """The last fifth of ten events begins at 8: who took new items then is asked for them."""
    times = {"u0": [(0, 0), (1, 9), (2, 9)], "u1": [(3, 1), (3, 8), (4, 8)], "u2": [(5, 2)]}
    start = 1.6e9
    rows = [
        {"user_id": u, "item_id": f"i{i}", "timestamp": start + t, "event": "", "value": None}
        for u, log in {**times, "u3": [(6, 9)], "u4": [(i, 3) for i in range(15)]}.items()
        for i, t in log
    ]
    parts = cut("temporal", pa.Table.from_pylist(rows, schema=EVENTS_SCHEMA))
    assert asked(parts.cases) == {"u0": (("i0",), ("i1", "i2")), "u1": (("i3",), ("i4",))}
    assert max(e["timestamp"] for e in parts.events.to_pylist()) < start + 8
    assert "15" not in parts.notes[0]
    assert parts.notes[1] == "not asked: 1 person who came only after the cut"


def test_a_cut_needs_a_clock():
    with pytest.raises(DataError, match="take protocol warm"):
        cut("temporal")


def test_cold_items_are_in_no_history_and_in_no_training():
    histories = [[(u + step) % 12 for step in range(5)] for u in range(24)]
    parts = cut("cold-items", events_of(histories), seed=3)
    cold = set(parts.beside["cold_only"][0].filter.only)
    assert len(cold) == 2
    assert not cold & {item for _, item in learned(parts)}
    for case in (*parts.cases, *parts.beside["warm"]):
        assert not cold & set(case.history)
        assert (case.user_id, case.targets[0]) not in learned(parts)
    assert all(case.targets[0] in cold for case in parts.cases)
    assert not any(case.targets[0] in cold for case in parts.beside["warm"])
    assert asked(parts.cases) == asked(parts.beside["cold_only"])
    assert cut("cold-items", events_of(histories), seed=3).cases == parts.cases


def test_cross_cold_hides_a_category_from_everybody():
    parts = cut("cross-cold", target_category="b")
    assert asked(parts.cases) == {
        "u0": (("i0", "i2"), ("i1", "i3")),
        "u1": (("i4",), ("i5",)),
        "u2": (("i6", "i8"), ("i7",)),
        "u3": (("i2",), ("i1", "i3")),
    }
    assert all(int(item[1:]) % 2 == 0 for _, item in learned(parts))
    assert {case.filter for case in parts.cases} == {Filter(category=("B",), cross="only")}


def test_cross_warm_hides_it_for_a_fifth():
    histories = [[u % 12, (u + 1) % 12, (u + 3) % 12] for u in range(30)]
    parts = cut("cross-warm", events_of(histories), target_category="B")
    assert len(parts.cases) == 6
    for case in parts.cases:
        assert not {(case.user_id, item) for item in case.targets} & learned(parts)
        assert {(case.user_id, item) for item in case.history} <= learned(parts)
    others = {f"u{u}" for u in range(30)} - {case.user_id for case in parts.cases}
    assert any(user in others and int(item[1:]) % 2 for user, item in learned(parts))
    assert "30 people with items there and elsewhere, hidden for 6" in parts.notes[0]


def test_cross_targets_are_the_last_ten():
    catalogue = catalogue_of(
        {"item_id": "i0", "category": ["A"]},
        *({"item_id": f"i{i}", "category": ["B"]} for i in range(1, 14)),
    )
    events = events_of([range(14)] * 2)
    parts = split("cross-cold", catalogue, events, HistoryOptions(), target_category="B")
    assert parts.cases[0].targets == tuple(f"i{i}" for i in range(4, 14))


def test_crossing_that_makes_no_sense():
    with pytest.raises(QueryError, match="no top category 'BB'; there is 'B'"):
        cut("cross-cold", target_category="BB")
    one = catalogue_of(*({"item_id": f"i{i}", "category": ["A"]} for i in range(12)))
    with pytest.raises(DataError, match="two top categories, this catalogue has 1"):
        split("cross-warm", one, EVENTS, HistoryOptions())
    with pytest.raises(DataError, match="no 2 people have items both in 'B' and in another"):
        cut("cross-cold", events_of([[0, 2], [1, 3]]), target_category="B")


def test_a_sample_keeps_the_same_people_beside():
    histories = [[(u + step) % 12 for step in range(5)] for u in range(24)]
    parts = cut("cold-items", events_of(histories))
    some = parts.sample(2, 5)
    assert len(some.cases) == 2
    assert asked(some.cases) == asked(some.beside["cold_only"])
    assert set(some.cases) < set(parts.cases)
