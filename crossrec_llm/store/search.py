"""Nearest vectors: the interface, and the scan over all of them that is always right."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np

# Scores of so many (query, row) pairs are held at once: 64 MB.
_PAIRS = 16_000_000
# Up to so many queries, vectors times queries is faster than queries times vectors (2 on 36,000
# rows of 384: 3.9 ms, not 7.0); with more, the scores of one query lie too far apart. Blocks of
# rows would be faster still, but BLAS rounds equal rows differently in the last one.
_FEW = 8


class Search(Protocol):
    """Finds the rows whose vectors point most nearly the same way."""

    def __len__(self) -> int:
        """How many rows there are."""
        ...

    def nearest(
        self, vectors: np.ndarray, k: int, allowed: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the k best rows for every query.

        Parameters
        ----------
        vectors : (q, dim) float32 unit rows.
        k : how many; 0 or more.
        allowed : (n,) bool, the rows that may be found; None = all.

        Returns
        -------
        (q, k) int64 rows, best first, those of equal score by row; -1 where there is none left.
        (q, k) float32 cosines; -inf where there is none left.
        """
        ...


class ExactSearch:
    """Compares with every row; `vectors` is (n, dim) float32 unit rows, in memory or mapped."""

    def __init__(self, vectors: np.ndarray) -> None:
        self.vectors = vectors

    def __len__(self) -> int:
        return len(self.vectors)

    def nearest(
        self, vectors: np.ndarray, k: int, allowed: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """As `Search.nearest`."""
        rows, scores = unfilled(len(vectors), k)
        passing = None if allowed is None else np.flatnonzero(allowed)
        n = len(self) if passing is None else len(passing)
        if not n or not k:
            return rows, scores
        # Gathering rows costs about twice as much as scoring them where they are.
        if passing is None or 3 * n > len(self):
            scanned, masked, names = self.vectors, passing is not None, None
        else:
            scanned, masked, names = self.vectors[passing], False, passing
        step = max(1, _PAIRS // len(scanned))
        for start in range(0, len(vectors), step):
            asked = vectors[start : start + step]
            block = (scanned @ asked.T).T if len(asked) <= _FEW else asked @ scanned.T
            if masked:
                block[:, ~np.asarray(allowed)] = -np.inf
            for query, row_scores in enumerate(block, start):
                best = top(row_scores, min(k, n))
                scores[query, : len(best)] = row_scores[best]
                rows[query, : len(best)] = best if names is None else names[best]
        return rows, scores


class Overlaid:
    """A search over the vectors of a build, with some rows that are new or others since.

    Parameters
    ----------
    built : over the first rows, as they were.
    vectors : (n, dim) float32 unit rows as they are.
    late : (m,) int64 rows that `built` does not have, or not as they are.
    """

    def __init__(self, built: Search, vectors: np.ndarray, late: np.ndarray) -> None:
        self._built, self._late, self._vectors = built, late, vectors
        self._exact = ExactSearch(np.asarray(vectors[late]))

    def __len__(self) -> int:
        return len(self._vectors)

    def nearest(
        self, vectors: np.ndarray, k: int, allowed: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """As `Search.nearest`: exact over the late rows."""
        rows, scores = unfilled(len(vectors), k)
        there = np.ones(len(self), bool) if allowed is None else allowed.copy()
        late, _ = self._exact.nearest(vectors, k, there[self._late])
        there[self._late] = False
        older, _ = self._built.nearest(vectors, k, there[: len(self._built)])
        for query, asked in enumerate(vectors):
            both = [older[query][older[query] >= 0], self._late[late[query][late[query] >= 0]]]
            found = np.sort(np.concatenate(both))
            # Scored anew in one way: each search rounds in its own.
            cosines = np.einsum("ij,j->i", self._vectors[found], asked)
            best = top(cosines, k)
            rows[query, : len(best)], scores[query, : len(best)] = found[best], cosines[best]
        return rows, scores


def unfilled(q: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """An answer that holds nothing yet: (q, k) rows of -1 and scores of -inf."""
    return np.full((q, k), -1, np.int64), np.full((q, k), -np.inf, np.float32)


def top(scores: np.ndarray, k: int) -> np.ndarray:
    """Positions of the k highest of (n,) scores, highest first, equal ones by position."""
    if 0 < k < len(scores):
        last = np.partition(scores, len(scores) - k)[len(scores) - k]
        found = np.flatnonzero(scores >= last)
    else:
        found = np.arange(len(scores))
    return found[np.argsort(-scores[found], kind="stable")][:k]


@dataclass(frozen=True)
class Reachability:
    """Whether a search finds what is in it.

    checked : how many rows were asked for.
    unreachable : rows that were not among the k nearest of their own vector, although fewer than
        k others are as near.
    recall_at_10 : share of the true 10 nearest that was found, over up to 500 rows; rows as near
        as the tenth count as true. 1 when there are no rows.
    """

    checked: int
    unreachable: tuple[int, ...]
    recall_at_10: float


def reachability(
    search: Search,
    vectors: np.ndarray,
    *,
    k: int = 100,
    sample: int | None = None,
    seed: int = 0,
) -> Reachability:
    """Ask a search for its own (n, dim) float32 vectors.

    Parameters
    ----------
    k : a row must be among so many nearest of itself.
    sample : check at most so many rows, drawn by `seed`; None = all.
    """
    rng = np.random.default_rng(seed)
    rows = np.arange(len(vectors))
    if sample is not None and sample < len(rows):
        rows = np.sort(rng.choice(rows, sample, replace=False))
    # Nearly all are found among the first few, which is a cheaper question.
    missing = _missing(search, vectors, rows, min(10, k))
    if len(missing) and k > 10:
        missing = _missing(search, vectors, missing, k)
    probes = rows if len(rows) <= 500 else np.sort(rng.choice(rows, 500, replace=False))
    return Reachability(len(rows), tuple(map(int, missing)), _recall(search, vectors, probes))


_SAME = 1e-5  # cosines that differ by less are rounded differently, not different


def _missing(search: Search, vectors: np.ndarray, rows: np.ndarray, k: int) -> np.ndarray:
    """Those of the rows that do not find themselves."""

    def ask(block: np.ndarray) -> np.ndarray:
        asked = np.asarray(vectors[block])
        found, scores = search.nearest(asked, k)
        crowded_out = scores[:, -1] >= np.einsum("ij,ij->i", asked, asked) - _SAME
        itself = (found == block[:, None]).any(axis=1)
        lost: np.ndarray = block[~(itself | crowded_out)]
        return lost

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return np.concatenate(list(pool.map(ask, np.split(rows, range(500, len(rows), 500)))))


def _recall(search: Search, vectors: np.ndarray, rows: np.ndarray, k: int = 10) -> float:
    k = min(k, len(vectors))
    if not len(rows) or not k:
        return 1.0
    asked = np.asarray(vectors[rows])
    _, true = ExactSearch(vectors).nearest(asked, k)
    _, found = search.nearest(asked, k)
    return float((found >= true[:, -1:] - _SAME).mean())
