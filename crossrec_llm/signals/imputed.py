"""Behaviour for items that nobody took yet, filled in from items that mean nearly the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge

from crossrec_llm.records import STRICT
from crossrec_llm.signals.item_to_item import ItemToItem, Rows
from crossrec_llm.store import ExactSearch

_BLOCK = 1024  # rows of a product that are held at once
_SAMPLE = 256  # rows and columns that a strength is read off


@dataclass(frozen=True)
class ImputedOptions:
    """How cold items get into the item-to-item signals.

    neighbours : of a cold item among the warm ones, in the space.
    own : what a history item counts that is such a neighbour itself, in units of the highest
        entry of its row.
    rho : how strong filled-in entries are beside fitted ones; 0 fills nothing in. How many cold
        items come into lists is set by `[blend] cold_cost`.
    keep : cold items kept per item.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    neighbours: Annotated[int, Ge(1)] = 40
    own: Annotated[float, Ge(0)] = 0.5
    rho: Annotated[float, Ge(0)] = 0.3
    keep: Annotated[int, Ge(1)] = 100


def impute(
    matrix: ItemToItem, cold: np.ndarray, vectors: np.ndarray, options: ImputedOptions
) -> ItemToItem:
    """The same matrix with a column and a row for each cold item.

    m_hi = rho (sigma_warm / sigma_filled) sum_j a_ij m_hj over the nearest warm items j of cold
    item i, with a_ij = max(f_i . f_j, 0)^3 / sum_j max(f_i . f_j, 0)^3 and, only here, m_hh =
    `own` times the highest m_hj: what reads like a history item is near to it as well. A cold
    row is that mean of its neighbours' rows. sigma: root mean square of the warm and of the
    filled entries, so that rho means the same in every matrix. Fitted entries stay as they are:
    cold ones lie beside the ones that were kept.

    Parameters
    ----------
    cold : (n_items,) bool.
    vectors : (n_items, dim) float32 unit rows in the space.
    """
    import scipy.sparse as sp

    if not (cold.any() and not cold.all() and len(matrix.values) and options.rho):
        return matrix
    n, new = len(matrix), np.flatnonzero(cold)
    fitted = sp.csr_matrix((matrix.values, matrix.columns, matrix.indptr), shape=(n, n))
    means = means_of(vectors[new], ~cold, vectors, options)
    # Rows of cold items first: they get columns of cold items as well.
    longest = int(np.diff(matrix.indptr).max())
    to_all = sp.csr_matrix(
        (np.ones(len(new), np.float32), (new, np.arange(len(new)))), (n, len(new))
    )
    rows = (fitted + to_all @ _strongest(means, fitted, longest)).tocsr()
    own = sp.diags_array(options.own * rows.max(axis=1).toarray().ravel())
    filled = _strongest((rows + own).tocsr(), means.T.tocsr(), options.keep) @ to_all.T
    spread = np.sqrt(np.mean(filled.data**2)) if filled.nnz else 1.0
    scale = options.rho * np.sqrt(np.mean(matrix.values**2)) / spread
    joined = (rows + filled * np.float32(scale)).tocsr()
    joined.sort_indices()
    return ItemToItem(
        joined.indptr.astype(np.int64),
        joined.indices.astype(np.int32),
        joined.data.astype(np.float32),
        matrix.walk,
    )


