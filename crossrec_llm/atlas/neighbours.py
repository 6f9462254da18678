"""The nearest neighbours of everybody at once, where asking a search for each would take hours."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from crossrec_llm.records import Progress

EXACT_BELOW = 20_000
_CELL = 300  # members of a cell, about
_PROBED = 16  # cells that are looked through for each
_SAMPLED = 64  # members of a cell that its centre is learned from
_ROUNDS = 8
_PAIRS = 16_000_000


def nearest_neighbours(
    vectors: np.ndarray, k: int, *, seed: int = 0, progress: Progress | None = None
) -> np.ndarray:
    """(n, k) int32 rows of the neighbours with the largest cosine, best first, without itself.

    Exact for few items. For many, spherical k-means makes cells of about 300, and each item is
    compared with the members of the sixteen whose centres are nearest (the inverted file of Jégou,
    Douze & Schmid 2011), one cell after another.

    Parameters
    ----------
    vectors : (n, dim) float32 unit rows; k < n.
    """
    n = len(vectors)
    rows, cosines = np.full((n, k), -1, np.int32), np.full((n, k), -np.inf, np.float32)
    done = 0
    everybody = np.arange(n)
    compared = _by_cells(vectors, seed) if n > EXACT_BELOW else iter([(everybody, everybody)])
    for asking, members in compared:
        _compare(vectors, asking, members, rows, cosines)
        done += len(asking)
        if progress:
            progress("neighbours", min(done, n * _PROBED), n * _PROBED)
    # Cells may be so uneven that somebody met too few.
    few = np.flatnonzero((rows < 0).any(axis=1))
    cosines[few] = -np.inf
    _compare(vectors, few, everybody, rows, cosines)
    if progress:
        progress("neighbours", n * _PROBED, n * _PROBED)
    return rows


def _compare(
    vectors: np.ndarray,
    asking: np.ndarray,
    members: np.ndarray,
    rows: np.ndarray,
    cosines: np.ndarray,
) -> None:
    """Put what is nearer among the members into the rows and cosines of those that ask."""
    k = rows.shape[1]
    several = np.asarray(vectors[members])
    step = max(1, _PAIRS // max(1, len(members)))
    for start in range(0, len(asking), step):
        some = asking[start : start + step]
        block = np.asarray(vectors[some]) @ several.T
        block[members == some[:, None]] = -np.inf
        best = np.argpartition(block, -min(k, len(members)), axis=1)[:, -k:]
        found = members[best].astype(np.int32)
        score = np.take_along_axis(block, best, 1)
        found, score = np.hstack([rows[some], found]), np.hstack([cosines[some], score])
        kept = np.argsort(-score, axis=1, kind="stable")[:, :k]
        rows[some] = np.take_along_axis(found, kept, 1)
        cosines[some] = np.take_along_axis(score, kept, 1)


def _by_cells(vectors: np.ndarray, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For each cell, those that ask in it, and its members."""
    centres = _centres(vectors, len(vectors) // _CELL, np.random.default_rng(seed))
    probed = _nearest_centres(vectors, centres, min(_PROBED, len(centres)))
    order = np.argsort(probed[:, 0], kind="stable")
    bounds = np.searchsorted(probed[order, 0], np.arange(len(centres) + 1))
    asking = np.argsort(probed.ravel(), kind="stable")
    asked = np.searchsorted(probed.ravel()[asking], np.arange(len(centres) + 1))
    for cell in range(len(centres)):
        members = order[bounds[cell] : bounds[cell + 1]]
        if len(members):
            yield asking[asked[cell] : asked[cell + 1]] // probed.shape[1], members


def _centres(vectors: np.ndarray, cells: int, rng: np.random.Generator) -> np.ndarray:
    """(cells, dim) float32 unit rows: spherical k-means over a sample."""
    n = len(vectors)
    sample = np.sort(rng.choice(n, min(n, cells * _SAMPLED), replace=False))
    seen = np.asarray(vectors[sample])
    centres = seen[rng.choice(len(seen), cells, replace=False)]
    for _ in range(_ROUNDS):
        cell = _nearest_centres(seen, centres, 1)[:, 0]
        order = np.argsort(cell, kind="stable")
        there, first = np.unique(cell[order], return_index=True)
        sums = np.add.reduceat(seen[order], first, axis=0)
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        centres[there] = sums / np.where(lengths > 0, lengths, 1)
    return centres


def _nearest_centres(vectors: np.ndarray, centres: np.ndarray, k: int) -> np.ndarray:
    """(n, k) int64, the nearest centres of each row, best first."""
    found = np.empty((len(vectors), k), np.int64)
    step = max(1, _PAIRS // len(centres))
    for start in range(0, len(vectors), step):
        cosines = np.asarray(vectors[start : start + step]) @ centres.T
        near = np.argpartition(cosines, -k, axis=1)[:, -k:]
        best = np.argsort(-np.take_along_axis(cosines, near, 1), axis=1, kind="stable")
        found[start : start + step] = np.take_along_axis(near, best, 1)
    return found
