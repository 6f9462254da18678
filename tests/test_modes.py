"""`similar`: what could be taken instead of an item, and what is taken with it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from crossrec_llm import Recommender
from crossrec_llm.answering import AnsweringOptions, BlendOptions, Situation
from crossrec_llm.errors import QueryError
from crossrec_llm.generation import Generation
from crossrec_llm.recipe import Recipe
from tests.small import N_ITEMS, events_of, plain_catalogue, unit_rows

RAW = unit_rows(N_ITEMS, 32, seed=3)
RAW[3] = 0.95 * RAW[0] + np.sqrt(1 - 0.95**2) * (
    (RAW[3] - RAW[3] @ RAW[0] * RAW[0]) / np.linalg.norm(RAW[3] - RAW[3] @ RAW[0] * RAW[0])
)
RAW[8] = 0.9 * RAW[0] + 0.5 * RAW[8]  # reads like item 0 too; nobody took it
RAW /= np.linalg.norm(RAW, axis=1, keepdims=True)
# Item 1 comes after item 0 as often as item 2 before it, item 3 beside it; item 7 is taken alone.
TAKEN = [[2, 0, 1], [2, 0, 1], [4, 0, 5], [4, 5, 6], [0, 3], [0, 3], [6, 4], [7], [9, 10]]


def recommender_of(taken=TAKEN, **recipe):
    events = events_of(taken)
    return Recommender(Generation.fit(Recipe(**recipe), plain_catalogue(), RAW, events))


@pytest.fixture(scope="module")
def recommender():
    return recommender_of()


def test_what_comes_after_goes_before_what_came_first(recommender):
    ids = recommender.similar("i0", k=5, mode="together").ids
    assert ids.index("i1") < ids.index("i2")
    back = recommender.similar("i1", k=5, mode="together").ids
    assert {"i0", "i2"} <= set(back)  # against the order counts too


def test_reasons_tell_what_came_after_from_what_came_first(recommender):
    why = {r.item_id: r.reasons for r in recommender.similar("i0", k=5, mode="together")}
    words = {i: {x.text for x in reasons if x.kind == "transitions"} for i, reasons in why.items()}
    assert words["i1"] == {"people who took “i0” took it soon after (A → B)"}
    assert words["i2"] == {"people who took “i0” took it soon before"}


def test_together_is_by_behaviour_and_says_so(recommender):
    first = recommender.similar("i0", k=1, mode="together")[0]
    assert first.item_id == "i1"
    assert first.reasons[0].kind in ("transitions", "neighbours")
    assert set(first.signals) == {"transitions", "neighbours", "graph"}


def test_together_leaves_out_what_reads_nearly_the_same(recommender):
    """Items 3 and 8 have raw cosines above .75 with item 0, and item 3 was taken with it."""
    together = recommender.similar("i0", k=N_ITEMS, mode="together")
    assert {"i3", "i8"}.isdisjoint(together.ids)
    assert together.shortfall == (
        f"{len(together)} of 12: no more items pass the filter and read differently enough to go "
        "with it"
    )
    assert set(recommender.similar("i0", k=3, mode="alike").ids) >= {"i3", "i8"}
    assert "i3" in recommender.similar("i0", k=5).ids


def test_how_much_alike_is_too_much_is_set_by_the_recipe():
    lax = recommender_of(answering=AnsweringOptions(too_alike=1.0))
    assert "i3" in lax.similar("i0", k=3, mode="together").ids


def test_nothing_too_alike_with_a_share_across_either(recommender):
    answer = recommender.similar("i0", k=4, mode="together", cross_share=0.5)
    assert sum(r.cross for r in answer) == 2
    assert {"i3", "i8"}.isdisjoint(answer.ids)


def test_what_nobody_took_goes_with_what_its_like_go_with(recommender):
    answer = recommender.similar("i8", k=2, mode="together")
    assert "nobody took this item yet" in answer.notes[0]
    assert {"i1", "i2"} & set(answer.ids)
    (kind,) = {r.reasons[0].kind for r in answer}
    assert kind == "stand_in"
    assert answer[0].why.startswith("goes with what reads like “i8”")


@pytest.mark.parametrize(("taken", "item_id"), [(TAKEN, "i7"), ([], "i0"), ([[0], [1]], "i0")])
def test_where_nothing_is_known_to_go_with_it_the_answer_is_labelled(taken, item_id):
    recommender = recommender_of(taken)
    answer = recommender.similar(item_id, k=3, mode="together")
    assert "what goes with it is not known" in answer.notes[0]
    assert answer.query["mode"] == "together"
    assert answer.ids == recommender.similar(item_id, k=3, mode="alike").ids


def test_alike_prefers_the_same_kind(recommender):
    """By text alone item 3 would be first: it is nearer, but lies in another category."""
    text = Situation({"text": 1.0}, ("text",))
    by_text = recommender_of(blend=dataclasses.replace(BlendOptions(), alike=text))
    assert by_text.similar("i0", k=2, mode="alike").ids == ["i3", "i8"]
    answer = recommender.similar("i0", k=2, mode="alike")
    assert answer.ids == ["i8", "i3"]
    assert [r.signals["category"] for r in answer] == [1, 0]
    assert {x.kind for x in answer[0].reasons} == {"text", "category"}


def test_the_default_is_both_as_ever(recommender):
    plain = recommender.similar("i0", k=5)
    assert "mode" not in plain.query
    assert plain.to_dict() == recommender.similar("i0", k=5, mode="both").to_dict()
    assert set(plain[0].signals) == {"text", "neighbours"}
    assert plain.notes == ()


def test_each_mode_is_a_situation_of_the_recipe():
    popular = Situation({"popularity": 1.0}, ("popularity",))
    blend = dataclasses.replace(BlendOptions(), together=popular)
    recommender = recommender_of(blend=blend)
    answer = recommender.similar("i1", k=1, mode="together")
    assert answer.ids == ["i0"]
    assert set(answer[0].signals) == {"popularity"}
    assert recommender.similar("i0", k=1, mode="alike")[0].signals.keys() == {"text", "category"}


def test_another_mode_is_refused(recommender):
    with pytest.raises(QueryError, match="mode must be both, alike or together, not 'apart'"):
        recommender.similar("i0", mode="apart")
