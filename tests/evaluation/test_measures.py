from __future__ import annotations

import math

import numpy as np
import pytest

from crossrec_llm.evaluation import bootstrap, measure
from crossrec_llm.evaluation.measures import measured, resampled, summarise

INF = np.inf


def test_by_hand():
    """Targets a (grade 1, second place), b (grade 2, fourth) and c (grade 1, not found)."""
    found = measure(np.array([[2, 4, INF]]), np.array([[1.0, 2.0, 1.0]]), 4)
    ideal = 2 / math.log2(2) + 1 / math.log2(3) + 1 / math.log2(4)
    assert found["ndcg"][0] == pytest.approx((1 / math.log2(3) + 2 / math.log2(5)) / ideal)
    assert found["recall"][0] == pytest.approx(2 / 3)
    assert (found["hit"][0], found["mrr"][0]) == (1, 0.5)
    nothing = measure(np.array([[5, INF, INF]]), np.ones((1, 3)), 4)
    assert all(value[0] == 0 for value in nothing.values())


def test_the_ideal_list_is_no_longer_than_k():
    found = measure(np.array([[1, INF, INF]]), np.ones((1, 3)), 1)
    assert found["ndcg"][0] == 1
    assert found["recall"][0] == pytest.approx(1 / 3)


def test_a_place_between_two_and_padding():
    found = measure(np.array([[1.5, INF]]), np.array([[1.0, 0.0]]), 2)
    assert found["ndcg"][0] == pytest.approx(1 / math.log2(2.5))
    assert found["recall"][0] == 1
    assert np.isnan(measure(np.array([[INF]]), np.zeros((1, 1)), 2)["ndcg"][0])


def test_as_ir_measures_has_them():
    ir = pytest.importorskip("ir_measures")
    rng = np.random.default_rng(0)
    n, t, k, pool = 40, 5, 10, 30
    ranks = np.stack([rng.permutation(pool)[:t] + 1.0 for _ in range(n)])
    gains = rng.integers(0, 4, (n, t)).astype(float)
    gains[:, 0] = 1
    qrels = [
        ir.Qrel(f"q{q}", f"d{ranks[q, i]:.0f}", int(gains[q, i]))
        for q in range(n)
        for i in range(t)
    ]
    run = [ir.ScoredDoc(f"q{q}", f"d{r}", -r) for q in range(n) for r in range(1, pool + 1)]
    names = {"recall": "R@10", "ndcg": "nDCG@10", "mrr": "RR@10", "hit": "Success@10"}
    ours = measure(ranks, gains, k)
    for name, theirs in names.items():
        wanted = {m.query_id: m.value for m in ir.iter_calc([ir.parse_measure(theirs)], qrels, run)}
        assert ours[name].tolist() == pytest.approx([wanted[f"q{q}"] for q in range(n)])


def test_names_of_measures():
    names = list(measured(np.ones((1, 1)), np.ones((1, 1)), (1, 5)))
    assert names[0] == "recall@1"
    assert names[-1] == "mrr@5"


def test_bootstrap_is_as_wide_as_the_normal_approximation_and_seeded():
    values = np.random.default_rng(1).random(400)
    found = bootstrap(values, seed=0)
    wide = 1.96 * values.std() / math.sqrt(400)
    assert found.value == pytest.approx(values.mean())
    assert found.high - found.low == pytest.approx(2 * wide, rel=0.15)
    assert found == bootstrap(values, seed=0)
    assert found != bootstrap(values, seed=1)


def test_resampling_is_paired():
    values = np.random.default_rng(2).random((50, 1))
    means = resampled(np.hstack([values, values + 1]), seed=0, draws=20)
    assert means[:, 1] - means[:, 0] == pytest.approx(np.ones(20))


def test_values_that_are_missing_are_left_out():
    found = summarise({"a": np.array([1.0, np.nan, 3.0]), "b": np.full(3, np.nan)}, seed=0)
    assert found["a"].value == 2
    assert 1 <= found["a"].low <= found["a"].high <= 3
    assert found["b"] is None
