from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from crossrec_llm.answering import LearnedBlend, WeightedBlend, make_query
from crossrec_llm.training import Examples, fit_cold, fit_trees, fit_weights
from crossrec_llm.training.trees import Heads, reorder
from crossrec_llm.training.weights import fit_one
from tests.small import unit_rows

POOL = 30
VECTORS = unit_rows(200, 8, seed=5)
PEOPLE = np.arange(1, 201)


def with_none_cold(names, queries, rows, z, case, place, asked) -> Examples:
    asked = np.stack([asked, np.zeros_like(asked)], axis=1)
    return Examples(names, queries, rows, np.zeros(rows.shape, bool), z, case, place, asked)


def examples_of(n: int, seed: int) -> Examples:
    """Two signals that each half know the hidden item, and one that knows nothing."""
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((n, POOL, 3)).astype(np.float32)
    place = rng.integers(0, POOL, n)
    z[np.arange(n), place, :2] += 1.5
    rows = np.stack([rng.choice(200, POOL, replace=False) for _ in range(n)])
    queries = [make_query("user", [int(rng.integers(0, 200))], [1.0]) for _ in range(n)]
    names = ("good", "also good", "noise")
    return with_none_cold(names, queries, rows, z, np.arange(n), place, np.ones(n, np.int64))


def with_cold(n: int, seed: int) -> Examples:
    """A third of each pool is cold, and so is every third hidden item. The second signal knows
    those among cold items, the first one all others; the third is the popularity.
    """
    rng = np.random.default_rng(seed)
    some = examples_of(n, seed)
    cold = rng.random(some.rows.shape) < 1 / 3
    cold[np.arange(n), some.place] = np.arange(n) % 3 == 0
    z = rng.standard_normal(some.z.shape).astype(np.float32)
    hidden = np.arange(n), some.place, np.where(np.arange(n) % 3, 0, 1)
    z[hidden] += 3
    z[:, :, 2] = np.where(cold, -1.4, 0.7)
    names = ("good", "also good", "popularity")
    asked = np.stack([np.arange(n) % 3 > 0, np.arange(n) % 3 == 0], axis=1).astype(np.int64)
    return Examples(names, some.queries, some.rows, cold, z, some.case, some.place, asked)


EXAMPLES = examples_of(400, seed=0)


def test_ndcg_by_hand():
    z = np.array([[[3], [2], [1]], [[1], [1], [0]]], np.float32)
    rows = np.array([[4, 5, 6], [4, 5, -1]])
    queries = [make_query("user")] * 2
    hidden = np.array([0, 1]), np.array([1, 0]), np.array([1, 2])
    some = with_none_cold(("a",), queries, rows, z, *hidden)
    found = some.ndcg(some.totals(np.array([1.0])), 10)
    ideal = 1 + 1 / math.log2(3)
    assert found.tolist() == pytest.approx([1 / math.log2(3), 1 / math.log2(2.5) / ideal])
    assert some.ndcg(some.totals(np.array([1.0])), 1).tolist() == [0, 0]


def test_a_part_has_the_same_figures():
    totals = EXAMPLES.totals(np.array([1.0, 0.5, 0.1]))
    whole = EXAMPLES.ndcg(totals, 10)
    chosen = np.array([3, 17, 40, 399])
    part = EXAMPLES.part(chosen)
    assert part.ndcg(part.totals(np.array([1.0, 0.5, 0.1])), 10).tolist() == whole[chosen].tolist()


def test_weights_find_what_knows_and_drop_what_does_not():
    weights = fit_weights(EXAMPLES, np.array([1.0, 0.0, 1.0]))
    assert weights.max() == 1
    assert weights[0] == pytest.approx(weights[1], rel=0.6)
    assert weights[2] < 0.15
    new = examples_of(400, seed=1)
    good = new.ndcg(new.totals(weights), 10).mean()
    assert good > new.ndcg(new.totals(np.array([1.0, 0, 1.0])), 10).mean() + 0.05


def test_one_weight_joins_those_that_stand():
    """What knows gets one, what does not next to none; the others keep theirs."""
    start = np.array([1.0, 0.0, 0.3])
    found = fit_one(EXAMPLES, start, 1)
    assert found[1] >= 0.5
    np.testing.assert_array_equal(found[[0, 2]], start[[0, 2]])
    assert fit_one(EXAMPLES, np.array([1.0, 1.0, 0.0]), 2)[2] <= 0.2
    kept = fit_weights(EXAMPLES, np.array([1.0, 0.0, 0.0]), fixed=[1, 2])
    np.testing.assert_array_equal(kept, [1, 0, 0])


def test_cold_rows_have_weights_of_their_own_or_are_out():
    some = with_cold(60, seed=0)
    totals = some.totals(np.array([1.0, 0, 0]), np.array([0, 2.0, 0]))
    np.testing.assert_array_equal(totals[~some.cold], some.z[~some.cold][:, 0])
    np.testing.assert_array_equal(totals[some.cold], 2 * some.z[some.cold][:, 1])
    out = some.totals(np.array([1.0, 0, 0]))
    assert np.isneginf(out[some.cold]).all()
    assert np.isfinite(out[~some.cold]).all()
    # A hidden item that is out is not found, however short what is left of the pool is.
    new = some.after(cold=True)
    assert not new.ndcg(new.totals(np.array([1.0, 0, 0])), POOL).any()


def test_questions_after_cold_items_and_after_the_others():
    some = with_cold(60, seed=0)
    known, new = some.after(cold=False), some.after(cold=True)
    assert (len(known), len(new)) == (40, 20)
    assert known.asked.tolist() == [[1, 0]] * 40
    assert new.asked.tolist() == [[0, 1]] * 20
    assert new.cold[new.case, new.place].all()
    assert not known.cold[known.case, known.place].any()


