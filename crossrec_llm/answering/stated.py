"""What a person said outright has a weight of its own, whatever the blend was fitted to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge

from crossrec_llm.answering.blend import Blend, standardise
from crossrec_llm.records import STRICT, Query
from crossrec_llm.signals import Disliked, Said


@dataclass(frozen=True)
class ProfileOptions:
    """What a person said outright counts, beside what is fitted on what people took.

    pin : weight of a pinned sentence, on the z-score of the cosine with it.
    dislike : what an item loses at most for being near to disliked ones; scores are sums of
        z-scores, the best of a list mostly lie between 3 and 9.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    pin: Annotated[float, Ge(0)] = 1.0
    dislike: Annotated[float, Ge(0)] = 3.0


class StatedBlend:
    """A blend, plus `pin` times the z-score of `said`, plus `dislike` times `disliked`.

    Signals that the question gives nothing to are left out.

    Parameters
    ----------
    first : the blend of everything else.
    weights : of `said` and `disliked`, those above 0.
    """

    def __init__(self, first: Blend, weights: dict[str, float]) -> None:
        self.first, self.weights = first, weights
        self.names = (*first.names, *weights)

    @classmethod
    def of(cls, first: Blend, query: Query, options: ProfileOptions) -> Blend:
        """The blend of a question: the first one itself where nothing was said outright."""
        said = {Said.name: options.pin if query.said else 0.0}
        away = {Disliked.name: options.dislike if len(query.disliked) else 0.0}
        weights = {name: weight for name, weight in {**said, **away}.items() if weight}
        return cls(first, weights) if weights else first

    def parts(self, rows: np.ndarray, scores: np.ndarray) -> np.ndarray:
        n = len(self.first.names)
        columns = [self.first.parts(rows, scores[:, :n])]
        for i, (name, weight) in enumerate(self.weights.items(), n):
            # A dislike is no matter of how the pool lies: it costs the same in every pool.
            column = scores[:, i : i + 1]
            values = standardise(column) if name == Said.name else column
            columns.append(np.float32(weight) * values)
        return np.concatenate(columns, axis=1)

    def weighing(self, rows: np.ndarray) -> np.ndarray:
        own = np.tile(np.array(list(self.weights.values()), np.float32), (len(rows), 1))
        return np.concatenate([self.first.weighing(rows), own], axis=1)

    def total(self, query: Query, rows: np.ndarray, parts: np.ndarray) -> np.ndarray:
        n = len(self.first.names)
        total: np.ndarray = self.first.total(query, rows, parts[:, :n]) + parts[:, n:].sum(axis=1)
        return total
