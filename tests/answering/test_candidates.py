from __future__ import annotations

import numpy as np
import pytest

from crossrec_llm.answering import PlannedSearch, SearchOptions, make_query, propose
from crossrec_llm.store import ExactSearch
from tests.small import unit_rows


class Fixed:
    """A source that proposes a fixed list."""

    def __init__(self, name, rows):
        self.name, self.rows = name, rows

    def propose(self, query, n, allowed):
        rows = np.array(self.rows, np.int64)
        return rows[allowed[rows]][:n]


def test_sources_take_turns_until_the_pool_is_full():
    sources = [Fixed("a", [1, 2, 3, 4]), Fixed("b", [9, 2, 8])]
    allowed = np.ones(10, bool)
    assert propose(make_query("user"), allowed, sources, 4).tolist() == [1, 2, 3, 9]
    assert propose(make_query("user"), allowed, sources, 99).tolist() == [1, 2, 3, 4, 8, 9]


def test_no_source_no_candidates():
    assert propose(make_query("user"), np.ones(3, bool), [], 5).tolist() == []


VECTORS = unit_rows(1000, 8, seed=0)


class Counting(ExactSearch):
    asked = 0

    def nearest(self, vectors, k, allowed=None):
        Counting.asked += 1
        return super().nearest(vectors, k, allowed)


@pytest.mark.parametrize(
    ("options", "k", "passing", "asks_index"),
    [
        (SearchOptions(exact_below=2000), 10, 1000, False),
        (SearchOptions(exact_below=100), 10, 1000, True),
        (SearchOptions(exact_below=100), 10, 100, False),
        (SearchOptions(exact_below=100, overfetch=20), 10, 600, True),
        (SearchOptions(exact_below=100, overfetch=20), 10, 400, False),
    ],
)
def test_planner(options, k, passing, asks_index):
    Counting.asked = 0
    search = PlannedSearch(ExactSearch(VECTORS), lambda: Counting(VECTORS), options)
    allowed = np.arange(1000) < passing
    rows, _ = search.nearest(VECTORS[:2], k, allowed)
    assert bool(Counting.asked) == asks_index
    expected, _ = ExactSearch(VECTORS).nearest(VECTORS[:2], k, allowed)
    assert rows.tolist() == expected.tolist()


def test_the_index_is_opened_once_and_only_when_needed():
    opened = []

    def index():
        opened.append(1)
        return ExactSearch(VECTORS)

    search = PlannedSearch(ExactSearch(VECTORS), index, SearchOptions(exact_below=10))
    search.nearest(VECTORS[:1], 3, np.arange(1000) < 5)
    assert not opened
    search.nearest(VECTORS[:1], 3)
    search.nearest(VECTORS[:1], 3)
    assert len(opened) == 1
    assert len(search) == 1000
