from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossrec_llm.tables import EVENTS_SCHEMA, Histories, HistoryOptions
from tests.tables.samples import catalogue, events

SHOP = catalogue(6)
OPTIONS = HistoryOptions(event_weights={"weak": 0.5, "strong": 2, "bad": -1, "seen": 0})


def build(*rows: tuple[Any, ...], options: HistoryOptions = OPTIONS) -> Histories:
    return Histories.from_events(events(*rows), SHOP, options)


def naive(rows: list[tuple[Any, ...]]) -> dict[str, list[tuple[Any, ...]]]:
    """The rule, said with dicts: user -> (row, weight, timestamp, count), oldest first."""
    timed: dict[str, list[tuple[Any, ...]]] = {}
    for user, item, when, event, _ in rows:
        weight = OPTIONS.weight(event) if event else 1.0
        if int(item[1:]) < len(SHOP) and weight != 0:
            timed.setdefault(user, []).append((when, int(item[1:]), weight))
    result: dict[str, list[tuple[Any, ...]]] = {}
    for user in sorted(timed):
        ordered = sorted(timed[user], key=lambda e: -np.inf if e[0] is None else e[0])
        pairs: dict[int, tuple[Any, ...]] = {}
        for when, row, weight in ordered:
            same = [w for _, r, w in ordered if r == row]
            last = pairs.pop(row, None)
            count = 1 if last is None else last[3] + 1
            sign = np.sign(weight)
            strongest = sign * max(abs(w) for w in same if np.sign(w) == sign)
            pairs[row] = (row, strongest, when, count)
        result[user] = list(pairs.values())
    return result


event_rows = st.lists(
    st.tuples(
        st.sampled_from(["u1", "u2", "ü"]),
        st.sampled_from([f"i{n}" for n in range(8)]),
        st.one_of(st.none(), st.integers(0, 4).map(float)),
        st.sampled_from(["", "weak", "strong", "bad", "seen", "unheard of"]),
        st.none(),
    ),
    max_size=30,
)


@given(event_rows)
def test_merging_agrees_with_the_rule_in_words(rows: list[tuple[Any, ...]]) -> None:
    got = build(*rows)
    wanted = naive(rows)
    assert got.user_ids == list(wanted)
    assert len(got) == len(wanted)
    for u, user in enumerate(got.user_ids):
        part = slice(got.indptr[u], got.indptr[u + 1])
        found_rows, weights, timestamps = got.history(u)
        when = [None if np.isnan(t) else t for t in timestamps]
        entries = list(zip(found_rows, weights, when, got.counts[part], strict=True))
        assert entries == wanted[user]


def test_shapes_and_types() -> None:
    got = build(("b", "i1", 5.0), ("a", "i0", 1.0), ("a", "i1", 2.0, "bad"), ("a", "i0", 3.0))
    assert got.user_ids == ["a", "b"]
    assert got.indptr.tolist() == [0, 2, 3]
    assert got.rows.tolist() == [1, 0, 1]
    assert got.weights.tolist() == [-1, 1, 1]
    assert got.timestamps.tolist() == [2, 3, 5]
    assert got.counts.tolist() == [1, 2, 1]
    assert [a.dtype for a in (got.indptr, got.rows, got.weights, got.timestamps, got.counts)] == [
        np.int64,
        np.int32,
        np.float32,
        np.float64,
        np.int32,
    ]
    assert got.counts_per_item(6).tolist() == [1, 1, 0, 0, 0, 0]


def test_no_events() -> None:
    got = Histories.from_events(EVENTS_SCHEMA.empty_table(), SHOP, OPTIONS)
    assert (got.user_ids, got.indptr.tolist(), len(got.rows)) == ([], [0], 0)
    assert got.counts_per_item(2).tolist() == [0, 0]
    assert len(build(("a", "unknown", 1.0))) == 0


@pytest.mark.parametrize(
    ("name", "weight"),
    [
        ("Add to Cart", 0.6),
        ("add-to-cart", 0.6),
        ("PURCHASE", 1.0),
        ("dislike", -1.0),
        ("impression", 0.0),
        ("unheard of", 1.0),
    ],
)
def test_usual_event_names(name: str, weight: float) -> None:
    assert HistoryOptions().weight(name) == weight


def test_given_weights_replace_usual_ones() -> None:
    options = HistoryOptions(event_weights={"Page View": 0.9})
    assert options.weight("page_view") == 0.9
    assert options.weight("purchase") == 1.0


@pytest.mark.parametrize(
    ("ratings", "limit"),
    [([1, 3, 5], 2.0), ([0.5, 4], 2.0), ([7, 3], 4.0), ([60], 40.0), ([0, 1], 0.4)],
)
def test_low_ratings_are_dislikes(ratings: list[float], limit: float) -> None:
    rows = [("u", f"i{n}", float(n), "rating", value) for n, value in enumerate(ratings)]
    assert HistoryOptions().fitted(events(*rows)).rating_dislike_at_most == limit
    got = build(*rows, options=HistoryOptions())
    assert (got.weights < 0).tolist() == [value <= limit for value in ratings]


def test_the_limit_can_be_given_and_stays() -> None:
    options = HistoryOptions(rating_dislike_at_most=3)
    assert options.fitted(events(("u", "i0", 1.0, "rating", 9.0))) is options
    got = build(("u", "i0", 1.0, "rating", 3.0), ("u", "i1", 2.0, "rating", 4.0), options=options)
    assert got.weights.tolist() == [-1, 1]


def test_ratings_without_a_value_say_nothing_bad() -> None:
    assert build(("u", "i0", 1.0, "rating", None)).weights.tolist() == [1]


@pytest.mark.parametrize("name", ["Rating", " RATING "])
def test_ratings_are_known_however_they_are_written(name: str) -> None:
    rows = [("u", "i0", 1.0, name, 1.0), ("u", "i1", 2.0, "rating", 5.0)]
    assert HistoryOptions().fitted(events(rows[0])).rating_dislike_at_most == 0.4
    assert build(*rows, options=HistoryOptions()).weights.tolist() == [-1, 1]


def test_returns_in_german_are_no_takes() -> None:
    for name in ("Retoure", "Rückgabe", "STORNO"):
        assert HistoryOptions().weight(name) < 0
