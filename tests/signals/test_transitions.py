from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossrec_llm.answering import make_query
from crossrec_llm.signals import TransitionsOptions, fit_transitions, rather_before
from tests.small import N_ITEMS, histories_of

EVERYTHING = np.arange(N_ITEMS)


HISTORIES = st.lists(
    st.lists(st.integers(0, N_ITEMS - 1), min_size=1, max_size=8, unique=True),
    min_size=1,
    max_size=6,
)


@given(HISTORIES)
def test_scores_follow_the_formula(histories):
    options = TransitionsOptions(window=3, backward=0.5, shrink=5)
    steps, people = np.zeros((N_ITEMS, N_ITEMS)), np.zeros(N_ITEMS)
    for rows in histories:
        for i, row in enumerate(rows):
            people[row] += 1
            for distance, later in enumerate(rows[i + 1 : i + 4], 1):
                steps[row, later] += 1 / distance
                steps[later, row] += 0.5 / distance
    expected = steps / (people[:, None] + 5)
    fitted = fit_transitions(histories_of(histories), N_ITEMS, options)
    for row in range(N_ITEMS):
        score = fitted.score(make_query("user", [row], [1]), EVERYTHING)
        np.testing.assert_allclose(score, expected[row], atol=1e-6)


def test_the_order_matters():
    fitted = fit_transitions(histories_of([[0, 1], [0, 1]]), N_ITEMS, TransitionsOptions())
    forward = fitted.score(make_query("user", [0], [1]), EVERYTHING)[1]
    backward = fitted.score(make_query("user", [1], [1]), EVERYTHING)[0]
    assert forward == pytest.approx(2 / 7)
    assert backward == pytest.approx(1 / 7)


@given(HISTORIES)
def test_what_came_rather_before_is_told_from_what_came_after(histories):
    options = TransitionsOptions(window=2, backward=0.5, shrink=5)
    along, people = np.zeros((N_ITEMS, N_ITEMS)), np.zeros(N_ITEMS, np.int64)
    for rows in histories:
        for i, row in enumerate(rows):
            people[row] += 1
            for distance, later in enumerate(rows[i + 1 : i + 3], 1):
                along[row, later] += 1 / distance
    fitted = fit_transitions(histories_of(histories), N_ITEMS, options)
    history = np.array([3, 0])
    found = rather_before(fitted, people, 5, history, EVERYTHING)
    assert (found == (along[:, history] > along[history].T)).all()


def test_entries_are_those_of_the_matrix():
    fitted = fit_transitions(histories_of([[0, 1, 2], [1, 5]]), N_ITEMS, TransitionsOptions())
    rows, columns = np.array([1, 0, 7]), np.array([5, 0, 1, 11])
    everything = [fitted.score(make_query("user", [row], [1]), EVERYTHING) for row in rows]
    np.testing.assert_array_equal(fitted.entries(rows, columns), np.stack(everything)[:, columns])
