from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossrec_llm.answering import Demands, arrange, quota
from crossrec_llm.answering.arranging import Calibration, Cap, Split, apportion
from tests.small import unit_rows


@st.composite
def pools(draw):
    n = draw(st.integers(0, 30))
    scores = draw(st.lists(st.floats(-3, 3, width=32), min_size=n, max_size=n))
    outside = draw(st.lists(st.booleans(), min_size=n, max_size=n))
    return np.array(scores, np.float32), np.array(outside, bool)


shares = st.one_of(st.none(), st.floats(0, 1))


def crossing(outside, share):
    return Demands(split=Split("cross_share", outside.astype(int), (share,)))


def listed(scores, outside, k, *, diversity=0.0, cross_share=None):
    demands = Demands() if cross_share is None else crossing(outside, cross_share)
    vectors = unit_rows(len(scores), 4, seed=0)
    return arrange(scores, vectors, k, demands, diversity=diversity).positions


@given(pools(), st.integers(1, 40), st.floats(0, 1), shares)
def test_distinct_full_and_on_quota(pool, k, diversity, share):
    scores, outside = pool
    chosen = listed(scores, outside, k, diversity=diversity, cross_share=share)
    assert len(chosen) == min(k, len(scores))
    assert len(set(chosen.tolist())) == len(chosen)
    if share is not None:
        size = len(chosen)
        possible = range(size - (~outside).sum(), outside.sum() + 1)
        nearest = min(possible, key=lambda cross: abs(cross - quota(size, share)))
        assert outside[chosen].sum() == nearest


@given(pools(), st.integers(1, 40), shares)
def test_without_diversity_each_side_is_in_order_of_score(pool, k, share):
    scores, outside = pool
    chosen = listed(scores, outside, k, cross_share=share)
    assert (np.diff(scores[chosen]) <= 0).all()
    for side in (outside, ~outside):
        taken, left = (
            scores[chosen[side[chosen]]],
            np.delete(scores, chosen)[np.delete(side, chosen)],
        )
        if len(taken) and len(left):
            assert taken.min() >= left.max()


def test_diversity_passes_over_a_near_copy():
    vectors = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    scores = np.array([3, 2.9, 1], np.float32)
    assert arrange(scores, vectors, 2).positions.tolist() == [0, 1]
    assert arrange(scores, vectors, 2, diversity=0.7).positions.tolist() == [0, 2]


def test_diversity_follows_the_formula():
    vectors = unit_rows(15, 4, seed=5)
    scores = np.random.default_rng(1).standard_normal(15).astype(np.float32)
    relevance = 1 / np.log2(np.argsort(np.argsort(-scores)) + 2)
    chosen: list[int] = []
    for _ in range(6):
        likeness = [np.mean([vectors[i] @ vectors[j] for j in chosen] or [0]) for i in range(15)]
        value = 0.4 * relevance - 0.6 * np.array(likeness)
        value[chosen] = -np.inf
        chosen.append(int(np.argmax(value)))
    found = arrange(scores, vectors, 6, diversity=0.6).positions.tolist()
    assert found == sorted(chosen, key=lambda i: -scores[i])
    assert chosen != found != np.argsort(-scores)[:6].tolist()


def test_with_diversity_pins_come_first_and_what_is_buried_last():
    scores, vectors = np.array([5, 4, 3, 2], np.float32), unit_rows(4, 4, seed=0)
    demands = Demands(pinned=np.array([3]), buried=np.array([True, False, False, False]))
    assert arrange(scores, vectors, 4, demands, diversity=0.5).positions.tolist() == [3, 1, 2, 0]


