from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from crossrec_llm.experimenting import inference
from crossrec_llm.experimenting.arms import Arm, Experiment


def two(seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.poisson(1.0, 80).astype(float), rng.poisson(1.4, 50).astype(float)


def test_means_and_differences_are_those_of_scipy() -> None:
    one, other = two()

    found = inference.mean(one)
    low, high = stats.t.interval(0.95, len(one) - 1, one.mean(), stats.sem(one))
    assert found is not None
    assert (found.low, found.high) == pytest.approx((low, high))

    apart = inference.difference(one, other)
    expected = stats.ttest_ind(other, one, equal_var=False).confidence_interval(0.95)
    assert apart is not None
    assert apart.value == pytest.approx(other.mean() - one.mean())
    assert (apart.low, apart.high) == pytest.approx((expected.low, expected.high))


def test_a_ratio_is_a_mean_where_everybody_has_one_exposure() -> None:
    one, other = two()
    ones, more = np.ones(len(one)), np.ones(len(other))

    assert inference.ratio(one, ones) == inference.mean(one)
    assert inference.ratio_difference((one, ones), (other, more)) == inference.difference(
        one, other
    )


def test_a_ratio_by_person_is_that_of_the_jackknife() -> None:
    rng = np.random.default_rng(5)
    wholes = rng.integers(1, 6, 400).astype(float)
    parts = rng.binomial(wholes.astype(int), 0.3).astype(float)
    left_out = (parts.sum() - parts) / (wholes.sum() - wholes)
    spread = np.sqrt((len(parts) - 1) / len(parts) * ((left_out - left_out.mean()) ** 2).sum())

    found = inference.ratio(parts, wholes)

    assert found is not None
    assert found.value == parts.sum() / wholes.sum()
    assert found.high - found.low == pytest.approx(2 * 1.966 * spread, rel=0.01)


def test_nothing_is_said_of_fewer_than_two() -> None:
    one, lone, none = np.array([1.0, 2.0]), np.array([1.0]), np.zeros(0)

    assert inference.mean(lone) is None
    assert inference.ratio(none, none) is None
    assert inference.difference(one, lone) is None
    assert inference.ratio_difference((one, one), (lone, lone)) is None
    assert inference.needed(one, lone, 0.5, 0.1) is None
    assert inference.needed(one, one, 0.5, 0.0) is None


def test_a_split_is_judged_as_by_scipy() -> None:
    assert inference.mismatch([530, 470], [0.5, 0.5]) == pytest.approx(
        stats.chisquare([530, 470]).pvalue
    )
    assert inference.mismatch([100, 100, 199], [0.25, 0.25, 0.5]) > 0.9
    assert inference.mismatch([5_000, 4_500], [0.1, 0.1]) < inference.MISMATCH
    assert inference.mismatch([0, 0], [0.5, 0.5]) == 1


def test_people_needed_are_those_of_the_rule_of_thumb() -> None:
    """16 s^2 / d^2 in each arm (Lehr 1992)."""
    one, other = two()
    spread = (one.var(ddof=1) + other.var(ddof=1)) / 2

    found = inference.needed(one, other, 0.5, 0.1)

    assert found == pytest.approx(2 * 16 * spread / 0.1**2, rel=0.03)


@given(st.integers(0, 10_000), st.floats(0.05, 0.6), st.floats(0.05, 0.4))
def test_people_stay_in_their_arm(seed: int, a: float, b: float) -> None:
    experiment = Experiment((Arm("a", a), Arm("b", b)), salt=str(seed))
    people = [f"u{n}" for n in range(400)]

    arms = [experiment.arm_of(one) for one in people]

    assert arms == [experiment.arm_of(one) for one in people]
    counts = [sum(arm is one for arm in arms) for one in (*experiment.arms, None)]
    assert inference.mismatch(counts, [a, b, max(1 - a - b, 1e-9)]) > 1e-7


@pytest.mark.parametrize(
    ("arms", "words"),
    [
        ([{"name": "a", "share": 1.0}], "two arms or more"),
        ([{"name": "a", "share": 0.5}, {"name": "a", "share": 0.5}], "name of its own"),
        ([{"name": "a", "share": 0.5}, {"name": "b", "share": 0.6}], "more than 1"),
        ([{"name": "a", "share": 0.5}, {"name": "b", "share": 0}], "arms.1.share"),
        ([{"name": "a", "share": 0.5}, {"name": "b", "chare": 0.5}], "chare"),
    ],
)
def test_an_experiment_that_is_none(arms, words: str) -> None:
    from crossrec_llm.errors import RecipeError

    with pytest.raises(RecipeError, match=words):
        Experiment.from_dict({"arms": arms})
