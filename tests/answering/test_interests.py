from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossrec_llm.answering import InterestsOptions, OwnLists, arrange, find_interests, make_query
from crossrec_llm.answering.arranging import Demands, Floors
from crossrec_llm.answering.interests import linked
from tests.small import unit_rows

OPTIONS = InterestsOptions()
CENTRE = np.zeros(4, np.float32)
# Rows 0 to 4 read alike, 5 to 9 too; 10 is like neither.
RAW = np.array(
    [[1, 0.1 * n, 0, 0] for n in range(5)]
    + [[0, 0, 1, 0.1 * n] for n in range(5)]
    + [[-1, -1, -1, -1]],
    np.float32,
)
RAW /= np.linalg.norm(RAW, axis=1, keepdims=True)
TOPS = np.array([0] * 5 + [1] * 5 + [2])


def found(rows, weights=None, *, tops=TOPS, **options):
    query = make_query("user", rows, np.ones(len(rows)) if weights is None else weights)
    return find_interests(query, RAW, CENTRE, tops, dataclasses.replace(OPTIONS, **options))


def rows_of(interests, rows):
    return [np.array(rows)[one.places].tolist() for one in interests]


def test_two_things_that_lie_apart_are_two_interests():
    rows = [0, 5, 1, 6, 2]
    interests = found(rows, decay=1.0)
    assert rows_of(interests, rows) == [[0, 1, 2], [5, 6]]
    assert [one.share for one in interests] == pytest.approx([0.6, 0.4])


def test_one_thing_and_short_histories_are_one_interest():
    assert rows_of(found([0, 1, 2, 3]), [0, 1, 2, 3]) == [[0, 1, 2, 3]]
    assert rows_of(found([7]), [7]) == [[7]]
    assert found([]) == ()
    assert rows_of(found([0, 5], most=1), [0, 5]) == [[0, 5]]


def test_one_category_is_one_interest_whatever_lies_in_it():
    assert len(found([0, 5, 1, 6], tops=np.zeros(11, int), apart=0.85)) == 1
    assert len(found([0, 5, 1, 6], apart=0.85)) == 2


def test_what_weighs_too_little_is_no_interest():
    rows = [10, 0, 1, 2, 3, 5, 6, 7, 8, 9]
    assert rows_of(found(rows, decay=1.0), rows) == [[5, 6, 7, 8, 9], [0, 1, 2, 3]]
    assert sum(one.share for one in found(rows)) == pytest.approx(1)
    assert len(found(rows, decay=1.0, least_share=0.1)) == 3
    assert len(found(rows, decay=1.0, least_share=0.45)) == 1


def test_newer_items_and_stronger_events_weigh_more():
    old_first = found([0, 1, 5, 6], decay=0.5)
    assert old_first[0].places.tolist() == [2, 3]
    strong = found([0, 1, 5, 6], [4, 4, 1, 1], decay=1.0)
    assert strong[0].places.tolist() == [0, 1]
    assert strong[0].share == pytest.approx(0.8)


def test_the_most_central_item_comes_first():
    (one,) = found([0, 2, 4])
    assert one.central[0] == 1
    assert sorted(one.central) == [0, 1, 2]


def test_a_text_says_itself_what_is_wanted():
    query = make_query("like", [0, 5], [1, 1], text="x", text_vector=RAW[0])
    assert find_interests(query, RAW, CENTRE, TOPS, OPTIONS) == ()


@given(
    st.lists(st.integers(0, 29), unique=True, max_size=30),
    st.floats(0.1, 1.5),
    st.floats(0.05, 1),
    st.integers(1, 6),
)
def test_interests_are_parts_of_the_history(rows, apart, least, most):
    raw, tops = unit_rows(30, 6, seed=4), np.arange(30) % 3
    options = dataclasses.replace(OPTIONS, apart=apart, least_share=least, most=most)
    query = make_query("user", rows, np.ones(len(rows)))
    interests = find_interests(query, raw, raw.mean(axis=0), tops, options)
    places = [p for one in interests for p in one.places]
    assert len(places) == len(set(places)) <= len(rows)
    assert len(interests) <= most
    assert bool(interests) == bool(rows)
    shares = [one.share for one in interests]
    assert shares == sorted(shares, reverse=True)
    if interests:
        assert sum(shares) == pytest.approx(1)
    if len(interests) > 1:
        assert min(shares) >= least - 1e-6
    for one in interests:
        assert sorted(one.central) == one.places.tolist()


