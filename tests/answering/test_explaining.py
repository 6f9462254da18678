from __future__ import annotations

import numpy as np
import pytest

from crossrec_llm.answering import make_query, reasons
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


def why(parts, *signals, kind="user", text=None):
    query = make_query(kind, [0, 1], [1, 1])
    return reasons(
        query, np.array([2]), np.array([parts], np.float32), signals, [POT], [TEA, CUP], text
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


def test_signals_of_one_kind_are_one_reason():
    found = why([1.0, 3.0], Carrying("text", [[0, 1]]), Carrying("text", [[1, 1]]))
    assert [(r.item_id, r.share) for r in found] == [
        ("cup", pytest.approx(0.625)),
        ("tea", pytest.approx(0.375)),
    ]


def test_where_nothing_speaks_for_it_the_least_against_is_named():
    found = why([-3.0, -1.0], Carrying("text", [[1, 0]]), Carrying("popular", [[0, 0]]))
    assert [(r.kind, r.share) for r in found] == [("popular", 1.0)]


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
    assert sentence(kind, POT, because, text, "user") == words


def test_long_titles_are_shortened():
    words = sentence("text", POT, Item("x", "y" * 100, category=("Kitchen",)), None, "user")
    assert words == "reads like “" + "y" * 57 + "...”"
