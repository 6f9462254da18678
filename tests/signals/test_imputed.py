from __future__ import annotations

import numpy as np
import pytest

from crossrec_llm.answering import make_query
from crossrec_llm.signals import ImputedOptions, ItemToItem, Walk, impute
from tests.small import unit_rows

WALK = Walk("neighbours", "neighbours", 1.0, 50)
# Four warm items, and the cold items 4 and 5.
COLD = np.array([False] * 4 + [True] * 2)
FITTED = np.array(
    [[0, 0.5, 0.2, 0, 0, 0], [0.5, 0, 0, 0.3, 0, 0], [0.2, 0, 0, 0, 0, 0], [0, 0.3, 0, 0, 0, 0]]
)
VECTORS = unit_rows(6, 3, seed=8)


def matrix_of(dense: np.ndarray) -> ItemToItem:
    rows = ((np.flatnonzero(row), row[row != 0]) for row in dense)
    return ItemToItem.from_rows(rows, 99, WALK)


def dense_of(matrix: ItemToItem) -> np.ndarray:
    everything = np.arange(len(matrix))
    return np.stack([matrix.score(make_query("user", [h], [1]), everything) for h in everything])


def test_entries_follow_the_formula():
    fitted = np.vstack([FITTED, np.zeros((2, 6))])
    near = np.maximum(VECTORS[4:] @ VECTORS[:4].T, 0) ** 3
    near /= near.sum(axis=1, keepdims=True)
    rows = fitted.copy()
    rows[4:] = near @ fitted[:4]
    filled = (rows[:, :4] + 0.7 * np.eye(6, 4) * rows.max(axis=1, keepdims=True)) @ near.T
    warm = np.sqrt(np.mean(FITTED[FITTED > 0] ** 2))
    filled *= 0.4 * warm / np.sqrt(np.mean(filled[filled > 0] ** 2))
    expected = rows.copy()
    expected[:, 4:] += filled
    options = ImputedOptions(neighbours=4, own=0.7, rho=0.4)
    found = impute(matrix_of(fitted), COLD, VECTORS, options)
    np.testing.assert_allclose(dense_of(found), expected, atol=1e-6)


def test_fitted_entries_stay_as_they_are():
    fitted = np.vstack([FITTED, np.zeros((2, 6))])
    found = dense_of(impute(matrix_of(fitted), COLD, VECTORS, ImputedOptions(keep=1)))
    np.testing.assert_array_equal(found[:4, :4], FITTED[:, :4].astype(np.float32))
    assert (np.count_nonzero(found[:4, 4:], axis=1) == 1).all()


@pytest.mark.parametrize(
    ("cold", "options"),
    [
        (COLD, ImputedOptions(rho=0)),
        (np.zeros(6, bool), ImputedOptions()),
        (np.ones(6, bool), ImputedOptions()),
    ],
    ids=["switched off", "nothing is cold", "everything is cold"],
)
def test_nothing_to_fill_in(cold, options):
    matrix = matrix_of(np.vstack([FITTED, np.zeros((2, 6))]))
    assert impute(matrix, cold, VECTORS, options) is matrix


def test_what_reads_like_nothing_gets_nothing():
    """A cold item whose cosines with all warm ones are below 0."""
    vectors = np.array([[1, 0]] * 4 + [[-1, 0], [1, 0]], np.float32)
    found = dense_of(
        impute(matrix_of(np.vstack([FITTED, np.zeros((2, 6))])), COLD, vectors, ImputedOptions())
    )
    assert not found[:, 4].any()
    assert not found[4].any()
    assert found[:4, 5].all()
