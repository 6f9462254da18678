"""Fit the blend of each situation, and keep what helps people that it was not fitted on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from crossrec_llm.answering import Situation, SituationName, Tuned, TunedBlend
from crossrec_llm.answering.blend import BlendOptions
from crossrec_llm.errors import QueryError
from crossrec_llm.generation import Generation
from crossrec_llm.meaning import Templates
from crossrec_llm.recipe import Recipe
from crossrec_llm.recommender import Recommender
from crossrec_llm.records import Progress
from crossrec_llm.tables import Catalogue
from crossrec_llm.tables.clock import no_clock
from crossrec_llm.training.examples import Examples
from crossrec_llm.training.holdout import By, HeldOut, Holdout, hold_out
from crossrec_llm.training.trees import Heads, fit_trees, reorder
from crossrec_llm.training.weights import K, fit_cold, fit_weights

logger = logging.getLogger(__name__)

# Signals that each situation may be made of. Trending comes in where all that is later is hidden:
# else it knows the time after the hidden items, and looks better than it can be.
CHOICES: dict[SituationName, tuple[str, ...]] = {
    "user": (
        "ease",
        "neighbours",
        "transitions",
        "graph",
        "als",
        "text",
        "late_interaction",
        "popularity",
    ),
    "cross": (
        "ease",
        "neighbours",
        "als",
        "graph",
        "transport",
        "late_interaction",
        "popularity",
    ),
}
_HEADS: dict[SituationName, int] = {"user": 100, "cross": 200}
_LEAST_CASES = 200
_SET = "set by the recipe"


@dataclass(frozen=True)
class TuneOptions:
    """How much work goes into a fit.

    n_user, n_cross : people with something hidden, at most.
    seed : of the draw of these people, and of the trees.
    by : how the end of histories is hidden (`hold_out`); None takes "later" where all share a
        clock and enough people can be asked, else "last".
    """

    n_user: int = 8000
    n_cross: int = 2000
    seed: int = 0
    by: By | None = None

    def __post_init__(self) -> None:
        for people in (self.n_user, self.n_cross):
            if people < 0:
                raise QueryError(f"something can be hidden of 0 or more people, not of {people}")


THOROUGH = TuneOptions(n_user=20_000, n_cross=10_000)


def fit(
    recipe: Recipe,
    catalogue: Catalogue,
    raw: np.ndarray,
    events: pa.Table,
    prompts: Templates | None = None,
    *,
    options: TuneOptions = TuneOptions(),
    progress: Progress | None = None,
) -> Generation:
    """Everything that is learned from texts and events, the blend included, in memory.

    The blend is fitted unless `recipe.blend.tune` is off. Parameters as for `Generation.fit`.
    """
    tuned = TunedBlend()
    if recipe.blend.tune:
        tuned = fit_blend(recipe, catalogue, raw, events, options=options, progress=progress)
    fitted = Generation.fit(recipe, catalogue, raw, events, prompts, progress=progress)
    return fitted.blended_by(tuned)


def fit_blend(
    recipe: Recipe,
    catalogue: Catalogue,
    raw: np.ndarray,
    events: pa.Table,
    *,
    options: TuneOptions = TuneOptions(),
    progress: Progress | None = None,
) -> TunedBlend:
    """Hide some items, fit the signals without them, and fit what blends the signals on them."""
    by = options.by or ("last" if no_clock(events) else "later")
    held = _hold_out(recipe, catalogue, events, options, by)
    if options.by is None and by == "later" and len(held.user) < _LEAST_CASES:
        by = "last"
        held = _hold_out(recipe, catalogue, events, options, by)
    cases: dict[SituationName, list[HeldOut]] = {"user": held.user, "cross": held.cross}
    left_out: dict[str, str] = {}
    for name, asked in list(cases.items()):
        if recipe.blend.sets(name):
            left_out[name] = _SET
        elif len(asked) < _LEAST_CASES:
            left_out[name] = _too_few(len(asked))
    situations: dict[str, Tuned] = {}
    if len(left_out) < len(cases):
        fitted = Generation.fit(recipe, catalogue, raw, held.events, progress=progress)
        recommender = Recommender(fitted)
        for name, asked in cases.items():
            if name in left_out:
                continue
            sources = getattr(BlendOptions(), name).sources
            choices = (*CHOICES[name], "trending") if by == "later" else CHOICES[name]
            examples = Examples.collect(recommender, name, asked, choices, sources, progress)
            tuned, why = _fit_situation(recommender, name, examples, options.seed)
            if tuned is None:
                left_out[name] = why
            else:
                situations[name] = tuned
    return TunedBlend(situations, left_out)


def _hold_out(
    recipe: Recipe, catalogue: Catalogue, events: pa.Table, options: TuneOptions, by: By
) -> Holdout:
    return hold_out(
        catalogue,
        events,
        recipe.histories.fitted(events),
        by=by,
        n_user=options.n_user,
        n_cross=options.n_cross,
        seed=options.seed,
    )


def taken_over(tuned: TunedBlend, recipe: Recipe) -> TunedBlend | None:
    """What a fit on the same parts would give by another recipe; None where that has to be fitted.

    A recipe that does not tune has nothing fitted, and one that sets a situation leaves it alone.
    """
    if not recipe.blend.tune:
        return TunedBlend()
    looked_at = {**tuned.situations, **tuned.left_out}
    situations: dict[str, Tuned] = {}
    left_out: dict[str, str] = {}
    for name in CHOICES:
        if recipe.blend.sets(name):
            left_out[name] = _SET
        elif looked_at.get(name, _SET) == _SET:
            return None
        elif name in tuned.situations:
            situations[name] = tuned.situations[name]
            allowed = tuned.situations[name].figures.get("cost allowed", recipe.blend.cold_cost)
            if allowed != recipe.blend.cold_cost:
                return None
        else:
            left_out[name] = tuned.left_out[name]
    return TunedBlend(situations, left_out)


def _fit_situation(
    recommender: Recommender, name: SituationName, examples: Examples, seed: int
) -> tuple[Tuned | None, str]:
    """Weights, then trees, then the weights of cold items, each kept where it helps."""
    default: Situation = getattr(BlendOptions(), name)
    known, new = examples.after(cold=False), examples.after(cold=True)
    if len(known) < _LEAST_CASES:
        return None, _too_few(len(known))
    weighed = _weigh(known, _in_order(default.weights, examples.names), seed)
    head = min(_HEADS[name], examples.rows.shape[1])
    grown = _grow(recommender, known, weighed, head, seed)
    start = _in_order(default.cold or default.weights, examples.names)
    start *= np.linalg.norm(weighed.weights) / np.linalg.norm(weighed.default)
    let_in = _let_in(known, new, weighed, start, recommender.recipe.blend.cold_cost)
    figures = {**weighed.figures, **grown.figures, **let_in.figures}
    if not (weighed.kept or grown.trees or let_in.kept):
        return None, (
            f"ndcg@10 {figures['ndcg@10 default']:.3f}; neither fitted weights "
            f"({figures['ndcg@10 weighted']:.3f}) nor trees ({figures['ndcg@10 trees']:.3f}) were "
            "better by more than their error on people that they were not fitted on"
        )
    # The same sources as in the pools it was fitted on, whatever they weigh.
    situation = Situation(
        _named(examples.names, weighed.weights),
        default.sources,
        _named(examples.names, let_in.weights),
    )
    return Tuned(situation, grown.trees, head, figures), ""


@dataclass(frozen=True, eq=False)
class _Weighed:
    """Weights on items that somebody took.

    default, weights : (s,) before the fit, and those to take.
    by_half : those to take for the people of the other half.
    values : (c,) ndcg@10 of everybody by what was fitted on the other half.
    """

    default: np.ndarray
    weights: np.ndarray
    by_half: Sequence[np.ndarray]
    values: np.ndarray
    kept: bool
    figures: dict[str, Any]


def _weigh(known: Examples, default: np.ndarray, seed: int) -> _Weighed:
    before = known.ndcg(known.totals(default), K)
    halves = _halves(len(known), seed)
    by_half = [fit_weights(known.part(half), default) for half in halves]
    values = _crossed(halves, lambda i, there: there.ndcg(there.totals(by_half[1 - i]), K), known)
    kept = _gain(values, before)
    figures = {
        "people": len(known),
        "ndcg@10 default": float(before.mean()),
        "ndcg@10 weighted": float(values.mean()),
        "weights kept": kept,
    }
    if not kept:
        return _Weighed(default, default, [default, default], before, False, figures)
    return _Weighed(default, fit_weights(known, default), by_half, values, True, figures)


@dataclass(frozen=True)
class _Grown:
    """Trees as text, empty where they do not help."""

    trees: str
    figures: dict[str, Any]


def _grow(
    recommender: Recommender, known: Examples, weighed: _Weighed, head: int, seed: int
) -> _Grown:
    parts = {
        "vectors": np.asarray(recommender.generation.vectors),
        "people": recommender.generation.signals.popularity.people,
    }
    halves = _halves(len(known), seed)

    def with_trees(i: int, there: Examples) -> np.ndarray:
        weights = weighed.by_half[1 - i]
        other = known.part(halves[1 - i])
        trees = fit_trees(Heads.of(other, weights, head, **parts), seed)
        totals, heads = there.totals(weights), Heads.of(there, weights, head, **parts)
        return there.ndcg(reorder(there, totals, heads, trees), K)

    values = _crossed(halves, with_trees, known)
    trees = ""
    if _gain(values, weighed.values):
        trees = fit_trees(Heads.of(known, weighed.weights, head, **parts), seed)
    figures = {
        "ndcg@10 trees": float(values.mean()),
        "trees kept": bool(trees),
        "ndcg@10 kept": float((values if trees else weighed.values).mean()),
    }
    return _Grown(trees, figures)


@dataclass(frozen=True, eq=False)
class _LetIn:
    """(s,) weights on cold items."""

    weights: np.ndarray
    kept: bool
    figures: dict[str, Any]


def _let_in(
    known: Examples, new: Examples, weighed: _Weighed, start: np.ndarray, cost: float
) -> _LetIn:
    """Kept where it finds more cold items than `start`, or `start` costs more than is allowed."""
    if len(new) < _LEAST_CASES:
        return _LetIn(start, False, {"cold people": len(new)})
    weights = weighed.weights
    of_known, of_new = _halves(len(known), 0), _halves(len(new), 0)
    by_half = [fit_cold(known.part(half), weights, start, cost) for half in of_known]

    def by_other(i: int, there: Examples) -> np.ndarray:
        return there.ndcg(there.totals(weights, by_half[1 - i]), K)

    before, after = new.ndcg(new.totals(weights, start), K), _crossed(of_new, by_other, new)
    without = known.ndcg(known.totals(weights), K).mean()

    def cost_of(values: np.ndarray) -> float:
        return float(1 - values.mean() / max(without, 1e-12))

    costs = cost_of(known.ndcg(known.totals(weights, start), K))
    kept = costs > cost or _gain(after, before)
    figures = {
        "cold people": len(new),
        "cold ndcg@10 default": float(before.mean()),
        "cold ndcg@10 weighted": float(after.mean()),
        "cost default": costs,
        "cost weighted": cost_of(_crossed(of_known, by_other, known)),
        "cost allowed": cost,
        "cold weights kept": kept,
    }
    return _LetIn(fit_cold(known, weights, start, cost) if kept else start, kept, figures)


def _in_order(weights: Mapping[str, float], names: Sequence[str]) -> np.ndarray:
    return np.array([weights.get(name, 0.0) for name in names])


def _named(names: Sequence[str], weights: np.ndarray) -> dict[str, float]:
    return {name: round(float(w), 3) for name, w in zip(names, weights, strict=True) if w}


def _too_few(people: int) -> str:
    return f"{people} people to fit it on, at least {_LEAST_CASES} needed"


def _halves(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    order = np.random.default_rng(seed).permutation(n)
    return np.sort(order[: n // 2]), np.sort(order[n // 2 :])


def _crossed(
    halves: Sequence[np.ndarray], measure: Callable[[int, Examples], np.ndarray], examples: Examples
) -> np.ndarray:
    """(c,) measures, each half's by what was fitted on the other."""
    out = np.empty(len(examples))
    for i, half in enumerate(halves):
        out[half] = measure(i, examples.part(half))
    return out


def _gain(after: np.ndarray, before: np.ndarray) -> bool:
    """Whether the mean paired difference is more than its standard error."""
    difference = after - before
    return bool(difference.mean() > difference.std() / np.sqrt(len(difference)))
