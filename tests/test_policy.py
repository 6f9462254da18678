"""The policy, the whole way: over the invented shop, in every kind of question."""

from __future__ import annotations

import json

import pytest

from crossrec_llm import Filter, Recipe, Recommender
from crossrec_llm.answering import LearnedBlend, Tuned, TunedBlend
from tests import shop

GOODS = {good.item_id: good for theme in shop.THEMES for good in shop.of_theme(theme)}

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def plain(shop_index):
    with Recommender.open(shop_index) as opened:
        yield opened


def under(plain, **policy):
    recipe = Recipe.from_dict({"policy": policy})
    return Recommender(plain.generation.asked_by(recipe), plain.ledger)


def tops(answer):
    return {r.item.category[0] for r in answer}


def causes(answer, top):
    """The history items that reasons of items in a top category name."""
    found = {x.item_id for r in answer if r.item.category[0] == top for x in r.reasons}
    return {GOODS[item_id].category[0] for item_id in found - {None}}


CHESS = ["p-chess-set", "p-chess-clock"]


def test_nothing_of_it_comes_where_all_of_the_history_is_denied(plain):
    assert "Books" in tops(plain.for_history(CHESS, 30))
    policed = under(plain, deny=["Games -> Books"])
    answer = policed.for_history(CHESS, 30)
    assert "Books" not in tops(answer)
    assert answer.notes == (
        "policy: nothing crosses from Games to Books (items left out: "
        f"{sum(good.category[0] == 'Books' for good in GOODS.values())})",
    )
    pinned = policed.for_history(CHESS, filter=Filter(pin="b-chess-openings", standing=False))
    assert "b-chess-openings" not in pinned.ids
    assert any("'b-chess-openings' is kept out by the policy" in note for note in pinned.notes)
    assert "Books" not in tops(policed.similar("p-chess-set", 40))
    assert "Books" in tops(policed.similar("b-chess-openings", 40))
    assert not policed.for_history(CHESS, filter=Filter(category="Books")).ids


def test_some_of_the_history_may_bring_it_and_only_that_explains_it(plain):
    history = [*CHESS, "g-trowel", "g-pruner"]
    assert causes(plain.for_history(history, 40), "Books") == {"Games", "Garden"}
    answer = under(plain, deny=["Games -> Books"]).for_history(history, 40)
    assert causes(answer, "Books") == {"Garden"}
    assert causes(answer, "Games") == {"Games", "Garden"}
    assert "b-vegetable-garden" in answer.ids[:20]
    (note,) = answer.notes
    assert note.startswith("policy: nothing crosses from Games to Books (items scored without that")


def test_a_text_may_ask_for_anything_but_the_history_does_not_bend_it(plain):
    policed = under(plain, deny=["* -> Books"])
    reader = policed._moments.newest.reader
    reader._encoder, reader._templates = plain.encoder, plain.templates
    answer = policed.like("chess", 40, user="u17")
    assert "Books" in tops(answer)
    assert causes(answer, "Books") <= {"Books"}
    assert {x.kind for r in answer for x in r.reasons if r.item.category[0] == "Games"}


def test_a_share_is_kept_and_says_so(plain):
    assert sum(r.item.category[0] == "Books" for r in plain.for_history(CHESS, 10)) > 2
    answer = under(plain, share={"Games -> Books": 0.2}).for_history(CHESS, 10)
    assert sum(r.item.category[0] == "Books" for r in answer) == 2
    assert len(answer) == 10
    assert any("policy Games -> Books" in r.rules for r in answer)


def test_a_policy_that_does_not_act_changes_nothing(plain):
    policed = under(plain, deny=["Outdoors -> Games"], share={"Outdoors -> Books": 0.1})
    for ask in (lambda who: who.for_history(CHESS, 20), lambda who: who.similar("p-chess-set")):
        one, two = (ask(who).to_dict() for who in (under(plain), policed))
        one["receipt"] = two["receipt"] = {}
        assert json.dumps(one) == json.dumps(two)


def test_trees_rank_only_what_sees_all_of_the_history(plain, monkeypatch):
    situation = plain.generation.situation("user")
    tuned = TunedBlend({"user": Tuned(situation, trees="trees that must not be asked")})
    recipe = Recipe.from_dict({"policy": {"deny": ["Games -> Books"]}})
    generation = plain.generation.asked_by(recipe).blended_by(tuned)
    policed = Recommender(generation)
    assert isinstance(policed._moments.newest.answers._blends["user"], LearnedBlend)
    assert policed.for_history([*CHESS, "g-trowel"]).ids
    asked = []
    monkeypatch.setattr(LearnedBlend, "total", lambda *seen: asked.append(1) or seen[3].sum(axis=1))
    for history in (["g-trowel"], CHESS):  # all that may come sees all of it
        policed.for_history(history)
    assert asked == [1, 1]
