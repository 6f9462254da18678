"""Whether reports of experiments tell the truth: people with a known click model are shown lists.

The lists are those of an index for its users, by three recipes; each user stands for many simulated
people, who are split into arms, shown lists with exploration, and click as the model says. So what
every recipe brings is known exactly, and intervals can be counted that hold it.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import chdtrc

from crossrec_llm import Recommender
from crossrec_llm.answering import Arranged, ExperimentsOptions, explore, luck
from crossrec_llm.evaluation.measures import Interval
from crossrec_llm.experimenting import inference
from crossrec_llm.experimenting.arms import Arm, Experiment
from crossrec_llm.experimenting.asking_again import log_of
from crossrec_llm.experimenting.offpolicy import Log, judge
from crossrec_llm.records import Offer
from crossrec_llm.store import Exposure, Logged

K = 4
LOOKED_AT = (1.0, 0.8, 0.65, 0.5)  # how often each place is
EXPLORE = ExperimentsOptions(explore=0.3, pool=8)
ARMS: Mapping[str, Mapping[str, Any]] = {
    "plain": {},
    "diverse": {"answering": {"diversity": 0.15}},
}
TARGET: Mapping[str, Any] = {"answering": {"diversity": 0.3}}
AWAY: Mapping[str, Any] = {"rules": {"calibration": 0.5}}

LEAST = {
    "A/B intervals that hold the truth": 0.91,
    "SNIPS intervals that hold the truth": 0.91,
    "doubly robust intervals that hold the truth": 0.91,
    "runs in which the data could tell": 0.95,
    "runs in which a recipe without support was not told of": 1.0,
    "draws as often as their propensities say, p": 0.01,
}
MOST = {
    "A/B intervals that hold the truth, at most": 0.985,
    "intervals of plain averaging that hold the truth": 0.5,
    "splits that were called broken, of sound ones": 0.01,
}
"""Of 200 runs a 95 % interval holds the truth in 91 to 98.5 % with a probability of 98 %."""

Figures = dict[str, float]


@dataclass(frozen=True)
class Persona:
    """A user of the index: the offers of each arm, and the lists of recipes that are judged."""

    user_id: str
    offers: Mapping[str, tuple[Offer, ...]]
    lists: Mapping[str, list[str]]

    def attraction(self, item_id: str) -> float:
        """Probability of a click where the item is looked at: what the plain list lacks is new."""
        plain = any(one.home for one in self.offers["plain"] if one.item_id == item_id)
        return 0.1 + 0.2 * luck("taste", self.user_id, item_id) + (0.0 if plain else 0.3)

    def brings(self, arm: str) -> float:
        """Expected clicks of a list of an arm, over all that the draw may bring."""
        kinds = {one.home: one.kind for one in self.offers[arm] if one.home}
        return sum(
            LOOKED_AT[place - 1]
            * self.attraction(one.item_id)
            * (one.stay if place == one.home else one.elsewhere)
            for place, kind in kinds.items()
            for one in self.offers[arm]
            if one.kind == kind
        )

    def would_bring(self, recipe: str) -> float:
        """Expected clicks of the list of a recipe."""
        return sum(
            looked_at * self.attraction(item_id)
            for looked_at, item_id in zip(LOOKED_AT, self.lists[recipe], strict=False)
        )


@dataclass(frozen=True)
class World:
    """Personas in equal parts, and exploration."""

    personas: Sequence[Persona]
    options: ExperimentsOptions = EXPLORE
    _attractions: dict[tuple[str, str], float] = field(default_factory=dict)

    @classmethod
    def of(cls, rec: Recommender, users: Sequence[str]) -> World:
        """The lists that an index gives."""
        explored = {
            "experiments": {"explore": EXPLORE.explore, "pool": EXPLORE.pool, "salt": "world"}
        }
        arms = {name: rec.asked_by({**explored, **settings}) for name, settings in ARMS.items()}
        judged = {"target": rec.asked_by(TARGET), "away": rec.asked_by(AWAY)}
        return cls(
            [
                Persona(
                    user,
                    {n: one.for_user(user, K, explore="one").offers for n, one in arms.items()},
                    {n: one.for_user(user, K, explain=False).ids for n, one in judged.items()},
                )
                for user in users
            ]
        )

    def show(self, persona: Persona, arm: str, key: Sequence[str]) -> tuple[Offer, ...]:
        """One draw for a list of an arm."""
        offers = sorted(persona.offers[arm], key=lambda one: (not one.home, one.home))
        homes = sum(one.home > 0 for one in offers)
        kinds = np.array([one.kind for one in offers])
        found = explore(
            Arranged(np.arange(homes), ((),) * homes),
            np.arange(len(offers)),
            kinds,
            np.flatnonzero(kinds < 0),
            [one.item_id for one in offers],
            self.options,
            key,
        )
        ranks = {at: one.rank for at, one in found.offers}
        return tuple(one.at(ranks[at]) for at, one in enumerate(offers))

    def attraction(self, persona: Persona, item_id: str) -> float:
        key = (persona.user_id, item_id)
        if key not in self._attractions:
            self._attractions[key] = persona.attraction(item_id)
        return self._attractions[key]

    def run(self, people: int, seed: int) -> list[tuple[Persona, Logged]]:
        """Everybody is shown a list on one or two days, by the arm that they are in."""
        rng = np.random.default_rng(seed)
        experiment = Experiment(tuple(Arm(name, 0.5) for name in ARMS), salt=str(seed))
        log = []
        for person in range(people):
            persona = self.personas[int(rng.integers(len(self.personas)))]
            user, eager = f"{seed}/{person}", rng.uniform(0.5, 1.5)
            arm = experiment.arm_of(user)
            assert arm is not None
            for day in range(int(rng.integers(1, 3))):
                offers = self.show(persona, arm.name, (user, str(day)))
                shown = [one for one in offers if one.rank]
                clicked = {
                    (one.item_id, "click"): 1.0
                    for one in shown
                    if rng.random()
                    < eager * LOOKED_AT[one.rank - 1] * self.attraction(persona, one.item_id)
                }
                about = ("simulated", arm.name, "0001", "", "", 0, {})
                log.append((persona, Logged(user, Exposure(user, 0.0, *about, offers), clicked)))
        return log


def measure(rec: Recommender, runs: int = 200, people: int = 1_500) -> Figures:
    """All figures, over the people of an index; about five minutes."""
    world = World.of(rec, rec.generation.users.ids)
    p = frequencies(world, 20_000)
    return {"draws as often as their propensities say, p": p, **measured(world, runs, people)}


def measured(world: World, runs: int, people: int, seed: int = 7) -> Figures:
    """How often intervals hold the truth, over so many runs of so many people."""
    true_arms = {arm: 1.5 * _mean(p.brings(arm) for p in world.personas) for arm in ARMS}
    true_target = _mean(p.would_bring("target") for p in world.personas)
    one, other = ARMS
    held: Counter[str] = Counter()
    errors: dict[str, list[float]] = {name: [] for name in ("snips", "doubly robust", "plain")}
    told = untold = split = 0
    for run in range(seed, seed + runs):
        log = world.run(people, run)
        sides = {arm: _by_person(log, arm) for arm in ARMS}
        apart = inference.difference(sides[one], sides[other])
        held["A/B"] += _holds(apart, true_arms[other] - true_arms[one])
        counts = [len(side) for side in sides.values()]
        split += inference.mismatch(counts, (0.5, 0.5)) < inference.MISMATCH
        near = log_of([o for _, o in log], [p.lists["target"] for p, _ in log], "click")
        far = log_of([o for _, o in log], [p.lists["away"] for p, _ in log], "click")
        judged, untold = judge(near), untold + bool(judge(far).why)
        plain = matching_places(near)
        told += not judged.why
        for name, found in (
            ("snips", judged.snips),
            ("doubly robust", judged.doubly_robust),
            ("plain", plain),
        ):
            if found is not None:
                held[name] += _holds(found, true_target)
                errors[name].append(found.value - true_target)
        if sys.stderr.isatty():
            print(f"run {run - seed + 1} of {runs}", end="\r", file=sys.stderr)
    found = {
        "A/B intervals that hold the truth": held["A/B"] / runs,
        "A/B intervals that hold the truth, at most": held["A/B"] / runs,
        "SNIPS intervals that hold the truth": held["snips"] / max(told, 1),
        "doubly robust intervals that hold the truth": held["doubly robust"] / max(told, 1),
        "intervals of plain averaging that hold the truth": held["plain"] / runs,
        "runs in which the data could tell": told / runs,
        "runs in which a recipe without support was not told of": untold / runs,
        "splits that were called broken, of sound ones": split / runs,
        "true difference of the arms": true_arms[other] - true_arms[one],
        "true value of the target": true_target,
    }
    for name, off in errors.items():
        found[f"mean error of {name}"] = float(np.mean(off)) if off else float("nan")
        found[f"spread of {name}"] = float(np.std(off)) if off else float("nan")
    return found


def matching_places(log: Log) -> Interval | None:
    """What one would do without propensities: the clicks of the places that match, averaged."""
    same = log.weights > 0
    rates = (log.rewards * same).sum(axis=0) / np.maximum(same.sum(axis=0), 1)
    parts = (same * (log.rewards - rates) / np.maximum(same.mean(axis=0), 1e-9) + rates).sum(axis=1)
    return inference.clustered(parts, log.users)


def frequencies(world: World, draws: int) -> float:
    """How likely draws differ as much from their propensities as these: Pearson's chi-square.

    Of one list of the first persona: the place that differs most, by Bonferroni's bound.
    """
    persona = world.personas[0]
    arm = next(iter(ARMS))
    seen: Counter[tuple[int, str]] = Counter()
    for draw in range(draws):
        shown = world.show(persona, arm, ("somebody", str(draw)))
        seen.update((one.rank, one.item_id) for one in shown if one.rank)
    homes = {one.home: one for one in persona.offers[arm] if one.home}
    least = 1.0
    for place, home in homes.items():
        might = [one for one in persona.offers[arm] if one.kind == home.kind]
        expected = {
            one.item_id: draws * (one.stay if one.home == place else one.elsewhere) for one in might
        }
        statistic = sum((seen[place, i] - often) ** 2 / often for i, often in expected.items())
        least = min(least, float(chdtrc(len(might) - 1, statistic)))
    return min(1.0, least * len(homes))


def shop_index(folder: Path) -> Path:
    """The invented shop of the tests, built with the default model."""
    sys.path.append(str(Path(__file__).resolve().parents[2]))
    from crossrec_llm import build
    from tests import shop

    build(shop.items(), shop.interactions(), folder / "shop")
    return folder / "shop"


def _by_person(log: Sequence[tuple[Persona, Logged]], arm: str) -> np.ndarray:
    sums: dict[str, float] = {}
    for _, one in log:
        if one.exposure.arm == arm:
            user = one.exposure.user_id
            sums[user] = sums.get(user, 0.0) + sum(one.outcomes.values())
    return np.array(list(sums.values()))


def _holds(found: Interval | None, truth: float) -> bool:
    return found is not None and found.low <= truth <= found.high


def _mean(values: Any) -> float:
    return float(np.mean(list(values)))
