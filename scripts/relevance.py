"""Every figure of docs/relevance.md, measured again; `scripts/bench relevance` runs it.

Each data set is built once with the default recipe, which times a first build, and evaluated by
every protocol that it is good for; all of that in a process of its own, whose peak memory is that
of this data set.
"""

from __future__ import annotations

import random
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import golden
import numpy as np
from threadpoolctl import threadpool_limits

from crossrec_llm import Recommender, build
from crossrec_llm.evaluation import Evaluation, evaluate
from crossrec_llm.generation import Generation
from crossrec_llm.meaning import Space, SpaceOptions
from crossrec_llm.signals import fit_ease
from crossrec_llm.store import Index
from crossrec_llm.tables import Histories

SEEDS = 5
MOST_LOSS = 0.03
MINUTES = {"beauty": 8, "food-kitchen": 45}
BUILD_MINUTES = {"food-kitchen": 15}
P50, P99 = 15, 40
MOST_OF_BUILD = 0.5
WARM_GB = {"beauty": 6, "food-kitchen": 16}
EASE_MINUTES, EASE_GB = {"food-kitchen": 10}, {"food-kitchen": 12}


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
    Trial("ml-1m", "temporal"),
    Trial("completejourney", "temporal"),
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


@dataclass(frozen=True)
class Found:
    """What was measured of one data set.

    least, most : figures that must be at least, and at most, their bar (name -> value, bar).
    build, trials : all other figures.
    """

    data: str
    least: Bars = field(default_factory=dict)
    most: Bars = field(default_factory=dict)
    build: dict[str, Any] = field(default_factory=dict)
    trials: list[dict[str, Any]] = field(default_factory=list)


def measured(files: Mapping[str, tuple[Path, ...]], work: Path) -> Iterator[Found]:
    """One data set after the other, each as soon as it is done.

    A process that was killed (by a lack of memory, say) is a bar that was missed, and the others go
    on.

    Parameters
    ----------
    files : of each data set its items, its log, or its queries and qrels.
    """
    for name in dict.fromkeys(trial.data for trial in TRIALS if trial.data in files):
        found = Found(name)
        try:
            found = apart(measure, name, files[name], work / name)
            if name in EASE_MINUTES:
                fit = found.build["text_ease"] = apart(text_ease, work / name)
                found.most[f"{name}, minutes of text EASE"] = fit["minutes"], EASE_MINUTES[name]
                found.most[f"{name}, peak GB of text EASE"] = fit["gb"], EASE_GB[name]
        except BrokenProcessPool:
            found.least[f"{name}, runs to its end"] = 0, 1
        yield found


def apart(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function of a module gives in a process of its own.

    Raises
    ------
    BrokenProcessPool : the process was killed.
    """
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        return process.submit(function, *arguments).result()


def peak() -> float:
    """The most memory that this process has had, in GB; Linux only.

    Not `ru_maxrss`: a child process starts with its parent's.
    """
    status = Path("/proc/self/status").read_text("utf-8")
    return int(re.findall(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)[0]) / 2**20


def measure(name: str, files: tuple[Path, ...], index: Path) -> Found:
    """Build a data set and try it by every protocol that it is good for."""
    found = Found(name)
    _build(found, files, index)
    before = 0.0
    for trial in (trial for trial in TRIALS if trial.data == name):
        label = f"{name}, {trial.protocol}"
        started = time.perf_counter()
        runs = list(_runs(trial, index, files))
        minutes = (time.perf_counter() - started) / 60
        for place, bar in trial.bars.items():
            found.least[f"{label}, {place}"] = _mean(runs, place), bar
        if trial.ratio is not None:
            times = _mean(runs, RECALL) / _mean(runs, "baselines.als.recall@10")
            found.least[f"{label}, recall@10 over ALS"] = times, trial.ratio
        if trial.options is THOROUGH:
            words = f"{label}, recall@10 with as many people as a build fits on, over tune's"
            found.least[words] = before / _mean(runs, RECALL), LEAST_OF_THOROUGH
        elif trial.protocol == "warm":
            before = _mean(runs, RECALL)
            if name in WARM_GB:
                found.most[f"{label}, minutes"] = minutes, MINUTES[name]
                found.most[f"{label}, peak GB"] = peak(), WARM_GB[name]
        if trial.protocol == "cold-items":
            kept = 1 - _mean(runs, "slices.warm_loss.recall@10")
            found.least[f"{label}, recall@10 of warm items kept"] = kept, 1 - MOST_LOSS
        documents = [run.to_dict() for run in runs]
        entry = golden.entry_of(name, trial.protocol, trial.options, documents)
        found.trials.append(entry | {"seconds": [run.seconds for run in runs]})
    found.build["peak_gb"] = peak()
    return found


def _build(found: Found, files: tuple[Path, ...], index: Path) -> None:
    """The first build, timed; and answers of it."""
    name = found.data
    items, *log = files[:2] if name != "icecat" else files[:1]
    started = time.perf_counter()
    report = build(items, log or None, index)
    seconds = time.perf_counter() - started
    found.build.update(seconds=seconds, steps=report.seconds, blend=report.blend.summary())
    share = report.seconds["tune"] / seconds
    found.most[f"{name}, part of the build that fits the blend"] = share, MOST_OF_BUILD
    if name in BUILD_MINUTES:
        found.most[f"{name}, minutes of a first build"] = seconds / 60, BUILD_MINUTES[name]
        asked = found.build["answer_ms"] = latency(index)
        found.most[f"{name}, ms of an answer, p50"] = asked["p50"], P50
        found.most[f"{name}, ms of an answer, p99"] = asked["p99"], P99


def text_ease(index: Path) -> dict[str, float]:
    """Minutes of a fit of text EASE alone, and the peak memory in GB of a process that does it."""
    with Index.open(index) as opened:
        built, events = Generation.load(opened.generation), opened.ledger.events()
    options = built.recipe.signals.ease
    histories = Histories.from_events(events, built.catalogue, built.histories)
    started = time.perf_counter()
    codes = built.catalogue.top_codes
    space = Space.fit(built.raw, codes, SpaceOptions(power=options.power))
    fit_ease(histories, space.apply(built.raw, codes), options)
    return {"minutes": (time.perf_counter() - started) / 60, "gb": peak()}


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
