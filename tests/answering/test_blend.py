from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from crossrec_llm.answering import WeightedBlend
from crossrec_llm.answering.blend import standardise

values = st.one_of(st.floats(-100, 100, width=32), st.just(float("nan")))


@given(arrays(np.float32, st.tuples(st.integers(0, 20), st.integers(1, 4)), elements=values))
def test_z_scores_are_finite_centred_and_of_unit_spread(scores):
    z = standardise(scores)
    assert np.isfinite(z).all()
    assert (z[np.isnan(scores)] == 0).all()
    for s in range(scores.shape[1]):
        known = z[np.isfinite(scores[:, s]), s]
        if len(known):
            assert abs(known.mean()) < 1e-3
            assert known.std() < 1e-3 or abs(known.std() - 1) < 1e-3


def test_by_hand():
    scores = np.array([[1, 5], [3, 5], [5, 5]], np.float32)
    parts = WeightedBlend({"text": 2.0, "flat": 1.0}).parts(np.arange(3), scores)
    root = np.sqrt(1.5)
    np.testing.assert_allclose(parts, [[-2 * root, 0], [0, 0], [2 * root, 0]], atol=1e-6)


def test_a_weight_of_zero_leaves_the_signal_out():
    assert WeightedBlend({"text": 1.0, "popularity": 0.0}).names == ("text",)


def test_cold_rows_are_weighed_by_their_own():
    scores = np.array([[1, 1], [3, 3], [5, 5]], np.float32)
    is_cold = np.array([False, False, False, False, True])
    blend = WeightedBlend({"text": 2.0, "ease": 0.0}, {"text": 1.0, "popularity": -1.0}, is_cold)
    assert blend.names == ("text", "popularity")
    parts = blend.parts(np.array([0, 1, 4]), scores)
    root = np.sqrt(1.5)
    np.testing.assert_allclose(parts, [[-2 * root, 0], [0, 0], [root, -root]], atol=1e-6)
