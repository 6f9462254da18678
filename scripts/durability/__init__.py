"""Whether an index keeps its promises when things break; `scripts/faults` runs what is here.

A module without an underscore is a test. It has `run(short, seed)`, or `run(short, seed, index)`
where a large index may be given to work on a copy of, and returns figures by name. `short` is the
form that the tests run, in seconds. What a figure must reach is said here and nowhere else.
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
    "users: found before, share": 1.0,
    "items: found before, share": 1.0,
}
MOST: dict[str, float] = {
    "users: found after": 0,
    "items: found after": 0,
    "users: found after filling": 0,
    "items: found after filling": 0,
    "users: seconds": 60,
    "items: seconds": 60,
}
# Only the long form has to be as long as this.
LONG: dict[str, float] = {}


def run(name: str, *, short: bool, seed: int, index: Path | None = None) -> dict[str, float]:
    """The figures of one test, by name."""
    test = import_module(f"durability.{name}").run
    given = {"index": index} if "index" in inspect.signature(test).parameters else {}
    found: dict[str, float] = test(short=short, seed=seed, **given)
    return found


def bars(figures: dict[str, float], *, short: bool) -> dict[str, Bar]:
    """Those of the figures that have to reach something."""
    least = LEAST if short else {**LEAST, **LONG}
    found = {name: Bar(figures[name], least[name]) for name in figures if name in least}
    most = {name: Bar(figures[name], MOST[name], most=True) for name in figures if name in MOST}
    return {**found, **most}
