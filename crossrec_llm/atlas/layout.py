"""Vectors -> two dimensions, neighbours beside each other.

t-SNE (van der Maaten & Hinton 2008) of the neighbour graph alone: each of k neighbours pulls
alike, which gives the same maps as a perplexity does (Böhm, Berens & Kobak 2022). What pushes apart
is summed on a grid by FFT, so that a step takes time in proportion to the items (FIt-SNE, Linderman
et al. 2019). It starts at the first two principal components: what lies far apart in the space
begins far apart (Kobak & Berens 2019, as are the learning rate and the exaggeration).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import fft, sparse

from crossrec_llm.atlas.neighbours import nearest_neighbours
from crossrec_llm.records import Progress

LANDMARKS = 40_000
"""With more items than twice this, so many are laid out first, and then the rest between them."""

_NODES = 3  # of the grid, along each axis, that a point is spread over
_SPACING, _FEWEST, _MOST = 0.6, 32, 512  # of the nodes, and how many along an axis
_START = 1e-4  # standard deviation of the start
_LONGEST = 5.0  # a step of one item


@dataclass(frozen=True)
class _Stage:
    """So many steps; what pulls is `exaggeration` times as strong as in the gradient."""

    steps: int
    exaggeration: float
    momentum: float


_WHOLE = (_Stage(250, 12.0, 0.5), _Stage(400, 1.0, 0.8))
_BETWEEN = (_Stage(80, 1.0, 0.8),)


def lay_out(
    vectors: np.ndarray,
    neighbours: np.ndarray,
    *,
    seed: int = 0,
    landmarks: int = LANDMARKS,
    progress: Progress | None = None,
) -> np.ndarray:
    """(n, 2) float32 positions; the same for the same seed on the same machine.

    Parameters
    ----------
    vectors : (n, dim) float32 unit rows, 3 or more.
    neighbours : (n, k) rows, best first, without the item itself.
    seed : draws the landmarks.
    """
    n, k = neighbours.shape
    if k == n - 1:  # everybody is beside everybody: the graph says nothing
        return _principal(vectors)
    if n <= 2 * landmarks:
        start = _principal(vectors)
        return _descend(start, neighbours, _WHOLE, "layout", progress)
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.choice(n, landmarks, replace=False))
    some = np.asarray(vectors[chosen])
    among = nearest_neighbours(some, k, seed=seed, progress=progress)
    placed = lay_out(some, among, landmarks=landmarks, progress=progress)
    start = np.zeros((n, 2), np.float32)
    start[chosen] = placed * (n / landmarks) ** 0.5  # the same room for each
    _place_between(start, chosen, neighbours, rng)
    return _descend(start, neighbours, _BETWEEN, "between", progress)


def _principal(vectors: np.ndarray) -> np.ndarray:
    """(n, 2) float32 of the first two principal components, at the size that t-SNE starts with."""
    mean = np.asarray(vectors).mean(axis=0)
    second = np.zeros((len(mean), len(mean)))
    for start in range(0, len(vectors), 50_000):
        block = vectors[start : start + 50_000] - mean
        second += block.T @ block
    _, axes = np.linalg.eigh(second)
    first = axes[:, :-3:-1].astype(np.float32)
    first *= np.sign(first[np.abs(first).argmax(axis=0), [0, 1]])
    found = (vectors @ first) - mean @ first
    return np.asarray(found / max(float(found[:, 0].std()), 1e-12) * _START, np.float32)


def _place_between(
    positions: np.ndarray, placed: np.ndarray, neighbours: np.ndarray, rng: np.random.Generator
) -> None:
    """Put each other item beside the nearest neighbour that has a place, round by round."""
    there = np.zeros(len(positions), bool)
    there[placed] = True
    while True:
        waiting = np.flatnonzero(~there)
        known = there[neighbours[waiting]]
        can = known.any(axis=1)
        if not can.any():
            break
        beside = neighbours[waiting[can], known[can].argmax(axis=1)]
        positions[waiting[can]] = positions[beside]
        there[waiting[can]] = True
    waiting = np.flatnonzero(~there)
    positions[waiting] = positions[rng.choice(placed, len(waiting))]
    moved = np.setdiff1d(np.arange(len(positions)), placed)
    positions[moved] += rng.normal(0, 0.5, (len(moved), 2)).astype(np.float32)


def _descend(
    positions: np.ndarray,
    neighbours: np.ndarray,
    stages: tuple[_Stage, ...],
    step: str,
    progress: Progress | None,
) -> np.ndarray:
    """Gradient descent with momentum and a gain for each coordinate (Jacobs 1988)."""
    n = len(positions)
    pull = _Pull(neighbours)
    at = positions.astype(np.float32)
    velocity, gain = np.zeros_like(at), np.ones_like(at)
    done, total = 0, sum(stage.steps for stage in stages)
    for stage in stages:
        rate = n / max(stage.exaggeration, 4.0)  # no floor: it tears few items apart
        for _ in range(stage.steps):
            slope = stage.exaggeration * pull(at) - _push(at)
            same = np.sign(slope) == np.sign(velocity)
            gain = np.maximum(np.where(same, gain * 0.8, gain + 0.2), 0.01)
            velocity = stage.momentum * velocity - rate * gain * slope
            length = np.linalg.norm(velocity, axis=1, keepdims=True)
            velocity *= np.minimum(1, _LONGEST / np.maximum(length, 1e-12))
            at = at + velocity
            at -= at.mean(axis=0)
            done += 1
            if progress:
                progress(step, done, total)
    return at


class _Pull:
    """sum_j p_ij (y_i - y_j) / (1 + d_ij^2), where p is 1 / 2nk for each time one names the other.

    (n, k) rows -> a function of (n, 2) positions.
    """

    def __init__(self, neighbours: np.ndarray) -> None:
        n, k = neighbours.shape
        ones = np.full(n * k, 0.5 / (n * k), np.float32)
        named = sparse.csr_array(
            (ones, neighbours.ravel().astype(np.int32), np.arange(0, n * k + 1, k, dtype=np.int32)),
            (n, n),
        )
        self._graph = (named + named.T).tocsr()
        self._graph.sort_indices()
        self._weights = self._graph.data.copy()
        self._from = np.repeat(np.arange(n, dtype=np.int32), np.diff(self._graph.indptr))

    def __call__(self, at: np.ndarray) -> np.ndarray:
        x, y = np.ascontiguousarray(at[:, 0]), np.ascontiguousarray(at[:, 1])
        away = x[self._from] - x[self._graph.indices]
        distance = away * away
        away = y[self._from] - y[self._graph.indices]
        distance += away * away
        distance += 1
        np.divide(self._weights, distance, out=self._graph.data)
        return np.asarray(at * self._graph.sum(axis=1)[:, None] - self._graph @ at)


def _push(at: np.ndarray) -> np.ndarray:
    """sum_j (y_i - y_j) / (1 + d_ij^2)^2, over the sum of all 1 / (1 + d_ij^2): (n, 2) float32."""
    n = len(at)
    low, high = at.min(axis=0), at.max(axis=0)
    span = float((high - low).max())
    nodes = int(np.clip(np.ceil(span / _SPACING), _FEWEST, _MOST))
    spacing = max(span, 1e-9) / nodes
    size = nodes + _NODES
    spread = _spread((at - low) / spacing, size)
    charges = np.column_stack([np.ones(n, np.float32), at])
    grid = np.asarray(spread.T @ charges).T.reshape(3, size, size)
    padded = fft.next_fast_len(2 * size, real=True)
    steps = np.minimum(np.arange(padded), padded - np.arange(padded)).astype(np.float32) * spacing
    kernel = 1 / (1 + steps[:, None] ** 2 + steps[None, :] ** 2)
    shape = (padded, padded)
    charged = fft.rfft2(grid, shape)
    squared = fft.irfft2(charged * fft.rfft2(kernel**2), shape)
    once = fft.irfft2(charged[0] * fft.rfft2(kernel), shape)
    felt = np.concatenate([squared[:, :size, :size], once[None, :size, :size]])
    felt = np.asarray(spread @ felt.reshape(4, -1).T)
    total = float(felt[:, 3].sum(dtype=np.float64)) - n
    return np.asarray((at * felt[:, :1] - felt[:, 1:3]) / max(total, 1e-9), np.float32)


def _spread(at: np.ndarray, size: int) -> sparse.csr_array:
    """(n, size^2) weights of points on the nodes of a grid: Lagrange's, of degree 2 each way.

    `at` is (n, 2) in steps of the grid, from 0 to size - 3; node 1 lies at 0.
    """
    near = np.rint(at)
    off = (at - near).astype(np.float32)
    weights = np.stack([off * (off - 1) / 2, 1 - off * off, off * (off + 1) / 2], axis=-1)
    nodes = near.astype(np.int32)[:, :, None] + np.arange(_NODES, dtype=np.int32)
    columns = nodes[:, 0, :, None] * size + nodes[:, 1, None, :]
    data = weights[:, 0, :, None] * weights[:, 1, None, :]
    starts = np.arange(0, len(at) * _NODES**2 + 1, _NODES**2, dtype=np.int32)
    return sparse.csr_array((data.ravel(), columns.ravel(), starts), (len(at), size * size))
