"""Many signals -> one score."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, Protocol

import numpy as np
from annotated_types import Ge, Le, MinLen

from crossrec_llm.records import STRICT, Query

SituationName = Literal["user", "cross", "like", "similar", "alike", "together"]


@dataclass(frozen=True)
class Situation:
    """How one kind of question is ranked.

    weights : signal -> weight on its z-score.
    sources : signals that may propose items; the others only score.
    cold : the weights on items that nobody took yet; `weights` where nothing stands here, as in a
        recipe that sets only `weights`.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    weights: Annotated[dict[str, float], MinLen(1)]
    sources: Annotated[tuple[str, ...], MinLen(1)]
    cold: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class BlendOptions:
    """One situation for each kind of question.

    A build fits `user` and `cross` on part of the histories, and takes what it found where that
    part shows it to be better than what stands here. A situation that a recipe sets to something
    else than the default stays as it is set.

    tune : whether a build fits them.
    cold_cost : what part of the quality of the lists (ndcg@10 on items that somebody took) a fit
        gives up at most to let in items that nobody took.
    user : for a person, in all categories or the home categories.
    cross : for a person, outside the home categories only.
    like : for a text; the text alone proposes, a person or examples only bend its order.
    similar : for an item, both what is like it and what the same people took.
    alike : for an item, with mode `alike`: what could be taken instead of it.
    together : for an item, with mode `together`: what is taken with it, after it above all. The
        graph fills the list where few people took both.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    tune: bool = True
    cold_cost: Annotated[float, Ge(0), Le(1)] = 0.0225
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
            {"ease": 0.3, "neighbours": 0.1, "transitions": 0.3, "graph": 0.55, "text": 0.35},
        )
    )
    cross: Situation = field(
        default_factory=lambda: Situation(
            {
                "als": 1.0,
                "neighbours": 0.5,
                "ease": 0.3,
                "graph": 0.2,
                "late_interaction": 0.5,
                "popularity": 0.4,
            },
            ("late_interaction", "als", "ease", "transport", "popularity"),
            {"late_interaction": 0.6, "transport": 0.6},
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
    alike: Situation = field(
        default_factory=lambda: Situation({"text": 1.0, "category": 0.5}, ("text",))
    )
    together: Situation = field(
        default_factory=lambda: Situation(
            {"transitions": 1.0, "neighbours": 0.5, "graph": 0.25},
            ("transitions", "neighbours", "graph"),
        )
    )

    def sets(self, name: SituationName) -> bool:
        """Whether a situation is set to something else than its default."""
        return bool(getattr(self, name) != getattr(BlendOptions(), name))


def standardise(scores: np.ndarray) -> np.ndarray:
    """(n, s) float32 z-scores of each column over the finite values of the list.

    A value that is not finite, and every value of a column without spread, becomes 0: it speaks
    neither for nor against.
    """
    finite, mean, spread = moments(scores)
    centred = np.where(finite, np.where(finite, scores, 0) - mean, 0)
    return np.where(spread > 0, centred / np.where(spread > 0, spread, 1), 0).astype(np.float32)


def moments(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which of (n, s) are finite, and each column's mean and spread over them, 0 for no spread."""
    finite = np.isfinite(scores)
    values = np.where(finite, scores, 0).astype(np.float64)
    count = np.maximum(finite.sum(axis=0), 1)
    mean = values.sum(axis=0) / count
    spread = np.sqrt((np.where(finite, values - mean, 0) ** 2).sum(axis=0) / count)
    flat = spread <= 1e-6 * np.maximum(np.abs(mean), 1e-6)
    return finite, mean, np.where(flat, 0, spread)


class Blend(Protocol):
    """Many signals' scores of a pool -> one score each, and what each signal had to do with it.

    `names` are the signals, in the order of the columns.
    """

    names: tuple[str, ...]

    def parts(self, rows: np.ndarray, scores: np.ndarray) -> np.ndarray:
        """(n, s) float32: what each signal adds to each row's first score.

        `rows` is (n,) int64, the pool; `scores` (n, s), what the signals say of it.
        """
        ...

    def weighing(self, rows: np.ndarray) -> np.ndarray:
        """(n, s) float32: what each signal's z-score counts in `parts` of each row."""
        ...

    def total(self, query: Query, rows: np.ndarray, parts: np.ndarray) -> np.ndarray:
        """(n,) float32 score of each of `rows` ((n,) int64), from what `parts` gave."""
        ...


class WeightedBlend:
    """score = sum over signals of weight times z-score.

    Parameters
    ----------
    weights : signal name -> weight.
    cold : the same for the items of `is_cold`; None = as all others.
    is_cold : (n_items,) bool.
    """

    def __init__(
        self,
        weights: Mapping[str, float],
        cold: Mapping[str, float] | None = None,
        is_cold: np.ndarray | None = None,
    ) -> None:
        cold = weights if cold is None else cold
        named = dict.fromkeys((*weights, *cold))
        self.names = tuple(n for n in named if weights.get(n) or cold.get(n))
        self.weights, self.cold_weights = (
            np.array([by_name.get(n, 0.0) for n in self.names], np.float32)
            for by_name in (weights, cold)
        )
        self.is_cold = is_cold

    def parts(self, rows: np.ndarray, scores: np.ndarray) -> np.ndarray:
        return standardise(scores) * self.weighing(rows)

    def weighing(self, rows: np.ndarray) -> np.ndarray:
        cold = np.zeros(len(rows), bool) if self.is_cold is None else self.is_cold[rows]
        return np.where(cold[:, None], self.cold_weights, self.weights)

    def total(self, query: Query, rows: np.ndarray, parts: np.ndarray) -> np.ndarray:
        total: np.ndarray = parts.sum(axis=1)
        return total
