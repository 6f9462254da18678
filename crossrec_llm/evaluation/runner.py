"""Runs the served path over a protocol: the same Recommender, its parts in memory."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from crossrec_llm.answering import BlendOptions, Situation
from crossrec_llm.evaluation.measures import (
    Interval,
    bootstrap,
    coverage,
    measure,
    summarise,
)
from crossrec_llm.evaluation.protocols import Case, split
from crossrec_llm.generation import Generation
from crossrec_llm.recommender import Recommender
from crossrec_llm.records import Progress
from crossrec_llm.store import Index

# Each baseline is one signal alone, through the same path.
BASELINES = ("popularity", "neighbours", "text")


@dataclass(frozen=True)
class Evaluation:
    """What was measured.

    system, baselines : measures ("ndcg@10") with their intervals.
    ahead : of each baseline, the paired difference of system and baseline in ndcg.
    slices : the system's measures over parts of the cases.
    coverage : share of the catalogue in the system's lists.
    control : the system's recall when every person is asked for somebody else's hidden items.
    """

    protocol: str
    k: int
    seed: int
    users: int
    system: Mapping[str, Interval]
    baselines: Mapping[str, Mapping[str, Interval]]
    ahead: Mapping[str, Interval]
    slices: Mapping[str, Mapping[str, Interval]]
    coverage: float
    control: float
    seconds: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def evaluate(
    index: str | Path,
    protocol: str = "warm",
    *,
    k: int = 10,
    users: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Evaluation:
    """Fit anew without what the protocol hides, and ask for it.

    Parameters
    ----------
    index : whose records, texts and recipe are taken; it is not changed.
    users : ask about a seeded sample of so many people; None = all.

    Raises
    ------
    DataError : the records are not enough for the protocol.
    """
    with Index.open(Path(index)) as opened:
        built = Generation.load(opened.generation)
        events = opened.ledger.events()
    started = time.perf_counter()
    parts = split(protocol, built.catalogue, events, built.histories)
    rng = np.random.default_rng(seed)
    cases: Sequence[Case] = parts.cases
    if users is not None and users < len(cases):
        chosen = np.sort(rng.choice(len(cases), users, replace=False))
        cases = [parts.cases[i] for i in chosen]
    fitted = Generation.fit(built.recipe, built.catalogue, built.raw, parts.events)
    fit_seconds = time.perf_counter() - started

    runs, seconds = {}, {"fit": fit_seconds}
    for name in ("system", *BASELINES):
        started = time.perf_counter()
        system = Recommender(fitted if name == "system" else _alone(fitted, name))
        runs[name] = _run(system, cases, k, name, progress)
        seconds[name] = time.perf_counter() - started
    rows = {
        name: [measure(run, case.targets, k) for run, case in zip(lists, cases, strict=True)]
        for name, lists in runs.items()
    }
    ndcg = {name: np.array([row["ndcg"] for row in values]) for name, values in rows.items()}
    others = [cases[i].targets for i in rng.permutation(len(cases))]
    control = [measure(run, t, k)["recall"] for run, t in zip(runs["system"], others, strict=True)]
    return Evaluation(
        protocol=protocol,
        k=k,
        seed=seed,
        users=len(cases),
        system=summarise(rows["system"], k, seed),
        baselines={name: summarise(rows[name], k, seed) for name in BASELINES},
        ahead={n: bootstrap(ndcg["system"] - ndcg[n], seed=seed) for n in BASELINES},
        slices=_slices(fitted, cases, rows["system"], k, seed),
        coverage=coverage(runs["system"], len(fitted.catalogue)),
        control=float(np.mean(control)),
        seconds=seconds,
    )


def _alone(fitted: Generation, signal: str) -> Generation:
    """The same parts, ranked by one signal only."""
    blend = BlendOptions(user=Situation({signal: 1.0}, (signal, "popularity")))
    return fitted.with_recipe(replace(fitted.recipe, blend=blend))


def _run(
    system: Recommender, cases: Sequence[Case], k: int, name: str, progress: Progress | None
) -> list[list[str]]:
    runs = []
    for done, case in enumerate(cases, 1):
        runs.append(system.for_history(case.history, k, explain=False).ids)
        if progress is not None and done % 50 == 0:
            progress(f"asking {name}", done, len(cases))
    return runs


def _slices(
    fitted: Generation,
    cases: Sequence[Case],
    rows: Sequence[Mapping[str, float]],
    k: int,
    seed: int,
) -> dict[str, dict[str, Interval]]:
    """By how often the target was seen in training, and by the length of the history."""
    people = fitted.signals.popularity.people
    seen = np.array([people[fitted.catalogue.row(case.targets[0])] for case in cases])
    length = np.array([len(case.history) for case in cases])
    masks = {
        "target seen < 10 times": seen < 10,
        "target seen 10 times or more": seen >= 10,
        "history of at most 5": length <= 5,
        "history of more than 5": length > 5,
    }
    return {
        name: summarise([row for row, inside in zip(rows, mask, strict=True) if inside], k, seed)
        for name, mask in masks.items()
        if mask.any()
    }
