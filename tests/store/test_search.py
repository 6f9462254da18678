from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossrec_llm.store import ExactSearch, reachability
from crossrec_llm.store import search as search_module
from crossrec_llm.store.search import top
from tests.store.small import clustered


@given(st.lists(st.sampled_from([-1.0, 0.0, 0.25, 0.5, 1.0]), max_size=40), st.integers(0, 45))
def test_top_agrees_with_a_sort(scores: list[float], k: int) -> None:
    expected = sorted(range(len(scores)), key=lambda at: (-scores[at], at))[:k]
    assert top(np.array(scores, np.float32), k).tolist() == expected


def test_by_hand() -> None:
    vectors = np.array([[1, 0], [0, 1], [0.6, 0.8], [1, 0]], np.float32)
    rows, scores = ExactSearch(vectors).nearest(np.array([[1, 0]], np.float32), 3)
    assert rows.tolist() == [[0, 3, 2]]
    np.testing.assert_allclose(scores, [[1, 1, 0.6]])


def test_blocks_do_not_change_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = clustered(200)
    allowed = np.arange(200) % 2 == 0
    search = ExactSearch(vectors)
    whole = search.nearest(vectors[:30], 9, allowed)
    monkeypatch.setattr(search_module, "_PAIRS", 500)
    parts = search.nearest(vectors[:30], 9, allowed)
    assert (whole[0] == parts[0]).all()
    np.testing.assert_allclose(whole[1], parts[1], rtol=1e-5)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
def test_a_mask_is_the_same_as_leaving_rows_out(share: float) -> None:
    vectors = clustered(400)
    allowed = np.random.default_rng(1).random(400) < share
    rows, scores = ExactSearch(vectors).nearest(vectors[:10], 12, allowed)
    inner, expected = ExactSearch(vectors[allowed]).nearest(vectors[:10], 12)
    outer = np.append(np.flatnonzero(allowed), -1)[inner]
    assert (rows == outer).all()
    np.testing.assert_allclose(scores, expected, rtol=1e-5)


@pytest.mark.parametrize("q", [1, 2, 8])
def test_few_and_many_queries_are_answered_alike(q: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever way round the product is taken, equal rows stay in their order."""
    vectors = np.repeat(clustered(700), 3, axis=0)
    allowed = np.arange(len(vectors)) % 7 > 0
    answers = []
    for few in (0, 8):
        monkeypatch.setattr(search_module, "_FEW", few)
        answers.append(ExactSearch(vectors).nearest(vectors[100 : 100 + q], 40, allowed))
    np.testing.assert_array_equal(answers[0][0], answers[1][0])
    np.testing.assert_allclose(answers[0][1], answers[1][1], rtol=1e-5)


class Forgetful(ExactSearch):
    """Never finds some of its rows."""

    def __init__(self, vectors: np.ndarray, lost: list[int]) -> None:
        super().__init__(vectors)
        self.known = np.ones(len(vectors), bool)
        self.known[lost] = False

    def nearest(
        self, vectors: np.ndarray, k: int, allowed: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        return super().nearest(vectors, k, self.known)


def test_reachability_of_a_right_search() -> None:
    vectors = clustered(3000)
    found = reachability(ExactSearch(vectors), vectors)
    assert (found.checked, found.unreachable, found.recall_at_10) == (3000, (), 1.0)


def test_reachability_names_what_is_lost() -> None:
    vectors = clustered(1500)
    found = reachability(Forgetful(vectors, [3, 77, 1499]), vectors)
    assert found.unreachable == (3, 77, 1499)
    assert 0.9 < found.recall_at_10 < 1


def test_reachability_of_a_sample_is_drawn_by_the_seed() -> None:
    vectors = clustered(1500)
    search = Forgetful(vectors, list(range(0, 1500, 3)))
    first = reachability(search, vectors, sample=60, seed=1)
    assert first.checked == 60
    assert 5 < len(first.unreachable) < 40
    assert first == reachability(search, vectors, sample=60, seed=1)
    assert first != reachability(search, vectors, sample=60, seed=2)


def test_equal_vectors_crowd_each_other_out_without_being_lost() -> None:
    vectors = np.repeat(clustered(2), 150, axis=0)
    assert reachability(ExactSearch(vectors), vectors).unreachable == ()


@pytest.mark.parametrize("n", [0, 1, 4])
def test_reachability_of_next_to_nothing(n: int) -> None:
    vectors = clustered(n)
    found = reachability(ExactSearch(vectors), vectors)
    assert (found.checked, found.unreachable, found.recall_at_10) == (n, (), 1.0)
