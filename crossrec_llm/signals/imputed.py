"""Behaviour for items that nobody took yet, filled in from items that mean nearly the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge

from crossrec_llm.records import STRICT
from crossrec_llm.signals.item_to_item import ItemToItem
from crossrec_llm.store import ExactSearch

_BLOCK = 1024  # rows of a product that are held at once


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
    means = _means(cold, vectors, options.neighbours)
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


def _means(cold: np.ndarray, vectors: np.ndarray, neighbours: int) -> Any:
    """(n_cold, n) float32 csr: a_ij of each cold item i."""
    import scipy.sparse as sp

    new, warm = np.flatnonzero(cold), np.flatnonzero(~cold)
    found, cosines = ExactSearch(vectors[warm]).nearest(vectors[new], neighbours)
    near = np.where(found >= 0, np.maximum(cosines, 0), 0) ** 3
    near = near / np.maximum(near.sum(axis=1, keepdims=True), np.float32(1e-12))
    at = np.repeat(np.arange(len(new)), found.shape[1]), warm[found].reshape(-1)
    return sp.csr_matrix((near.reshape(-1), at), shape=(len(new), len(cold)), dtype=np.float32)


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
