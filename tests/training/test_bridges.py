from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossrec_llm.answering import Bridges, TunedBlend
from crossrec_llm.recipe import Recipe
from crossrec_llm.tables import Histories, HistoryOptions
from crossrec_llm.training import TuneOptions, bridges, calibration, fit_blend
from crossrec_llm.training.bridges import _more_than_chance, _Seen, _Tested
from crossrec_llm.training.jumps import LEAST_HITS, fit_jumps
from tests.small import events_of, plain_catalogue, unit_rows

N_ITEMS, GROUPS = 120, 8
CATALOGUE = plain_catalogue(N_ITEMS)
# Groups cross the two top categories: rows 0 and 1 are of the first, 2 and 3 of the second ...
GROUP = np.arange(N_ITEMS) // 2 % GROUPS
RAW = unit_rows(N_ITEMS, 16, seed=1)
OPTIONS = TuneOptions(n_user=0, n_cross=220)


def grouped(people=900, seed=0):
    """Each person's 5 or 6 items of one group."""
    rng = np.random.default_rng(seed)
    groups = [np.flatnonzero(rng.integers(GROUPS) == GROUP) for _ in range(people)]
    return [rng.permutation(rows)[: rng.integers(5, 7)].tolist() for rows in groups]


def apart(seed=0):
    """The same, with what each took in B exchanged for what somebody else took there."""
    rng = np.random.default_rng(seed)
    log = grouped(seed=seed)
    others = rng.permutation(len(log))
    return [
        [r for r in log[u] if r % 2 == 0] + [r for r in log[others[u]] if r % 2]
        for u in range(len(log))
    ]


def fitted(log, **options):
    tuned = fit_blend(
        Recipe(), CATALOGUE, RAW, events_of(log), options=dataclasses.replace(OPTIONS, **options)
    )
    return tuned.bridges


@pytest.fixture(scope="module")
def found():
    return fitted(grouped())


def test_bridges_are_open_where_people_take_the_same_on_both_sides(found):
    assert [(pair.home, pair.target) for pair in found.pairs] == [("A", "B"), ("B", "A")]
    for pair in found.pairs:
        assert pair.open
        assert pair.basis == "behaviour"
        assert pair.evidence >= bridges.LEAST_PEOPLE
        assert 0.2 < pair.low < pair.credibility < pair.high <= 1
    assert found.untested_open


def test_no_bridge_is_open_where_the_sides_have_nothing_to_do_with_each_other():
    for seed in range(3):
        found = fitted(apart(seed), seed=seed)
        assert len(found.pairs) == 2
        assert not any(pair.open for pair in found.pairs)
        assert not found.untested_open


def test_with_few_people_nothing_is_fitted():
    assert fitted(grouped(100)) == Bridges()


def test_two_fits_are_equal_and_come_back_from_a_file(found, tmp_path):
    assert fitted(grouped()) == found
    tuned = TunedBlend(bridges=found)
    tuned.save(tmp_path / "blend.json")
    assert TunedBlend.load(tmp_path / "blend.json").bridges.pairs == found.pairs
    assert TunedBlend.load(tmp_path / "blend.json").to_json() == tuned.to_json()


def test_an_index_without_bridges_has_everything_open(tmp_path):
    (tmp_path / "blend.json").write_text('{"situations": {}, "left_out": {}}', "utf-8")
    assert TunedBlend.load(tmp_path / "blend.json").bridges == Bridges()


def test_the_probability_of_a_jump_is_calibrated_and_tells_them_apart(found):
    figures = found.jumps.figures
    assert figures["precision at half"] > 1.2 * figures["precision"] > 0
    assert figures["ece"] < 0.1
    assert sum(n for *_, n in figures["reliability"]) == figures["items"]


# -- the parts -----------------------------------------------------------------------------------


@given(st.integers(0, 10_000))
def test_the_spread_over_permutations_is_that_of_permutations(seed):
    rng = np.random.default_rng(seed)
    values = rng.random((12, 12)) * rng.random((12, 1))
    sums = [values[np.arange(12), rng.permutation(12)].sum() for _ in range(4_000)]
    found = _Tested.of(values, 1.0, "behaviour")
    z = (np.trace(values) - np.mean(sums)) / np.std(sums)
    assert found.p == pytest.approx(float(np.mean(np.array(sums) >= np.trace(values))), abs=0.05), z


def test_where_nothing_varies_nothing_is_shown():
    found = _Tested.of(np.full((60, 60), 0.3), 0.3, "behaviour")
    assert (found.credibility, found.low, found.high, found.p) == (0.0, 0.0, 1.0, 1.0)


def seen(rows):
    histories = Histories.from_events(events_of(rows), CATALOGUE, HistoryOptions())
    centres = unit_rows(GROUPS, 16, seed=3)[GROUP] + 0.3 * unit_rows(N_ITEMS, 16, seed=4)
    return _Seen.of(histories, CATALOGUE.top_codes, centres, CATALOGUE.no_category, seed=0)


def test_meaning_tells_the_own_items_from_those_of_others():
    people = seen([*grouped(100), [0], [1, 3]])
    both = people.in_both(0, 1)
    assert 90 < len(both) <= 100  # who was seen in one category only says nothing
    near = people.by_meaning(0, 1, both)
    assert near.credibility > 0.5
    assert near.p < 1e-6
    assert near.basis == "meaning"
    others = seen(apart()[:200])
    assert others.by_meaning(0, 1, others.in_both(0, 1)).p > 0.001


def test_pairs_with_few_lists_are_judged_by_meaning(monkeypatch):
    monkeypatch.setattr(bridges, "LEAST_PEOPLE", 130)
    found = fitted(grouped())
    assert {pair.basis for pair in found.pairs} == {"meaning"}


def test_more_than_chance_by_hand():
    pairs = {(0, 1): 0.04, (0, 2): 0.001, (1, 2): 0.03}
    assert _more_than_chance(pairs, 0.05) == {(0, 1), (0, 2), (1, 2)}
    assert _more_than_chance({**pairs, (0, 1): 0.06}, 0.05) == {(0, 2), (1, 2)}
    assert _more_than_chance({(0, 1): 0.03, (0, 2): 0.06}, 0.05) == set()
    assert _more_than_chance({}, 0.05) == set()


def test_a_regression_finds_the_probabilities_that_made_the_data():
    rng = np.random.default_rng(0)
    features = np.column_stack([rng.normal(3, 2, 20_000), np.ones(20_000)])
    true = 1 / (1 + np.exp(-(features[:, 0] - 5)))
    model = fit_jumps(features, rng.random(20_000) < true, np.arange(20_000) // 10, seed=0)
    assert np.abs(model.probabilities(features) - true).max() < 0.03
    assert model.figures["ece"] < 0.02
    few = np.arange(20_000) < LEAST_HITS - 1
    assert not fit_jumps(features, few, np.arange(20_000), seed=0).weights


def test_calibration_by_hand():
    found = calibration(np.array([0.1, 0.1, 0.6, 0.6]), np.array([0, 1, 1, 1], bool))
    assert found["precision"] == 0.75
    assert found["precision at half"] == 1
    assert found["ece"] == pytest.approx((0.1 + 0.9 + 0.4 + 0.4) / 4)
    assert found["reliability"][0] == [0.1, 0.0, 1]
