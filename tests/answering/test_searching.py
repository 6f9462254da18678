from __future__ import annotations

import logging

import numpy as np
import pytest

from crossrec_llm.answering import PlannedSearch, SearchOptions, Standby
from crossrec_llm.errors import IndexDamaged, IndexMismatch, StoreUnavailable
from crossrec_llm.resting import Rest
from crossrec_llm.store import ExactSearch
from tests.small import unit_rows

VECTORS = unit_rows(50, 8, seed=1)


class Index(ExactSearch):
    """Fails while `fails` is an error; counts how often it is opened and asked."""

    def __init__(self) -> None:
        super().__init__(VECTORS)
        self.fails: Exception | None = None
        self.asked = self.opened = 0

    def open(self) -> Index:
        self.opened += 1
        return self

    def nearest(self, vectors, k, allowed=None):
        self.asked += 1
        if self.fails:
            raise self.fails
        return super().nearest(vectors, k, allowed)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def index() -> Index:
    return Index()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def standby(clock: Clock) -> Standby:
    return Standby("the Chroma server", Rest(clock))


@pytest.fixture
def search(index: Index, standby: Standby) -> PlannedSearch:
    return PlannedSearch(ExactSearch(VECTORS), index.open, SearchOptions(0, 10_000), standby)


def ask(search: PlannedSearch) -> list[str]:
    """Asks one question; gives the notes of its answer."""
    search.standby.begin()
    rows, _ = search.nearest(VECTORS[:3], 5)
    assert rows.tolist() == ExactSearch(VECTORS).nearest(VECTORS[:3], 5)[0].tolist()
    return list(search.standby.notes)


AWAY = StoreUnavailable("nothing answers")
NOTE = "the Chroma server does not answer: found by the exact scan"


def test_what_is_well_has_no_note(search, index):
    assert ask(search) == ask(search) == []
    assert (index.asked, index.opened) == (2, 1)


def test_the_scan_answers_and_says_so(search, index):
    index.fails = AWAY
    assert ask(search) == [NOTE]
    index.fails = IndexDamaged("no such collection")
    search.standby._rest._until = 0
    assert ask(search) == ["the Chroma server is damaged: found by the exact scan"]


def test_one_note_for_many_searches_of_one_question(search, index):
    index.fails = AWAY
    search.standby.begin()
    for _ in range(3):
        search.nearest(VECTORS[:1], 2)
    assert search.standby.notes == (NOTE,)


def test_what_is_away_is_not_asked_by_every_question(search, index, clock, caplog):
    index.fails = AWAY
    caplog.set_level(logging.INFO)
    asked = []
    for second in range(10):
        clock.now = 100.0 + second
        before = index.asked
        assert ask(search) == ask(search) == [NOTE]
        asked.append(index.asked - before)
    assert asked == [1, 1, 0, 1, 0, 0, 0, 1, 0, 0], "after 1 s, 2 s, 4 s"
    levels = [record.levelname for record in caplog.records]
    assert levels == ["WARNING", "INFO", "INFO", "INFO"]


def test_it_is_never_left_alone_for_more_than_a_minute(search, index, clock):
    index.fails = AWAY
    for _ in range(20):
        ask(search)
        clock.now += 60
    assert index.asked == 20


def test_it_is_back_by_itself(search, index, clock, caplog):
    index.fails = AWAY
    assert ask(search) == [NOTE]
    index.fails = None
    assert ask(search) == [NOTE]
    clock.now += 1
    assert ask(search) == []
    assert "the Chroma server answers again" in caplog.text
    assert index.opened == 2, "a collection that was filled again is opened anew"
    index.fails = AWAY
    ask(search)
    clock.now += 1
    index.fails = None
    assert ask(search) == [], "it is trusted as at first"


def test_while_one_question_tries_the_others_do_not_wait(search, index, clock, standby):
    index.fails = AWAY
    ask(search)
    clock.now += 1
    others: list[list[str]] = []

    def meanwhile():
        others.append(ask(search))
        return np.empty(0), np.empty(0)

    standby.ask(meanwhile, meanwhile)
    assert others == [[NOTE]]


def test_what_is_no_failure_of_the_index_is_raised(search, index):
    index.fails = IndexMismatch("vectors of another length")
    with pytest.raises(IndexMismatch):
        search.nearest(VECTORS[:1], 3)


def test_without_a_standby_its_error_is_raised(index):
    index.fails = AWAY
    with pytest.raises(StoreUnavailable):
        PlannedSearch(ExactSearch(VECTORS), index.open, SearchOptions(0, 10_000)).nearest(
            VECTORS[:1], 3
        )
