"""Fit the blend of each situation, and keep what helps people that it was not fitted on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

import numpy as np
import pyarrow as pa

from crossrec_llm.answering import Bridges, SituationName, Tuned, TunedBlend
from crossrec_llm.answering.blend import BlendOptions
from crossrec_llm.errors import QueryError
from crossrec_llm.generation import Generation
from crossrec_llm.meaning import Templates
from crossrec_llm.recipe import Recipe
from crossrec_llm.recommender import Recommender
from crossrec_llm.records import Progress
from crossrec_llm.signals import OFF
from crossrec_llm.tables import Catalogue, Histories, Walls
from crossrec_llm.tables.clock import no_clock
from crossrec_llm.training.bridges import fit_bridges
from crossrec_llm.training.examples import Examples
from crossrec_llm.training.holdout import HeldOut, HideBy, Holdout, hold_out
from crossrec_llm.training.situations import LEAST_CASES, fit_situation, is_too_few, too_few

ON_TRIAL = ("sequence",)
"""Signals that take minutes to fit: they stay only where a blend is better with them."""

# Signals that each situation may be made of. Trending joins them for `user` where all that is later
# is hidden: else it knows the time after the hidden items, and looks better than it can be.
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
        *ON_TRIAL,
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
_SET = "set by the recipe"
NOT_SHOWN = (
    "no blend weighs it: it is learned where a fit of the blend shows that it helps "
    "(`build --tune`), or where a recipe gives it a weight"
)


FEWEST, MOST = 8_000, 20_000


@dataclass(frozen=True)
class TuneOptions:
    """How much work goes into a fit.

    n_user, n_cross : people with something hidden, at most; None = half as many as there are items,
        from `FEWEST` to `MOST`, so that a fit takes its share of a build that encodes these.
    seed : of the draw of these people, and of the trees.
    by : how the end of histories is hidden (`hold_out`); None takes "later" where all share a
        clock and enough people can be asked, else "last".
    """

    n_user: int | None = None
    n_cross: int = 2000
    seed: int = 0
    by: HideBy | None = None

    def __post_init__(self) -> None:
        for people in (self.n_user, self.n_cross):
            if people is not None and people < 0:
                raise QueryError(f"something can be hidden of 0 or more people, not of {people}")

    def people(self, n_items: int) -> int:
        """How many have something hidden, at most, over so many items."""
        return min(max(n_items // 2, FEWEST), MOST) if self.n_user is None else self.n_user


THOROUGH = TuneOptions(n_user=MOST, n_cross=10_000)


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
    idle = not_needed(recipe, tuned)
    fitted = Generation.fit(
        recipe, catalogue, raw, events, prompts, without=idle, progress=progress
    )
    return fitted.blended_by(tuned)


def fit_blend(
    recipe: Recipe,
    catalogue: Catalogue,
    raw: np.ndarray,
    events: pa.Table,
    *,
    options: TuneOptions = TuneOptions(),
    without: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> TunedBlend:
    """Hide some items, fit the signals without them, and fit what blends the signals on them.

    Into which categories a history may lead is fitted on the same. Nobody is asked about anything
    behind a wall.

    Parameters
    ----------
    without : signals that are not to be tried, and why.
    """
    events = Walls.of(catalogue, recipe.histories.walls).visible(events)
    by: HideBy = options.by or ("last" if no_clock(events) else "later")
    held = _hold_out(recipe, catalogue, events, options, by)
    if options.by is None and by == "later" and _after_known(held, catalogue) < LEAST_CASES:
        by = "last"
        held = _hold_out(recipe, catalogue, events, options, by)
    cases: dict[SituationName, list[HeldOut]] = {"user": held.user, "cross": held.cross}
    left_out: dict[str, str] = {}
    for name, asked in list(cases.items()):
        if recipe.blend.sets(name):
            left_out[name] = _SET
        elif len(asked) < LEAST_CASES:
            left_out[name] = too_few(len(asked))
    situations: dict[str, Tuned] = {}
    refused: dict[str, str] = {}
    bridges = Bridges()
    if len(left_out) < len(cases):
        away = dict(without or {})
        if "user" in left_out:
            away |= dict.fromkeys(ON_TRIAL, left_out["user"])
        fitted = Generation.fit(
            recipe, catalogue, raw, held.events, without=away, progress=progress
        )
        missing = fitted.signals.left_out
        refused = {one: missing[one] for one in ON_TRIAL if one in missing}
        recommender = Recommender(fitted)
        for name, asked in cases.items():
            if name in left_out:
                continue
            tried = [one for one in ON_TRIAL if one in CHOICES[name]]
            sources = (*getattr(BlendOptions(), name).sources, *tried)
            timed = ("trending",) if name == "user" and by == "later" else ()
            choices = (*CHOICES[name], *timed)
            examples = Examples.collect(recommender, name, asked, choices, sources, progress)
            found = fit_situation(recommender, name, examples, options.seed, tried)
            refused |= found.refused
            if found.tuned is None:
                left_out[name] = found.why
            else:
                situations[name] = found.tuned
        served = Recommender(fitted.blended_by(TunedBlend(situations)))
        histories = Histories.from_events(events, catalogue, fitted.histories)
        bridges = fit_bridges(served, held.cross, histories, options.seed, progress)
    return TunedBlend(situations, left_out, bridges, refused)


def not_needed(recipe: Recipe, tuned: TunedBlend) -> dict[str, str]:
    """Of the signals that take minutes, those that no situation weighs -> why.

    They are not fitted anew once the blend is known.
    """
    asked: set[str] = set()
    for name in get_args(SituationName):
        fitted = tuned.situations.get(name)
        set_ = recipe.blend.sets(name)
        one = fitted.situation if fitted and not set_ else getattr(recipe.blend, name)
        asked |= {*one.weights, *one.cold, *one.sources}
    why = NOT_SHOWN if recipe.signals.sequence.minutes else OFF
    return {name: tuned.refused.get(name, why) for name in ON_TRIAL if name not in asked}


def _hold_out(
    recipe: Recipe, catalogue: Catalogue, events: pa.Table, options: TuneOptions, by: HideBy
) -> Holdout:
    return hold_out(
        catalogue,
        events,
        recipe.histories.fitted(events),
        by=by,
        n_user=options.people(len(catalogue)),
        n_cross=options.n_cross,
        seed=options.seed,
    )


def _after_known(held: Holdout, catalogue: Catalogue) -> int:
    """How many of `user` are after an item that is not new."""
    rows = catalogue.rows(held.events["item_id"].unique())
    return sum(bool(np.isin(one.targets, rows).any()) for one in held.user)


def asked_enough(tuned: TunedBlend, before: TunedBlend) -> bool:
    """Whether a fit asked people enough to be put in the place of another.

    That is about one situation at least, and about all that the other one has fitted.
    """
    few = {name for name, why in tuned.left_out.items() if is_too_few(why)}
    set_ = {name for name, why in tuned.left_out.items() if why == _SET}
    return few | set_ < CHOICES.keys() and not few & before.situations.keys()


def taken_over(tuned: TunedBlend, before: Recipe, recipe: Recipe) -> TunedBlend | None:
    """What a fit on the same parts would give by another recipe; None where that has to be fitted.

    A recipe that does not tune has nothing fitted, and one that sets a situation leaves it alone.

    Parameters
    ----------
    before : the recipe that `tuned` was fitted by.
    """
    if not recipe.blend.tune:
        return TunedBlend()
    same_cost = recipe.blend.cold_cost == before.blend.cold_cost
    looked_at = {**tuned.situations, **tuned.left_out}
    situations: dict[str, Tuned] = {}
    left_out: dict[str, str] = {}
    for name in CHOICES:
        if recipe.blend.sets(name):
            left_out[name] = _SET
        elif looked_at.get(name, _SET) == _SET or not same_cost:
            return None
        elif name in tuned.situations:
            situations[name] = tuned.situations[name]
        else:
            left_out[name] = tuned.left_out[name]
    return TunedBlend(situations, left_out, tuned.bridges, tuned.refused)
