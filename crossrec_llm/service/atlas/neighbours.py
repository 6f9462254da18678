"""The nearest neighbours of everybody at once, where asking a search for each would take hours."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from crossrec_llm.records import Progress

EXACT_BELOW = 20_000
_CELL = 600  # members of a cell, about
_PROBED = 8  # cells that are looked through for the members of one
_SAMPLED = 64  # members of a cell that its centre is learned from
_ROUNDS = 8
_PAIRS = 16_000_000


def nearest_neighbours(
    vectors: np.ndarray, k: int, *, seed: int = 0, progress: Progress | None = None
) -> np.ndarray:
    """(n, k) int32 rows of the neighbours with the largest cosine, best first, without itself.

    Exact for few items. For many, spherical k-means makes cells of about 600, and each member is
    compared with those of the eight cells whose centres are nearest (the inverted file of Jégou et
    al. 2011).

    Parameters
    ----------
    vectors : (n, dim) float32 unit rows; k < n.
    """
    n = len(vectors)
    found = np.empty((n, k), np.int32)
    done = 0
    for members, candidates in _compared(vectors, seed):
        cosines = np.asarray(vectors[members]) @ np.asarray(vectors[candidates]).T
        cosines[candidates == members[:, None]] = -np.inf
        near = np.argpartition(cosines, -k, axis=1)[:, -k:]
        order = np.argsort(-np.take_along_axis(cosines, near, 1), axis=1, kind="stable")
        found[members] = candidates[np.take_along_axis(near, order, 1)]
        done += len(members)
        if progress:
            progress("neighbours", done, n)
    return found


def _compared(vectors: np.ndarray, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows, and the rows that they are compared with."""
    n = len(vectors)
    if n <= EXACT_BELOW:
        step = max(1, _PAIRS // n)
        for start in range(0, n, step):
            yield np.arange(start, min(n, start + step)), np.arange(n)
        return
    centres = _centres(vectors, n // _CELL, np.random.default_rng(seed))
    cell = _assigned(vectors, centres)
    order = np.argsort(cell, kind="stable")
    bounds = np.searchsorted(cell[order], np.arange(len(centres) + 1))
    members = [order[a:b] for a, b in zip(bounds, bounds[1:], strict=False)]
    probed = np.argsort(-(centres @ centres.T), axis=1, kind="stable")[:, :_PROBED]
    for own, cells in zip(members, probed, strict=True):
        candidates = np.concatenate([members[c] for c in cells])
        step = max(1, _PAIRS // max(1, len(candidates)))
        for start in range(0, len(own), step):
            yield own[start : start + step], candidates


def _centres(vectors: np.ndarray, cells: int, rng: np.random.Generator) -> np.ndarray:
    """(cells, dim) float32 unit rows: spherical k-means over a sample."""
    n = len(vectors)
    sample = np.sort(rng.choice(n, min(n, cells * _SAMPLED), replace=False))
    seen = np.asarray(vectors[sample])
    centres = seen[rng.choice(len(seen), cells, replace=False)]
    for _ in range(_ROUNDS):
        cell = _assigned(seen, centres)
        order = np.argsort(cell, kind="stable")
        there, first = np.unique(cell[order], return_index=True)
        sums = np.add.reduceat(seen[order], first, axis=0)
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        centres[there] = sums / np.where(lengths > 0, lengths, 1)
    return centres


def _assigned(vectors: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """(n,) int64, the nearest centre of each row."""
    step = max(1, _PAIRS // len(centres))
    blocks = (vectors[start : start + step] for start in range(0, len(vectors), step))
    return np.concatenate([(np.asarray(block) @ centres.T).argmax(axis=1) for block in blocks])
