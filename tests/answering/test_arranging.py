from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossrec_llm.answering import arrange, quota
from tests.small import unit_rows


@st.composite
def pools(draw):
    n = draw(st.integers(0, 30))
    scores = draw(st.lists(st.floats(-3, 3, width=32), min_size=n, max_size=n))
    outside = draw(st.lists(st.booleans(), min_size=n, max_size=n))
    return np.array(scores, np.float32), np.array(outside, bool)


shares = st.one_of(st.none(), st.floats(0, 1))


@given(pools(), st.integers(1, 40), st.floats(0, 1), shares)
def test_distinct_full_and_on_quota(pool, k, diversity, share):
    scores, outside = pool
    vectors = unit_rows(len(scores), 4, seed=0)
    chosen = arrange(scores, vectors, outside, k, diversity=diversity, cross_share=share)
    assert len(chosen) == min(k, len(scores))
    assert len(set(chosen.tolist())) == len(chosen)
    if share is not None:
        size = len(chosen)
        possible = range(size - (~outside).sum(), outside.sum() + 1)
        nearest = min(possible, key=lambda cross: abs(cross - quota(size, share)))
        assert outside[chosen].sum() == nearest


@given(pools(), st.integers(1, 40), shares)
def test_without_diversity_each_side_is_in_order_of_score(pool, k, share):
    scores, outside = pool
    vectors = unit_rows(len(scores), 4, seed=0)
    chosen = arrange(scores, vectors, outside, k, cross_share=share)
    assert (np.diff(scores[chosen]) <= 0).all()
    for side in (outside, ~outside):
        taken, left = (
            scores[chosen[side[chosen]]],
            np.delete(scores, chosen)[np.delete(side, chosen)],
        )
        if len(taken) and len(left):
            assert taken.min() >= left.max()


def test_diversity_passes_over_a_near_copy():
    vectors = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    scores = np.array([3, 2.9, 1], np.float32)
    outside = np.zeros(3, bool)
    assert arrange(scores, vectors, outside, 2).tolist() == [0, 1]
    assert arrange(scores, vectors, outside, 2, diversity=0.7).tolist() == [0, 2]


def test_mmr_follows_the_formula():
    vectors, outside = unit_rows(15, 4, seed=5), np.zeros(15, bool)
    scores = np.random.default_rng(1).standard_normal(15).astype(np.float32)
    relevance = (scores - scores.min()) / (scores.max() - scores.min())
    chosen: list[int] = []
    for _ in range(6):
        value = [
            -np.inf
            if i in chosen
            else 0.6 * relevance[i]
            - 0.4 * max((float(vectors[i] @ vectors[j]) for j in chosen), default=0)
            for i in range(15)
        ]
        chosen.append(int(np.argmax(value)))
    assert arrange(scores, vectors, outside, 6, diversity=0.4).tolist() == chosen


@pytest.mark.parametrize(("k", "share", "n"), [(10, 0.5, 5), (10, 0.25, 3), (3, 0, 0), (3, 1, 3)])
def test_quota_rounds_halves_up(k, share, n):
    assert quota(k, share) == n