def test_calibration_follows_the_formula():
    """Steck's objective by exhaustion of its greedy steps: score and KL of the whole list."""
    rng = np.random.default_rng(3)
    scores = rng.standard_normal(14).astype(np.float32)
    codes = rng.integers(-1, 3, 14)
    lived = np.array([0.6, 0.3, 0.1])
    relevance = (scores - scores.min()) / (scores.max() - scores.min())

    def divergence(rows):
        told = np.array([np.sum(codes[rows] == c) for c in range(3)]) / len(rows)
        return float((lived * np.log(lived / (0.99 * told + 0.01 * lived))).sum())

    chosen: list[int] = []
    for _ in range(7):
        left = [i for i in range(14) if i not in chosen]
        value = [0.5 * relevance[i] - 0.5 * divergence([*chosen, i]) for i in left]
        chosen.append(left[int(np.argmax(value))])
    demands = Demands(calibration=Calibration(lived, codes, 0.5))
    found = arrange(scores, np.empty((14, 0)), 7, demands)
    assert found.positions.tolist() == chosen
    assert any("calibration" in acted for acted in found.acted)


@pytest.mark.parametrize(("k", "share", "n"), [(10, 0.5, 5), (10, 0.25, 3), (3, 0, 0), (3, 1, 3)])
def test_quota_rounds_halves_up(k, share, n):
    assert quota(k, share) == n
    assert apportion(k, [share]) == [n]


def test_shares_that_make_a_whole_fill_the_list():
    assert apportion(10, [0.25, 0.25, 0.25, 0.25]) == [3, 3, 2, 2]
    assert apportion(7, [1 / 3, 1 / 3, 1 / 3]) == [3, 2, 2]
    assert apportion(5, []) == []


