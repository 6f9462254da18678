from __future__ import annotations

import numpy as np
import pytest

from crossrec_llm.assessing.trial import draw, try_out
from crossrec_llm.evaluation.measuring import Data
from crossrec_llm.recipe import Recipe
from tests.small import events_of, plain_catalogue, unit_rows

CATALOGUE = plain_catalogue(400)
EVENTS = events_of([[n, n + 1, n + 2, n + 3] for n in range(0, 390, 2)])


def tried(events, catalogue):
    """A trial over random vectors."""
    raw = unit_rows(len(catalogue), 8, seed=0)
    sample = draw(catalogue, events, seed=0, minutes=10)
    return try_out(Data(Recipe(), catalogue, raw, events), sample, seed=0, minutes=10)


def test_a_bridge_has_the_paired_difference():
    """Everybody has two of A, then one of two of B."""
    rng = np.random.default_rng(0)
    histories = [[*(2 * rng.permutation(20)[:2]), 2 * rng.integers(0, 20) + 1] for _ in range(60)]
    trial = tried(events_of(histories), plain_catalogue(40))
    (bridge,) = trial.bridges
    assert (bridge.home, bridge.target, bridge.users) == ("A", "B", trial.users)
    apart = bridge.recall["system"].value - bridge.recall["popularity"].value
    assert bridge.ahead.value == pytest.approx(apart)
    assert bridge.ahead.low <= bridge.ahead.value <= bridge.ahead.high
    assert bridge.chance == 10 / 40
    assert not trial.drawn


def test_where_popularity_scores_all_alike_the_blend_is_measured_against_0():
    """Each of 40 items is taken three times in each place."""
    events = events_of([[u % 40, (u + 1) % 40, (u + 2) % 40] for u in range(120)])
    trial = tried(events, plain_catalogue(40))
    assert trial.tied == ("popularity",)
    assert trial.systems["popularity"]["ndcg@10"].value == 0
    assert trial.ahead["popularity"].value == trial.systems["system"]["ndcg@10"].value


def people(table):
    return set(table["user_id"].to_pylist())


def test_what_fits_is_taken_whole():
    sample = draw(CATALOGUE, EVENTS, seed=0, minutes=10)
    assert sample.words == ""
    assert sample.asked is None
    assert sample.events is EVENTS
    assert sample.catalogue is CATALOGUE


def test_those_asked_come_whole_and_others_teach():
    sample = draw(CATALOGUE, EVENTS, seed=0, minutes=0.1)  # 120 texts
    assert 100 < len(sample.catalogue) <= 120
    users = sample.events["user_id"].to_pylist()
    assert {users.count(user) for user in sample.asked} == {4}
    others = people(sample.events) - sample.asked
    assert others  # neighbours of those asked share items with them
    assert set(sample.events["item_id"].to_pylist()) == set(sample.catalogue.ids)
    assert f"{len(sample.asked)} of 195 people can be asked" in sample.words
    more = draw(CATALOGUE, EVENTS, seed=0, minutes=0.15)
    assert sample.asked < more.asked


def test_a_part_of_a_log_of_positions_is_no_clock():
    """Of most people only later positions are left, which alone would look like times."""
    sample = draw(CATALOGUE, EVENTS, seed=0, minutes=0.1)
    assert "positions" in sample.no_clock
    assert "positions" in draw(CATALOGUE, EVENTS, seed=0, minutes=10).no_clock


def test_too_many_people():
    sample = draw(CATALOGUE, EVENTS.slice(0, 0), seed=0, minutes=0.1)
    assert (len(sample.events), len(sample.catalogue)) == (0, 0)
    many = events_of([[0, 1, 2]] * 700)
    sample = draw(plain_catalogue(3), many, seed=0, minutes=0.1)  # 500 people, 120 texts
    assert len(people(sample.events)) == len(sample.asked) == 500
    assert len(sample.catalogue) == 3


def test_the_seed_decides():
    one, again, other = (draw(CATALOGUE, EVENTS, seed=s, minutes=0.1) for s in (1, 1, 2))
    assert one.events.equals(again.events)
    assert one.asked == again.asked
    assert not one.events.equals(other.events)


def test_one_person_with_too_many_items_is_taken_all_the_same():
    sample = draw(plain_catalogue(40), events_of([list(range(40))]), seed=0, minutes=0.001)
    assert len(sample.catalogue) == 40
    assert sample.asked == {"u0"}
