"""Behaviour in few numbers: factors of people and items."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge, Gt, Le

from crossrec_llm.records import STRICT, Query
from crossrec_llm.signals.base import (
    NOBODY,
    LastQuery,
    LeftOut,
    best,
    read_arrays,
    weigh,
    write_arrays,
)
from crossrec_llm.tables import Histories


@dataclass(frozen=True)
class AlsOptions:
    """Matrix factorisation by alternating least squares.

    factors : numbers per item.
    ridge : pulls the factors towards 0; higher learns less.
    alpha : how much more an item that was taken counts than one that was not.
    passes : over all people and items.
    seed : of the factors that it starts from.
    decay : weight of a history item over that of the next newer one.
    last : how many of the newest items count.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    factors: Annotated[int, Ge(1)] = 64
    ridge: Annotated[float, Gt(0)] = 1.0
    alpha: Annotated[float, Gt(0)] = 10.0
    passes: Annotated[int, Ge(1)] = 15
    seed: int = 0
    decay: Annotated[float, Gt(0), Le(1)] = 1.0
    last: Annotated[int, Ge(1)] = 50


class Als:
    """y_i . u, with the person's factors u solved for from the history when asked.

    u = (Y'Y + ridge I + alpha sum_h w_h y_h y_h')^-1 sum_h (1 + alpha) w_h y_h: the step of Hu,
    Koren and Volinsky 2008 (Collaborative filtering for implicit feedback datasets, eq. 4), where
    an item of weight w_h = decay^age w counts as that part of a whole one. No user id is needed.

    Parameters
    ----------
    factors : Y, (n_items, factors) float32; a row of zeros for an item that nobody took.
    """

    name = "als"
    kind = "taste"

    def __init__(self, factors: np.ndarray, options: AlsOptions) -> None:
        self.factors, self.options = factors, options
        self._solved = LastQuery(self._solve)

    @classmethod
    def fit(cls, histories: Histories, n_items: int, options: AlsOptions) -> Als:
        """LeftOut is raised where nobody took anything. Dislikes are left out."""
        from implicit.als import AlternatingLeastSquares
        from threadpoolctl import threadpool_limits

        taken = histories.matrix(n_items)
        if not taken.nnz:
            raise LeftOut(NOBODY)
        # It takes confidences as data, and its users and items are solved one by one: threads
        # change nothing in the result, but BLAS threads inside of them would.
        confidence = taken * np.float32(1 + options.alpha)
        with threadpool_limits(1, "blas"):
            model = AlternatingLeastSquares(
                factors=options.factors,
                regularization=options.ridge,
                alpha=1.0,
                iterations=options.passes,
                random_state=options.seed,
            )
            model.fit(confidence, show_progress=False)
        factors = np.array(model.item_factors, np.float32)
        factors[taken.getnnz(axis=0) == 0] = 0
        return cls(factors, options)

    def with_room(self, n_items: int) -> Als:
        """The same with further items, which nobody took."""
        more = np.zeros((n_items - len(self.factors), self.factors.shape[1]), np.float32)
        found = Als(np.concatenate([self.factors, more]), self.options)
        found._gram = self._gram  # rows of zeros add nothing to it
        return found

    def save(self, path: Path) -> None:
        write_arrays(path, factors=self.factors)

    @classmethod
    def load(cls, path: Path, options: AlsOptions) -> Als:
        return cls(**read_arrays(path), options=options)

    def score(self, query: Query, rows: np.ndarray) -> np.ndarray:
        if not len(query.history):
            return np.full(len(rows), np.nan, np.float32)
        return self.factors[rows] @ self._solved(query).sum(axis=1)

    def carriers(self, query: Query, rows: np.ndarray) -> np.ndarray:
        """y_i' (...)^-1 (1 + alpha) w_h y_h: the parts that sum to the score, Hu et al., eq. 7."""
        return np.maximum(self.factors[rows] @ self._solved(query), 0)

    def propose(self, query: Query, n: int, allowed: np.ndarray) -> np.ndarray:
        if not len(query.history):
            return np.empty(0, np.int64)
        scores = self.factors @ self._solved(query).sum(axis=1)
        rows = np.flatnonzero((scores > 0) & allowed)
        return rows[best(scores[rows], n)]

    @cached_property
    def _gram(self) -> np.ndarray:
        """(factors, factors) float64: Y'Y + ridge I."""
        factors = self.factors.astype(np.float64)
        return factors.T @ factors + self.options.ridge * np.eye(factors.shape[1])

    def _solve(self, query: Query) -> np.ndarray:
        """(factors, h) float32: what each history item adds to the person's factors."""
        weights = weigh(query, self.options.decay, self.options.last).astype(np.float64)
        seen = self.factors[query.history].astype(np.float64)
        weighed = seen * weights[:, None]
        system = self._gram + self.options.alpha * (weighed.T @ seen)
        solved = np.linalg.solve(system, (1 + self.options.alpha) * weighed.T)
        return solved.astype(np.float32)
