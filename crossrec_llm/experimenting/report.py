"""SPINE of a report: what each arm brought, whether they differ, and what another one would."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from crossrec_llm.evaluation.measures import Interval
from crossrec_llm.experimenting import inference
from crossrec_llm.experimenting.arms import Experiment, find
from crossrec_llm.experimenting.asking_again import lists_of, log_of
from crossrec_llm.experimenting.offpolicy import Judged, judge
from crossrec_llm.records import Progress
from crossrec_llm.resources import default_index
from crossrec_llm.store import Index, Logged

FEW = 30
"""With fewer people in an arm, its intervals are told of as unsure."""


@dataclass(frozen=True)
class ArmFound:
    """What an arm brought.

    share : of all people, as stated.
    people : who were shown something; exposures, outcomes : how many there were.
    per_person, per_exposure : values of outcomes; None of fewer than two people.
    """

    name: str
    share: float
    people: int
    exposures: int
    outcomes: int
    per_person: Interval | None
    per_exposure: Interval | None


@dataclass(frozen=True)
class Difference:
    """An arm less the first one.

    needed : how many more people, in both together, until a difference of `effect` per person
        would be found with a power of 80 %; None where it cannot be told.
    """

    arm: str
    than: str
    per_person: Interval | None
    per_exposure: Interval | None
    effect: float
    needed: int | None


@dataclass(frozen=True)
class ExperimentReport:
    """What is known of an experiment.

    outcome : the kind that was counted.
    mismatch : how likely so uneven a split of the people is by chance.
    judged : of the recipe that nobody was answered by; None where none was asked about.
    notes : what is wrong, or unsure.
    """

    name: str
    outcome: str
    began: float
    ended: float | None
    arms: tuple[ArmFound, ...]
    differences: tuple[Difference, ...]
    mismatch: float
    judged: Judged | None
    notes: tuple[str, ...]

    @property
    def mismatched(self) -> bool:
        """Whether the arms are not what they were stated to be: then no difference means much."""
        return self.mismatch < inference.MISMATCH

    def to_dict(self) -> dict[str, Any]:
        """The shape that `--json` prints."""
        return {**asdict(self), "mismatched": self.mismatched}


def report_experiment(
    index: str | Path | None,
    name: str,
    *,
    outcome: str | None = None,
    effect: float = 0.05,
    target: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> ExperimentReport:
    """What each arm of an experiment brought, and how they differ.

    Parameters
    ----------
    outcome : kind of outcome that counts; by default that of the experiment.
    effect : the difference that is to be found, as a part of what the first arm brings.
    target : tables of a recipe that nobody was answered by; what it would have brought is estimated
        from the exposures of all arms.

    Raises
    ------
    UnknownExperiment : there is none of that name.
    RecipeError : a setting of the target is wrong, or cannot be had without fitting anew.
    IndexMissing, IndexDamaged : the index cannot be read.
    """
    place = _place(index)
    with Index.open(place) as opened:
        stated = find(opened.ledger, name)
        log = opened.ledger.exposures.log(name, offers=target is not None)
    experiment = Experiment.from_dict(stated.definition)
    kind = outcome or experiment.outcome
    people = {arm.name: _people(log, arm.name, kind) for arm in experiment.arms}
    found = tuple(
        _found(arm.name, arm.share, people[arm.name], _count(log, arm.name, kind))
        for arm in experiment.arms
    )
    mismatch = inference.mismatch(
        [one.people for one in found], [arm.share for arm in experiment.arms]
    )
    first = experiment.arms[0]
    return ExperimentReport(
        name=name,
        outcome=kind,
        began=stated.began,
        ended=stated.ended,
        arms=found,
        differences=tuple(
            _difference(
                arm.name, first.name, people, first.share / (first.share + arm.share), effect
            )
            for arm in experiment.arms[1:]
        ),
        mismatch=mismatch,
        judged=None if target is None else _judged(place, log, target, kind, progress),
        notes=tuple(_notes(log, experiment, found, mismatch, kind)),
    )


def judge_recipe(
    index: str | Path | None,
    settings: Mapping[str, Any],
    *,
    experiment: str | None = None,
    outcome: str = "click",
    progress: Progress | None = None,
) -> Judged:
    """What an index would have brought by other settings, from what people were shown.

    Parameters
    ----------
    settings : tables of a recipe, as `Recommender.asked_by` takes them.
    experiment : only what was shown as a part of it; None = all that was recorded.
    outcome : kind of outcome that counts.

    Raises
    ------
    RecipeError : a setting is wrong, or cannot be changed without fitting anew.
    IndexMissing, IndexDamaged : the index cannot be read.
    """
    place = _place(index)
    with Index.open(place) as opened:
        log = opened.ledger.exposures.log(experiment)
    return _judged(place, log, settings, outcome, progress)


def _judged(
    index: Path,
    log: Sequence[Logged],
    settings: Mapping[str, Any],
    outcome: str,
    progress: Progress | None,
) -> Judged:
    kept, lists, notes = lists_of(index, log, settings, progress)
    return judge(log_of(kept, lists, outcome), notes)


def _place(index: str | Path | None) -> Path:
    return Path(index) if index is not None else default_index()


_People = tuple[np.ndarray, np.ndarray]


def _people(log: Sequence[Logged], arm: str, kind: str) -> _People:
    """(n,) float64 values of outcomes and numbers of exposures, of each person of an arm."""
    sums: dict[str, list[float]] = {}
    for one in log:
        if one.exposure.arm == arm:
            told = sums.setdefault(one.exposure.user_id, [0.0, 0.0])
            told[0] += sum(value for (_, of), value in one.outcomes.items() if of == kind)
            told[1] += 1
    values = np.array(list(sums.values()), np.float64).reshape(-1, 2)
    return values[:, 0], values[:, 1]


def _count(log: Sequence[Logged], arm: str, kind: str) -> int:
    return sum(of == kind for one in log if one.exposure.arm == arm for _, of in one.outcomes)


def _found(name: str, share: float, people: _People, outcomes: int) -> ArmFound:
    values, exposures = people
    return ArmFound(
        name=name,
        share=share,
        people=len(values),
        exposures=int(exposures.sum()),
        outcomes=outcomes,
        per_person=inference.mean(values),
        per_exposure=inference.ratio(values, exposures),
    )


def _difference(
    arm: str, than: str, people: Mapping[str, _People], share: float, effect: float
) -> Difference:
    one, other = people[than], people[arm]
    wanted = effect * float(one[0].mean()) if len(one[0]) else 0.0
    all_needed = inference.needed(one[0], other[0], share, wanted)
    there = len(one[0]) + len(other[0])
    return Difference(
        arm=arm,
        than=than,
        per_person=inference.difference(one[0], other[0]),
        per_exposure=inference.ratio_difference(one, other),
        effect=wanted,
        needed=None if all_needed is None else max(0, all_needed - there),
    )


def _notes(
    log: Sequence[Logged],
    experiment: Experiment,
    found: Sequence[ArmFound],
    mismatch: float,
    kind: str,
) -> list[str]:
    notes = []
    if mismatch < inference.MISMATCH:
        split = ", ".join(f"{one.name} {one.people:,}" for one in found)
        notes.append(
            f"the split is not the stated one ({split}; p = {mismatch:.2g}): find out why before "
            "any difference is believed"
        )
    arms: dict[str, set[str]] = {}
    for one in log:
        arms.setdefault(one.exposure.user_id, set()).add(one.exposure.arm)
    elsewhere = sum(
        told != {arm.name if (arm := experiment.arm_of(user_id)) else ""}
        for user_id, told in arms.items()
    )
    if elsewhere:
        notes.append(f"{elsewhere:,} people were shown another arm than the one they are in")
    few = [one.name for one in found if one.people < FEW]
    if few:
        notes.append(f"fewer than {FEW} people in {', '.join(few)}: the intervals are unsure")
    if not any(one.outcomes for one in found):
        there = sorted({of for one in log for _, of in one.outcomes})
        told = f"; there is {', '.join(there)}" if there else ""
        notes.append(f"no outcome of the kind {kind!r} was recorded{told}")
    return notes
