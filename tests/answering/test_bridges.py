from __future__ import annotations

import numpy as np
import pytest

from crossrec_llm.answering import (
    Bridge,
    Bridges,
    BridgesOptions,
    Gate,
    JumpModel,
    TunedBlend,
    make_query,
)
from crossrec_llm.filter import Filter
from crossrec_llm.generation import Generation
from crossrec_llm.recipe import Recipe
from crossrec_llm.recommender import Recommender
from tests.small import catalogue_of, events_of, unit_rows

N_ITEMS = 60
CATALOGUE = catalogue_of(
    *({"item_id": f"i{i}", "category": ["ABC"[i % 3]]} for i in range(N_ITEMS))
)
HISTORY = ["i0", "i3", "i6"]  # all in A
TOPS = np.arange(N_ITEMS) % 3


@pytest.fixture(scope="module")
def generation():
    rng = np.random.default_rng(0)
    # Low rows are popular, and neighbours in the log are neighbours in number.
    starts = np.minimum(rng.exponential(12, 400).astype(int), N_ITEMS - 8)
    log = [(start + rng.permutation(8)[:5]).tolist() for start in starts]
    raw = unit_rows(N_ITEMS, 16, seed=1)
    recipe = Recipe.from_dict({"blend": {"tune": False}})
    return Generation.fit(recipe, CATALOGUE, raw, events_of(log))


def bridge(home, target, *, opened):
    return Bridge(home, target, 0.5, 0.4, 0.6, 100, "behaviour", opened)


CLOSED_B = Bridges((bridge("A", "B", opened=False), bridge("A", "C", opened=True)))
CLOSED = Bridges((bridge("A", "B", opened=False), bridge("A", "C", opened=False)))


def asked(generation, bridges, **options):
    recipe = Recipe.from_dict({"blend": {"tune": False}, "bridges": options})
    return Recommender(generation.blended_by(TunedBlend(bridges=bridges)).asked_by(recipe))


def popular(generation, top, k):
    people = generation.signals.popularity.people
    order = [row for row in np.argsort(-people, kind="stable") if TOPS[row] == top]
    return [f"i{row}" for row in order[:k]]


def test_without_bridges_and_without_a_gate_everything_is_open(generation):
    plain = Recommender(generation).for_history(HISTORY, filter=Filter(cross="only"))
    for recommender in (
        asked(generation, Bridges()),
        asked(generation, CLOSED, gate=False),
        asked(generation, Bridges((bridge("A", "B", opened=True), bridge("A", "C", opened=True)))),
    ):
        answer = recommender.for_history(HISTORY, filter=Filter(cross="only"))
        assert answer.to_dicts() == plain.to_dicts()
        assert answer.notes == plain.notes == ()
        assert "closed" not in answer.query


def test_what_is_popular_there_comes_instead_and_is_told(generation):
    answer = asked(generation, CLOSED_B).for_history(HISTORY, 5, filter=Filter(category="B"))
    assert answer.ids == popular(generation, 1, 5)
    assert answer.query["closed"] == ["B"]
    assert answer.notes == ("B: no credible bridge from A; popular there instead",)
    for r in answer:
        assert [reason.kind for reason in r.reasons] == ["popular"]
        assert set(r.signals) == {"popularity"}


def test_a_closed_category_keeps_its_places_with_what_is_popular_there(generation):
    plain = Recommender(generation).for_history(HISTORY, 30)
    answer = asked(generation, CLOSED_B).for_history(HISTORY, 30)
    tops = [[item.category for item in found] for found in (plain, answer)]
    assert tops[0] == tops[1]
    mine = [[r.item_id for r in found if r.category != "B"] for found in (plain, answer)]
    assert mine[0] == mine[1]
    there = [r for r in answer if r.category == "B"]
    assert [r.item_id for r in there] == popular(generation, 1, len(there))
    assert [r.score for r in there] == [r.score for r in plain if r.category == "B"]
    assert {r.why for r in there} == {"popular in B"}


def test_a_list_without_anything_closed_says_nothing_of_it(generation):
    answer = asked(generation, CLOSED).for_history(HISTORY, 5, filter=Filter(cross="none"))
    assert answer.notes == ()
    assert answer.query["closed"] == ["B", "C"]


def test_a_pinned_item_stays_pinned(generation):
    answer = asked(generation, CLOSED).for_history(HISTORY, 5, filter=Filter(pin="i58"))
    assert [reason.kind for reason in answer[0].reasons] == ["pinned"]


def test_reasons_are_left_out_where_they_are_not_wanted(generation):
    answer = asked(generation, CLOSED).for_history(HISTORY, explain=False, cross_share=1.0)
    assert not any(r.reasons for r in answer)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_share_is_kept_with_what_is_popular(generation, share):
    answer = asked(generation, CLOSED).for_history(HISTORY, 8, cross_share=share)
    assert sum(r.cross for r in answer) == 8 * share
    assert all(r.why.startswith("popular") for r in answer if r.cross)
    assert not any(r.rules for r in answer)
    assert answer.shortfall is None


def test_caps_and_long_lists_find_enough(generation):
    recommender = asked(generation, CLOSED)
    everything = recommender.for_history(HISTORY, 100)
    assert len(everything) == N_ITEMS - len(HISTORY)
    capped = Filter(category="B", max_per_category=3)
    answer = recommender.for_history(HISTORY, 5, filter=capped)
    assert answer.ids == popular(generation, 1, 3)
    assert answer.shortfall is not None


