"""Fit one situation: weights, trees, and weights of cold items, each kept where it helps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from crossrec_llm.answering import Situation, SituationName, Tuned
from crossrec_llm.answering.blend import BlendOptions
from crossrec_llm.recommender import Recommender
from crossrec_llm.training.examples import Examples
from crossrec_llm.training.trees import Heads, fit_trees, reorder
from crossrec_llm.training.weights import K, fit_cold, fit_one, fit_weights

LEAST_CASES = 200

# Standard errors that a gain is to have. At one, every sixth signal that adds nothing would stay.
_SURE = 2.0

_HEADS: dict[SituationName, int] = {"user": 100, "cross": 200}


@dataclass(frozen=True, eq=False)
class FittedSituation:
    """What a fit of a situation came to.

    tuned : None where the defaults stay; `why` says why.
    refused : signal on trial that did not help -> the figures that say so.
    values : (c,) ndcg@10 of the people who were asked, by what is kept; empty where too few were.
    """

    tuned: Tuned | None
    why: str = ""
    refused: Mapping[str, str] = field(default_factory=dict)
    values: np.ndarray = field(default_factory=lambda: np.empty(0))


def fit_situation(
    recommender: Recommender,
    name: SituationName,
    examples: Examples,
    seed: int,
    on_trial: Sequence[str] = (),
) -> FittedSituation:
    """Weights, trees and weights of cold items, each kept where it helps.

    Everybody is judged by what was fitted on the other half of the people, drawn by `seed`.

    Parameters
    ----------
    on_trial : signals that stay only where the blend with them is better, on the same people and
        pools, than a blend fitted without them, by more than twice the error of the difference.
        They also propose where they stay.
    """
    tried = [one for one in on_trial if one in examples.names]
    found = _fit(recommender, name, examples.without(*tried), seed)
    joined: tuple[str, ...] = ()
    for n, one in enumerate(tried):
        if not len(found.values):
            break
        more = _fit(recommender, name, examples.without(*tried[n + 1 :]), seed, (*joined, one))
        gained, error = _difference(more.values, found.values)
        if gained > _SURE * error and more.tuned is not None:
            figures = {
                **more.tuned.figures,
                f"ndcg@10 without {one}": float(found.values.mean()),
                f"error of the gain by {one}": error,
            }
            tuned = replace(more.tuned, figures=figures)
            found = replace(more, tuned=tuned, refused=found.refused)
            joined = (*joined, one)
            continue
        why = (
            f"the blend for {name} was not better by more than twice its error with it: ndcg@10 "
            f"{more.values.mean():.4f} with it, {found.values.mean():.4f} without (difference "
            f"{gained:+.4f}, error {error:.4f}), on {len(found.values):,} people not fitted on"
        )
        examples = examples.without(one)
        found = replace(found, refused={**found.refused, one: why})
    return found


def _fit(
    recommender: Recommender,
    name: SituationName,
    examples: Examples,
    seed: int,
    joined: Sequence[str] = (),
) -> FittedSituation:
    """`joined` signals have one weight each, fitted when those of the others stand, and propose."""
    default: Situation = getattr(BlendOptions(), name)
    asked = _Asked.of(examples, seed)
    if len(asked.known) < LEAST_CASES:
        return FittedSituation(None, too_few(len(asked.known)))
    columns = [examples.names.index(one) for one in joined]
    weighed = _weigh(asked, _in_order(default.weights, examples.names), columns)
    for column in columns:
        weighed = _join(asked, weighed, column)
    head = min(_HEADS[name], examples.rows.shape[1])
    grown = _grow(recommender, asked, weighed, head, seed)
    proportions = _in_order(default.cold, examples.names)
    let_in = _let_in(asked, weighed, proportions, recommender.recipe.blend.cold_cost)
    figures = {**weighed.figures, **grown.figures, **let_in.figures}
    if not (weighed.kept or joined or grown.trees or let_in.kept):
        why = (
            f"ndcg@10 {figures['ndcg@10 default']:.3f}; neither fitted weights "
            f"({figures['ndcg@10 weighted']:.3f}) nor trees ({figures['ndcg@10 trees']:.3f}) were "
            "better by more than their error on people that they were not fitted on"
        )
        return FittedSituation(None, why, values=grown.values)
    # The same sources as in the pools it was fitted on, whatever they weigh.
    weights = _named(examples.names, weighed.weights)
    situation = Situation(
        weights,
        (*default.sources, *(one for one in joined if one in weights)),
        _named(examples.names, let_in.weights),
    )
    return FittedSituation(Tuned(situation, grown.trees, head, figures), values=grown.values)


_FEW = "people to fit it on, at least"


def too_few(people: int) -> str:
    return f"{people} {_FEW} {LEAST_CASES} needed"


def is_too_few(why: str) -> bool:
    """Whether `too_few` said so."""
    return _FEW in why


@dataclass(frozen=True, eq=False)
class _Asked:
    """Questions after items that somebody took, and after cold ones: all, and by halves of people.

    Who is after both is in the same half of either.
    """

    known: Examples
    known_halves: Sequence[Examples]
    new_halves: Sequence[Examples]

    @classmethod
    def of(cls, examples: Examples, seed: int) -> _Asked:
        order = np.random.default_rng(seed).permutation(len(examples))
        middle = len(order) // 2
        halves = [examples.part(np.sort(half)) for half in (order[:middle], order[middle:])]
        return cls(
            examples.after(cold=False),
            [half.after(cold=False) for half in halves],
            [half.after(cold=True) for half in halves],
        )


@dataclass(frozen=True, eq=False)
class _Weighed:
    """Weights on items that somebody took.

    default, weights : (s,) before the fit, and those to take.
    by_half : those to take, fitted on each half.
    values : (c,) ndcg@10 of everybody by what was fitted on the other half.
    """

    default: np.ndarray
    weights: np.ndarray
    by_half: Sequence[np.ndarray]
    values: np.ndarray
    kept: bool
    figures: dict[str, Any]


def _weigh(asked: _Asked, default: np.ndarray, fixed: Sequence[int]) -> _Weighed:
    before = _by_half(asked.known_halves, lambda _, half: half.ndcg(half.totals(default), K))
    by_half = [fit_weights(half, default, fixed) for half in asked.known_halves]
    values = _by_half(asked.known_halves, lambda i, half: half.ndcg(half.totals(by_half[1 - i]), K))
    kept = _gain(values, before)
    figures = {
        "people": len(asked.known),
        "ndcg@10 default": float(before.mean()),
        "ndcg@10 weighted": float(values.mean()),
        "weights kept": kept,
    }
    if not kept:
        return _Weighed(default, default, [default, default], before, False, figures)
    weights = fit_weights(asked.known, default, fixed)
    return _Weighed(default, weights, by_half, values, True, figures)


def _join(asked: _Asked, weighed: _Weighed, column: int) -> _Weighed:
    """With a weight for one signal more; those of the others keep their proportions.

    All weights fitted anew would be compared by their noise: one has next to none.
    """
    by_half = [
        fit_one(half, weights, column)
        for half, weights in zip(asked.known_halves, weighed.by_half, strict=True)
    ]
    values = _by_half(asked.known_halves, lambda i, half: half.ndcg(half.totals(by_half[1 - i]), K))
    weights = fit_one(asked.known, weighed.weights, column)
    figures = {**weighed.figures, "ndcg@10 joined": float(values.mean())}
    return replace(weighed, weights=weights, by_half=by_half, values=values, figures=figures)


@dataclass(frozen=True)
class _Grown:
    """Trees as text, empty where they do not help; (c,) ndcg@10 of everybody by what is kept."""

    trees: str
    figures: dict[str, Any]
    values: np.ndarray


def _grow(
    recommender: Recommender, asked: _Asked, weighed: _Weighed, head: int, seed: int
) -> _Grown:
    parts = {
        "vectors": np.asarray(recommender.generation.vectors),
        "people": recommender.generation.signals.popularity.people,
    }

    def with_trees(i: int, half: Examples) -> np.ndarray:
        weights, other = weighed.by_half[1 - i], asked.known_halves[1 - i]
        trees = fit_trees(Heads.of(other, weights, head, **parts), seed)
        heads = Heads.of(half, weights, head, **parts)
        return half.ndcg(reorder(half, half.totals(weights), heads, trees), K)

    values = _by_half(asked.known_halves, with_trees)
    trees = ""
    if _gain(values, weighed.values):
        trees = fit_trees(Heads.of(asked.known, weighed.weights, head, **parts), seed)
    figures = {
        "ndcg@10 trees": float(values.mean()),
        "trees kept": bool(trees),
        "ndcg@10 kept": float((values if trees else weighed.values).mean()),
    }
    return _Grown(trees, figures, values if trees else weighed.values)


@dataclass(frozen=True, eq=False)
class _LetIn:
    """(s,) weights on cold items."""

    weights: np.ndarray
    kept: bool
    figures: dict[str, Any]


def _let_in(asked: _Asked, weighed: _Weighed, proportions: np.ndarray, cost: float) -> _LetIn:
    """Kept where the defaults cost more than is allowed, or find fewer cold items.

    The defaults are scaled as the weights on other items were. The cost is that of the weighted
    lists; trees leave cold items at their places.
    """
    size = np.linalg.norm(weighed.default)
    starts = [proportions * np.linalg.norm(w) / size for w in weighed.by_half]
    fitted = [
        fit_cold(half, w, proportions, cost)
        for half, w in zip(asked.known_halves, weighed.by_half, strict=True)
    ]

    def values(halves: Sequence[Examples], cold: Sequence[np.ndarray] | None) -> np.ndarray:
        def judged(i: int, half: Examples) -> np.ndarray:
            there = None if cold is None else cold[1 - i]
            return half.ndcg(half.totals(weighed.by_half[1 - i], there), K)

        return _by_half(halves, judged)

    without = float(values(asked.known_halves, None).mean())

    def cost_of(cold: Sequence[np.ndarray]) -> float:
        with_them = float(values(asked.known_halves, cold).mean())
        return 1 - with_them / without if without else 0.0

    before, after = values(asked.new_halves, starts), values(asked.new_halves, fitted)
    figures: dict[str, Any] = {
        "cold people": len(before),
        "cost default": cost_of(starts),
        "cost weighted": cost_of(fitted),
        "cost allowed": cost,
    }
    if len(before):
        figures["cold ndcg@10 default"] = float(before.mean())
        figures["cold ndcg@10 weighted"] = float(after.mean())
    finds_more = len(before) >= LEAST_CASES and _gain(after, before)
    kept = figures["cost default"] > cost or finds_more
    figures["cold weights kept"] = kept
    weights = weighed.weights
    if kept:
        return _LetIn(fit_cold(asked.known, weights, proportions, cost), True, figures)
    return _LetIn(proportions * np.linalg.norm(weights) / size, False, figures)


def _in_order(weights: Mapping[str, float], names: Sequence[str]) -> np.ndarray:
    return np.array([weights.get(name, 0.0) for name in names])


def _named(names: Sequence[str], weights: np.ndarray) -> dict[str, float]:
    return {name: round(float(w), 3) for name, w in zip(names, weights, strict=True) if w}


def _by_half(
    halves: Sequence[Examples], measure: Callable[[int, Examples], np.ndarray]
) -> np.ndarray:
    """(c,) measures, those of the first half's people first."""
    return np.concatenate([measure(i, half) for i, half in enumerate(halves)])


def _gain(after: np.ndarray, before: np.ndarray) -> bool:
    """Whether the mean paired difference is more than its standard error."""
    gained, error = _difference(after, before)
    return gained > error


def _difference(after: np.ndarray, before: np.ndarray) -> tuple[float, float]:
    """The mean paired difference, and its standard error."""
    difference = after - before
    return float(difference.mean()), float(difference.std() / np.sqrt(len(difference)))