@given(st.integers(1, 60), st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_each_share_is_less_than_one_item_off(k, shares):
    shares = [share / max(sum(shares), 1) for share in shares]
    counts = apportion(k, shares)
    assert sum(counts) <= k
    assert all(abs(n - k * share) < 1 for n, share in zip(counts, shares, strict=True))


# -- every rule with every other ------------------------------------------------------------------


def some(draw, n, values):
    return np.array(draw(st.lists(values, min_size=n, max_size=n)), np.int64)


@st.composite
def demanded(draw, most=12, two_sides=False):
    """(scores, k, demands): any rules together."""
    n = draw(st.integers(0, most))
    scores = np.array(
        draw(st.lists(st.sampled_from([0, 0.5, 1, 2, 3]), min_size=n, max_size=n)), np.float32
    )
    k = draw(st.integers(1, 8))
    caps = [
        Cap(name, some(draw, n, st.integers(-1, 3)), draw(st.integers(1, 3)))
        for name in draw(st.sets(st.sampled_from(["max_per_brand", "max_per_category"])))
    ]
    split = None
    if draw(st.booleans()):
        parts = 1 if two_sides else draw(st.integers(1, 3))
        raw = draw(st.lists(st.floats(0, 1), min_size=parts, max_size=parts))
        given = tuple(share / max(1, sum(raw)) for share in raw)
        split = Split("quota", some(draw, n, st.integers(0, parts)), given)
    flags = st.lists(st.booleans(), min_size=n, max_size=n)
    calibration = None
    if draw(st.booleans()):
        calibration = Calibration(np.array([0.7, 0.3]), some(draw, n, st.integers(-1, 1)), 0.5)
    pinned = draw(st.lists(st.integers(0, n - 1), max_size=min(k, 3), unique=True)) if n else []
    return (
        scores,
        k,
        Demands(
            pinned=np.array(pinned, np.int64),
            caps=tuple(caps),
            split=split,
            new=np.array(draw(flags), bool) if draw(st.booleans()) else None,
            new_share=draw(st.floats(0, 1)),
            buried=np.array(draw(flags), bool) if draw(st.booleans()) else None,
            boost=scores[::-1] / 4 if draw(st.booleans()) else None,
            calibration=calibration,
        ),
    )


def keeps_caps(demands, rows):
    """Whether a list breaks no cap further than its pins do."""
    for cap in demands.caps:
        for code in range(4):
            pinned = np.sum(cap.codes[demands.pinned] == code)
            if np.sum(cap.codes[list(rows)] == code) > max(cap.most, pinned):
                return False
    return True


@settings(max_examples=400)
@given(demanded(), st.floats(0, 1))
def test_every_combination_of_rules(case, diversity):
    scores, k, demands = case
    vectors = unit_rows(len(scores), 4, seed=0)
    found = arrange(scores, vectors, k, demands, diversity=diversity)
    chosen = found.positions.tolist()
    again = arrange(scores, vectors, k, demands, diversity=diversity)
    assert (chosen, found.acted) == (again.positions.tolist(), again.acted)
    assert len(set(chosen)) == len(chosen) == len(found.acted) <= k
    assert chosen[: len(demands.pinned)] == demands.pinned.tolist()
    assert keeps_caps(demands, chosen)
    left = set(range(len(scores))) - set(chosen)
    if len(chosen) < k:
        assert not any(keeps_caps(demands, [*chosen, row]) for row in left)
    if demands.buried is not None and demands.split is demands.new is None:
        # A buried item comes only where what is not buried has run out.
        for at, row in enumerate(chosen[len(demands.pinned) :], len(demands.pinned)):
            others = left | set(chosen[at:])
            fits = [r for r in others if keeps_caps(demands, [*chosen[:at], r])]
            assert not demands.buried[row] or all(demands.buried[r] for r in fits)


def mixes(demands, rows, size):
    """(how far a list is from its split, how many new items it lacks)."""
    off = 0
    if demands.split is not None:
        counts = apportion(size, demands.split.shares)
        wanted = [size - sum(counts), *counts]
        got = np.bincount(demands.split.codes[list(rows)], minlength=len(wanted))
        off = int(np.abs(got - wanted).sum())
    lacks = 0
    if demands.new is not None:
        lacks = max(quota(size, demands.new_share) - int(demands.new[list(rows)].sum()), 0)
    return off, lacks


@settings(max_examples=400)
@given(demanded(most=8, two_sides=True))
def test_a_mix_that_can_be_had_is_had(case):
    """Against every possible list: two sides under one cap, and new items without a cap."""
    scores, k, demands = case
    if len(demands.caps) > 1 or (demands.caps and demands.new is not None):
        return
    chosen = arrange(scores, np.empty((len(scores), 0)), k, demands).positions.tolist()
    size, pinned = len(chosen), set(demands.pinned.tolist())
    possible = [
        mixes(demands, rows, size)
        for rows in combinations(range(len(scores)), size)
        if pinned <= set(rows) and keeps_caps(demands, rows)
    ]
    assert mixes(demands, chosen, size) == min(possible)


def test_rules_say_what_they_did():
    scores = np.array([5, 4, 3, 2, 1, 0], np.float32)
    brand = np.array([0, 0, 0, 1, 2, -1])
    nothing = np.empty((6, 0))
    capped = arrange(scores, nothing, 3, Demands(caps=(Cap("max_per_brand", brand, 1),)))
    assert capped.positions.tolist() == [0, 3, 4]
    assert capped.acted == ((), ("max_per_brand",), ("max_per_brand",))
    new = np.array([0, 0, 0, 0, 0, 1], bool)
    fresh = arrange(scores, nothing, 2, Demands(new=new, new_share=0.5))
    assert fresh.positions.tolist() == [0, 5]
    assert fresh.acted == ((), ("new_share",))
    pinned = arrange(scores, nothing, 3, Demands(pinned=np.array([4, 1])))
    assert pinned.positions.tolist() == [4, 1, 0]
    buried = arrange(scores, nothing, 2, Demands(buried=scores > 2))
    assert buried.positions.tolist() == [3, 4]
    assert buried.acted == (("bury",), ("bury",))
    boosted = arrange(scores, nothing, 1, Demands(boost=np.array([0, 0, 0.5, 0, 0, 0], np.float32)))
    assert boosted.positions.tolist() == [2]
