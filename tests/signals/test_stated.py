from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from crossrec_llm.answering import ProfileOptions, StatedBlend, WeightedBlend, make_query
from crossrec_llm.answering.blend import standardise
from crossrec_llm.signals import Disliked, Said
from crossrec_llm.store import ExactSearch
from tests.small import unit_rows

RAW = unit_rows(30, 6, seed=8)
ROWS = np.arange(30)
SAID = Said(RAW, ExactSearch(RAW))
AWAY = Disliked(RAW)
PINNED = make_query("user", [1, 2], [1, 1], said=("one", "two"), said_vectors=RAW[[7, 9]])


def test_near_to_one_of_the_pinned_sentences_is_enough():
    expected = np.maximum(RAW @ RAW[7], RAW @ RAW[9])
    np.testing.assert_allclose(SAID.score(PINNED, ROWS), expected, atol=1e-6)
    assert [SAID.sentence(PINNED, row) for row in (7, 9)] == ["one", "two"]


def test_every_sentence_proposes():
    allowed = np.ones(30, bool)
    allowed[9] = False
    found = SAID.propose(PINNED, 6, allowed)
    assert found[0] == 7
    assert 9 not in found
    assert len(found) == len(set(found.tolist())) == 6


def test_nothing_pinned_says_nothing():
    query = make_query("user", [1], [1])
    assert np.isnan(SAID.score(query, ROWS)).all()
    assert not len(SAID.propose(query, 5, np.ones(30, bool)))


def test_no_history_item_stands_behind_what_was_said():
    assert not SAID.carriers(PINNED, ROWS).any()
    assert not AWAY.carriers(make_query("user", [1, 4], [1, -1]), ROWS).any()


def test_a_dislike_pushes_down_what_is_near_and_nothing_else():
    scores = AWAY.score(make_query("user", [1, 4], [1, -1]), ROWS)
    cosines = RAW @ RAW[4]
    np.testing.assert_allclose(scores, -np.maximum(cosines, 0), atol=1e-6)
    assert scores[4] == pytest.approx(-1)
    assert (scores[cosines <= 0] == 0).all()


def test_dislikes_of_one_direction_add_up_and_are_bounded():
    one = AWAY.score(make_query("user", disliked=[4]), ROWS)
    both = AWAY.score(make_query("user", disliked=[4, 5, 6]), ROWS)
    assert (both <= one).all()
    assert both.min() >= -1
    assert (both < one).any()
    assert not AWAY.score(make_query("user", [1], [1]), ROWS).any()


def test_what_was_said_joins_the_blend_with_weights_of_its_own():
    first = WeightedBlend({"text": 0.5})
    query = dataclasses.replace(PINNED, disliked=np.array([3]))
    blend = StatedBlend.of(first, query, ProfileOptions(pin=2.0, dislike=3.0))
    assert blend.names == ("text", "said", "disliked")
    scores = np.column_stack([RAW[:, 0], SAID.score(query, ROWS), AWAY.score(query, ROWS)])
    parts = blend.parts(ROWS, scores)
    z = standardise(scores)
    np.testing.assert_allclose(
        parts, np.column_stack([0.5 * z[:, 0], 2 * z[:, 1], 3 * scores[:, 2]]), rtol=1e-5
    )
    np.testing.assert_allclose(blend.total(query, ROWS, parts), parts.sum(axis=1), rtol=1e-5)


@pytest.mark.parametrize(
    ("query", "options"),
    [
        (make_query("user", [1], [1]), ProfileOptions()),
        (PINNED, ProfileOptions(pin=0)),
        (make_query("user", [1, 4], [1, -1]), ProfileOptions(dislike=0)),
    ],
)
def test_the_blend_stays_as_it_is_where_nothing_was_said(query, options):
    first = WeightedBlend({"text": 0.5})
    assert StatedBlend.of(first, query, options) is first
