"""Behaviour: what the same people took."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge, Gt, Le

from crossrec_llm.records import STRICT
from crossrec_llm.signals.item_to_item import ItemToItem, Walk
from crossrec_llm.tables import Histories


@dataclass(frozen=True)
class NeighboursOptions:
    """Item-to-item co-occurrence.

    keep : neighbours kept per item.
    shrink : added to the denominator, so that a few chance meetings count little.
    decay : weight of a history item over that of the next newer one.
    last : how many of the newest items count.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    keep: Annotated[int, Ge(1)] = 300
    shrink: Annotated[float, Ge(0)] = 10.0
    decay: Annotated[float, Gt(0), Le(1)] = 0.8
    last: Annotated[int, Ge(1)] = 50

    @property
    def walk(self) -> Walk:
        return Walk("neighbours", "neighbours", self.decay, self.last)


def fit_neighbours(histories: Histories, n_items: int, options: NeighboursOptions) -> ItemToItem:
    """m_ij = c_ij / (sqrt(n_i n_j) + shrink), c = people who took both, 0 on the diagonal.

    Sarwar et al. 2001 (item-based collaborative filtering) with additive shrinkage. Dislikes are
    left out.
    """
    taken = histories.matrix(n_items)
    by_item = taken.T.tocsr()
    root = np.sqrt(np.diff(by_item.indptr).astype(np.float32))

    def rows() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for start in range(0, n_items, 1024):
            together = (by_item[start : start + 1024] @ taken).tocsr()
            for i in range(together.shape[0]):
                row = slice(together.indptr[i], together.indptr[i + 1])
                others = together.indices[row]
                score = together.data[row] / (root[start + i] * root[others] + options.shrink)
                score[others == start + i] = -np.inf
                yield others, score

    return ItemToItem.from_rows(rows(), options.keep, options.walk)
