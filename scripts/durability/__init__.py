"""Whether an index keeps its promises when things break; `scripts/faults` runs what is here.

A module without an underscore is a test. It has `run(short, seed)`, which returns figures by name;
`short` is the form that the tests run, in seconds. It may take more: `n`, how much of it to do
where the long form is too long, and `index`, a large one to work on a copy of. What a figure must
reach is said here and nowhere else.
"""

from __future__ import annotations

import inspect
import pkgutil
from importlib import import_module
from pathlib import Path

from bars import Bar

TESTS: tuple[str, ...] = tuple(
    found.name for found in pkgutil.iter_modules(__path__) if not found.name.startswith("_")
)

LEAST: dict[str, float] = {
    "share of the sites passed": 0.9,  # of so few; the long form has to pass all
    "share of the flips found": 1,
    "operations": 20_000,
    "recall@10 of the worst collection": 0.98,
    "users: found before, share": 1,
    "items: found before, share": 1,
}
MOST: dict[str, float] = {
    "points with something lost, wrong or stuck": 0,
    "flips after which an answer is wrong": 0,
    "backups of more than one moment": 0,
    "backups without something acknowledged before": 0,
    "restored indexes with other answers": 0,
    "damaged ones": 0,
    "operations that disagreed with the model": 0,
    "errors": 0,
    "unreachable at k = 100": 0,
    "writers that broke": 0,
    "acknowledged changes lost": 0,
    "changes that nobody was told of": 0,
    "damage found at the end": 0,
    "builds refused without pid, host and since": 0,
    "new items that are not found": 0,
    "users: found after": 0,
    "items: found after": 0,
}
# Only the long form has to be as long as this, is long enough to say this, and is timed: a test
# that fails on a busy machine says nothing.
LONG_MOST: dict[str, float] = {
    "seconds until it answers again, worst": 5,
    "seconds until refused, worst": 1,
    "seconds until another process sees an event, worst": 1,
    "s until another process sees an event, worst": 1,
    "users: seconds until erased": 60,
    "items: seconds until erased": 60,
    "ms of a look when nothing is new": 0.1,
    "p50 with live events over p50 without": 1.5,
    "memory slope, MB an hour": 1,
    "file handles more at the end than when warm": 0,
    "share of the build that the check takes": 0.2,
}
LONG: dict[str, float] = {
    "share of the sites passed": 1,
    "points": 1_000,
    "flips": 1_000,
    "cycles": 100,
    "rounds of each": 100,
    "operations": 200_000,
    "publishes": 2,
    "events appended a second, in batches": 2_000,
    "single events appended a second": 100,
}


def run(
    name: str, *, short: bool, seed: int, n: int | None = None, index: Path | None = None
) -> dict[str, float]:
    """The figures of one test, by name."""
    test = import_module(f"durability.{name}").run
    takes = inspect.signature(test).parameters
    more = {key: value for key, value in (("n", n), ("index", index)) if key in takes}
    found: dict[str, float] = test(short=short, seed=seed, **more)
    return found


def bars(figures: dict[str, float], *, short: bool) -> dict[str, Bar]:
    """Those of the figures that have to reach something."""
    least = LEAST if short else {**LEAST, **LONG}
    found = {name: Bar(figures[name], least[name]) for name in figures if name in least}
    most = MOST if short else {**MOST, **LONG_MOST}
    found |= {name: Bar(figures[name], most[name], most=True) for name in figures if name in most}
    return found
