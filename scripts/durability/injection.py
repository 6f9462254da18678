"""A disk that fails, at every call that changes a file."""

from __future__ import annotations

import itertools
import random
import re
import sys
import tempfile
from collections import Counter
from pathlib import Path

from durability import _driver, _shop
from durability._driver import Mode
from durability._steps import Bench, Step

MODES: tuple[Mode, ...] = ("full", "eio", "torn")
SHORT = 18
Site = tuple[Step, Mode, int]


def run(short: bool, seed: int, n: int | None = None) -> dict[str, float]:
    """Every site of every step, in three ways; the short form draws some."""
    if not _driver.loaded():
        return _driver.again("injection", short=short, seed=seed, n=n)
    _shop.quick_encoder()
    rng = random.Random(seed)
    passed = tried = refused = 0
    kinds: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="crossrec-injection-") as work:
        bench = Bench(Path(work))
        sites = [
            (step, mode, nth)
            for step in bench.steps
            for mode in MODES
            for nth in range(1, bench.references[step.name].calls + 1)
        ]
        n = min(n or (SHORT if short else len(sites)), len(sites))
        for step, mode, nth in _spread(sites, n, rng):
            index = bench.copy(step)
            outcome = _driver.run(step.body(index), bench.fault(mode, nth))
            if not outcome.site:
                continue  # this run had fewer calls than the undisturbed one
            tried += 1
            refused += outcome.code == 2
            problems, _ = bench.problems(step, index, outcome)
            if outcome.code and not outcome.one_clear_line:
                problems.append(f"ended with {outcome.code}: {outcome.error.strip()[-300:]}")
            passed += not problems
            for problem in problems:
                kinds[f"{step.name}, {mode}, {_kind(outcome.site)}"] += 1
                print(f"{step.name}, {mode} at {nth} ({outcome.site}): {problem}", file=sys.stderr)
    for kind, count in kinds.most_common():
        print(f"{count:>5} {kind}", file=sys.stderr)
    return {
        "sites there are": len(sites),
        "sites": tried,
        "share of the sites passed": passed / tried,
        "commands refused with one clear line": refused,
    }


def _spread(sites: list[Site], n: int, rng: random.Random) -> list[Site]:
    """So many sites, drawn step by step: most are Chroma's, within a build."""
    rng.shuffle(sites)
    turns = {
        name: [site for site in sites if site[0].name == name]
        for name in {step.name: None for step, _, _ in sites}
    }
    return [
        site for turn in itertools.zip_longest(*turns.values()) for site in turn if site is not None
    ][:n]


def _kind(site: str) -> str:
    """A site without what is drawn anew each time."""
    return re.sub(r"[0-9a-f-]{36}|\d{4}-[0-9a-f]{8}", "*", site)
