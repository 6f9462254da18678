"""SIGKILL at random points of every command that writes."""

from __future__ import annotations

import random
import sys
import tempfile
import time
from pathlib import Path

from durability import _driver, _shop
from durability._driver import Mode
from durability._steps import Bench

SHORT, LONG, LARGE = 18, 1_000, 40


def run(
    short: bool, seed: int, n: int | None = None, index: Path | None = None
) -> dict[str, float]:
    """Half of the points are a random call that changes a file, half a random moment.

    Over an index that is given only live changes are killed, and fewer of them.
    """
    if not _driver.loaded():
        return _driver.again("kills", short=short, seed=seed, n=n, index=index)
    if index is None:
        _shop.quick_encoder()
    rng = random.Random(seed)
    n = n or (SHORT if short else LARGE if index else LONG)
    broken = killed = 0
    slowest = 0.0
    with tempfile.TemporaryDirectory(prefix="crossrec-kills-") as work:
        bench = Bench(Path(work), index)
        for number in range(n):
            step = bench.steps[number % len(bench.steps)]
            reference, place = bench.references[step.name], bench.copy(step)
            if rng.random() < 0.5:
                mode: Mode = rng.choice(("kill", "kill torn"))
                nth = rng.randint(1, reference.calls)
                words = f"{mode} at call {nth}"
                outcome = _driver.run(step.body(place), bench.fault(mode, nth))
            else:
                moment = rng.uniform(0, reference.seconds)
                words = f"killed after {moment:.3f} s"
                child = _driver.start(step.body(place))
                time.sleep(moment)
                child.kill()
                outcome = child.wait()
            killed += outcome.code == -9
            problems, seconds = bench.problems(step, place, outcome)
            slowest = max(slowest, seconds)
            broken += bool(problems)
            for problem in problems:
                print(f"{step.name}, {words}: {problem}", file=sys.stderr)
    return {
        "points": n,
        "kills that came before the end": killed,
        "points with something lost, wrong or stuck": broken,
        "seconds until it answers again, worst": slowest,
    }