def test_cold_items_rise_as_far_as_they_may_cost():
    some, other = with_cold(900, seed=0), with_cold(900, seed=1)
    known = some.after(cold=False)
    weights, start = np.array([1.0, 0, 0]), np.array([1.0, 1.0, 0])
    found = {cost: fit_cold(known, weights, start, cost) for cost in (0.0, 0.02, 0.2)}

    def lost(cold):
        alone = known.ndcg(known.totals(weights), 10).mean()
        return 1 - known.ndcg(known.totals(weights, cold), 10).mean() / alone

    def hits(cold):
        there = other.after(cold=True)
        return there.ndcg(there.totals(weights, cold), 10).mean()

    assert found[0.02][0] == found[0.02][1] > 0 == found[0.02][2]
    assert lost(found[0.02]) <= 0.02
    assert 0.02 < lost(found[0.2]) <= 0.2
    assert hits(found[0.2]) > hits(found[0.02]) + 0.03
    assert lost(found[0.0]) <= lost(found[0.02])


def test_trees_learn_an_order_and_the_answer_path_gives_the_same():
    """The hidden item is the one with the most people, which the weights do not know."""
    rows = EXAMPLES.rows
    z = EXAMPLES.z.copy()
    place = rows.argmax(axis=1)
    hidden = with_none_cold(
        EXAMPLES.names, EXAMPLES.queries, rows, z, EXAMPLES.case, place, EXAMPLES.asked[:, 0]
    )
    weights = np.array([1.0, 0.5, 0.0])
    heads = Heads.of(hidden, weights, 20, vectors=VECTORS, people=PEOPLE)
    trees = fit_trees(heads, seed=0)
    assert trees == fit_trees(heads, seed=0)
    totals = hidden.totals(weights)
    after = reorder(hidden, totals, heads, trees)
    assert hidden.ndcg(after, 10).mean() > hidden.ndcg(totals, 10).mean() + 0.2
    assert np.sort(after, axis=1).tolist() == np.sort(totals, axis=1).tolist()

    first = WeightedBlend({"good": 1.0, "also good": 0.5})
    learned = LearnedBlend(first, trees, 20, vectors=VECTORS, people=PEOPLE)
    for c in range(5):
        parts = z[c][:, :2] * first.weights
        total = learned.total(hidden.queries[c], rows[c], parts)
        np.testing.assert_allclose(total, after[c], atol=1e-5)


def test_trees_leave_cold_rows_where_they_are():
    rows, z = EXAMPLES.rows[0], EXAMPLES.z[0]
    best = EXAMPLES.rows.argmax(axis=1)
    hidden = dataclasses.replace(EXAMPLES, place=best)
    weights = np.array([1.0, 0.5, 0.0])
    trees = fit_trees(Heads.of(hidden, weights, 20, vectors=VECTORS, people=PEOPLE), seed=0)
    first = WeightedBlend({"good": 1.0, "also good": 0.5})
    parts = z[:, :2] * first.weights
    cold = rows % 4 == 0
    people = np.where(np.arange(200) % 4 == 0, 0, PEOPLE)
    learned = LearnedBlend(first, trees, 20, vectors=VECTORS, people=people)
    before = first.total(EXAMPLES.queries[0], rows, parts)
    after = learned.total(EXAMPLES.queries[0], rows, parts)
    assert after[cold].tolist() == before[cold].tolist()
    assert after[~cold].tolist() != before[~cold].tolist()
    assert sorted(after) == sorted(before)


def test_an_empty_pool_has_no_order():
    first = WeightedBlend({"good": 1.0})
    learned = LearnedBlend(first, "", 20, vectors=VECTORS, people=PEOPLE)
    nothing = learned.total(make_query("user"), np.empty(0, np.int64), np.empty((0, 1), np.float32))
    assert nothing.shape == (0,)


def test_where_no_hidden_item_is_in_a_head_there_are_no_trees():
    nothing = dataclasses.replace(EXAMPLES, case=np.empty(0, np.int64), place=np.empty(0, np.int64))
    weights = np.array([1.0, 0.5, 0.0])
    heads = Heads.of(nothing, weights, 20, vectors=VECTORS, people=PEOPLE)
    assert fit_trees(heads, seed=0) == ""
    totals = nothing.totals(weights)
    assert reorder(nothing, totals, heads, "") is totals


def test_what_lies_beyond_a_short_pool_is_never_seen():
    rows, z = EXAMPLES.rows.copy(), EXAMPLES.z.copy()
    rows[:, 10:], z[:, 10:] = -1, 0
    place = rows.argmax(axis=1)
    short = with_none_cold(
        EXAMPLES.names, EXAMPLES.queries, rows, z, EXAMPLES.case, place, EXAMPLES.asked[:, 0]
    )
    weights = np.array([1.0, 0.5, 0.0])
    heads = Heads.of(short, weights, 20, vectors=VECTORS, people=PEOPLE)
    assert heads.real.sum(axis=1).tolist() == [10] * len(short)
    trees = fit_trees(heads, seed=0)
    after = reorder(short, short.totals(weights), heads, trees)
    assert np.isfinite(after[:, :10]).all()
    assert np.isneginf(after[:, 10:]).all()
    first = WeightedBlend({"good": 1.0, "also good": 0.5})
    learned = LearnedBlend(first, trees, 20, vectors=VECTORS, people=PEOPLE)
    served = learned.total(short.queries[0], rows[0, :10], z[0, :10, :2] * first.weights)
    np.testing.assert_allclose(served, after[0, :10], atol=1e-5)
