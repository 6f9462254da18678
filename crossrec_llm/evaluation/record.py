"""What an evaluation found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from crossrec_llm.evaluation.measures import Interval


@dataclass(frozen=True)
class Evaluation:
    """What was measured; a measure ("ndcg@10") that no case has a value of is None.

    data : items, users, events and top categories of what was given.
    system, baselines : measures with their intervals; all None where a system scores so many
        candidates alike that it has no lists, which a note says.
    ahead : of each baseline, system minus baseline in recall and ndcg, paired.
    beyond : of each system, over all lists: "coverage" (share of the items in some list), "gini"
        of how often items are shown, "unreachable" (share of the items that are among the first
        100 of none of up to 2,000 of the people). Of the items that may be in a list at all: in a
        cross protocol those of the target category.
    slices : the system's measures over parts of the cases, or over further cases.
    bridges : the same for each pair of home and target category.
    long_tail : of each system, the part of all recommendations that falls on each tenth of the
        items, most popular first.
    worst : people with the worst lists.
    controls : recall of other people's targets ("shuffled") and of items drawn at "random".
    blend : what was fitted about the blend.
    credibility : of the bridges that were fitted, and the reliability of jumps.
    left_out : baseline -> why it was not run.
    notes : what was hidden, and what could not be measured.
    seconds : of each step.
    """

    protocol: str
    k: int
    seed: int
    users: int
    data: Mapping[str, int]
    system: Mapping[str, Interval | None]
    baselines: Mapping[str, Mapping[str, Interval | None]]
    ahead: Mapping[str, Mapping[str, Interval | None]]
    beyond: Mapping[str, Mapping[str, float | None]]
    slices: Mapping[str, Mapping[str, Any]]
    bridges: Sequence[Mapping[str, Any]]
    long_tail: Mapping[str, Sequence[float]]
    worst: Sequence[Mapping[str, Any]]
    controls: Mapping[str, float | None]
    blend: Mapping[str, Any]
    credibility: Mapping[str, Any]
    left_out: Mapping[str, str]
    notes: Sequence[str]
    seconds: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """The shape that `--json` prints and a report is made of."""
        return asdict(self)
