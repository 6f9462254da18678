from __future__ import annotations

import numpy as np
import pytest

from crossrec_llm.answering import make_query


def test_history_keeps_order_and_scales_weights():
    query = make_query("user", [5, 3, 8], [1.0, 4.0, 2.0])
    assert query.history.tolist() == [5, 3, 8]
    assert query.weights.tolist() == [0.25, 1.0, 0.5]
    assert query.disliked.tolist() == []


def test_negative_weights_are_dislikes_and_zero_is_nothing():
    query = make_query("user", [5, 3, 8], [1.0, -2.0, 0.0])
    assert query.history.tolist() == [5]
    assert query.disliked.tolist() == [3]


def test_liked_examples_are_the_newest():
    query = make_query("like", [5, 3], [0.5, 0.25], liked=[7, 5, 7])
    assert query.history.tolist() == [3, 7, 5]
    assert query.weights.tolist() == [1.0, 1.0, 1.0]


def test_dislike_wins():
    query = make_query("like", [5, 3], [1, 1], liked=[7], disliked=[7, 5])
    assert query.history.tolist() == [3]
    assert query.disliked.tolist() == [5, 7]


@pytest.mark.parametrize("kind", ["user", "like", "similar"])
def test_nothing_known(kind):
    query = make_query(kind)
    assert query.history.dtype == np.int64
    assert len(query.history) == len(query.weights) == len(query.disliked) == 0
