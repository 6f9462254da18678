from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from crossrec_llm.answering import Account, Wording, make_query, reasons
from crossrec_llm.records import Item

TEA = Item("tea", "Green tea", category=("Grocery",))
CUP = Item("cup", "Tea cup", category=("Kitchen",))
POT = Item("pot", "Tea pot", category=("Kitchen",))
ENGLISH = Wording.load("en")


def why(*told, losses=(0, 0), cold=False, untaken=(), pinned=False, **more):
    """Reasons for the pot; of each signal its kind, and what tea, cup and neither add."""
    parts = np.array([[values for _, values in told]], np.float64)
    losses = np.array([losses], np.float64)
    account = Account(np.arange(2), parts, parts > 0, losses, np.zeros(1))
    marks = np.array([0 in untaken, 1 in untaken, cold]), np.array([pinned])
    return reasons(
        make_query("user", [0, 1], [1, 1]),
        np.array([2]),
        account,
        [SimpleNamespace(kind=kind) for kind, _ in told],
        [TEA, CUP, POT].__getitem__,
        *marks,
        ENGLISH,
        **more,
    )[0]


def test_shares_are_of_what_speaks_for_it():
    told = ("neighbours", [1, 2, -3]), ("popular", [0, 0, 1]), ("text", [-5, -5, 0])
    found = why(*told, losses=(0, 1))
    assert [(r.kind, r.item_id) for r in found] == [
        ("neighbours", "cup"),
        ("neighbours", "tea"),
        ("popular", None),
    ]
    assert [r.share for r in found] == pytest.approx([0.5, 0.25, 0.25])


def test_the_history_item_without_which_it_would_lose_most_is_named_first():
    told = ("popular", [0, 0, 9]), ("text", [5, 1, 0]), ("taste", [4, 2, 0])
    assert [(r.kind, r.item_id) for r in why(*told, losses=(1, 2))] == [
        ("popular", None),
        ("taste", "cup"),
        ("text", "tea"),
    ]
    assert [r.item_id for r in why(*told, losses=(2, 1))] == [None, "tea", "tea"]


def test_a_history_item_that_is_no_reason_is_not_named_for_what_it_would_cost():
    assert [r.item_id for r in why(("text", [1, 0, 0]), losses=(-1, 5))] == ["tea"]


def test_a_pinned_item_is_there_because_it_is_pinned():
    (only,) = why(("text", [1, 1, 0]), pinned=True)
    assert (only.kind, only.share, only.text) == ("pinned", 1.0, "pinned by a rule")


def test_signals_of_one_kind_are_one_reason():
    found = why(("text", [0, 1, 0]), ("text", [1.5, 1.5, 0]), losses=(1, 2))
    assert [(r.item_id, r.share) for r in found] == [
        ("cup", pytest.approx(0.625)),
        ("tea", pytest.approx(0.375)),
    ]


def test_where_nothing_speaks_for_it_nothing_is_invented():
    found = why(("text", [-3, 0, 0]), ("popular", [0, 0, -1]))
    assert [(r.kind, r.share, r.item_id) for r in found] == [("fill", 1.0, None)]
    assert found[0].text == "fills the list: nothing in particular speaks for it"


def test_what_no_sentence_can_say_without_a_history_item_is_no_reason():
    assert [r.kind for r in why(("taste", [0, 0, 3]), ("text", [0, 1, 0]))] == ["text"]


def test_behaviour_on_what_nobody_took_is_named_as_filled_in():
    found = why(("neighbours", [0, 3, 0]), ("text", [1, 0, 0]), losses=(0, 1), cold=True)
    assert [r.kind for r in found] == ["imputed", "text"]
    assert found[0].text == "people who took “Tea cup” took what reads like it"


@pytest.mark.parametrize(("place", "word"), [(0, "after"), (1, "before")])
def test_what_people_took_before_is_not_said_to_come_after(place, word):
    values = [[1, 0, 0], [0, 1, 0]][place]
    (found,) = why(("transitions", values), before=np.array([[False, True]]))
    assert found.kind == "transitions"
    assert found.text.startswith("people who took “")
    assert f"” took it soon {word}" in found.text


@pytest.mark.parametrize("cold", [False, True])
def test_behaviour_of_a_history_that_nobody_took_names_its_stand_ins(cold):
    told = ("neighbours", [0, 3, 0]), ("text", [1, 0, 0])
    found = why(*told, losses=(0, 1), cold=cold, untaken=[1])
    assert [r.kind for r in found] == ["stand_in", "text"]
    assert found[0].text == "goes with what reads like “Tea cup”"


def test_only_what_nobody_took_of_a_history_has_a_stand_in():
    found = why(("neighbours", [3, 1, 0]), untaken=[1])
    assert [(r.kind, r.item_id) for r in found] == [("neighbours", "tea"), ("stand_in", "cup")]
