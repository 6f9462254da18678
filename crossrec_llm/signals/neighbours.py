"""Behaviour: what the same people took."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge, Gt, Le

from crossrec_llm.records import STRICT
from crossrec_llm.signals.item_to_item import ItemToItem, Walk
from crossrec_llm.tables import Histories, TakenSince


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
    people = np.diff(by_item.indptr)

    def rows() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for start in range(0, n_items, 1024):
            items = np.arange(start, min(start + 1024, n_items))
            yield from _rows((by_item[items] @ taken).tocsr(), items, people, options)

    return ItemToItem.from_rows(rows(), options.keep, options.walk)


def neighbours_since(
    taken: TakenSince, items: np.ndarray, options: NeighboursOptions
) -> list[tuple[np.ndarray, np.ndarray]]:
    """(columns, values) of the rows of (s,) int64 items, as `fit_neighbours` would have them."""
    rows = _rows(taken.together(items), items, taken.people, options)
    found = ItemToItem.from_rows(rows, options.keep, options.walk)
    return found.rows(np.arange(len(items))).parts()


def _rows(
    together: Any, items: np.ndarray, people: np.ndarray, options: NeighboursOptions
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(columns, values) of some items, from (s, n_items) csr of people who took both."""
    root = np.sqrt(people.astype(np.float32))
    for at, item in enumerate(items):
        row = slice(together.indptr[at], together.indptr[at + 1])
        others = together.indices[row]
        score = together.data[row] / (root[item] * root[others] + options.shrink)
        score[others == item] = -np.inf
        yield others, score
