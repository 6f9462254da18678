from __future__ import annotations

import numpy as np
import pytest

from crossrec_llm.answering import make_query
from crossrec_llm.signals import Category
from tests.small import catalogue_of

CATALOGUE = catalogue_of(
    {"item_id": "tea", "category": ["Food", "Drinks", "Tea"]},
    {"item_id": "mate", "category": ["Food", "Drinks", "Tea", "Mate"]},
    {"item_id": "coffee", "category": ["Food", "Drinks", "Coffee"]},
    {"item_id": "bread", "category": ["Food", "Bakery"]},
    {"item_id": "tea book", "category": ["Books", "Drinks", "Tea"]},
    {"item_id": "odd", "category": []},
)
EVERY = np.arange(6)


def test_the_shared_start_of_the_path_over_the_own_one():
    signal, query = Category(CATALOGUE), make_query("similar", [0], [1.0])
    expected = [1, 1, 2 / 3, 1 / 3, 0, 0]
    assert signal.score(query, EVERY) == pytest.approx(expected)
    assert signal.carriers(query, EVERY)[:, 0] == pytest.approx(expected)


def test_a_history_counts_by_its_weights():
    query = make_query("user", [0, 4], [1.0, 0.5])
    # 2/3 of the weight on tea, 1/3 on the book.
    scores = Category(CATALOGUE).score(query, EVERY)
    assert scores == pytest.approx([2 / 3, 2 / 3, 4 / 9, 2 / 9, 1 / 3, 0])


def test_proposes_what_shares_something_best_first():
    query = make_query("similar", [2], [1.0])
    allowed = np.array([1, 1, 0, 1, 1, 1], bool)
    assert Category(CATALOGUE).propose(query, 5, allowed).tolist() == [0, 1, 3]


def test_without_a_category_it_cannot_score():
    query = make_query("similar", [5], [1.0])
    assert np.isnan(Category(CATALOGUE).score(query, EVERY)).all()
    assert not len(Category(CATALOGUE).propose(query, 5, np.ones(6, bool)))
