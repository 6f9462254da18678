from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossrec_llm.answering import make_query
from crossrec_llm.signals import ItemToItem, NeighboursOptions, fit_neighbours
from tests.small import N_ITEMS, histories_of

EVERYTHING = np.arange(N_ITEMS)


def by_definition(histories: list[list[int]], shrink: float) -> np.ndarray:
    """The (n, n) similarity matrix straight from the formula."""
    taken = np.zeros((len(histories), N_ITEMS))
    for user, rows in enumerate(histories):
        taken[user, rows] = 1
    together = taken.T @ taken
    root = np.sqrt(taken.sum(axis=0))
    similarity = together / (np.outer(root, root) + shrink) if shrink else together
    np.fill_diagonal(similarity, 0)
    return similarity


@given(
    st.lists(
        st.lists(st.integers(0, N_ITEMS - 1), min_size=1, max_size=6, unique=True),
        min_size=1,
        max_size=8,
    )
)
def test_scores_follow_the_formula(histories):
    options = NeighboursOptions(shrink=10, decay=0.8)
    fitted = fit_neighbours(histories_of(histories), N_ITEMS, options)
    similarity = by_definition(histories, 10)
    query = make_query("user", [3, 7, 1], [1, 1, 1])
    expected = 0.8**2 * similarity[3] + 0.8 * similarity[7] + similarity[1]
    np.testing.assert_allclose(fitted.score(query, EVERYTHING), expected, atol=1e-6)


def test_by_hand():
    fitted = fit_neighbours(histories_of([[0, 1], [0, 1], [0, 2]]), N_ITEMS, NeighboursOptions())
    score = fitted.score(make_query("user", [0], [1]), EVERYTHING)
    assert score[1] == pytest.approx(2 / (np.sqrt(3 * 2) + 10))
    assert score[2] == pytest.approx(1 / (np.sqrt(3 * 1) + 10))
    assert score[3] == 0


def test_only_the_strongest_are_kept():
    histories = [[0, 1], [0, 1], [0, 2], [0, 2], [0, 3]]
    fitted = fit_neighbours(histories_of(histories), N_ITEMS, NeighboursOptions(keep=2))
    score = fitted.score(make_query("user", [0], [1]), EVERYTHING)
    assert np.flatnonzero(score).tolist() == [1, 2]


def test_what_is_older_than_last_does_not_count():
    fitted = fit_neighbours(histories_of([[0, 1], [2, 3]]), N_ITEMS, NeighboursOptions(last=1))
    score = fitted.score(make_query("user", [0, 2], [1, 1]), EVERYTHING)
    assert np.flatnonzero(score).tolist() == [3]


def test_carriers_add_up_to_the_score():
    fitted = fit_neighbours(
        histories_of([[0, 1, 2], [1, 2, 3], [4, 0, 2]]), N_ITEMS, NeighboursOptions()
    )
    query = make_query("user", [0, 1, 4], [1, 0.5, 1])
    carriers = fitted.carriers(query, EVERYTHING)
    np.testing.assert_allclose(carriers.sum(axis=1), fitted.score(query, EVERYTHING), atol=1e-6)


def test_survives_being_saved(tmp_path):
    options = NeighboursOptions()
    fitted = fit_neighbours(histories_of([[0, 1, 2], [2, 1]]), N_ITEMS, options)
    fitted.save(tmp_path / "n")
    query = make_query("user", [0, 1], [1, 1])
    loaded = ItemToItem.load(tmp_path / "n", options.walk)
    assert loaded.score(query, EVERYTHING).tobytes() == fitted.score(query, EVERYTHING).tobytes()
