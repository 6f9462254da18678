"""Many signals -> one score."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, Protocol

import numpy as np
from annotated_types import MinLen

from crossrec_llm.records import STRICT, Query

SituationName = Literal["user", "cross", "like", "similar"]


@dataclass(frozen=True)
class Situation:
    """How one kind of question is ranked.

    weights : signal -> weight on its z-score.
    sources : signals that may propose items; the others only score.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    weights: Annotated[dict[str, float], MinLen(1)]
    sources: Annotated[tuple[str, ...], MinLen(1)]


@dataclass(frozen=True)
class BlendOptions:
    """One situation for each kind of question.

    A build fits `user` and `cross` on part of the histories, and takes what it found where that
    part shows it to be better than what stands here. A situation that a recipe sets to something
    else than the default stays as it is set.

    tune : whether a build fits them.
    user : for a person, in all categories or the home categories.
    cross : for a person, outside the home categories only.
    like : for a text; the text alone proposes, a person or examples only bend its order.
    similar : for an item.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    tune: bool = True
    user: Situation = field(
        default_factory=lambda: Situation(
            {
                "ease": 0.5,
                "neighbours": 0.15,
                "transitions": 0.5,
                "graph": 0.9,
                "als": 0.7,
                "text": 0.6,
                "popularity": 0.2,
            },
            ("ease", "transitions", "als", "text", "popularity"),
        )
    )
    cross: Situation = field(
        default_factory=lambda: Situation(
            {
                "late_interaction": 1.0,
                "transport": 1.0,
                "als": 0.5,
                "ease": 0.2,
                "graph": 0.2,
                "popularity": 0.1,
            },
            ("late_interaction", "als", "ease", "transport", "popularity"),
        )
    )
    like: Situation = field(
        default_factory=lambda: Situation(
            {"asked": 1.0, "lexical": 1.0, "text": 1.0, "neighbours": 0.5}, ("asked", "lexical")
        )
    )
    similar: Situation = field(
        default_factory=lambda: Situation({"text": 1.0, "neighbours": 0.5}, ("text", "neighbours"))
    )

    def sets(self, name: SituationName) -> bool:
        """Whether a situation is set to something else than its default."""
        return bool(getattr(self, name) != getattr(BlendOptions(), name))


def standardise(scores: np.ndarray) -> np.ndarray:
    """(n, s) float32 z-scores of each column over the finite values of the list.

    A value that is not finite, and every value of a column without spread, becomes 0: it speaks
    neither for nor against.
    """
    finite = np.isfinite(scores)
    values = np.where(finite, scores, 0).astype(np.float64)
    count = np.maximum(finite.sum(axis=0), 1)
    mean = values.sum(axis=0) / count
    centred = np.where(finite, values - mean, 0)
    spread = np.sqrt((centred**2).sum(axis=0) / count)
    flat = spread <= 1e-6 * np.maximum(np.abs(mean), 1e-6)
    return np.where(flat, 0, centred / np.where(flat, 1, spread)).astype(np.float32)


class Blend(Protocol):
    """Many signals' scores of a pool -> one score each, and what each signal had to do with it.

    `names` are the signals, in the order of the columns.
    """

    names: tuple[str, ...]

    def parts(self, scores: np.ndarray) -> np.ndarray:
        """(n, s) float32: what each signal adds to each row's first score.

        `scores` is (n, s), the signals' scores of the pool.
        """
        ...

    def total(self, query: Query, rows: np.ndarray, parts: np.ndarray) -> np.ndarray:
        """(n,) float32 score of each of `rows` ((n,) int64), from what `parts` gave."""
        ...


class WeightedBlend:
    """score = sum over signals of weight times z-score.

    Parameters
    ----------
    weights : signal name -> weight; a signal of weight 0 is left out.
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        self.names = tuple(name for name, weight in weights.items() if weight)
        self.weights = np.array([weights[name] for name in self.names], np.float32)

    def parts(self, scores: np.ndarray) -> np.ndarray:
        return standardise(scores) * self.weights

    def total(self, query: Query, rows: np.ndarray, parts: np.ndarray) -> np.ndarray:
        total: np.ndarray = parts.sum(axis=1)
        return total
