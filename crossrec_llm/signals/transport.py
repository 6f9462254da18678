"""Across categories: what people took at home, carried over to items that mean the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge

from crossrec_llm.records import STRICT, Query
from crossrec_llm.signals.base import LastQuery, best
from crossrec_llm.signals.item_to_item import ItemToItem
from crossrec_llm.store import Search


@dataclass(frozen=True)
class TransportOptions:
    """What is carried over.

    carry : items of the home categories that count, those that behaviour rates highest.
    own : what an item of the history itself counts, in units of the highest of them.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    carry: Annotated[int, Ge(1)] = 20
    own: Annotated[float, Ge(0)] = 3.0


@dataclass(frozen=True)
class Load:
    """What is carried over for one query.

    rows : (m,) int64 home items, those of the history first.
    values : (m,) float32, above 0.
    carried : (m, h) float32 of each, the part that each history item has in it; rows sum to 1,
        or to 0 where there is none.
    """

    rows: np.ndarray
    values: np.ndarray
    carried: np.ndarray


class Transport:
    """sum_j max(f_i . f_j, 0)^3 v_j over the home items j that behaviour rates highest.

    v_j = max(z(CF_j), 0), z over the items of the home categories (the top categories of the
    history), CF = `behaviour`; an item of the history has `own` times the highest v.

    Parameters
    ----------
    vectors : (n_items, dim) float32, unit rows in the space.
    search : over the same rows.
    codes : (n_items,) int top categories.
    """

    name = "transport"
    kind = "transport"

    def __init__(
        self,
        vectors: np.ndarray,
        search: Search,
        codes: np.ndarray,
        behaviour: ItemToItem,
        options: TransportOptions,
    ) -> None:
        self.vectors, self.search, self.codes = vectors, search, codes
        self.behaviour, self.options = behaviour, options
        self._load = LastQuery(self._loaded)

    def score(self, query: Query, rows: np.ndarray) -> np.ndarray:
        if not len(query.history):
            return np.full(len(rows), np.nan, np.float32)
        load = self._load(query)
        return self._nearness(rows, load.rows) @ load.values

    def carriers(self, query: Query, rows: np.ndarray) -> np.ndarray:
        load = self._load(query)
        return (self._nearness(rows, load.rows) * load.values) @ load.carried

    def propose(self, query: Query, n: int, allowed: np.ndarray) -> np.ndarray:
        """The best of what lies nearest to the sum of what is carried: one scan, not many."""
        if not len(query.history):
            return np.empty(0, np.int64)
        load = self._load(query)
        pooled = load.values @ self.vectors[load.rows]
        pooled /= max(float(np.linalg.norm(pooled)), 1e-12)
        found, _ = self.search.nearest(pooled[None], n, allowed)
        rows = found[0][found[0] >= 0]
        return rows[best(self.score(query, rows), n)]

    def _nearness(self, rows: np.ndarray, others: np.ndarray) -> np.ndarray:
        """(n, m) float32 max(f_i . f_j, 0)^3."""
        near = np.maximum(self.vectors[rows] @ self.vectors[others].T, 0)
        return near * near * near

    def _loaded(self, query: Query) -> Load:
        history = query.history
        scores = self.behaviour.everywhere(query)
        home = np.flatnonzero(np.isin(self.codes, self.codes[history]))
        home = home[~np.isin(home, history)]
        standard = scores[home] - scores[home].sum() / max(len(home), 1)
        standard /= max(float(np.sqrt(np.square(standard).sum() / max(len(home), 1))), 1e-12)
        found = best(np.where(standard > 0, standard, np.nan), self.options.carry)
        rows, values = home[found], standard[found]
        own = np.float32(self.options.own * values.max(initial=0.0) or 1.0)
        carried = self.behaviour.carriers(query, rows)
        carried /= np.maximum(carried.sum(axis=1, keepdims=True), 1e-12)
        return Load(
            np.concatenate([history, rows]),
            np.concatenate([np.full(len(history), own, np.float32), values]),
            np.concatenate([np.eye(len(history), dtype=np.float32), carried]),
        )
