"""Behaviour in its order: what people took next."""

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
class TransitionsOptions:
    """Steps from an item to those taken soon after it.

    window : how many steps ahead are counted, each by 1 / its distance.
    backward : what a step against the order counts, beside 1 for one along it.
    shrink : added to the denominator.
    keep : items kept per item.
    decay : weight of a history item over that of the next newer one.
    last : how many of the newest items count.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    window: Annotated[int, Ge(1)] = 5
    backward: Annotated[float, Ge(0), Le(1)] = 0.5
    shrink: Annotated[float, Ge(0)] = 5.0
    keep: Annotated[int, Ge(1)] = 300
    decay: Annotated[float, Gt(0), Le(1)] = 0.7
    last: Annotated[int, Ge(1)] = 50

    @property
    def walk(self) -> Walk:
        return Walk("transitions", "transitions", self.decay, self.last)


def rather_before(
    matrix: ItemToItem, people: np.ndarray, shrink: float, history: np.ndarray, rows: np.ndarray
) -> np.ndarray:
    """(n, h) bool: whether people took each of `rows` rather before each history item than after.

    Without its denominator an entry is the steps along the order and a smaller part of those
    against it: the greater of m_ij and m_ji has more along. Of an entry that was not kept nothing
    is known, and it counts as none.

    Parameters
    ----------
    people : (n_items,) int64, who took each item.
    shrink : as the matrix was fitted with.
    """
    after = matrix.entries(history, rows) * (people[history] + shrink)[:, None]
    before = matrix.entries(rows, history) * (people[rows] + shrink)[:, None]
    return np.asarray(before > after.T * (1 + 1e-5))


def fit_transitions(histories: Histories, n_items: int, options: TransitionsOptions) -> ItemToItem:
    """m_ij = (sum over pairs of 1 / distance, halved against the order) / (n_i + shrink).

    n_i counts the people who took i, the item the step starts from. Dislikes are left out.
    """
    import scipy.sparse as sp

    wanted = histories.weights > 0
    items = histories.rows[wanted].astype(np.int64)
    users = np.repeat(np.arange(len(histories)), np.diff(histories.indptr))[wanted]
    steps = sp.csr_matrix((n_items, n_items), dtype=np.float32)
    for distance in range(1, options.window + 1):
        same = users[:-distance] == users[distance:]
        source, target = items[:-distance][same], items[distance:][same]
        for start, end, weight in ((source, target, 1.0), (target, source, options.backward)):
            each = np.full(len(start), weight / distance, np.float32)
            steps = steps + sp.csr_matrix((each, (start, end)), shape=(n_items, n_items))
    people = np.bincount(items, minlength=n_items)

    def rows() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for i in range(n_items):
            row = slice(steps.indptr[i], steps.indptr[i + 1])
            values = steps.data[row] / np.float32(people[i] + options.shrink)
            yield steps.indices[row], np.where(values > 0, values, -np.inf)

    return ItemToItem.from_rows(rows(), options.keep, options.walk)
