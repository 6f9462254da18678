from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from crossrec_llm.experimenting.offpolicy import (
    ClickModel,
    Log,
    doubly_robust,
    effective_size,
    judge,
    snips,
)

P = np.array([0.7, 0.2, 0.1])  # of items 0, 1, 2 at the one place


def logged(n: int, seed: int, *, k: int = 1) -> Log:
    """One exposure a person, item by P at each place; a click is as likely as (item + 1) / 4."""
    rng = np.random.default_rng(seed)
    shown = rng.choice(3, (n, k), p=P)
    judged = np.full((n, k), 1)
    rewards = (rng.random((n, k)) < (shown + 1) / 4).astype(float)
    return Log(np.arange(n), shown, judged, rewards, P[shown], P[judged])


@pytest.mark.parametrize("estimate", [snips, doubly_robust])
def test_estimates_are_right_on_average_and_sure_as_often_as_they_say(estimate) -> None:
    found = [estimate(logged(1_500, seed, k=2)) for seed in range(120)]

    assert np.mean([one.value for one in found]) == pytest.approx(1.0, abs=0.015)
    assert np.mean([one.low <= 1.0 <= one.high for one in found]) >= 0.9


def test_by_hand() -> None:
    """Weights 5, 0, 5 and rewards 1, 1, 0: of the place 5 / 10."""
    log = Log(
        users=np.arange(3),
        shown=np.array([[1], [0], [1]]),
        judged=np.array([[1], [1], [1]]),
        rewards=np.array([[1.0], [1.0], [0.0]]),
        propensities=np.array([[0.2], [0.7], [0.2]]),
        support=np.full((3, 1), 0.2),
    )

    assert log.weights.ravel().tolist() == [5, 0, 5]
    found = snips(log)
    assert found is not None
    assert found.value == 0.5
    assert effective_size(log.weights, log.judged >= 0) == 2.0
    model = ClickModel.fit(log, np.ones(3, bool))
    assert model.places.tolist() == pytest.approx([2 / 3])
    assert model.attraction == pytest.approx([(1 + 5) / (2 / 3 + 5), (1 + 5) / (4 / 3 + 5)])


def test_a_list_of_what_was_shown_brings_what_was_shown() -> None:
    log = logged(400, 1, k=3)
    same = replace(log, judged=log.shown, propensities=np.ones((400, 3)), support=np.ones((400, 3)))

    found = judge(same)

    assert found.shown == pytest.approx(found.snips)
    assert found.doubly_robust is not None
    assert found.shown is not None
    assert found.doubly_robust.value == pytest.approx(found.shown.value)
    assert (found.effective, found.most, found.support, found.why) == (400, 1, 1, "")


def test_the_data_cannot_tell_without_support() -> None:
    log = logged(2_000, 2)
    never = replace(log, judged=np.full((2_000, 1), 7), support=np.zeros((2_000, 1)))

    found = judge(never)

    assert found.snips is found.doubly_robust is None
    assert "0.0% of its places could have been shown" in found.why


def test_the_data_cannot_tell_from_a_few() -> None:
    found = judge(logged(60, 3))

    assert found.snips is None
    assert "effective sample size of" in found.why
    assert found.support == 1


def test_nothing_tells_nothing() -> None:
    none = np.zeros((0, 0))
    log = Log(np.zeros(0, int), none.astype(int), none.astype(int), none, none, none)

    found = judge(log)

    assert (found.exposures, found.people, found.shown, found.snips) == (0, 0, None, None)
    assert found.why
    assert snips(log) is None
    assert doubly_robust(log) is None


def test_shorter_lists_have_fewer_places() -> None:
    log = logged(2_000, 4, k=2)
    shorter = replace(log, judged=np.where([[True, False]], log.judged, -1))

    found = snips(shorter)

    assert found is not None
    assert found.low < 0.5 < found.high
    model = doubly_robust(shorter)
    assert model is not None
    assert model.low < 0.5 < model.high
