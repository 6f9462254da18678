"""One matrix from items to items, and the signal that walks a history through it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crossrec_llm.records import Query
from crossrec_llm.signals.base import LastQuery, best, read_arrays, weigh, write_arrays


@dataclass(frozen=True)
class Walk:
    """How a signal of this kind is called, and how it weighs a history.

    name, kind : as of `Signal`.
    decay : weight of a history item over that of the next newer one.
    last : how many of the newest items count.
    """

    name: str
    kind: str
    decay: float
    last: int


@dataclass(frozen=True, eq=False)
class Rows:
    """Some rows of a matrix, one after the other, each sorted by column.

    columns, values : (m,) int32 and float32, the entries.
    sizes : (s,) int64, how many of them each row has.
    """

    columns: np.ndarray
    values: np.ndarray
    sizes: np.ndarray

    @classmethod
    def joined(cls, rows: list[tuple[np.ndarray, np.ndarray]]) -> Rows:
        """From (columns, values) of each."""
        columns = [np.empty(0, np.int32), *(columns for columns, _ in rows)]
        values = [np.empty(0, np.float32), *(values for _, values in rows)]
        sizes = np.array([len(columns) for columns, _ in rows], np.int64)
        return cls(np.concatenate(columns), np.concatenate(values), sizes)

    def parts(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """(columns, values) of each."""
        ends = np.cumsum(self.sizes)
        spans = [slice(end - size, end) for end, size in zip(ends, self.sizes, strict=True)]
        return [(self.columns[span], self.values[span]) for span in spans]


class ItemToItem:
    """sum_h decay^age w_h m_hi, for a matrix m fitted on histories.

    The rows of m lie one after the other, each sorted by column:
    `columns[indptr[i]:indptr[i + 1]]` int32 and `values` float32 beside it; the rest is 0.

    Parameters
    ----------
    indptr : (n_items + 1,) int64.
    """

    def __init__(
        self, indptr: np.ndarray, columns: np.ndarray, values: np.ndarray, walk: Walk
    ) -> None:
        self.indptr, self.columns, self.values = indptr, columns, values
        self.walk = walk
        self.name, self.kind = walk.name, walk.kind
        self._n = len(indptr) - 1
        self._asked: Callable[[np.ndarray], Rows] | None = None
        self._everywhere = LastQuery(self._walked)

    def over(self, asked: Callable[[np.ndarray], Rows], n_items: int) -> ItemToItem:
        """The same walk over rows that are worked out when they are asked for.

        Parameters
        ----------
        asked : gives the rows of (s,) int64 items.
        """
        found = ItemToItem(self.indptr, self.columns, self.values, self.walk)
        found._n, found._asked = n_items, asked
        return found

    @classmethod
    def from_rows(
        cls, rows: Iterable[tuple[np.ndarray, np.ndarray]], keep: int, walk: Walk
    ) -> ItemToItem:
        """From each item's (columns, values) in turn; of each row the `keep` highest stay."""
        lengths: list[int] = [0]
        columns: list[np.ndarray] = [np.empty(0, np.int32)]
        values: list[np.ndarray] = [np.empty(0, np.float32)]
        for others, weights in rows:
            order = np.argsort(others)
            kept = order[np.sort(best(weights[order], keep))]
            lengths.append(len(kept))
            columns.append(others[kept].astype(np.int32))
            values.append(weights[kept].astype(np.float32))
        indptr = np.cumsum(lengths, dtype=np.int64)
        return cls(indptr, np.concatenate(columns), np.concatenate(values), walk)

    @classmethod
    def empty(cls, n_items: int, walk: Walk) -> ItemToItem:
        """One that knows nothing."""
        nothing = np.empty(0, np.int32), np.empty(0, np.float32)
        return cls(np.zeros(n_items + 1, np.int64), *nothing, walk)

    def save(self, path: Path) -> None:
        write_arrays(path, indptr=self.indptr, columns=self.columns, values=self.values)

    @classmethod
    def load(cls, path: Path, walk: Walk) -> ItemToItem:
        return cls(**read_arrays(path), walk=walk)

    def __len__(self) -> int:
        return self._n

    def rows(self, items: np.ndarray) -> Rows:
        """The rows of (s,) int64 items."""
        if self._asked is not None:
            return self._asked(items)
        starts = self.indptr[items]
        sizes = self.indptr[items + 1] - starts
        before = np.cumsum(sizes) - sizes
        at = np.arange(int(sizes.sum())) + np.repeat(starts - before, sizes)
        return Rows(self.columns[at], self.values[at], sizes)

    def entries(self, sources: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """(s, t) float32, m from each of `sources` to each of `targets`, both int64 rows."""
        found = np.zeros((len(sources), len(targets)), np.float32)
        for s, (columns, values) in enumerate(self.rows(sources).parts()):
            if len(columns):
                at = np.minimum(np.searchsorted(columns, targets), len(columns) - 1)
                found[s] = np.where(columns[at] == targets, values[at], 0)
        return found

    def everywhere(self, query: Query) -> np.ndarray:
        """(n_items,) float32 scores of the whole catalogue, not to be written to."""
        return self._everywhere(query)

    def score(self, query: Query, rows: np.ndarray) -> np.ndarray:
        if not len(query.history):
            return np.full(len(rows), np.nan, np.float32)
        return self.everywhere(query)[rows]

    def carriers(self, query: Query, rows: np.ndarray) -> np.ndarray:
        distinct, place = np.unique(rows, return_inverse=True)
        carried = np.zeros((len(distinct), len(query.history)), np.float32)
        if len(distinct):
            columns, values, owners = self._entries(query)
            at = np.minimum(np.searchsorted(distinct, columns), len(distinct) - 1)
            found = distinct[at] == columns
            carried[at[found], owners[found]] = np.maximum(values[found], 0)
        return carried[place]

    def propose(self, query: Query, n: int, allowed: np.ndarray) -> np.ndarray:
        scores = self.everywhere(query)
        rows = np.flatnonzero((scores > 0) & allowed)
        return rows[best(scores[rows], n)]

    def _entries(self, query: Query) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Column, weighed value and place in the history of all entries of the history's rows."""
        weights = weigh(query, self.walk.decay, self.walk.last)
        counts = np.flatnonzero(weights > 0)
        rows = self.rows(query.history[counts])
        owners = np.repeat(counts, rows.sizes)
        return rows.columns, rows.values * weights[owners], owners

    def _walked(self, query: Query) -> np.ndarray:
        columns, values, _ = self._entries(query)
        scores = np.bincount(columns, weights=values, minlength=len(self)).astype(np.float32)
        scores.setflags(write=False)
        return scores
