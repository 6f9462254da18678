"""What a recipe would have brought that nobody was answered by, from what others were shown.

Everything rests on one assumption, the item-position model (Li, Abbasi-Yadkori, Kveton,
Muthukrishnan, Vinay and Wen 2018, "Offline evaluation of ranking policies with click models"): what
a person does with an item depends on the item, its place and the person, not on what else is in the
list. Then places are compared one by one, and the weight of one is 1 / propensity where the judged
list has the same item there, else 0 (Horvitz and Thompson 1952).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from crossrec_llm.evaluation.measures import Interval
from crossrec_llm.experimenting.inference import clustered

LEAST_EFFECTIVE = 100.0
LEAST_SUPPORT = 0.95
FOLDS = 5
PRIOR = 5.0
"""Outcomes that an item is believed to have had beside its own, as many as its places bring."""


@dataclass(frozen=True, eq=False)
class Log:
    """n exposures of at most k places, beside the lists to be judged.

    users : (n,) int64 person of each, from 0 on without a gap.
    shown, judged : (n, k) int64 item of each place, from 0 on; -1 = none.
    rewards : (n, k) float64 what came of what was shown.
    propensities : (n, k) float64 of what was shown; 0 where nothing was.
    support : (n, k) float64 propensity of the judged item at that place; 0 = it could not come.
    """

    users: np.ndarray
    shown: np.ndarray
    judged: np.ndarray
    rewards: np.ndarray
    propensities: np.ndarray
    support: np.ndarray

    @property
    def weights(self) -> np.ndarray:
        """(n, k) float64, 1 / propensity where both lists have the same item, else 0."""
        same = (self.shown == self.judged) & (self.shown >= 0)
        return np.where(same, 1 / np.where(same, self.propensities, 1), 0)


@dataclass(frozen=True)
class Judged:
    """What lists would have brought for each exposure, if the data can tell.

    shown : what the lists brought that were shown, by counting.
    snips, doubly_robust : two estimates for the judged ones; None where the data cannot tell.
    effective : effective sample size (Kish 1965), of the place where it is the smallest.
    most : the largest weight.
    support : share of the judged places where the item could have been shown.
    exposures, people : how many it rests on.
    why : why the data cannot tell; "" where it can.
    notes : what was left out.
    """

    shown: Interval | None
    snips: Interval | None
    doubly_robust: Interval | None
    effective: float
    most: float
    support: float
    exposures: int
    people: int
    why: str = ""
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def judge(log: Log, notes: tuple[str, ...] = ()) -> Judged:
    """Both estimates, or why there is none.

    The data cannot tell where an effective sample size is below `LEAST_EFFECTIVE`, or less than
    `LEAST_SUPPORT` of the judged places could have been shown. What could not is taken to be like
    the rest of its place by SNIPS, and as the model says by the doubly robust estimate.
    """
    weights, there = log.weights, log.judged >= 0
    support = float((log.support[there] > 0).mean()) if there.any() else 0.0
    effective = effective_size(weights, there)
    why = []
    if support < LEAST_SUPPORT:
        why.append(
            f"{support:.1%} of its places could have been shown, less than {LEAST_SUPPORT:.0%}: "
            "explore more, or a larger pool, or judge a recipe that is nearer"
        )
    elif effective < LEAST_EFFECTIVE:
        why.append(
            f"an effective sample size of {effective:.0f}, less than {LEAST_EFFECTIVE:.0f}: "
            "record more, or explore more"
        )
    people = int(log.users.max()) + 1 if len(log.users) else 0
    return Judged(
        shown=clustered(log.rewards.sum(axis=1), log.users),
        snips=None if why else snips(log),
        doubly_robust=None if why else doubly_robust(log),
        effective=effective,
        most=float(weights.max(initial=0)),
        support=support,
        exposures=len(log.users),
        people=people,
        why="; ".join(why),
        notes=notes,
    )


def effective_size(weights: np.ndarray, there: np.ndarray) -> float:
    """(sum of w)^2 / sum of w^2 over the exposures (Kish 1965), the least of all places.

    Parameters
    ----------
    weights : (n, k) float64; `there`: (n, k) bool, whether the judged list has such a place.
    """
    sums, squares = weights.sum(axis=0), (weights**2).sum(axis=0)
    sizes = np.where(squares > 0, sums**2 / np.where(squares > 0, squares, 1), 0)
    return float(sizes[there.any(axis=0)].min(initial=np.inf)) if there.any() else 0.0


def snips(log: Log) -> Interval | None:
    """Self-normalised: of each place, sum of w r / sum of w; of a list, the sum over its places.

    Swaminathan and Joachims 2015 ("The self-normalized estimator for counterfactual learning"), eq.
    8, place by place; a place counts as often as the judged lists have it. The interval is by
    person, of the linearised sum: an exposure's part in a place is m w (r - rate) / sum of w.
    """
    if not len(log.users):
        return None
    weights, there = log.weights, log.judged >= 0
    sums, often = weights.sum(axis=0), there.mean(axis=0)
    used = sums > 0
    rates = np.where(used, (weights * log.rewards).sum(axis=0) / np.where(used, sums, 1), 0)
    value = float((often * rates).sum())
    scaled = often * len(weights) / np.where(used, sums, 1)
    parts = (scaled * weights * (log.rewards - rates) + rates * there).sum(axis=1)
    found = clustered(parts, log.users)
    return found and Interval(
        value, found.low - found.value + value, found.high - found.value + value
    )


def doubly_robust(log: Log) -> Interval | None:
    """Model plus weighted errors of the model: mean of sum of q(judged) + w (r - q(shown)).

    Dudik, Langford and Li 2011 ("Doubly robust policy evaluation and learning"), eq. 2, place by
    place. The model of a person is fitted on others (cross-fitting, Chernozhukov et al. 2018).
    """
    parts = np.zeros(log.shown.shape)
    fold = (log.users * 2_654_435_761 % 2**32) % FOLDS  # Knuth's hash: neighbours part
    for one in range(FOLDS):
        mine = fold == one
        if not mine.any():
            continue
        model = ClickModel.fit(log, ~mine)
        expected = model.predict(log.shown[mine])
        errors = log.weights[mine] * (log.rewards[mine] - expected)
        parts[mine] = model.predict(log.judged[mine]) + errors
    return clustered(parts.sum(axis=1), log.users)


@dataclass(frozen=True, eq=False)
class ClickModel:
    """What an item brings at a place: rate of the place x attraction of the item.

    Clicks over expected clicks (Zhang and Jones 2007), with a prior of `PRIOR` expected outcomes.

    places : (k,) float64; attraction : (items,) float64, 1 of what was never shown.
    """

    places: np.ndarray
    attraction: np.ndarray

    @classmethod
    def fit(cls, log: Log, chosen: np.ndarray) -> ClickModel:
        """From the exposures of an (n,) bool mask."""
        shown, rewards = log.shown[chosen], log.rewards[chosen]
        there = shown >= 0
        places = (rewards * there).sum(axis=0) / np.maximum(there.sum(axis=0), 1)
        size = int(max(log.shown.max(initial=0), log.judged.max(initial=0))) + 1
        expected = np.broadcast_to(places, shown.shape)[there]
        came = np.bincount(shown[there], rewards[there], size)
        foreseen = np.bincount(shown[there], expected, size)
        return cls(places, (came + PRIOR) / (foreseen + PRIOR))

    def predict(self, items: np.ndarray) -> np.ndarray:
        """(n, k) float64 of items at their places; 0 where there is none."""
        expected: np.ndarray = np.where(items >= 0, self.places * self.attraction[items], 0)
        return expected
