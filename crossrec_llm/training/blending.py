"""Fit the blend of each situation, and keep what helps people that it was not fitted on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

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
from crossrec_llm.training.examples import Examples
from crossrec_llm.training.holdout import HeldOut, hold_out
from crossrec_llm.training.trees import Heads, fit_trees, reorder
from crossrec_llm.training.weights import K, fit_weights

logger = logging.getLogger(__name__)

# Signals that each situation may be made of. Not trending: it knows the time after the items that
# are hidden here, and would look better than it can be when the future is really unknown.
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
    """

    n_user: int = 8000
    n_cross: int = 2000
    seed: int = 0

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
    return Generation.fit(recipe, catalogue, raw, events, prompts).blended_by(tuned)


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
    weighing = recipe.histories.fitted(events)
    held = hold_out(
        catalogue,
        events,
        weighing,
        n_user=options.n_user,
        n_cross=options.n_cross,
        seed=options.seed,
    )
    cases: dict[SituationName, list[HeldOut]] = {"user": held.user, "cross": held.cross}
    left_out: dict[str, str] = {}
    for name, asked in list(cases.items()):
        if recipe.blend.sets(name):
            left_out[name] = _SET
        elif len(asked) < _LEAST_CASES:
            left_out[name] = f"{len(asked)} people to fit it on, at least {_LEAST_CASES} needed"
    situations: dict[str, Tuned] = {}
    if len(left_out) < len(cases):
        recommender = Recommender(Generation.fit(recipe, catalogue, raw, held.events))
        for name, asked in cases.items():
            if name in left_out:
                continue
            sources = getattr(BlendOptions(), name).sources
            examples = Examples.collect(recommender, name, asked, CHOICES[name], sources, progress)
            tuned, why = _fit_situation(recommender, name, examples, options.seed)
            if tuned is None:
                left_out[name] = why
            else:
                situations[name] = tuned
    return TunedBlend(situations, left_out)


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
        else:
            left_out[name] = tuned.left_out[name]
    return TunedBlend(situations, left_out)


def _fit_situation(
    recommender: Recommender, name: SituationName, examples: Examples, seed: int
) -> tuple[Tuned | None, str]:
    """Weights, then trees, each kept where it helps on the half that it was not fitted on."""
    default: Situation = getattr(BlendOptions(), name)
    start = np.array([default.weights.get(n, 0.0) for n in examples.names])
    before = examples.ndcg(examples.totals(start), K)
    parts = {
        "vectors": np.asarray(recommender.generation.vectors),
        "people": recommender.generation.signals.popularity.people,
    }
    halves = _halves(len(examples), seed)

    def weights_of(part: Examples) -> np.ndarray:
        found = fit_weights(part, default.weights)
        return np.array([found.get(n, 0.0) for n in examples.names])

    fitted = [weights_of(examples.part(half)) for half in halves]
    weighted = _crossed(
        halves, lambda i, there: there.ndcg(there.totals(fitted[1 - i]), K), examples
    )
    weights, figures = start, {"people": len(examples), "ndcg@10 default": float(before.mean())}
    figures["ndcg@10 weighted"] = float(weighted.mean())
    helps = _gain(weighted, before)
    figures["weights kept"] = helps
    if helps:
        weights = weights_of(examples)
    else:
        fitted, weighted = [start, start], before

    head = min(_HEADS[name], examples.rows.shape[1])

    def with_trees(i: int, there: Examples) -> np.ndarray:
        other = examples.part(halves[1 - i])
        learned = fit_trees(Heads.of(other, fitted[1 - i], head, **parts), seed)
        totals = there.totals(fitted[1 - i])
        heads = Heads.of(there, fitted[1 - i], head, **parts)
        return there.ndcg(reorder(there, totals, heads, learned), K)

    learned = _crossed(halves, with_trees, examples)
    figures["ndcg@10 trees"] = float(learned.mean())
    trees = ""
    if _gain(learned, weighted):
        trees = fit_trees(Heads.of(examples, weights, head, **parts), seed)
    figures["trees kept"] = bool(trees)
    figures["ndcg@10 kept"] = float((learned if trees else weighted).mean())
    if not helps and not trees:
        return None, (
            f"ndcg@10 {before.mean():.3f}; neither fitted weights "
            f"({figures['ndcg@10 weighted']:.3f}) nor trees ({learned.mean():.3f}) were better by "
            "more than their error on people that they were not fitted on"
        )
    used = {n: float(w) for n, w in zip(examples.names, weights, strict=True) if w}
    # The same sources as in the pools it was fitted on, whatever they weigh.
    return Tuned(Situation(used, default.sources), trees, head, figures), ""


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
