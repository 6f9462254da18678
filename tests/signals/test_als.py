from __future__ import annotations

import numpy as np
import pytest

from crossrec_llm.answering import make_query
from crossrec_llm.signals import Als, AlsOptions, LeftOut
from tests.small import N_ITEMS, histories_of, unit_rows

EVERYTHING = np.arange(N_ITEMS)
Y = unit_rows(N_ITEMS, 3, seed=9)
# A checkerboard: odd people take odd items, even people even ones; each lacks one of them.
BOARD = [[i for i in range(u % 2, N_ITEMS, 2) if i % 6 != u % 6] for u in range(N_ITEMS)]


def test_a_person_is_solved_for_as_in_the_formula():
    options = AlsOptions(ridge=0.5, alpha=4.0, decay=0.5)
    system = Y.T @ Y + 0.5 * np.eye(3) + 4 * (0.5 * np.outer(Y[2], Y[2]) + np.outer(Y[7], Y[7]))
    person = np.linalg.solve(system, 5 * (0.5 * Y[2] + Y[7]))
    found = Als(Y, options).score(make_query("user", [2, 7], [1, 1]), EVERYTHING)
    np.testing.assert_allclose(found, Y @ person, atol=1e-5)


def test_the_person_has_the_least_loss():
    """Hu, Koren and Volinsky's loss for one person, whose two items count once each."""
    options = AlsOptions(ridge=0.5, alpha=4.0, decay=1.0)
    found = Als(Y, options).score(make_query("user", [2, 7], [1, 1]), EVERYTHING)
    person = np.linalg.lstsq(Y, found, rcond=None)[0]
    taken = np.isin(EVERYTHING, [2, 7])

    def loss(u: np.ndarray) -> float:
        return float(((1 + 4 * taken) * (taken - Y @ u) ** 2).sum() + 0.5 * u @ u)

    for step in np.vstack([np.eye(3), -np.eye(3)]):
        assert loss(person) < loss(person + 0.01 * step)


def test_parts_of_the_history_add_up_to_the_score():
    signal = Als(np.abs(Y), AlsOptions(ridge=50.0))
    query = make_query("user", [2, 7, 4], [1, 0.5, 1])
    np.testing.assert_allclose(
        signal.carriers(query, EVERYTHING).sum(axis=1), signal.score(query, EVERYTHING), atol=1e-5
    )


def test_fills_the_gap_of_a_checkerboard():
    fitted = Als.fit(histories_of(BOARD), N_ITEMS, AlsOptions(factors=4))
    for rows in BOARD:
        allowed = ~np.isin(EVERYTHING, rows)
        best = fitted.propose(make_query("user", rows, [1] * len(rows)), 2, allowed)
        assert {int(row) % 2 for row in best} == {rows[0] % 2}


def test_the_same_fit_twice_gives_the_same_bytes():
    fits = [Als.fit(histories_of(BOARD), N_ITEMS, AlsOptions(factors=4)) for _ in range(2)]
    assert fits[0].factors.tobytes() == fits[1].factors.tobytes()


def test_what_nobody_took_scores_nothing():
    fitted = Als.fit(histories_of([[0, 1], [1, 2]]), N_ITEMS, AlsOptions(factors=4))
    score = fitted.score(make_query("user", [0], [1]), EVERYTHING)
    assert score[1] > 0
    assert not score[3:].any()


@pytest.mark.parametrize("rows", [[], [[]]])
def test_no_histories_no_factors(rows):
    with pytest.raises(LeftOut, match="nobody took anything"):
        Als.fit(histories_of(rows), N_ITEMS, AlsOptions())
