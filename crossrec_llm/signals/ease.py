"""Behaviour and text in one closed form: EASE with text as side information."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge, Gt, Le

from crossrec_llm.meaning import Space, SpaceOptions
from crossrec_llm.records import STRICT
from crossrec_llm.signals.item_to_item import ItemToItem, Walk
from crossrec_llm.tables import Histories

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EaseOptions:
    """How much is learned from behaviour, and how much from text.

    ridge : added to the diagonal; higher learns less.
    text : weight of the texts beside the interactions.
    power : of the space that the texts are compared in (`[space] power`).
    max_items : with more items than this that somebody took, it is left out: the fit takes memory
        with the square of their number and time with its cube (12,000 items: 0.6 GB).
    keep : items kept per item.
    decay : weight of a history item over that of the next newer one.
    last : how many of the newest items count.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    ridge: Annotated[float, Gt(0)] = 100.0
    text: Annotated[float, Ge(0)] = 10.0
    power: Annotated[float, Ge(0), Le(1)] = 1.0
    max_items: Annotated[int, Ge(0)] = 15_000
    keep: Annotated[int, Ge(1)] = 300
    decay: Annotated[float, Gt(0), Le(1)] = 0.8
    last: Annotated[int, Ge(1)] = 50

    @property
    def walk(self) -> Walk:
        return Walk("ease", "neighbours", self.decay, self.last)


def fit_ease(
    histories: Histories, raw: np.ndarray, codes: np.ndarray, options: EaseOptions
) -> ItemToItem | None:
    """M = -P / diag(P) with P = (X'X + text F F' + ridge I)^-1, 0 on the diagonal.

    Steck 2019 (Embarrassingly shallow autoencoders), with the texts' vectors F as further rows of
    the user-item matrix X. Items that nobody took have no row and no column.

    Parameters
    ----------
    raw : (n_items, dim) float32 unit rows as encoded; `codes` their top categories.

    Returns
    -------
    None where there are more such items than `max_items`, or none.
    """
    from scipy.linalg import lapack

    taken = histories.matrix(len(raw))
    known = np.flatnonzero(taken.getnnz(axis=0))
    if not 0 < len(known) <= options.max_items:
        logger.info("ease is left out: %d items, at most %d", len(known), options.max_items)
        return None
    columns = taken[:, known]
    texts = Space.fit(raw, codes, SpaceOptions(power=options.power)).apply(raw, codes)[known]
    gram = (columns.T @ columns).toarray(order="F")
    gram += np.float32(options.text) * (texts @ texts.T)
    gram[np.diag_indices_from(gram)] += np.float32(options.ridge)
    # The gram matrix is positive definite: Cholesky, then the inverse in its lower triangle.
    factor, failed = lapack.spotrf(gram, lower=1, overwrite_a=1)
    if not failed:
        lower, failed = lapack.spotri(factor, lower=1, overwrite_c=1)
    if failed:
        raise ValueError("the ridge is too small for these histories: raise signals.ease.ridge")
    inverse = np.tril(lower) + np.tril(lower, -1).T
    place = np.full(len(raw), -1)
    place[known] = np.arange(len(known))
    scale = -1 / np.diag(inverse)

    def rows() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        nothing = np.empty(0, np.int64), np.empty(0, np.float32)
        for i in place:
            if i < 0:
                yield nothing
                continue
            weights = inverse[i] * scale
            weights[i] = -np.inf
            yield known, weights

    return ItemToItem.from_rows(rows(), options.keep, options.walk)
