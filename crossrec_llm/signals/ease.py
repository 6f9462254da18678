"""Behaviour and text in one closed form: EASE with text as side information."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge, Gt, Le

from crossrec_llm.errors import RecipeError
from crossrec_llm.records import STRICT
from crossrec_llm.signals.base import NOBODY, LeftOut
from crossrec_llm.signals.inverse import ExactInverse, Inverse, SpectralInverse
from crossrec_llm.signals.item_to_item import ItemToItem, Walk
from crossrec_llm.tables import Histories

_BLOCK = 1024
_LARGEST_ERROR = 0.1


@dataclass(frozen=True)
class EaseOptions:
    """How much is learned from behaviour, and how much from text.

    ridge : added to the diagonal; higher learns less.
    text : weight of the texts beside the interactions.
    power : of the space that the texts are compared in (`[space] power`).
    exact_below : up to so many items that somebody took, the inverse is exact (8,000 items: a few
        seconds, 0.5 GB); with more it is worked out from its spectrum (36,000 items: a minute, 2
        GB), which measured the same.
    rank : eigenvalues that are taken out of the spectrum one by one.
    max_items : with more items than this that somebody took, it is left out: the time grows with
        the square of their number.
    keep : items kept per item.
    decay : weight of a history item over that of the next newer one.
    last : how many of the newest items count.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    ridge: Annotated[float, Gt(0)] = 100.0
    text: Annotated[float, Gt(0)] = 10.0
    power: Annotated[float, Ge(0), Le(1)] = 1.0
    exact_below: Annotated[int, Ge(0)] = 8_000
    rank: Annotated[int, Ge(1)] = 200
    max_items: Annotated[int, Ge(0)] = 100_000
    keep: Annotated[int, Ge(1)] = 300
    decay: Annotated[float, Gt(0), Le(1)] = 0.8
    last: Annotated[int, Ge(1)] = 50

    @property
    def walk(self) -> Walk:
        return Walk("ease", "neighbours", self.decay, self.last)


def fit_ease(histories: Histories, texts: np.ndarray, options: EaseOptions) -> ItemToItem:
    """M = -P / diag(P) with P = (X'X + text F F' + ridge I)^-1, 0 on the diagonal.

    Steck 2019 (Embarrassingly shallow autoencoders), with the texts' vectors F as further rows of
    the user-item matrix X. Items that nobody took have no row and no column.

    Parameters
    ----------
    texts : F, (n_items, dim) float32 unit rows in a space of power `options.power`.

    Raises
    ------
    LeftOut : nobody took anything, more items than `max_items` were taken, or they are too many
        for the exact inverse and too often taken for the other one.
    """
    taken = histories.matrix(len(texts))
    known = np.flatnonzero(taken.getnnz(axis=0))
    if not len(known):
        raise LeftOut(NOBODY)
    if len(known) > options.max_items:
        raise LeftOut(
            f"{len(known):,} items were taken and it is fitted on at most {options.max_items:,}: "
            "raise max_items under [signals.ease] (its time grows with the square of the items)"
        )
    columns = taken[:, known]
    inverse = _invert((columns.T @ columns).tocsr(), texts[known], options)

    def rows() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        strongest = _strongest(inverse, options.keep)
        nothing = np.empty(0, np.int64), np.empty(0, np.float32)
        for somebody in np.isin(np.arange(len(texts)), known):
            if somebody:
                places, values = next(strongest)
                yield known[places], values
            else:
                yield nothing

    return ItemToItem.from_rows(rows(), options.keep, options.walk)


def _invert(gram: Any, texts: np.ndarray, options: EaseOptions) -> Inverse:
    if len(texts) <= options.exact_below:
        try:
            return ExactInverse(gram, texts, options.text, options.ridge)
        except ValueError as error:
            raise RecipeError("recipe", [f"signals.ease.ridge: {error}; raise it"]) from error
    inverse = SpectralInverse(gram, texts, options.text, options.ridge, options.rank)
    if inverse.error > _LARGEST_ERROR:
        raise LeftOut(
            f"for {len(texts):,} items its inverse is worked out from their spectrum, which would "
            f"be off by {inverse.error:.0%}: raise ridge or rank under [signals.ease], or "
            f"exact_below for an exact one ({8 * len(texts) ** 2 / 1e9:.1f} GB of memory)"
        )
    return inverse


def _strongest(inverse: Inverse, keep: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Of each row in turn, the columns and weights of its `keep` highest."""
    n = len(inverse.diagonal)
    keep = min(keep, n - 1)
    scale = -1 / inverse.diagonal
    for start in range(0, n, _BLOCK):
        stop = min(start + _BLOCK, n)
        block = inverse.rows(start, stop)
        block *= scale
        block[np.arange(stop - start), np.arange(start, stop)] = -np.inf
        places = np.argpartition(block, min(n - keep, n - 1), axis=1)[:, n - keep :]
        yield from zip(places, np.take_along_axis(block, places, axis=1), strict=True)
