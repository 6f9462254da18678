from __future__ import annotations

import numpy as np
import pytest

from crossrec_llm.answering import make_query
from crossrec_llm.errors import RecipeError
from crossrec_llm.meaning import Space, SpaceOptions
from crossrec_llm.signals import EaseOptions, LeftOut, fit_ease
from tests.small import N_ITEMS, histories_of, unit_rows

RAW = unit_rows(N_ITEMS, 6, seed=4)
CODES = np.arange(N_ITEMS) % 2
TEXTS = Space.fit(RAW, CODES, SpaceOptions(power=1.0)).apply(RAW, CODES)
# Items 10 and 11 were taken by nobody.
TAKEN = [[0, 1, 2], [1, 2, 3], [4, 5, 6], [7, 8, 9], [0, 9], [5, 1, 3]]
EVERYTHING = np.arange(N_ITEMS)


def weights_of(fitted, row):
    return fitted.score(make_query("user", [row], [1.0]), EVERYTHING)


def test_weights_follow_the_closed_form():
    options = EaseOptions(ridge=3.0, text=2.0, keep=N_ITEMS)
    fitted = fit_ease(histories_of(TAKEN), TEXTS, options)
    x = np.zeros((len(TAKEN), 10))
    for user, rows in enumerate(TAKEN):
        x[user, rows] = 1
    texts = TEXTS[:10]
    inverse = np.linalg.inv(x.T @ x + 2.0 * texts @ texts.T + 3.0 * np.eye(10))
    expected = -inverse / np.diag(inverse)
    np.fill_diagonal(expected, 0)
    for row in range(10):
        np.testing.assert_allclose(weights_of(fitted, row)[:10], expected[row], atol=1e-5)
        assert not weights_of(fitted, row)[10:].any()
    assert not weights_of(fitted, 11).any()


def test_each_weight_solves_the_regression_it_stands_for():
    """Row j of the solution predicts item j from the others: the gradient there is 0."""
    fitted = fit_ease(histories_of(TAKEN), TEXTS, EaseOptions(ridge=1.0, text=1e-6, keep=99))
    x = np.zeros((len(TAKEN), 10))
    for user, rows in enumerate(TAKEN):
        x[user, rows] = 1
    b = np.stack([weights_of(fitted, row)[:10] for row in range(10)])
    gradient = x.T @ (x @ b - x) + b
    np.fill_diagonal(gradient, 0)
    np.testing.assert_allclose(gradient, 0, atol=1e-4)


def test_too_many_items_step_aside():
    with pytest.raises(LeftOut, match=r"10 items were taken.* at most 9: raise max_items"):
        fit_ease(histories_of(TAKEN), TEXTS, EaseOptions(max_items=9))
    with pytest.raises(LeftOut, match="nobody took anything"):
        fit_ease(histories_of([]), TEXTS, EaseOptions())


@pytest.mark.parametrize("keep", [1, 3])
def test_only_the_strongest_are_kept(keep):
    whole = fit_ease(histories_of(TAKEN), TEXTS, EaseOptions(keep=99))
    cut = fit_ease(histories_of(TAKEN), TEXTS, EaseOptions(keep=keep))
    for row in range(10):
        strongest = np.sort(weights_of(whole, row)[:10][np.arange(10) != row])[-keep:]
        found = weights_of(cut, row)
        np.testing.assert_allclose(np.sort(found[found != 0]), strongest, atol=1e-6)


def test_many_items_have_the_same_weights_by_their_spectrum():
    rng = np.random.default_rng(0)
    n = 200
    histories = histories_of([rng.choice(n, 6, replace=False) for _ in range(400)], n)
    texts = unit_rows(n, 16, seed=1)
    exact = fit_ease(histories, texts, EaseOptions(keep=n))
    spectral = fit_ease(histories, texts, EaseOptions(keep=n, exact_below=0, rank=20))
    assert len(exact.values) == len(spectral.values) == n * (n - 1)
    scale = np.abs(exact.values).mean()
    np.testing.assert_allclose(spectral.values, exact.values, atol=0.03 * scale)


def test_a_spectrum_that_does_not_fit_steps_aside():
    two = histories_of([list(range(6))] * 4000 + [list(range(6, 12))] * 3000)
    too_few = EaseOptions(exact_below=0, ridge=100.0, rank=1)
    with pytest.raises(LeftOut, match=r"for 12 items.*off by \d+%: raise ridge or rank"):
        fit_ease(two, TEXTS, too_few)
    assert len(fit_ease(two, TEXTS, EaseOptions(exact_below=0, ridge=100.0, rank=3)))
    # float32 holds too few digits for so large an eigenvalue beside so small a ridge.
    with pytest.raises(LeftOut, match="off by"):
        fit_ease(two, TEXTS, EaseOptions(exact_below=0, ridge=1.0, rank=3))


def test_a_ridge_that_is_too_small_is_named():
    twins = [[0, 1]] * 20_000
    with pytest.raises(RecipeError, match="ridge"):
        fit_ease(histories_of(twins), TEXTS, EaseOptions(ridge=1e-9, text=1e-9))