class Filling:
    """Rows and columns for items that came after a matrix was built, as `impute` has them.

    Parameters
    ----------
    matrix : of the build, with what `impute` filled in.
    warm : (n_built,) bool, items that somebody took at the build.
    new : (k,) int64 rows of the items to fill in, ascending; `means` are theirs, as of `means_of`.
    scale : what filled entries are multiplied with, as of `filled_scale`.
    """

    def __init__(
        self,
        matrix: ItemToItem,
        warm: np.ndarray,
        new: np.ndarray,
        means: Any,
        scale: float,
        options: ImputedOptions,
    ) -> None:
        self._matrix, self._warm, self._options = matrix, warm, options
        self._new, self._means, self._scale = new, means, np.float32(scale)
        self._active = bool(len(new) and len(matrix.values) and options.rho and warm.any())
        self._longest = int(np.diff(matrix.indptr).max(initial=0))
        self._by_warm = means.T.tocsr() if self._active else None

    def row(self, item: int) -> tuple[np.ndarray, np.ndarray]:
        """(columns, values) of one of the new items: the mean of its neighbours' rows."""
        import scipy.sparse as sp

        if not self._active:
            return np.empty(0, np.int32), np.empty(0, np.float32)
        mean = self._means[[int(np.searchsorted(self._new, item))]]
        near = _csr(self._matrix.rows(mean.indices).parts(), len(self._warm))
        entries = mean.data, np.arange(mean.nnz), np.array([0, mean.nnz])
        found = _strongest(sp.csr_matrix(entries, shape=(1, mean.nnz)), near, self._longest)
        found.sort_indices()
        return found.indices.astype(np.int32), found.data

    def fill(
        self, items: np.ndarray, rows: list[tuple[np.ndarray, np.ndarray]], cold: np.ndarray
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """Rows of (s,) int64 items, with entries of those new items that are still `cold`.

        Rows are sorted by column, and new items come last.
        """
        if not self._active:
            return rows
        own = _with_own(items, rows, self._warm, self._options.own)
        filled = _strongest(own, self._by_warm, self._options.keep)
        filled.sort_indices()
        out = []
        for at, (columns, values) in enumerate(rows):
            part = slice(filled.indptr[at], filled.indptr[at + 1])
            more, strengths = self._new[filled.indices[part]], filled.data[part] * self._scale
            still = cold[more]
            both = np.concatenate([columns, more[still]]).astype(np.int32)
            order = np.argsort(both, kind="stable")
            out.append((both[order], np.concatenate([values, strengths[still]])[order]))
        return out


def filled_scale(
    matrix: ItemToItem,
    warm: np.ndarray,
    vectors: np.ndarray,
    means: Any,
    options: ImputedOptions,
) -> float:
    """What the filled entries of a matrix were multiplied with, read off the matrix.

    Where nothing was filled in at the build, what they would be for the new items of `means`, over
    some of the rows.

    Parameters
    ----------
    vectors : (n_built, dim) float32 unit rows in the space.
    """
    if not (warm.any() and len(matrix.values) and options.rho):
        return 0.0
    rng = np.random.default_rng(0)
    heads = np.flatnonzero((np.diff(matrix.indptr) > 0) & warm)
    heads = np.sort(rng.choice(heads, min(len(heads), _SAMPLE), replace=False))
    own = _with_own(heads, matrix.rows(heads).parts(), warm, options.own)
    cold = np.flatnonzero(~warm)
    for start in range(0, len(cold), _SAMPLE):
        part = cold[start : start + _SAMPLE]
        raw = (own @ means_of(vectors[part], warm, vectors, options).T).toarray()
        stored = matrix.entries(heads, part)
        both = (raw > 0) & (stored > 0)
        if both.any():
            return float(np.median(stored[both] / raw[both]))
    filled = _strongest(own, means.T.tocsr(), options.keep)
    spread = np.sqrt(np.mean(filled.data**2)) if filled.nnz else 1.0
    return float(options.rho * np.sqrt(np.mean(matrix.values**2)) / spread)


def _with_own(
    items: np.ndarray, rows: list[tuple[np.ndarray, np.ndarray]], warm: np.ndarray, own: float
) -> Any:
    """(s, n_built) float32 csr: the warm part of the rows, and `own` on the diagonal."""
    known = []
    for item, (columns, values) in zip(items, rows, strict=True):
        built = columns[columns < len(warm)]
        values = values[: len(built)][warm[built]]
        columns = built[warm[built]]
        if item < len(warm):
            highest = np.float32(own * values.max(initial=0))
            columns, values = np.append(columns, item), np.append(values, highest)
        known.append((columns, values))
    return _csr(known, len(warm))


def _csr(rows: list[tuple[np.ndarray, np.ndarray]], n: int) -> Any:
    import scipy.sparse as sp

    joined = Rows.joined(rows)
    indptr = np.concatenate([[0], np.cumsum(joined.sizes)])
    return sp.csr_matrix((joined.values, joined.columns, indptr), shape=(len(rows), n))


def means_of(
    asked: np.ndarray, warm: np.ndarray, vectors: np.ndarray, options: ImputedOptions
) -> Any:
    """(k, n) float32 csr: a_ij of each of (k, dim) cold items i, j over the `warm` ones of n."""
    import scipy.sparse as sp

    found, cosines = ExactSearch(vectors).nearest(asked, options.neighbours, warm)
    near = np.where(found >= 0, np.maximum(cosines, 0), 0) ** 3
    near = near / np.maximum(near.sum(axis=1, keepdims=True), np.float32(1e-12))
    at = np.repeat(np.arange(len(asked)), found.shape[1]), found.reshape(-1)
    there = found.reshape(-1) >= 0
    entries = near.reshape(-1)[there], (at[0][there], at[1][there])
    return sp.csr_matrix(entries, shape=(len(asked), len(warm)), dtype=np.float32)


def _strongest(left: Any, right: Any, keep: int) -> Any:
    """The product of two csr matrices with the `keep` highest positive entries of each row."""
    import scipy.sparse as sp

    parts = []
    for start in range(0, left.shape[0], _BLOCK):
        block = (left[start : start + _BLOCK] @ right).tocsr()
        kept = []
        for begin, end in zip(block.indptr[:-1], block.indptr[1:], strict=True):
            values = block.data[begin:end]
            if len(values) > keep:
                found = np.argpartition(values, len(values) - keep)[len(values) - keep :]
            else:
                found = np.arange(len(values))
            kept.append(begin + np.sort(found[values[found] > 0]))
        sizes = np.cumsum([0, *map(len, kept)])
        chosen = np.concatenate(kept)
        entries = block.data[chosen], block.indices[chosen], sizes
        parts.append(sp.csr_matrix(entries, shape=block.shape, dtype=np.float32))
    return sp.vstack(parts).tocsr()