@given(st.integers(2, 25), st.integers(0, 50), st.floats(0.2, 1.6))
def test_groups_are_those_of_scipy(n, seed, apart):
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    rows = unit_rows(n, 5, seed=seed).astype(np.float64)
    distances = 1 - np.clip(rows @ rows.T, -1, 1)
    np.fill_diagonal(distances, 0)
    tree = linkage(squareform(distances, checks=False), "average")
    codes = fcluster(tree, np.nextafter(apart, 0), "distance")
    expected = {tuple(np.flatnonzero(codes == code)) for code in np.unique(codes)}
    assert {tuple(group) for group in linked(distances, apart)} == expected


def own_lists(k=2, *, rows=(0, 5, 1, 6), allowed=range(11), **options):
    """Each interest ranks what is nearest to its newest item."""
    query = make_query("user", rows, np.ones(len(rows)))
    options = dataclasses.replace(OPTIONS, decay=1.0, **options)
    interests = find_interests(query, RAW, CENTRE, TOPS, options)
    pool = np.array([row for row in allowed if row not in rows], np.int64)

    def alone(cut, inside):
        mine = pool[inside[pool]]
        return mine[np.argsort(-(RAW[mine] @ RAW[cut.history[-1]]), kind="stable")[:k]]

    return OwnLists.of(interests, query, k, alone, TOPS, options)


def test_an_item_belongs_to_the_interest_that_would_bring_it():
    own = own_lists()
    assert [sorted(rows) for rows in own.rows] == [[2, 3], [7, 8]]
    assert own.numbers(np.array([2, 8, 9, 10])).tolist() == [0, 1, -1, -1]
    assert own.least == (1, 1)
    assert own_lists(10, places=1.0).least == (5, 5)


def test_an_interest_brings_what_lies_across_where_nothing_else_may_come():
    own = own_lists(1, allowed=[10])
    assert [rows.tolist() for rows in own.rows] == [[10], [10]]
    assert own_lists(1, allowed=[]).numbers(np.array([3])).tolist() == [-1]


def test_one_interest_divides_nothing():
    own = own_lists(rows=(0, 1))
    assert own.rows == ()
    assert own.any.tolist() == []
    assert own.floors(np.array([3]), np.zeros(4, bool)) is None
    assert own.numbers(np.array([3])).tolist() == [-1]


def listed(scores, codes, least, k, **demands):
    floors = Floors("interest", np.array(codes), tuple(least))
    near = np.empty((len(scores), 0))
    return arrange(np.array(scores, np.float32), near, k, Demands(floors=floors, **demands))


def test_a_class_has_its_places_at_the_end_of_the_list():
    arranged = listed([9, 8, 7, 6, 5, 4], [0, 0, 0, -1, 1, 1], [1, 2], 4)
    assert arranged.positions.tolist() == [0, 1, 4, 5]
    assert arranged.acted == ((), (), ("interest",), ("interest",))


def test_what_comes_anyway_counts():
    arranged = listed([9, 8, 7, 6], [1, 0, -1, -1], [1, 1], 3)
    assert arranged.positions.tolist() == [0, 1, 2]
    assert arranged.acted == ((), (), ())


@given(
    st.lists(st.tuples(st.floats(-3, 3, width=32), st.integers(-1, 2)), max_size=20),
    st.integers(1, 12),
    st.tuples(*[st.integers(0, 4)] * 3),
)
def test_every_class_has_its_places_where_it_can(pool, k, least):
    scores, codes = [s for s, _ in pool], np.array([c for _, c in pool], int)
    arranged = listed(scores, codes, least, k)
    size = min(k, len(pool))
    assert len(set(arranged.positions.tolist())) == len(arranged.positions) == size
    there = [min(least[c], int((codes == c).sum())) for c in range(3)]
    got = [int((codes[arranged.positions] == c).sum()) for c in range(3)]
    if sum(there) <= size:
        assert all(g >= t for g, t in zip(got, there, strict=True))
    else:
        assert all(g <= t for g, t in zip(got, there, strict=True))
