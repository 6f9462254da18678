"""What every Search must do, exact or approximate, here or on a server."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from crossrec_llm.answering import PlannedSearch, SearchOptions
from crossrec_llm.store import ChromaStore, ExactSearch, Overlaid, Search
from tests.store.conftest import chroma_server  # noqa: F401
from tests.store.small import clustered

Make = Callable[[np.ndarray], Search]
KINDS = [
    "exact",
    "planned",
    "overlaid",
    "embedded",
    pytest.param("server", marks=pytest.mark.server),
]


@pytest.fixture(params=KINDS)
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    """Makes a search of the given vectors."""
    with ExitStack() as stack:

        def in_chroma(vectors: np.ndarray) -> Search:
            if request.param in ("embedded", "planned"):
                store = ChromaStore.embedded(tmp_path / uuid.uuid4().hex)
            else:
                url = request.getfixturevalue("chroma_server")
                store = ChromaStore.server(url, prefix=uuid.uuid4().hex)
            stack.enter_context(store)
            ids = [f"item {row}/🛒" for row in range(len(vectors))]
            store.write("items", ids, vectors)
            return store.search("items", ids)

        def planned(vectors: np.ndarray) -> Search:
            # Low limits, so that small questions go either way.
            options = SearchOptions(exact_below=100, overfetch=200)
            return PlannedSearch(ExactSearch(vectors), lambda: in_chroma(vectors), options)

        def overlaid(vectors: np.ndarray) -> Search:
            # Built over fewer rows, of which every seventh was another one.
            built = len(vectors) - len(vectors) // 3
            was = vectors[:built].copy()
            was[::7] = was[::7][:, ::-1]
            late = np.union1d(np.arange(0, built, 7), np.arange(built, len(vectors)))
            return Overlaid(ExactSearch(was), vectors, late)

        made = {"exact": ExactSearch, "planned": planned, "overlaid": overlaid}
        yield made.get(request.param, in_chroma)


def test_shape_types_and_order(make: Make) -> None:
    vectors = clustered(300)
    search = make(vectors)
    rows, scores = search.nearest(vectors[:7], 20)
    assert len(search) == 300
    assert rows.shape == scores.shape == (7, 20)
    assert rows.dtype == np.int64
    assert scores.dtype == np.float32
    assert (np.diff(scores) <= 0).all()
    assert (rows[:, 0] == np.arange(7)).all(), "each finds itself first"
    np.testing.assert_allclose(scores, (vectors[:7] @ vectors.T)[np.arange(7)[:, None], rows], 1e-4)


def test_finds_the_true_neighbours(make: Make) -> None:
    vectors = clustered(500)
    rows, _ = make(vectors).nearest(vectors[:50], 10)
    true = np.argsort(-(vectors[:50] @ vectors.T), axis=1)[:, :10]
    assert np.mean([len({*a} & {*b}) / 10 for a, b in zip(rows, true, strict=True)]) > 0.99


@pytest.mark.parametrize("passing", [3, 40, 290])
def test_only_allowed_rows(make: Make, passing: int) -> None:
    vectors = clustered(300)
    allowed = np.zeros(300, bool)
    allowed[np.random.default_rng(passing).choice(300, passing, replace=False)] = True
    rows, scores = make(vectors).nearest(vectors[:4], 25, allowed)
    found = rows >= 0
    assert (found.sum(axis=1) == min(25, passing)).all(), "as many as there are"
    assert allowed[rows[found]].all()
    assert (scores[~found] == -np.inf).all()
    true = np.where(allowed, vectors[:4] @ vectors.T, -np.inf).argmax(axis=1)
    assert (rows[:, 0] == true).all()


def test_nothing_allowed(make: Make) -> None:
    vectors = clustered(30)
    rows, scores = make(vectors).nearest(vectors[:2], 3, np.zeros(30, bool))
    assert (rows == -1).all()
    assert (scores == -np.inf).all()


def test_more_asked_than_there_are(make: Make) -> None:
    vectors = clustered(5)
    rows, scores = make(vectors).nearest(vectors[:2], 8)
    assert [sorted(row) for row in rows[:, :5].tolist()] == [[0, 1, 2, 3, 4]] * 2
    assert (rows[:, 5:] == -1).all()
    assert (scores[:, 5:] == -np.inf).all()


def test_empty(make: Make) -> None:
    search = make(np.zeros((0, 8), np.float32))
    rows, _ = search.nearest(clustered(3, 8), 2)
    assert len(search) == 0
    assert (rows == -1).all()


def test_one_row(make: Make) -> None:
    vectors = clustered(1)
    rows, scores = make(vectors).nearest(vectors, 2)
    assert rows.tolist() == [[0, -1]]
    assert scores[0, 0] == pytest.approx(1, abs=1e-5)


def test_nothing_asked(make: Make) -> None:
    search = make(clustered(5))
    assert search.nearest(clustered(2), 0)[0].shape == (2, 0)
    assert search.nearest(np.zeros((0, 24), np.float32), 3)[0].shape == (0, 3)


def test_equal_scores_are_ordered_by_row(make: Make) -> None:
    vectors = np.repeat(clustered(10), 4, axis=0)
    rows, _ = make(vectors).nearest(vectors[[0]], 6)
    assert rows[0, :4].tolist() == [0, 1, 2, 3]
    assert rows[0, 4] % 4 == 0
    assert rows[0, 5] == rows[0, 4] + 1


def test_the_same_question_has_the_same_answer(make: Make) -> None:
    vectors = clustered(400)
    search = make(vectors)
    first, again = search.nearest(vectors[:20], 30), search.nearest(vectors[:20], 30)
    assert (first[0] == again[0]).all()
    assert (first[1] == again[1]).all()
