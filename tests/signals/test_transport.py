from __future__ import annotations

import numpy as np
import pytest

from crossrec_llm.answering import make_query
from crossrec_llm.signals import (
    NeighboursOptions,
    Transport,
    TransportOptions,
    fit_neighbours,
)
from crossrec_llm.store import ExactSearch
from tests.small import N_ITEMS, histories_of, unit_rows

VECTORS = unit_rows(N_ITEMS, 4, seed=5)
# Rows 0-7 are at home, 8-11 in another category, where nobody took anything.
CODES = np.array([0] * 8 + [1] * 4)
AWAY = np.arange(8, 12)
BEHAVIOUR = fit_neighbours(
    histories_of([[0, 1, 2], [0, 2, 3], [1, 4], [5, 6]]), N_ITEMS, NeighboursOptions()
)
QUERY = make_query("user", [1, 0], [1, 1])


def transport(**options) -> Transport:
    return Transport(VECTORS, ExactSearch(VECTORS), CODES, BEHAVIOUR, TransportOptions(**options))


def by_definition(own: float) -> np.ndarray:
    """(12,) what each home item counts."""
    scores = BEHAVIOUR.score(QUERY, np.arange(N_ITEMS)).astype(float)
    others = np.arange(2, 8)
    counts = np.zeros(N_ITEMS)
    standard = (scores[others] - scores[others].mean()) / scores[others].std()
    counts[others] = np.maximum(standard, 0)
    counts[[0, 1]] = own * counts.max()
    return counts


def test_scores_follow_the_formula():
    near = np.maximum(VECTORS @ VECTORS.T, 0) ** 3
    expected = near @ by_definition(1.5)
    np.testing.assert_allclose(transport(own=1.5).score(QUERY, AWAY), expected[AWAY], rtol=1e-4)


def test_only_the_strongest_are_carried():
    counts = by_definition(1.0)
    counts[np.argsort(counts)[:-3]] = 0
    expected = np.maximum(VECTORS @ VECTORS.T, 0) ** 3 @ counts
    found = transport(carry=1, own=1.0).score(QUERY, AWAY)
    np.testing.assert_allclose(found, expected[AWAY], rtol=1e-4)


def test_carriers_add_up_to_the_score():
    carried = transport().carriers(QUERY, AWAY)
    np.testing.assert_allclose(carried.sum(axis=1), transport().score(QUERY, AWAY), rtol=1e-4)


def test_without_behaviour_the_history_itself_is_carried():
    query = make_query("user", [7], [1])
    found = transport().score(query, AWAY)
    expected = np.maximum(VECTORS[AWAY] @ VECTORS[7], 0) ** 3
    np.testing.assert_allclose(found / found.max(), expected / expected.max(), rtol=1e-5)


def test_what_reads_like_what_others_took_with_it_wins():
    """8 reads like 2, which people took with 0 and 1; 9 reads like 7, which has nothing to do."""
    vectors = np.eye(N_ITEMS, dtype=np.float32)
    vectors[8], vectors[9] = vectors[2], vectors[7]
    signal = Transport(vectors, ExactSearch(vectors), CODES, BEHAVIOUR, TransportOptions())
    allowed = np.isin(np.arange(N_ITEMS), AWAY)
    assert signal.propose(QUERY, 1, allowed).tolist() == [8]
    assert signal.score(QUERY, AWAY)[1] == pytest.approx(0, abs=1e-6)
