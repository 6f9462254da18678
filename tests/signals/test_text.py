from __future__ import annotations

import numpy as np
import pytest

from crossrec_llm.answering import make_query
from crossrec_llm.signals import (
    Asked,
    LateInteraction,
    LateInteractionOptions,
    Text,
    TextOptions,
)
from crossrec_llm.store import ExactSearch
from tests.small import unit_rows

VECTORS = unit_rows(40, 8, seed=3)
ROWS = np.arange(40)


def text(**options) -> Text:
    return Text(VECTORS, ExactSearch(VECTORS), TextOptions(**options))


def late(**options) -> LateInteraction:
    return LateInteraction(VECTORS, ExactSearch(VECTORS), LateInteractionOptions(**options))


def test_pooled_profile_follows_the_formula():
    pooled = 0.5**2 * 1.0 * VECTORS[4] + 0.5 * 0.5 * VECTORS[9] + 1.0 * VECTORS[2]
    query = make_query("user", [4, 9, 2], [2.0, 1.0, 2.0])
    np.testing.assert_allclose(
        text(decay=0.5).score(query, ROWS),
        VECTORS @ (pooled / np.linalg.norm(pooled)),
        atol=1e-6,
    )


def test_a_dislike_lowers_what_reads_like_it():
    liked = text().score(make_query("user", [1, 2], [1, 1]), ROWS)
    with_dislike = text().score(make_query("user", [1, 2, 7], [1, 1, -1]), ROWS)
    assert with_dislike[7] < liked[7]


def test_only_dislikes_make_no_profile():
    assert np.isnan(text().score(make_query("user", [7], [-1]), ROWS)).all()


def test_opposites_make_no_profile():
    vectors = np.array([[1, 0], [-1, 0], [0, 1]], np.float32)
    signal = Text(vectors, ExactSearch(vectors), TextOptions(decay=1.0))
    assert signal.profile(make_query("user", [0, 1], [1, 1])) is None


def test_late_interaction_follows_the_formula():
    query = make_query("user", [4, 9], [1, 1])
    inner = 0.9 * np.exp(VECTORS @ VECTORS[4] / 0.1) + np.exp(VECTORS @ VECTORS[9] / 0.1)
    np.testing.assert_allclose(late().score(query, ROWS), 0.1 * np.log(inner), rtol=1e-4)


@pytest.mark.parametrize("temperature", [1e-3, 1e3])
def test_late_interaction_is_finite_at_any_temperature(temperature):
    signal = late(temperature=temperature)
    query = make_query("user", [4, 9], [1, 1])
    assert np.isfinite(signal.score(query, ROWS)).all()
    assert np.isfinite(signal.carriers(query, ROWS)).all()


def test_dislikes_alone_bend_a_text_away():
    signal = text()
    query = make_query("like", disliked=[7], text_vector=VECTORS[0])
    np.testing.assert_allclose(signal.score(query, ROWS), -VECTORS @ VECTORS[7], atol=1e-6)


def test_late_interaction_keeps_interests_apart():
    """Between two opposite interests lies nothing; pooling would look there."""
    vectors = np.array([[1, 0], [0, 1], [0.99, 0.14], [0.14, 0.99], [0.707, 0.707]], np.float32)
    query = make_query("user", [0, 1], [1, 1])
    rows = np.arange(2, 5)
    apart = LateInteraction(
        vectors, ExactSearch(vectors), LateInteractionOptions(decay=1, temperature=0.05)
    ).score(query, rows)
    pooled = Text(vectors, ExactSearch(vectors), TextOptions(decay=1)).score(query, rows)
    assert pooled.argmax() == 2
    assert apart.argmin() == 2


def test_late_interaction_proposes_for_every_history_item():
    query = make_query("user", [4, 9], [1, 1])
    proposed = set(late().propose(query, 12, np.ones(40, bool)).tolist())
    for row in (4, 9):
        assert {row, *np.argsort(-(VECTORS @ VECTORS[row]))[:3].tolist()} <= proposed


def test_asked_is_the_cosine_with_the_text():
    signal = Asked(VECTORS, ExactSearch(VECTORS))
    query = make_query("like", text_vector=VECTORS[5])
    assert signal.score(query, ROWS).argmax() == 5
    assert signal.score(query, ROWS)[5] == pytest.approx(1, abs=1e-6)
