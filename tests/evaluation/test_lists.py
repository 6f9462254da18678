from __future__ import annotations

import math

import numpy as np
import pytest

from crossrec_llm.evaluation.lists import (
    Describer,
    calibration,
    coverage,
    cross_share,
    exposure,
    gini,
    long_tail,
)
from tests.small import catalogue_of

CATALOGUE = catalogue_of(
    *({"item_id": f"i{i}", "category": [c] if c else []} for i, c in enumerate("AABB-".strip("-"))),
    {"item_id": "i4", "category": []},
)
RAW = np.eye(5, dtype=np.float32)[[0, 0, 1, 2, 3]]


@pytest.fixture
def about():
    return Describer(CATALOGUE, RAW, people=np.array([3, 1, 0, 7, 0]), n_people=7)


def test_diversity_is_one_minus_the_mean_cosine_of_pairs(about):
    lists = np.array([[0, 1, 2], [0, 1, -1], [2, 3, 4], [3, -1, -1]])
    assert about.diversity(lists)[:3] == pytest.approx([1 - 1 / 3, 0, 1], abs=1e-6)
    assert np.isnan(about.diversity(lists)[3])


def test_novelty_counts_bits(about):
    lists = np.array([[3, 0], [2, -1], [-1, -1]])
    assert about.novelty(lists)[:2] == pytest.approx([(0 + 1) / 2, 3])
    assert np.isnan(about.novelty(lists)[2])


def test_calibration_and_cross_share_by_hand(about):
    """Half of the history in A, the list wholly in B; items without a category count not."""
    found = about.describe(
        np.array([[2, 3, 4], [0, 2, -1], [2, 3, 0]]),
        np.array([0, 2, 4, 5]),
        np.array([0, 2, 0, 1, 4]),
    )
    q_a, q_b = 0.01 * 0.5, 0.99 + 0.01 * 0.5
    assert found["calibration"][0] == pytest.approx(
        0.5 * math.log(0.5 / q_a) + 0.5 * math.log(0.5 / q_b)
    )
    assert found["cross_share"][:2].tolist() == [0, 0.5]
    assert np.isnan(found["calibration"][2])
    assert np.isnan(found["cross_share"][2])


def test_the_same_proportions_are_calibrated():
    share = np.array([[0.25, 0.75]])
    assert calibration(share, share)[0] == pytest.approx(0)
    assert cross_share(share, share)[0] == 0


def test_exposure():
    shown = exposure(np.array([[0, 1], [0, 2], [0, -1]]), 4)
    assert shown.tolist() == [3, 1, 1, 0]
    assert coverage(shown) == 0.75
    # Mean absolute difference of all pairs over twice the mean: the definition of Gini.
    mean = np.abs(shown[:, None] - shown).mean() / (2 * shown.mean())
    assert gini(shown) == pytest.approx(mean)
    assert gini(np.full(4, 2)) == 0
    assert gini(np.zeros(4, int)) is None


def test_long_tail_starts_with_the_most_popular():
    people = np.arange(20)
    shown = np.where(people == 19, 3, np.where(people == 0, 1, 0))
    assert long_tail(shown, people) == [0.75, *[0] * 8, 0.25]
