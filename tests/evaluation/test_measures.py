from __future__ import annotations

import math

import numpy as np
import pytest

from crossrec_llm.evaluation import bootstrap, measure
from crossrec_llm.evaluation.measures import coverage


def test_by_hand():
    found = measure(["a", "x", "b", "y"], {"a", "b", "c"}, k=4)
    ideal = 1 + 1 / math.log2(3) + 1 / math.log2(4)
    assert found == {
        "recall": pytest.approx(2 / 3),
        "ndcg": pytest.approx((1 + 1 / math.log2(4)) / ideal),
        "hit": 1.0,
        "mrr": 1.0,
    }


def test_only_the_first_k_count():
    assert measure(["x", "y", "a"], {"a"}, k=2) == {"recall": 0, "ndcg": 0, "hit": 0, "mrr": 0}
    assert measure(["x", "a"], {"a"}, k=2)["mrr"] == 0.5


def test_more_targets_than_places_can_still_be_perfect():
    assert measure(["a", "b"], set("abcd"), k=2)["ndcg"] == pytest.approx(1)


def test_a_short_or_empty_list():
    assert measure([], {"a"}, k=10)["ndcg"] == 0
    assert measure(["a"], {"a"}, k=10)["ndcg"] == pytest.approx(1)


def test_interval_holds_the_mean_and_narrows_with_people():
    rng = np.random.default_rng(0)
    few, many = (bootstrap((rng.random(n) < 0.3).astype(float), seed=1) for n in (50, 5000))
    for interval in (few, many):
        assert interval.low <= interval.value <= interval.high
    assert many.high - many.low < few.high - few.low
    spread = 1.96 * math.sqrt(many.value * (1 - many.value) / 5000)
    assert many.high - many.value == pytest.approx(spread, rel=0.2)
    assert bootstrap(np.ones(5), seed=0).low == 1


def test_coverage():
    assert coverage([["a", "b"], ["b"]], 8) == 0.25
