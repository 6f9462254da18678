"""Meaning spread over behaviour: vectors that took in their neighbours in who-took-what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge, Gt, Le

from crossrec_llm.records import STRICT
from crossrec_llm.signals.base import NOBODY, LeftOut
from crossrec_llm.signals.text import TextOptions
from crossrec_llm.tables import Histories


@dataclass(frozen=True)
class GraphOptions:
    """How far meaning spreads, and how a history becomes one vector of it.

    hops : steps from item to item over the people who took both.
    power : of the space that the texts are compared in (`[space] power`).
    decay : weight of a history item over that of the next newer one.
    last : how many of the newest items count.
    dislike : how far the vector is pushed away from the mean of the disliked items.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    hops: Annotated[int, Ge(1)] = 3
    power: Annotated[float, Ge(0), Le(1)] = 1.0
    decay: Annotated[float, Gt(0), Le(1)] = 0.8
    last: Annotated[int, Ge(1)] = 50
    dislike: Annotated[float, Ge(0)] = 0.3

    @property
    def pooling(self) -> TextOptions:
        return TextOptions(self.decay, self.last, self.dislike)


def spread(histories: Histories, texts: np.ndarray, options: GraphOptions) -> np.ndarray:
    """(n_items, dim) float32: norm(F + A'A F + (A'A)^2 F + ...), up to `hops` steps.

    A = D_u^-1/2 X D_i^-1/2, the user-item matrix without dislikes, symmetrically normalised
    (LightGCN, He et al. 2020; from text vectors AlphaRec, Sheng et al. 2024; here without
    training). An item that nobody took keeps its F.

    Parameters
    ----------
    texts : F, (n_items, dim) float32 unit rows in a space of power `options.power`.

    Raises
    ------
    LeftOut : nobody took anything.
    """
    import scipy.sparse as sp

    taken = histories.matrix(len(texts))
    if not taken.nnz:
        raise LeftOut(NOBODY)
    scale = [1 / np.sqrt(np.maximum(taken.getnnz(axis), 1)) for axis in (1, 0)]
    by_user = (sp.diags_array(scale[0]) @ taken @ sp.diags_array(scale[1])).tocsr()
    by_user = by_user.astype(np.float32)
    by_item = by_user.T.tocsr()
    step, total = texts, texts.copy()
    for _ in range(options.hops):
        step = by_item @ (by_user @ step)
        total += step
    norms = np.linalg.norm(total, axis=1, keepdims=True)
    return np.asarray(total / np.maximum(norms, 1e-12), np.float32)
