from __future__ import annotations

import subprocess
import sys
from collections import Counter
from itertools import combinations, permutations
from math import factorial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import chdtrc

from crossrec_llm.answering import Arranged, Demands, ExperimentsOptions, alike_by_rule, luck
from crossrec_llm.answering.arranging import Cap, Split
from crossrec_llm.answering.exploring import Explored, chances, explore

N, K = 14, 5
IDS = [f"i{n}" for n in range(N)]


def draw(
    classes: np.ndarray,
    key: str = "u",
    *,
    share: float = 0.3,
    pool: int = 6,
    pinned: tuple[int, ...] = (),
) -> Explored:
    """Of a pool in order of its positions, the first K of which are the list."""
    options = ExperimentsOptions(explore=share, pool=pool)
    arranged = Arranged(np.arange(K), (("quota",), *((),) * (K - 1)))
    return explore(
        arranged, np.arange(N), classes, np.array(pinned, np.int64), IDS, options, (key, "day")
    )


@given(st.integers(1, 12), st.integers(0, 30), st.floats(0, 0.3))
def test_something_comes_to_every_place(places: int, below: int, share: float) -> None:
    found = chances(places, below, share)

    total = found.stay + (places - 1) * found.swap + below * found.come
    assert total == pytest.approx(1, abs=1e-12)
    assert min(found.stay, found.swap, found.come) >= 0
    # And every item of the list comes to some place, or makes way for one from below.
    assert found.stay + (places - 1) * found.swap <= 1 + 1e-12


@pytest.mark.parametrize(("places", "below"), [(1, 2), (2, 0), (3, 2)])
def test_chances_are_those_of_counting_every_arrangement(places: int, below: int) -> None:
    share, seen = 0.3, Counter[tuple[int, int]]()
    for size in range(places + 1):
        for drawn in combinations(range(places), size):
            weight = share**size * (1 - share) ** (places - size)
            there = [*drawn, *range(places, places + below)]
            ways = factorial(len(there)) // factorial(len(there) - size)
            for order in permutations(there, size):
                came = {
                    **{place: place for place in range(places)},
                    **dict(zip(drawn, order, strict=True)),
                }
                for place, item in came.items():
                    seen[place, item] += weight / ways  # type: ignore[assignment]

    found = chances(places, below, share)

    assert seen[0, 0] == pytest.approx(found.stay)
    assert seen[0, 1] == pytest.approx(found.swap if places > 1 else found.come)
    if below:
        assert seen[0, places] == pytest.approx(found.come)


def test_draws_are_as_often_as_their_propensities_say() -> None:
    classes = np.array([0, 0, 1, 0, 1, 0, 1, 2, 0, 0, 1, 2, 0, 0])
    draws, seen = 4_000, Counter[tuple[int, int]]()
    for n in range(draws):
        seen.update(enumerate(draw(classes, str(n)).arranged.positions.tolist()))
    offers = dict(draw(classes).offers)

    for place in range(K):
        might = {at: one for at, one in offers.items() if one.kind == classes[place]}
        expected = {
            at: draws * (one.stay if one.home == place + 1 else one.elsewhere)
            for at, one in might.items()
        }
        assert sum(expected.values()) == pytest.approx(draws)
        statistic = sum((seen[place, at] - n) ** 2 / n for at, n in expected.items())
        assert chdtrc(len(expected) - 1, statistic) > 1e-4


@settings(max_examples=60)
@given(
    classes=st.lists(st.integers(0, 3), min_size=N, max_size=N).map(np.array),
    key=st.text(max_size=5),
    pinned=st.sets(st.integers(0, K - 1)).map(tuple),
    pool=st.integers(0, N),
)
def test_only_like_is_exchanged_for_like(classes, key, pinned, pool) -> None:
    found = draw(classes, key, pool=pool, pinned=pinned)

    shown = found.arranged.positions
    assert len(set(shown.tolist())) == K
    assert classes[shown].tolist() == classes[:K].tolist()
    assert all(shown[place] == place for place in pinned)
    ranks = {one.rank: at for at, one in found.offers if one.rank}
    assert [ranks[place + 1] for place in range(K)] == shown.tolist()
    assert all(one.propensity > 0 for _, one in found.offers if one.rank)
    assert sum(one.home == 0 for _, one in found.offers) <= pool


def test_what_moved_or_came_is_labelled_and_what_brought_it_in_stays_said() -> None:
    found = next(
        one for n in range(99) if (one := draw(np.zeros(N, int), str(n))).arranged.positions[0] >= K
    )

    for place, at in enumerate(found.arranged.positions):
        acted = found.arranged.acted[place]
        assert ("explored" in acted) == (at != place)
        assert ("quota" in acted) == (at == 0)


def test_without_a_share_every_list_is_as_it_is_and_sure() -> None:
    found = draw(np.zeros(N, int), share=0.0)

    assert found.arranged.positions.tolist() == list(range(K))
    assert [one.propensity for _, one in found.offers] == [1.0] * K


def test_items_are_alike_where_every_rule_counts_them_so() -> None:
    codes = np.array([0, 0, 1, 1, -1, -1])
    demands = Demands(
        caps=(Cap("max_per_brand", codes, 2),),
        split=Split("quota", np.array([0, 1, 1, 1, 0, 0]), (0.5,)),
        buried=np.array([0, 0, 0, 0, 0, 1], bool),
    )

    classes = alike_by_rule(demands, np.zeros(6))

    assert [[a == b for b in classes] for a in classes[2:4]] == [[0, 0, 1, 1, 0, 0]] * 2
    assert len(set(classes.tolist())) == 5


def test_luck_is_the_same_in_every_process() -> None:
    code = "from crossrec_llm.answering import luck; print(luck('salt', 'ann'))"
    printed = [
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
        ).stdout
        for seed in ("1", "2")
    ]

    assert printed == [f"{luck('salt', 'ann')}\n"] * 2
    assert luck("ab", "c") != luck("a", "bc")
    assert abs(np.mean([luck(str(n)) for n in range(4_000)]) - 0.5) < 0.03
