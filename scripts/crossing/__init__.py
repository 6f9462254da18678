"""Whether crossing is under control, measured on one index; `scripts/bench crossing` runs it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from crossing import bridges, interests, lists, reasons, walls

SEED = 7
N = 1_000

MEASURES: Mapping[str, Callable[[Path, int, int], dict[str, float]]] = {
    "reasons": reasons.measure,
    "bridges": bridges.measure,
    "walls": walls.measure,
    "interests": interests.measure,
    "lists": lists.measure,
}

LEAST = {
    "reasons add up": 1,
    "counterfactual claims that hold": 1,
    "first-named beats a random one": 0.95,
    "precision at half coverage, ratio": 1.5,
    "wall: answers equal byte for byte": 1,
    "joined histories, with: both in top 10": 0.9,
    "recall@10 with interests minus without: high": 0,
    lists.MORE_DISTANCE: 0.3,
    lists.SHARES: 1,
}
MOST = {"expected calibration error": 0.05, "shuffled: open pairs": 0}


def measured(index: Path, only: str | None = None) -> dict[str, float]:
    """All figures of an index by name, each over 1,000 of what it counts where there are so many.

    `only`: the name of one of MEASURES.
    """
    found: dict[str, float] = {}
    for name, measure in MEASURES.items():
        if only in (None, name):
            started = time.perf_counter()
            found |= measure(index, N, SEED)
            print(f"{index.name}, {name}: {time.perf_counter() - started:.0f} s", file=sys.stderr)
    return found
