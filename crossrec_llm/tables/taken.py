"""Who took what: the people and items that counts are made of, and people's changes laid over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from crossrec_llm.errors import DataError
from crossrec_llm.tables.histories import Histories

_SCHEMA = pa.schema([("user_id", pa.string()), ("rows", pa.list_(pa.int32()))])


class Taken:
    """The items that each person has with a positive weight.

    Parameters
    ----------
    user_ids : n_users of them, each once.
    indptr, rows : CSR; user u has the items rows[indptr[u]:indptr[u + 1]] ((m,) int32).
    n_items : of the catalogue.
    """

    def __init__(
        self, user_ids: pa.Array, indptr: np.ndarray, rows: np.ndarray, n_items: int
    ) -> None:
        self.user_ids, self.indptr, self.rows, self.n_items = user_ids, indptr, rows, n_items

    @classmethod
    def of(cls, histories: Histories, n_items: int) -> Taken:
        """Of all histories."""
        wanted = histories.weights > 0
        indptr = np.concatenate([[0], np.cumsum(wanted)])[histories.indptr]
        rows = histories.rows[wanted]
        return cls(pa.array(histories.user_ids, pa.string()), indptr, rows, n_items)

    def save(self, path: Path) -> None:
        """Writes an Arrow file; equal ones give equal bytes."""
        lists = pa.ListArray.from_arrays(pa.array(self.indptr, pa.int32()), pa.array(self.rows))
        batch = pa.RecordBatch.from_arrays(
            [self.user_ids, lists.cast(_SCHEMA[1].type)], schema=_SCHEMA
        )
        with pa.ipc.new_file(str(path), _SCHEMA) as writer:
            writer.write_batch(batch)

    @classmethod
    def open(cls, path: Path, n_items: int) -> Taken:
        """Memory-maps what `save` wrote.

        Raises
        ------
        DataError : the file is missing or is not one that `save` wrote.
        """
        try:
            batch = pa.ipc.open_file(pa.memory_map(str(path))).get_batch(0)
        except (OSError, pa.ArrowInvalid) as error:
            raise DataError(f"cannot be opened: {error}", source=str(path)) from error
        lists = batch.column(1)
        indptr = lists.offsets.to_numpy().astype(np.int64)
        return cls(batch.column(0), indptr, lists.values.to_numpy(), n_items)

    def __len__(self) -> int:
        return len(self.indptr) - 1

    @cached_property
    def _place(self) -> dict[str, int]:
        return {user_id: u for u, user_id in enumerate(self.user_ids.to_pylist())}

    def of_user(self, user_id: str) -> np.ndarray:
        """(m,) int32 rows; none of somebody who is not here."""
        u = self._place.get(user_id)
        return self.rows[:0] if u is None else self.rows[self.indptr[u] : self.indptr[u + 1]]

    @cached_property
    def by_user(self) -> Any:
        """(n_users, n_items) scipy CSR float32: 1 where a user has an item."""
        import scipy.sparse as sp

        ones = np.ones(len(self.rows), np.float32)
        return sp.csr_matrix((ones, self.rows, self.indptr), shape=(len(self), self.n_items))

    @cached_property
    def by_item(self) -> Any:
        """(n_items, n_users) scipy CSR float32, the same turned over."""
        return self.by_user.T.tocsr()

    def users_of(self, rows: np.ndarray) -> list[str]:
        """Who has any of some items."""
        users = np.unique(self.by_item[rows].indices)
        return list(self.user_ids.take(pa.array(users)).to_pylist())


@dataclass(frozen=True, eq=False)
class TakenSince:
    """Who took what, with what some people have now in place of what they had.

    base : at a build.
    now : user id -> (m,) int rows that they have now, of those whose events changed since.
    n_items : with the items that are new since, whose rows come after those of the build.
    gone : (n_items,) bool, items that were removed: nobody took them.
    """

    base: Taken
    now: Mapping[str, np.ndarray]
    n_items: int
    gone: np.ndarray

    @cached_property
    def _changes(self) -> tuple[Any, Any]:
        """(people, n_items) scipy CSR float32 each: what those people had, and what they have."""
        return tuple(
            _matrix(rows, self.n_items)
            for rows in ([self.base.of_user(user_id) for user_id in self.now], self.now.values())
        )

    @cached_property
    def people(self) -> np.ndarray:
        """(n_items,) int64, how many took each item."""
        had, have = self._changes
        rows = (self.base.rows, have.indices, had.indices)
        before, plus, minus = (np.bincount(each, minlength=self.n_items) for each in rows)
        counts = before + plus - minus
        counts[self.gone] = 0
        return np.asarray(counts, np.int64)

    def together(self, rows: np.ndarray) -> Any:
        """(s, n_items) scipy CSR float32: people who took both, for (s,) int64 rows."""
        import scipy.sparse as sp

        built = rows < self.base.n_items
        place = (np.ones(built.sum(), np.float32), (np.flatnonzero(built), rows[built]))
        pick = sp.csr_matrix(place, shape=(len(rows), self.base.n_items))
        both = (pick @ self.base.by_item) @ self.base.by_user
        both.resize(len(rows), self.n_items)
        for sign, matrix in zip((-1, 1), self._changes, strict=True):
            both = both + sign * (matrix[:, rows].T.tocsr() @ matrix)
        both = both.tocsr()
        both.data[self.gone[both.indices]] = 0
        both.eliminate_zeros()
        both.sort_indices()
        return both


def _matrix(histories: Any, n_items: int) -> Any:
    import scipy.sparse as sp

    parts = [np.asarray(rows, np.int32) for rows in histories]
    indptr = np.cumsum([0, *map(len, parts)])
    rows = np.concatenate([np.empty(0, np.int32), *parts])
    ones = np.ones(len(rows), np.float32)
    return sp.csr_matrix((ones, rows, indptr), shape=(len(parts), n_items))
