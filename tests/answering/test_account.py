from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from crossrec_llm.answering import Account, Ranked, Ranking, Views, WeightedBlend, make_query
from tests.small import unit_rows

HISTORY = 3


class Carrying:
    """A signal of given carriers, (n_items, h)."""

    kind = "text"

    def __init__(self, name, carriers):
        self.name, self._carriers = name, np.asarray(carriers, np.float32)

    def score(self, query, rows):
        raise AssertionError("an account needs no scores")

    def carriers(self, query, rows):
        return self._carriers[rows]


def account(views, rows, scores, parts, totals, blend, signals, chosen, closed=()):
    """The account of a ranking by these; `closed` are rows."""
    gate = SimpleNamespace(closed=np.isin(np.arange(len(rows)), closed))
    query = views.queries[0]
    ranking = Ranking(query, views, gate, blend, signals, [], len(rows), np.empty((0, 0)))
    return Account.of(ranking, Ranked(rows, scores, parts, totals), np.asarray(chosen, np.int64))


class Reordered(WeightedBlend):
    """The best and the second best change places."""

    def total(self, query, rows, parts):
        total = super().total(query, rows, parts)
        one, two = np.argsort(-total)[:2]
        total[[one, two]] = total[[two, one]]
        return total


def account_of(scores, carriers, chosen, blend=None, weights=None):
    scores = np.asarray(scores, np.float32)
    rows = np.arange(len(scores))
    names = [f"s{s}" for s in range(len(carriers))]
    blend = blend or WeightedBlend(dict(zip(names, weights or [1.0] * len(names), strict=True)))
    query = make_query("user", np.arange(HISTORY), [1.0] * HISTORY)
    parts = blend.parts(rows, scores)
    totals = blend.total(query, rows, parts)
    signals = [Carrying(name, c) for name, c in zip(names, carriers, strict=True)]
    found = account(Views.of(query), rows, scores, parts, totals, blend, signals, chosen)
    return found, totals


_finite = st.floats(-100, 100, width=32)


@given(
    scores=arrays(np.float32, (150, 2), elements=_finite | st.just(np.nan), fill=_finite),
    carriers=arrays(np.float32, (2, 150, HISTORY), elements=st.floats(0, 10, width=32)),
    weights=st.tuples(st.floats(0.1, 3), st.floats(-3, -0.1)),
)
def test_contributions_add_up_to_the_score(scores, carriers, weights):
    account, totals = account_of(scores, carriers, [3, 0, 77], weights=weights)
    for i, at in enumerate([3, 0, 77]):
        told = account.contributions(i, ["s0", "s1"], ["a", "b", "c"])
        assert sum(c.value for c in told) == pytest.approx(float(totals[at]), abs=1e-4)
        assert all(c.value for c in told)


def test_what_an_item_may_not_see_of_the_history_brings_nothing_to_it():
    query = make_query("user", [0, 1], [1.0, 1.0])
    sets = np.array([[True, True], [True, False]])
    views = Views.cut(query, sets, np.empty((2, 0), bool), np.array([0, 1, 0, 1]))
    blend, rows = WeightedBlend({"s": 1.0}), np.arange(4)
    scores = np.array([[4], [3], [1], [1]], np.float32)
    parts = blend.parts(rows, scores)
    totals = blend.total(query, rows, parts)

    class Signal(Carrying):
        def carriers(self, query, rows):
            return np.ones((len(rows), len(query.history)), np.float32)

    signals = [Signal("s", np.ones((4, 2)))]
    found = account(views, rows, scores, parts, totals, blend, signals, [0, 1])
    assert [c.item_id for c in found.contributions(0, ["s"], ["a", "b"]) if c.item_id] != ["a"]
    assert "b" not in {c.item_id for c in found.contributions(1, ["s"], ["a", "b"])}
    assert found.losses[1, 1] == 0


def test_of_a_closed_category_the_place_has_the_whole_score():
    query, blend, rows = make_query("user", [0], [1.0]), WeightedBlend({"s0": 1.0}), np.arange(3)
    scores = np.array([[4], [3], [1]], np.float32)
    parts = blend.parts(rows, scores)
    parts[1] = 0
    totals = np.array([2, 1, -1], np.float32)
    signals = [Carrying("s0", np.ones((3, 1)))]
    found = account(Views.of(query), rows, scores, parts, totals, blend, signals, [1], closed=[1])
    (told,) = found.contributions(0, ["s0"], ["a"])
    assert (told.signal, told.item_id, told.value) == ("order", None, 1)


def test_of_a_sum_nothing_is_left_over_and_what_all_have_speaks_for_none():
    carriers = np.array([[4.0, 1, 0], [0, 1, 0], [2, 1, 0]])
    account, _ = account_of(carriers.sum(axis=1, keepdims=True), [carriers], [0, 1, 2])
    assert account.places.tolist() == [0, 1]
    spread = np.std([5.0, 1, 3])
    np.testing.assert_allclose(account.parts[:, 0, 0], [2 / spread, -2 / spread, 0], atol=1e-6)
    np.testing.assert_allclose(account.parts[:, 0, 1:], 0, atol=1e-6)
    assert account.grounds[:, 0].tolist() == [[True, True, False], [False, True, False],
                                              [True, True, False]]  # fmt: skip


def test_losses_are_those_of_scores_without_the_item():
    carriers = np.abs(unit_rows(40, HISTORY, seed=2))
    scores = carriers.sum(axis=1, keepdims=True)
    account, totals = account_of(scores, [carriers], np.arange(40), weights=[1.5])
    blend = WeightedBlend({"s0": 1.5})
    for h in range(HISTORY):
        less = blend.parts(np.arange(40), scores - carriers[:, [h]]).sum(axis=1)
        np.testing.assert_allclose(account.losses[:, h], totals - less, atol=1e-4)


def test_a_learned_order_is_a_contribution_of_its_own():
    scores, nothing = [[1.0], [2.0], [4.0]], np.zeros((3, HISTORY))
    account, totals = account_of(scores, [nothing], [2, 1, 0], blend=Reordered({"s0": 1.0}))
    first, second, third = (account.contributions(i, ["s0"], "abc") for i in range(3))
    assert {c.signal: c.item_id for c in first} == {"s0": None, "order": None}
    down, up = (next(c.value for c in told if c.signal == "order") for told in (first, second))
    assert down == pytest.approx(-up)
    assert down < 0
    assert sum(c.value for c in first) == pytest.approx(float(totals[2]))
    assert [c.signal for c in third] == ["s0"]


def test_a_signal_without_a_ground_speaks_for_nothing():
    """Above the mean of the candidates, but nobody took both; or it counts against."""
    nothing, some = np.zeros((2, HISTORY)), np.eye(2, HISTORY)
    account, _ = account_of([[0.0, 1], [-1, 0]], [nothing, some], [0], weights=[1.0, -1.0])
    assert not account.grounds.any()


def test_an_empty_pool_has_an_empty_account():
    account, _ = account_of(np.empty((0, 1)), [np.empty((0, HISTORY))], [])
    assert account.parts.shape == (0, 1, 1)
