from __future__ import annotations

import numpy as np
import pytest

from crossrec_llm.answering import carry_all, make_query, reasons
from crossrec_llm.answering.explaining import sentence
from crossrec_llm.records import Item

TEA = Item("tea", "Green tea", category=("Grocery",))
CUP = Item("cup", "Tea cup", category=("Kitchen",))
POT = Item("pot", "Tea pot", category=("Kitchen",))


class Carrying:
    def __init__(self, kind, carriers):
        self.kind = self.name = kind
        self._carriers = np.array(carriers, np.float32)

    def score(self, query, rows):
        raise AssertionError("reasons need no scores")

    def carriers(self, query, rows):
        return self._carriers


def why(parts, *signals, scores=None, cold=False, untaken=(), pinned=False, **more):
    query = make_query("user", [0, 1], [1, 1])
    scores = np.array([scores or [1.0] * len(parts)], np.float32)
    parts = np.array([parts], np.float32)
    items = [TEA, CUP, POT]
    marks = np.array([0 in untaken, 1 in untaken, cold]), np.array([pinned])
    carried = carry_all(query, np.array([2]), signals)
    return reasons(
        query, np.array([2]), scores, parts, carried, signals, items.__getitem__, *marks, **more
    )[0]


def test_shares_are_split_over_signals_and_history():
    found = why(
        [3.0, 1.0, -2.0],
        Carrying("neighbours", [[1, 2]]),
        Carrying("popular", [[0, 0]]),
        Carrying("text", [[5, 5]]),
    )
    assert [(r.kind, r.item_id) for r in found] == [
        ("neighbours", "cup"),
        ("neighbours", "tea"),
        ("popular", None),
    ]
    assert [r.share for r in found] == pytest.approx([0.5, 0.25, 0.25])


def test_a_pinned_item_is_there_because_it_is_pinned():
    (only,) = why([3.0], Carrying("text", [[1, 1]]), pinned=True)
    assert (only.kind, only.share, only.text) == ("pinned", 1.0, "pinned by a rule")


def test_signals_of_one_kind_are_one_reason():
    found = why([1.0, 3.0], Carrying("text", [[0, 1]]), Carrying("text", [[1, 1]]))
    assert [(r.item_id, r.share) for r in found] == [
        ("cup", pytest.approx(0.625)),
        ("tea", pytest.approx(0.375)),
    ]


def test_where_nothing_speaks_for_it_nothing_is_invented():
    found = why([-3.0, -1.0], Carrying("text", [[1, 0]]), Carrying("popular", [[0, 0]]))
    assert [(r.kind, r.share, r.item_id) for r in found] == [("fill", 1.0, None)]
    assert found[0].text == "fills the list: nothing in particular speaks for it"


def test_a_signal_without_a_ground_is_no_reason():
    """Above the mean of the pool, but nobody took both, and nobody took it."""
    found = why(
        [2.0, 1.0, 1.0],
        Carrying("neighbours", [[0, 0]]),
        Carrying("popular", [[0, 0]]),
        Carrying("text", [[0, 1]]),
        scores=[0.0, 0.0, 0.4],
    )
    assert [(r.kind, r.share) for r in found] == [("text", 1.0)]


def test_behaviour_on_what_nobody_took_is_named_as_filled_in():
    found = why([3.0, 1.0], Carrying("neighbours", [[0, 1]]), Carrying("text", [[1, 0]]), cold=True)
    assert [r.kind for r in found] == ["imputed", "text"]
    assert found[0].text == "people who took “Tea cup” took what reads like it"


@pytest.mark.parametrize(("place", "word"), [(0, "after"), (1, "before")])
def test_what_people_took_before_is_not_said_to_come_after(place, word):
    carriers = [[1, 0], [0, 1]][place]
    (found,) = why(
        [1.0], Carrying("transitions", [carriers]), before=np.array([[False, True]])
    )  # fmt: skip
    assert found.kind == "transitions"
    assert found.text.startswith("people who took “")
    assert f"” took it soon {word}" in found.text


@pytest.mark.parametrize("cold", [False, True])
def test_behaviour_of_a_history_that_nobody_took_names_its_stand_ins(cold):
    signals = [Carrying("neighbours", [[0, 1]]), Carrying("text", [[1, 0]])]
    found = why([3.0, 1.0], *signals, cold=cold, untaken=[1])
    assert [r.kind for r in found] == ["stand_in", "text"]
    assert found[0].text == "goes with what reads like “Tea cup”"


def test_only_what_nobody_took_of_a_history_has_a_stand_in():
    found = why([4.0], Carrying("neighbours", [[3, 1]]), untaken=[1])
    assert [(r.kind, r.item_id) for r in found] == [("neighbours", "tea"), ("stand_in", "cup")]


@pytest.mark.parametrize(
    ("kind", "because", "text", "words"),
    [
        ("text", CUP, None, "reads like “Tea cup”"),
        ("text", TEA, None, "reads like “Green tea” (Grocery → Kitchen)"),
        ("neighbours", TEA, None, "people who took “Green tea” also took it (Grocery → Kitchen)"),
        ("popular", None, None, "popular in Kitchen"),
        ("asked", None, "a pot", "matches “a pot”"),
    ],
)
def test_sentences(kind, because, text, words):
    assert sentence(kind, POT, because, text) == words


def test_long_titles_are_shortened():
    words = sentence("text", POT, Item("x", "y" * 100, category=("Kitchen",)), None)
    assert words == "reads like “" + "y" * 57 + "...”"