def test_a_person_at_home_there_does_not_jump(generation):
    bridges = Bridges(CLOSED.pairs, untested_open=False)
    answer = asked(generation, bridges).for_history([*HISTORY, "i1"], filter=Filter(category="B"))
    assert answer.notes == ()
    assert answer.ids != popular(generation, 1, 10)
    assert answer.query["closed"] == ["C"]


def test_an_item_is_not_held_back(generation):
    answer = asked(generation, CLOSED).similar("i0", filter=Filter(cross="only"))
    assert "closed" not in answer.query
    assert answer.ids == Recommender(generation).similar("i0", filter=Filter(cross="only")).ids


def test_pairs_that_were_not_judged_follow_the_others(generation):
    only = (bridge("A", "C", opened=False),)
    for opened in (True, False):
        recommender = asked(generation, Bridges(only, untested_open=opened))
        closed = recommender.for_history(HISTORY).query["closed"]
        assert closed == (["C"] if opened else ["B", "C"])
        assert recommender.bridges() == only


def test_a_jump_that_is_too_unlikely_is_not_made(generation):
    signals = ("neighbours",)
    certain = JumpModel(signals, (0.0,) * 9, (1.0,) * 9, (-2.0,) + (0.0,) * 9)
    bridges = Bridges(jumps=certain)
    filter = Filter(category="B", cross="only")
    made = asked(generation, bridges, threshold=0.1).for_history(HISTORY, filter=filter)
    assert made.notes == ()
    strict = asked(generation, bridges, threshold=0.2)
    assert strict.for_history(HISTORY, filter=Filter(category="B")).notes == ()
    held = strict.for_history(HISTORY, 5, filter=filter)
    assert held.ids == popular(generation, 1, 5)
    assert held.notes == (
        "B: 12 of 100 items found by the history would be taken, fewer than 20; "
        "popular there instead",
    )
    assert held.query["closed"] == ["B"]


def test_a_blend_without_popularity_still_has_it_for_what_is_closed(generation):
    situation = {"weights": {"text": 1.0}, "sources": ["text"]}
    recipe = Recipe.from_dict({"blend": {"tune": False, "user": situation}})
    recommender = Recommender(generation.blended_by(TunedBlend(bridges=CLOSED_B)).asked_by(recipe))
    answer = recommender.for_history(HISTORY, 5, filter=Filter(category="B"))
    assert answer.ids == popular(generation, 1, 5)


def reached(answer, top):
    """The history items that reasons of items in a top category name."""
    return {x.item_id for r in answer if r.category == top for x in r.reasons if x.item_id}


def test_only_a_home_with_an_open_bridge_causes_and_explains(generation):
    bridges = Bridges((bridge("A", "B", opened=False), bridge("C", "B", opened=True)))
    recommender, filter = asked(generation, bridges), Filter(cross="only")
    answer = recommender.for_history(["i2", *HISTORY], 10, filter=filter)
    assert answer.notes == ()
    assert reached(answer, "B") == {"i2"}
    alone = recommender.for_history(["i2"], 10, filter=Filter(category="B"))
    more = recommender.for_history(["i2", *HISTORY], 10, filter=Filter(category="B"))
    assert alone.ids == more.ids


def test_a_home_that_the_policy_denies_opens_nothing(generation):
    bridges = Bridges((bridge("A", "B", opened=False), bridge("C", "B", opened=True)))
    document = {"blend": {"tune": False}, "policy": {"deny": ["C -> B"]}}
    recipe = Recipe.from_dict(document)
    policed = Recommender(generation.blended_by(TunedBlend(bridges=bridges)).asked_by(recipe))
    answer = policed.for_history(["i2", *HISTORY], 5, filter=Filter(category="B"))
    assert answer.query["closed"] == ["B"]
    assert answer.ids == popular(generation, 1, 5)


def test_what_is_near_to_a_dislike_comes_last_in_a_closed_category(generation):
    recommender = asked(generation, CLOSED_B)
    row, disliked = recommender.catalogue.row(popular(generation, 1, 1)[0]), 2
    vectors = np.tile(np.array([1, 0], np.float32), (N_ITEMS, 1))
    vectors[[row, disliked]] = [0, 1]
    history = recommender.catalogue.rows(HISTORY)
    query = make_query("user", history, [1.0] * 3, disliked=[disliked])
    gate = Gate(
        CLOSED_B,
        BridgesOptions(),
        recommender.catalogue,
        recommender.signals,
        generation.signals.popularity.people,
        vectors,
        query,
        np.array([0]),
        denied=frozenset(),
        across=True,
        said=np.empty(0, np.int64),
    )
    rows = np.flatnonzero(TOPS == 1)
    totals = np.arange(len(rows), dtype=np.float32)
    parts, found = gate.exchange(rows, np.ones((len(rows), 2), np.float32), totals)
    assert rows[found.argmin()] == row
    assert not parts.any()


def test_what_nobody_took_is_not_called_popular():
    recipe = Recipe.from_dict({"blend": {"tune": False}})
    log = [[0, 3, 1], [0, 6, 4], [3, 6, 1]]
    few = Generation.fit(recipe, CATALOGUE, unit_rows(N_ITEMS, 16, seed=1), events_of(log))
    answer = asked(few, CLOSED_B).for_history(HISTORY, 3, filter=Filter(only=["i1", "i7"]))
    kinds = {r.item_id: {x.kind for x in r.reasons} for r in answer}
    assert kinds == {"i1": {"popular"}, "i7": {"fill"}}
