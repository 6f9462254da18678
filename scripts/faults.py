#!/usr/bin/env python3
"""Break indexes on purpose: kills, failing disks, many writers; start it with scripts/faults.

Every figure of docs/durability.md comes from here. All works in temporary folders; an index that
is given is copied first. Exit 1 where a bar is missed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import durability
from bars import machine

SEED = 7


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="scripts/faults", description=(__doc__ or "").partition(";")[0]
    )
    parser.add_argument("name", nargs="*", metavar="NAME", help=", ".join(durability.TESTS))
    parser.add_argument("--short", action="store_true", help="the form of the tests, in seconds")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--index", type=Path, help="a large index, for those that want one")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    given = parser.parse_args()
    if unknown := set(given.name) - set(durability.TESTS):
        parser.error(
            f"no test {', '.join(sorted(unknown))}; there are {', '.join(durability.TESTS)}"
        )
    figures: dict[str, dict[str, float]] = {}
    seconds: dict[str, float] = {}
    for name in given.name or durability.TESTS:
        started = time.perf_counter()
        print(f"{name}, seed {given.seed} ...", file=sys.stderr)
        figures[name] = durability.run(name, short=given.short, seed=given.seed, index=given.index)
        seconds[name] = time.perf_counter() - started
    bars = {
        f"{test}: {name}": bar
        for test, found in figures.items()
        for name, bar in durability.bars(found, short=given.short).items()
    }
    if given.json:
        document = {
            "bars": {name: bar.to_dict() for name, bar in bars.items()},
            "figures": figures,
            "seconds": seconds,
            "seed": given.seed,
            "short": given.short,
            "machine": machine(),
        }
        print(json.dumps(document, indent=2))
    else:
        for test, found in figures.items():
            for name, value in found.items():
                full = f"{test}: {name}"
                print(bars[full].words(full) if full in bars else f"       {full}: {value:.6g}")
            print(f"       {test}: {seconds[test]:.0f} s, seed {given.seed}")
    if not all(bar.met for bar in bars.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
