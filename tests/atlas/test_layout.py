from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree
from sklearn.manifold import trustworthiness

from crossrec_llm.atlas import layout, neighbours
from crossrec_llm.atlas.layout import lay_out
from crossrec_llm.atlas.neighbours import nearest_neighbours


def clusters(n: int, groups: int, dim: int = 16, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    middles = rng.normal(size=(groups, dim))
    of = rng.integers(0, groups, n)
    rows = middles[of] + rng.normal(0, 0.25, (n, dim))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32), of


def exact(vectors: np.ndarray, k: int) -> np.ndarray:
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -np.inf)
    return np.argsort(-cosines, axis=1, kind="stable")[:, :k]


def test_few_have_exactly_their_neighbours():
    vectors, _ = clusters(300, 5)

    assert (nearest_neighbours(vectors, 7) == exact(vectors, 7)).all()


def test_many_have_nearly_all_of_them(monkeypatch):
    monkeypatch.setattr(neighbours, "EXACT_BELOW", 100)
    monkeypatch.setattr(neighbours, "_CELL", 40)
    monkeypatch.setattr(neighbours, "_PROBED", 6)
    vectors, _ = clusters(1_500, 12)
    told = []

    found = nearest_neighbours(vectors, 10, progress=lambda *step: told.append(step))

    true = exact(vectors, 10)
    recall = np.mean([len(set(a) & set(b)) for a, b in zip(found, true, strict=True)]) / 10
    assert recall > 0.9
    assert (found != np.arange(1_500)[:, None]).all()
    assert all(len(set(row)) == 10 for row in found.tolist())
    assert told[-1][0] == "neighbours"
    assert told[-1][1] == told[-1][2]
    assert (nearest_neighbours(vectors, 10) == found).all()


def test_equal_vectors_that_leave_cells_empty_have_neighbours_too(monkeypatch):
    monkeypatch.setattr(neighbours, "EXACT_BELOW", 100)
    monkeypatch.setattr(neighbours, "_CELL", 20)
    monkeypatch.setattr(neighbours, "_PROBED", 1)
    vectors = np.zeros((240, 8), np.float32)
    vectors[:200, 0] = 1
    vectors[200:, 1:] = np.random.default_rng(0).normal(size=(40, 7))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)

    found = nearest_neighbours(vectors, 30)

    assert ((found >= 0) & (found < 240)).all()
    assert all(len(set(row)) == 30 for row in found.tolist())


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1_000), st.floats(0.5, 12))
def test_the_push_is_the_sum_over_all_pairs(seed: int, width: float):
    at = np.random.default_rng(seed).normal(0, width, (150, 2)).astype(np.float32)

    away = at[:, None] - at[None]
    alike = 1 / (1 + (away**2).sum(axis=-1))
    total = alike.sum() - len(at)
    true = (alike[..., None] ** 2 * away).sum(axis=1) / total

    off = layout._push(at) - true
    assert np.sqrt((off**2).mean()) < 0.1 * np.sqrt((true**2).mean())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "_SPACING", 0.1)
        patch.setattr(layout, "_MOST", 4_000)
        finer = layout._push(at) - true
    assert np.abs(finer).max() < 0.02 * np.abs(true).max()


def test_the_pull_is_the_sum_over_neighbours():
    rng = np.random.default_rng(0)
    at = rng.normal(0, 3, (60, 2)).astype(np.float32)
    near = exact(clusters(60, 3)[0], 5)
    weights = np.zeros((60, 60))
    for row, named in enumerate(near):
        weights[row, named] += 0.5 / 300
        weights[named, row] += 0.5 / 300

    away = at[:, None] - at[None]
    alike = 1 / (1 + (away**2).sum(axis=-1))
    true = ((weights * alike)[..., None] * away).sum(axis=1)

    assert layout._Pull(near)(at) == pytest.approx(true, abs=1e-6)


def test_neighbours_lie_beside_each_other_and_the_seed_decides():
    vectors, of = clusters(500, 6)
    near = nearest_neighbours(vectors, 12)
    told = []

    at = lay_out(vectors, near, progress=lambda *step: told.append(step))

    assert trustworthiness(vectors, at, n_neighbors=10, metric="cosine") > 0.93
    _, beside = cKDTree(at).query(at, 2)
    assert (of[beside[:, 1]] == of).mean() > 0.97
    assert (lay_out(vectors, near) == at).all()
    assert told[-1][1] == told[-1][2]


def test_many_are_laid_out_between_landmarks():
    vectors, of = clusters(900, 6)
    near = nearest_neighbours(vectors, 12)

    at = lay_out(vectors, near, landmarks=200)

    assert np.isfinite(at).all()
    _, beside = cKDTree(at).query(at, 2)
    assert (of[beside[:, 1]] == of).mean() > 0.95
    assert (lay_out(vectors, near, landmarks=200) == at).all()


def test_who_has_no_placed_neighbour_is_put_somewhere():
    positions = np.zeros((5, 2), np.float32)
    positions[0] = 7, 7
    near = np.array([[1], [0], [3], [2], [2]])

    layout._place_between(positions, np.array([0]), near, np.random.default_rng(0))

    assert np.abs(positions - 7).max() < 4


@pytest.mark.parametrize("n", [4, 20, 60])
def test_few_items_stay_together(n, monkeypatch):
    of = np.arange(n) % 2
    vectors = np.eye(8, dtype=np.float32)[of]
    vectors += np.random.default_rng(0).normal(0, 0.1, vectors.shape).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    near = nearest_neighbours(vectors, min(15, n - 1))
    spans = []
    push = layout._push

    def watched(at):
        spans.append(float(np.ptp(at, axis=0).max()))
        return push(at)

    monkeypatch.setattr(layout, "_push", watched)
    positions = lay_out(vectors, near)

    assert max(spans, default=0) < 50, "steps that grow take a grid of the largest size"
    assert np.isfinite(positions).all()
    apart = np.linalg.norm(positions[:, None] - positions[None], axis=-1)
    np.fill_diagonal(apart, np.inf)
    assert (of[apart.argmin(axis=1)] == of).mean() > 0.9
