"""Every figure of docs/relevance.md, measured again; `scripts/bench relevance` runs it.

Each data set is built once with the default recipe, which times a first build, and evaluated by
every protocol that it is good for.
"""

from __future__ import annotations

import random
import resource
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import golden
import numpy as np
from threadpoolctl import threadpool_limits

from crossrec_llm import Recommender, build
from crossrec_llm.evaluation import Evaluation, evaluate

SEEDS = 5
MOST_LOSS = 0.03
MINUTES = {"beauty": 8, "food-kitchen": 45}
BUILD_MINUTES = {"food-kitchen": 15}
P50, P99 = 15, 40
MOST_OF_BUILD = 0.5


@dataclass(frozen=True)
class Trial:
    """One protocol on one data set.

    options : of `evaluate`.
    bars : place of a figure in the evaluation ("system.recall@10") -> the least it must be.
    ratio : the least ratio of recall@10 to that of ALS in the same run.
    seeds : runs with so many seeds; the figures are their means.
    """

    data: str
    protocol: str
    options: Mapping[str, Any] = field(default_factory=dict)
    bars: Mapping[str, float] = field(default_factory=dict)
    ratio: float | None = None
    seeds: int = 1


RECALL, NDCG = "system.recall@10", "system.ndcg@10"
TEXT = ("baselines.text.recall@10", "baselines.text.ndcg@10")
COLD = "slices.cold_only.recall@10"
NEW_ONLY = {"only": ("text", "llmseqsim")}
THOROUGH = {"only": ("system",), "thorough": True}
LEAST_OF_THOROUGH = 0.97

TRIALS = (
    Trial(
        "scientific",
        "warm",
        bars={RECALL: 0.155, NDCG: 0.108, TEXT[0]: 0.115, TEXT[1]: 0.074},
    ),
    Trial("beauty", "warm", bars={RECALL: 0.121, NDCG: 0.073, TEXT[0]: 0.070, TEXT[1]: 0.042}),
    Trial("ml-1m", "warm", bars={RECALL: 0.273, NDCG: 0.157}),
    Trial("food-kitchen", "warm", bars={RECALL: 0.068, NDCG: 0.041}),
    Trial("scientific", "warm", THOROUGH),
    Trial("beauty", "warm", THOROUGH),
    Trial("food-kitchen", "warm", THOROUGH),
    Trial("scientific", "cold-items", NEW_ONLY, {COLD: 0.215, RECALL: 0.080}, seeds=SEEDS),
    Trial("beauty", "cold-items", NEW_ONLY, {COLD: 0.175, RECALL: 0.043}, seeds=SEEDS),
    Trial("food-kitchen", "cross-cold", {"target_category": "Home & Kitchen"}, {RECALL: 0.0030}),
    Trial("food-kitchen", "cross-warm", {"target_category": "Home & Kitchen"}, ratio=1.05),
    Trial("art-office", "cross-cold", {"target_category": "Office Products"}, {RECALL: 0.017}),
    Trial("art-office", "cross-warm", {"target_category": "Office Products"}, ratio=1.1),
    Trial(
        "icecat",
        "search",
        bars={
            NDCG: 0.760,
            "system.ndcg_judged@10": 0.925,
            "system.recall@100": 0.875,
        },
    ),
)


Bars = dict[str, tuple[float, float]]


