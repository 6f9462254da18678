from __future__ import annotations

import numpy as np
import pytest

from crossrec_llm.evaluation import Case
from crossrec_llm.evaluation.systems import CaseTable, FullRanking, places
from crossrec_llm.filter import Filter
from tests.small import plain_catalogue

CATALOGUE = plain_catalogue(6)  # the even rows in A, the odd ones in B


class Fixed:
    """The same scores for everybody."""

    def __init__(self, *scores):
        self.scores = np.array(scores, np.float32)

    def score(self, table, part):
        return np.tile(self.scores, (part.stop - part.start, 1))


def ranked(scores, *cases, depth=3):
    return FullRanking("fixed", Fixed(*scores)).rank(CaseTable.of(CATALOGUE, cases), depth)


def test_ties_stand_at_their_average_place():
    """i0 first; i1, i2 and i3 share places 2 to 4; i9 does not exist."""
    found = ranked((5, 3, 3, 3, 1, 0), Case("u", (), ("i0", "i2", "i4", "i9")))
    assert found.ranks.tolist() == [[1, 3, 5, np.inf]]


def test_of_items_that_tie_for_more_places_than_there_are_none_is_listed():
    assert ranked((5, 3, 3, 3, 1, 0), Case("u", (), ("i0",))).lists.tolist() == [[0, -1, -1]]
    assert ranked((5, 3, 3, 2, 1, 0), Case("u", (), ("i0",))).lists.tolist() == [[0, 1, 2]]


def test_history_never_comes_again_unless_asked():
    case = Case("u", ("i0",), ("i0", "i1"))
    found = ranked((5, 4, 3, 2, 1, 0), case)
    assert found.lists[0].tolist() == [1, 2, 3]
    assert found.ranks.tolist() == [[np.inf, 1]]
    again = ranked((5, 4, 3, 2, 1, 0), Case("u", ("i0",), ("i0",), Filter(include_seen=True)))
    assert again.lists[0].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("filter", "wanted"),
    [
        (Filter(only=("i5", "i1", "i4")), [1, 4, 5]),
        (Filter(category=("B",)), [1, 3, 5]),
        (Filter(cross="only"), [1, 3, 5]),
        (Filter(cross="none"), [2, 4, -1]),
    ],
)
def test_filters_are_those_of_the_served_path(filter, wanted):
    found = ranked((5, 4, 3, 2, 1, 0), Case("u", ("i0",), ("i1",), filter))
    assert found.lists[0].tolist() == wanted


def test_histories_with_decay():
    cases = [
        Case("u", ("i0", "i2", "i0", "gone", "i1"), ()),
        Case("v", (), ()),
        Case("w", ("i5",), ()),
    ]
    table = CaseTable.of(CATALOGUE, cases)
    weights = table.histories(slice(0, 3), decay=0.5, last=2).toarray()
    assert weights.tolist() == [[0.5, 1, 0, 0, 0, 0], [0] * 6, [0] * 5 + [1]]
    assert table.histories(slice(1, 3)).toarray()[1].tolist() == [0] * 5 + [1]


def test_grades_become_gains():
    table = CaseTable.of(
        CATALOGUE, [Case("q", (), ("i1", "i2"), grades=(3, 1)), Case("r", (), ("i0",))]
    )
    assert table.gains.tolist() == [[3, 1], [1, 0]]
    assert table.targets.tolist() == [[1, 2], [0, -1]]


def test_places_in_lists():
    lists = np.array([[4, 2, -1], [0, 1, 2]])
    targets = np.array([[2, -1], [7, 0]])
    assert places(lists, targets).tolist() == [[2, np.inf], [np.inf, 1]]


def test_candidates_are_what_some_filter_lets_in():
    cases = [
        Case("u", ("i0",), (), Filter(category=("B",), cross="only")),
        Case("v", ("i0",), (), Filter(only=("i0", "i1"))),
    ]
    found = CaseTable.of(CATALOGUE, cases).candidates()
    assert np.flatnonzero(found).tolist() == [0, 1, 3, 5]
