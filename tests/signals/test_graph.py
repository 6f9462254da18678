from __future__ import annotations

import numpy as np
import pytest

from crossrec_llm.meaning import Space, SpaceOptions
from crossrec_llm.signals import GraphOptions, LeftOut, spread
from tests.small import N_ITEMS, histories_of, unit_rows

RAW = unit_rows(N_ITEMS, 5, seed=6)
CODES = np.arange(N_ITEMS) % 2
VECTORS = Space.fit(RAW, CODES, SpaceOptions(power=1.0)).apply(RAW, CODES)
# Item 11 was taken by nobody.
TAKEN = [[0, 1, 2], [1, 2, 3], [4, 5, 6], [7, 8, 9], [0, 9, 10], [5]]


@pytest.mark.parametrize("hops", [1, 2])
def test_vectors_follow_the_formula(hops):
    x = np.zeros((len(TAKEN), N_ITEMS))
    for user, rows in enumerate(TAKEN):
        x[user, rows] = 1
    people, items = x.sum(axis=1), np.maximum(x.sum(axis=0), 1)
    a = x / np.sqrt(people)[:, None] / np.sqrt(items)
    step = a.T @ a
    expected = VECTORS + sum(np.linalg.matrix_power(step, k) @ VECTORS for k in range(1, hops + 1))
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    found = spread(histories_of(TAKEN), VECTORS, GraphOptions(hops=hops))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_what_nobody_took_keeps_its_own():
    found = spread(histories_of(TAKEN), VECTORS, GraphOptions())
    np.testing.assert_allclose(found[11], VECTORS[11], atol=1e-6)


def test_what_people_took_together_comes_nearer():
    found = spread(histories_of([[0, 1]] * 3), VECTORS, GraphOptions())
    assert found[0] @ found[1] > VECTORS[0] @ VECTORS[1]


def test_no_histories_no_graph():
    with pytest.raises(LeftOut, match="nobody took anything"):
        spread(histories_of([]), VECTORS, GraphOptions())
