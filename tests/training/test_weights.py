from __future__ import annotations

import math

import numpy as np
import pytest

from crossrec_llm.answering import LearnedBlend, WeightedBlend, make_query
from crossrec_llm.training import Examples, fit_trees, fit_weights
from crossrec_llm.training.trees import Heads, reorder
from tests.small import unit_rows

POOL = 30
VECTORS = unit_rows(200, 8, seed=5)
PEOPLE = np.arange(200)


def examples_of(n: int, seed: int) -> Examples:
    """Two signals that each half know the hidden item, and one that knows nothing."""
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((n, POOL, 3)).astype(np.float32)
    place = rng.integers(0, POOL, n)
    z[np.arange(n), place, :2] += 1.5
    rows = np.stack([rng.choice(200, POOL, replace=False) for _ in range(n)])
    queries = [make_query("user", [int(rng.integers(0, 200))], [1.0]) for _ in range(n)]
    names = ("good", "also good", "noise")
    return Examples(names, queries, rows, z, np.arange(n), place, np.ones(n, np.int64))


EXAMPLES = examples_of(400, seed=0)


def test_ndcg_by_hand():
    z = np.array([[[3], [2], [1]], [[1], [1], [0]]], np.float32)
    rows = np.array([[4, 5, 6], [4, 5, -1]])
    queries = [make_query("user")] * 2
    some = Examples(("a",), queries, rows, z, np.array([0, 1]), np.array([1, 0]), np.array([1, 2]))
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
    weights = fit_weights(EXAMPLES, {"good": 1.0, "noise": 1.0})
    assert weights["good"] == pytest.approx(weights["also good"], rel=0.6)
    assert weights.get("noise", 0) < 0.15
    new = examples_of(400, seed=1)
    array = np.array([weights.get(name, 0) for name in new.names])
    good = new.ndcg(new.totals(array), 10).mean()
    assert good > new.ndcg(new.totals(np.array([1.0, 0, 1.0])), 10).mean() + 0.05


def test_trees_learn_an_order_and_the_answer_path_gives_the_same():
    """The hidden item is the one with the most people, which the weights do not know."""
    rows = EXAMPLES.rows
    z = EXAMPLES.z.copy()
    place = rows.argmax(axis=1)
    hidden = Examples(
        EXAMPLES.names, EXAMPLES.queries, rows, z, EXAMPLES.case, place, EXAMPLES.asked
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


def test_an_empty_pool_has_no_order():
    first = WeightedBlend({"good": 1.0})
    learned = LearnedBlend(first, "", 20, vectors=VECTORS, people=PEOPLE)
    nothing = learned.total(make_query("user"), np.empty(0, np.int64), np.empty((0, 1), np.float32))
    assert nothing.shape == (0,)


def test_where_no_hidden_item_is_in_a_head_there_are_no_trees():
    nothing = Examples(
        EXAMPLES.names,
        EXAMPLES.queries,
        EXAMPLES.rows,
        EXAMPLES.z,
        np.empty(0, np.int64),
        np.empty(0, np.int64),
        EXAMPLES.asked,
    )
    weights = np.array([1.0, 0.5, 0.0])
    heads = Heads.of(nothing, weights, 20, vectors=VECTORS, people=PEOPLE)
    assert fit_trees(heads, seed=0) == ""
    totals = nothing.totals(weights)
    assert reorder(nothing, totals, heads, "") is totals


def test_what_lies_beyond_a_short_pool_is_never_seen():
    rows, z = EXAMPLES.rows.copy(), EXAMPLES.z.copy()
    rows[:, 10:], z[:, 10:] = -1, 0
    place = rows.argmax(axis=1)
    short = Examples(
        EXAMPLES.names, EXAMPLES.queries, rows, z, EXAMPLES.case, place, EXAMPLES.asked
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
