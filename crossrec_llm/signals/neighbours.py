"""Behaviour: what the same people took."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Ge, Gt, Le

from crossrec_llm.records import Query
from crossrec_llm.signals.base import best, recency
from crossrec_llm.tables import Histories


@dataclass(frozen=True)
class NeighboursOptions:
    """Item-to-item co-occurrence.

    keep : neighbours kept per item.
    shrink : added to the denominator, so that a few chance meetings count little.
    decay : weight of a history item over that of the next newer one.
    last : how many of the newest items count.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    keep: Annotated[int, Ge(1)] = 300
    shrink: Annotated[float, Ge(0)] = 10.0
    decay: Annotated[float, Gt(0), Le(1)] = 0.8
    last: Annotated[int, Ge(1)] = 50


class Neighbours:
    """sum_h decay^age w_h c_hi / (sqrt(n_h n_i) + shrink), c = people who took both.

    Sarwar et al. 2001 (item-based collaborative filtering) with additive shrinkage. The rows of
    the similarity matrix lie one after the other, each sorted by column:
    `columns[indptr[i]:indptr[i + 1]]` int32 and `values` float32 beside it.
    """

    name = "neighbours"
    kind = "neighbours"

    def __init__(
        self,
        indptr: np.ndarray,
        columns: np.ndarray,
        values: np.ndarray,
        options: NeighboursOptions,
    ) -> None:
        self.indptr, self.columns, self.values = indptr, columns, values
        self.options = options

    @classmethod
    def fit(cls, histories: Histories, n_items: int, options: NeighboursOptions) -> Neighbours:
        """Counts over all positive (user, item) pairs; dislikes are left out."""
        import scipy.sparse as sp

        users = np.repeat(np.arange(len(histories)), np.diff(histories.indptr))
        wanted = histories.weights > 0
        ones = np.ones(int(wanted.sum()), np.float32)
        taken = sp.csr_matrix(
            (ones, (users[wanted], histories.rows[wanted])), shape=(len(histories), n_items)
        )
        by_item = taken.T.tocsr()
        root = np.sqrt(np.diff(by_item.indptr).astype(np.float32))
        lengths = np.zeros(n_items, np.int64)
        columns: list[np.ndarray] = []
        values: list[np.ndarray] = []
        for start in range(0, n_items, 1024):
            together = (by_item[start : start + 1024] @ taken).tocsr()
            for i in range(together.shape[0]):
                row = slice(together.indptr[i], together.indptr[i + 1])
                others = together.indices[row]
                score = together.data[row] / (root[start + i] * root[others] + options.shrink)
                score[others == start + i] = -np.inf
                order = np.argsort(others)
                kept = order[np.sort(best(score[order], options.keep))]
                lengths[start + i] = len(kept)
                columns.append(others[kept].astype(np.int32))
                values.append(score[kept].astype(np.float32))
        return cls(
            np.concatenate([[0], np.cumsum(lengths)]),
            np.concatenate([np.empty(0, np.int32), *columns]),
            np.concatenate([np.empty(0, np.float32), *values]),
            options,
        )

    def save(self, path: Path) -> None:
        from safetensors.numpy import save_file

        save_file(
            {"indptr": self.indptr, "columns": self.columns, "values": self.values}, str(path)
        )

    @classmethod
    def load(cls, path: Path, options: NeighboursOptions) -> Neighbours:
        from safetensors.numpy import load_file

        parts = load_file(str(path))
        return cls(parts["indptr"], parts["columns"], parts["values"], options)

    def score(self, query: Query, rows: np.ndarray) -> np.ndarray:
        if not len(query.history):
            return np.full(len(rows), np.nan, np.float32)
        return self._everywhere(query)[rows]

    def carriers(self, query: Query, rows: np.ndarray) -> np.ndarray:
        weights = self._weights(query)
        carried = np.zeros((len(rows), len(query.history)), np.float32)
        for h in np.flatnonzero(weights):
            columns, values = self._row(query.history[h])
            at = np.searchsorted(columns, rows)
            found = at < len(columns)
            found[found] = columns[at[found]] == rows[found]
            carried[found, h] = weights[h] * values[at[found]]
        return carried

    def propose(self, query: Query, n: int, allowed: np.ndarray) -> np.ndarray:
        scores = self._everywhere(query)
        rows = np.flatnonzero((scores > 0) & allowed)
        return rows[best(scores[rows], n)]

    def _weights(self, query: Query) -> np.ndarray:
        return query.weights * recency(len(query.history), self.options.decay, self.options.last)

    def _row(self, item: int) -> tuple[np.ndarray, np.ndarray]:
        row = slice(self.indptr[item], self.indptr[item + 1])
        return self.columns[row], self.values[row]

    def _everywhere(self, query: Query) -> np.ndarray:
        """(n_items,) float32 scores of the whole catalogue."""
        scores = np.zeros(len(self.indptr) - 1, np.float32)
        weights = self._weights(query)
        for h in np.flatnonzero(weights):
            columns, values = self._row(query.history[h])
            scores[columns] += weights[h] * values
        return scores
