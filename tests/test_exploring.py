"""Lists that are drawn for, asked of an index: rules hold, the same draw gives the same list."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from crossrec_llm import Filter, Recommender, replay
from crossrec_llm.comparing import from_document
from crossrec_llm.errors import QueryError, RecipeError

EXPLORING = {"experiments": {"explore": 0.3}}


@pytest.fixture(scope="module")
def rec(tiny_made) -> Iterator[Recommender]:
    with Recommender.open(tiny_made[0]) as opened:
        yield opened


@pytest.fixture(scope="module")
def exploring(rec: Recommender) -> Recommender:
    return rec.asked_by(EXPLORING)


def test_a_draw_is_labelled_noted_and_can_be_asked_again(exploring: Recommender) -> None:
    answer = next(
        one
        for day in range(50)
        if (one := exploring.for_user("u1", k=6, explore=f"day {day}")).receipt.explored
    )

    moved = [one.rank for one in answer if "explored" in one.rules]
    assert answer.receipt.explored == len(moved) > 0
    assert any(note.startswith("explored: place") for note in answer.notes)
    again = from_document(answer.to_dict())
    assert [one.propensity for one in again] == [one.propensity for one in answer]
    assert replay(exploring, again).reproduced
    assert {one.rank: one.item_id for one in answer.offers if one.rank} == {
        one.rank: one.item_id for one in answer
    }
    home = {one.home: one.item_id for one in answer.offers if one.home}
    plain = exploring.for_user("u1", k=6)
    assert [home[rank] for rank in range(1, 7)] == plain.ids
    assert plain.offers == ()
    assert plain.receipt.explored is None
    assert "propensity" not in plain.to_dict()["items"][0]


@pytest.mark.parametrize(
    "asked",
    [
        {"filter": Filter(max_per_brand=1)},
        {"filter": Filter(max_per_top_category=2, bury=("category:Games",))},
        {"filter": Filter(quota={"Games": 0.5})},
        {"filter": Filter(new_share=0.3, pin=("p-chess-set",), include_seen=True)},
        {"filter": Filter(calibration=0.5, category=("Games", "Books"))},
        {"cross_share": 0.4},
        {"filter": Filter(cross="only")},
        {"diversity": 0.5},
    ],
)
def test_rules_hold_whatever_is_drawn(exploring: Recommender, asked) -> None:
    plain = exploring.for_user("u2", k=6, explain=False, **asked)
    tops = Counter(one.category.split(" > ")[0] for one in plain)
    others = 0
    for day in range(25):
        drawn = exploring.for_user("u2", k=6, explain=False, explore=str(day), **asked)
        others += drawn.ids != plain.ids
        assert drawn.shortfall == plain.shortfall
        assert [one.cross for one in drawn].count(True) == [one.cross for one in plain].count(
            True
        ) or not (asked.keys() & {"cross_share"})
        rules = asked.get("filter", Filter())
        brands = Counter(one.item.brand for one in drawn if one.item.brand)
        assert max(brands.values(), default=0) <= (rules.max_per_brand or 6)
        found = Counter(one.category.split(" > ")[0] for one in drawn)
        if rules.max_per_top_category or rules.calibration:
            assert found == tops
        if rules.quota:
            assert found["Games"] == 3
        if rules.new_share:
            assert sum(one.cold for one in drawn) >= 2
            assert drawn.ids[0] == "p-chess-set"
        if rules.category:
            assert set(found) <= set(rules.category)
    assert others


def test_settings_that_only_say_how_to_answer_can_be_laid_over(rec: Recommender, tiny) -> None:
    diverse = rec.asked_by({"answering": {"diversity": 0.6}})

    assert diverse.for_user("u1").query["diversity"] == 0.6
    assert rec.for_user("u1").query["diversity"] == 0.0
    assert diverse.for_user("u1").ids == rec.for_user("u1", diversity=0.6).ids
    assert diverse.receipt.generation == rec.receipt.generation
    assert diverse.receipt.recipe == diverse.recipe.fingerprint[:12] != rec.receipt.recipe
    assert diverse.asked_by({}).recipe == diverse.recipe
    weights = rec.asked_by({"blend": {"user": {"weights": {"text": 1.0}}}})
    assert set(weights.for_user("u1")[0].signals) == {"text"}
    assert weights.receipt.blend != rec.receipt.blend
    diverse.close()
    assert diverse.for_user("u1"), "it is the other one's to close"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"signals": {"ease": {"l2": 1.0}}}, "what is fitted depends on it"),
        ({"answering": {"divers": 1}}, "did you mean 'diversity'"),
        ({"answering": {"language": "xx"}}, "xx"),
        ({"experiments": {"explore": 0.4}}, "less than or equal to 0.3"),
    ],
)
def test_settings_that_cannot_be_laid_over(rec: Recommender, settings, words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        rec.asked_by(settings)


def test_a_draw_needs_a_name(rec: Recommender) -> None:
    with pytest.raises(QueryError, match="names a draw"):
        rec.for_user("u1", explore="")