def measure(files: Mapping[str, tuple[Path, ...]], work: Path) -> tuple[Bars, Bars, dict[str, Any]]:
    """Figures that must be at least, and at most, their bar (name -> value, bar), and all others.

    `files` : of each data set its items, its log, or its queries and qrels.
    """
    bars: Bars = {}
    limits: Bars = {}
    before = 0.0
    figures: dict[str, Any] = {"builds": {}, "trials": []}
    for name in dict.fromkeys(trial.data for trial in TRIALS):
        if name not in files:
            continue
        index = work / name
        started = time.perf_counter()
        items, *log = files[name][:2] if name != "icecat" else files[name][:1]
        report = build(items, log or None, index)
        figures["builds"][name] = {
            "seconds": time.perf_counter() - started,
            "steps": report.seconds,
            "blend": report.blend.summary(),
        }
        share = report.seconds["tune"] / figures["builds"][name]["seconds"]
        limits[f"{name}, part of the build that fits the blend"] = share, MOST_OF_BUILD
        if name in BUILD_MINUTES:
            seconds = figures["builds"][name]["seconds"]
            limits[f"{name}, minutes of a first build"] = seconds / 60, BUILD_MINUTES[name]
            asked = figures["builds"][name]["answer_ms"] = latency(index)
            limits[f"{name}, ms of an answer, p50"] = asked["p50"], P50
            limits[f"{name}, ms of an answer, p99"] = asked["p99"], P99
        for trial in (trial for trial in TRIALS if trial.data == name):
            label = f"{name}, {trial.protocol}"
            started = time.perf_counter()
            found = list(_runs(trial, index, files[name]))
            if trial.protocol == "warm" and trial.bars and name in MINUTES:
                minutes = (time.perf_counter() - started) / 60
                limits[f"{label}, minutes"] = minutes, MINUTES[name]
            for place, bar in trial.bars.items():
                bars[f"{label}, {place}"] = (_mean(found, place), bar)
            if trial.ratio is not None:
                times = _mean(found, RECALL) / _mean(found, "baselines.als.recall@10")
                bars[f"{label}, recall@10 over ALS"] = (times, trial.ratio)
            if trial.options is THOROUGH:
                share = before / _mean(found, RECALL)
                bars[f"{label}, recall@10 of a default build over tune"] = share, LEAST_OF_THOROUGH
            elif trial.protocol == "warm":
                before = _mean(found, RECALL)
            if trial.protocol == "cold-items":
                kept = 1 - _mean(found, "slices.warm_loss.recall@10")
                bars[f"{label}, recall@10 of warm items kept"] = kept, 1 - MOST_LOSS
            entry = golden.entry_of(
                name, trial.protocol, trial.options, [each.to_dict() for each in found]
            )
            figures["trials"].append(entry | {"seconds": [each.seconds for each in found]})
        figures["peak_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return bars, limits, figures


def latency(index: Path, questions: int = 500) -> dict[str, float]:
    """Milliseconds of for_user in this process on one thread, reasons included."""
    with threadpool_limits(1), Recommender.open(index) as rec:
        users = random.Random(0).sample(rec.generation.users.ids, questions)
        rec.for_user(users[0])
        seconds = []
        for user in users:
            started = time.perf_counter()
            rec.for_user(user)
            seconds.append(time.perf_counter() - started)
    return {"p50": 1e3 * float(np.median(seconds)), "p99": 1e3 * float(np.quantile(seconds, 0.99))}


def _runs(trial: Trial, index: Path, files: tuple[Path, ...]) -> Iterable[Evaluation]:
    options = dict(trial.options)
    if trial.protocol == "search":
        options |= {"queries": files[-2], "qrels": files[-1]}
    for seed in range(trial.seeds):
        started = time.perf_counter()
        found = evaluate(index, trial.protocol, seed=seed, **options)
        seconds = time.perf_counter() - started
        print(f"{trial.data} {trial.protocol} seed {seed}: {seconds:.0f} s", file=sys.stderr)
        yield found


def _mean(found: list[Evaluation], place: str) -> float:
    """The mean over runs of a figure by its place, "system.recall@10"."""
    first, _, rest = place.partition(".")
    values = []
    for evaluation in found:
        value: Any = getattr(evaluation, first)
        for key in rest.split(".") if first == "baselines" or first == "slices" else [rest]:
            value = value[key]
        values.append(getattr(value, "value", value))
    return float(np.mean(values))
