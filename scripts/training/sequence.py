"""The served lists with the sequence signal on trial, and without it, to the same people."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from bars import Bar

from crossrec_llm.evaluation.measures import bootstrap
from crossrec_llm.evaluation.measuring import Data, Measuring
from crossrec_llm.evaluation.protocols import split
from crossrec_llm.generation import Generation
from crossrec_llm.store import Index

K = 10
SEED = 0
MEASURES = ("recall@10", "ndcg@10")
DATA: Mapping[str, tuple[float, float]] = {
    "scientific": (0.160, 0.111),
    "beauty": (0.124, 0.076),
    "ml-1m": (0.280, 0.161),
}
"""Data set -> the least recall@10 and ndcg@10 of what is served, by protocol warm."""
MINUTES, MOST_MINUTES = 4.0, 10.0


@dataclass(frozen=True)
class Compared:
    """One data set.

    before, after : measure -> what is served without the signal, and with it on trial.
    gain : measure -> mean, low and high end of the paired difference (95 %, bootstrap).
    minutes : of processor time that the fits with it took beyond those without.
    gb : peak memory of the process.
    why : what the fit says of the signal, where it was refused or left out.
    """

    before: dict[str, float]
    after: dict[str, float]
    gain: dict[str, tuple[float, float, float]]
    minutes: float
    gb: float
    network: dict[str, Any]
    blend: dict[str, Any]
    why: str

    def bars(self, data: str) -> dict[str, Bar]:
        bars = {
            f"{data}, {name}": Bar(self.after[name], least)
            for name, least in zip(MEASURES, DATA[data], strict=True)
        }
        for name in MEASURES:
            bars[f"{data}, {name}, high end of the gain"] = Bar(self.gain[name][2], 0)
        bars[f"{data}, minutes of processor time"] = Bar(self.minutes, MOST_MINUTES, most=True)
        return bars


def compare(index: Path) -> Compared:
    """Fit and ask twice by protocol warm, as `crossrec evaluate` does."""
    with Index.open(index) as opened:
        built = Generation.load(opened.generation)
        events = built.walls.visible(opened.ledger.events())
    recipe = replace(built.recipe, blend=replace(built.recipe.blend, tune=True))
    weighing = recipe.histories.fitted(events)
    parts = split("warm", built.catalogue, events, weighing, seed=SEED)
    sequence = recipe.signals.sequence
    off, on = (
        replace(recipe.signals, sequence=replace(sequence, minutes=minutes))
        for minutes in (0.0, sequence.minutes or MINUTES)
    )
    found, seconds, fitted = [], [], []
    for one in (replace(recipe, signals=off), replace(recipe, signals=on)):
        data = Data(one, built.catalogue, np.asarray(built.raw), events)
        measuring = _Timed(data, parts, K, SEED, None)
        measuring.run({})
        found.append(np.stack([measuring.columns["system"][name] for name in MEASURES], axis=1))
        seconds.append(measuring.cpu)
        fitted.append(measuring.generation)
        print(
            f"{index.name}, sequence {'off' if one.signals is off else 'on trial'}: "
            f"{found[-1].mean(axis=0).round(4).tolist()}, {seconds[-1]:.0f} s",
            file=sys.stderr,
        )
    apart = found[1] - found[0]
    gain = {}
    for i, name in enumerate(MEASURES):
        gained = bootstrap(apart[:, i], seed=SEED)
        gain[name] = (gained.value, gained.low, gained.high)
    before, after = (dict(zip(MEASURES, map(float, of.mean(axis=0)), strict=True)) for of in found)
    network = fitted[1].signals.sequence
    return Compared(
        before,
        after,
        gain,
        minutes=(seconds[1] - seconds[0]) / 60,
        gb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
        network=dict(network.figures) if network else {},
        blend=fitted[1].tuned.summary(),
        why=fitted[1].signals.left_out.get("sequence", ""),
    )


class _Timed(Measuring):
    """Notes the processor time of the fit, and keeps what was fitted."""

    cpu: float
    generation: Generation

    def _served(self) -> Any:
        started = time.process_time()
        served = super()._served()
        self.cpu = time.process_time() - started
        self.generation = served.generation
        return served
