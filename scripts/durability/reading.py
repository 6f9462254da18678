"""What an open index sees of live changes, how soon, and what that costs its questions."""

from __future__ import annotations

import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from crossrec_llm import Recommender, add_events, add_items, build
from durability import _shop

SHORT, LONG = 20, 200
EVENTS = 1_000
ITEMS = (1, 100)

# Appends one event at a time, and says when each was acknowledged.
_WRITER = """
import sys, time
from crossrec_llm import add_events
for number in range(int(sys.argv[2])):
    event = {"user_id": f"live{number}", "item_id": sys.argv[3], "timestamp": 1.9e9}
    add_events(sys.argv[1], [event])
    print(time.monotonic(), flush=True)
    sys.stdin.readline()
"""


def run(
    short: bool, seed: int, n: int | None = None, index: Path | None = None
) -> dict[str, float]:
    """Asks n times for each figure; another index, which stays as it was, is asked by turns.

    Parameters
    ----------
    index : a large one; then the real model encodes the new items.
    """
    rng, n = random.Random(seed), n or (SHORT if short else LONG)
    with tempfile.TemporaryDirectory(prefix="crossrec-reading-") as work:
        still, live = Path(work, "still"), Path(work, "live")
        if index is None:
            _shop.quick_encoder()
            build(_shop.items(), _shop.events(), still, recipe=_shop.RECIPE)
        else:
            shutil.copytree(index, still)
        shutil.copytree(still, live)
        with Recommender.open(still) as before, Recommender.open(live) as after:
            users = rng.choices(before.generation.users.ids, k=n)
            _ask([before, after], users)
            figures = {"ms of a look when nothing is new": _look(after)}
            items, people = before.catalogue.ids, before.generation.users.ids
            events = [
                {
                    "user_id": rng.choice(people),
                    "item_id": rng.choice(items),
                    "timestamp": 1.8e9 + number,
                }
                for number in range(EVENTS)
            ]
            add_events(live, events)
            figures["ms of the first question after 1,000 events"] = _first(after, users[0])
            plain, with_events = _ask([before, after], users)
            figures["p50 ms"] = plain
            figures["p50 ms with 1,000 live events"] = with_events
            figures["p50 with live events over p50 without"] = with_events / plain
            figures["s until another process sees an event, worst"] = _seen(after, live, n)
            for new in ITEMS:
                titles = [f"cast iron pan {new} {number} with a lid" for number in range(new)]
                made = [{"item_id": f"new {title}", "title": title} for title in titles]
                add_items(live, made)
                name = f"ms of the first question after {new} new items"
                figures[name] = _first(after, users[0])
            figures["new items that are not found"] = sum(
                title not in [r.title for r in after.like(title, 3)] for title in titles[:n]
            )
    return figures


def _ask(asked: Sequence[Recommender], users: Sequence[str]) -> list[float]:
    """The p50 in ms of each, asked by turns."""
    times: list[list[float]] = [[] for _ in asked]
    for user in users:
        for recommender, spent in zip(asked, times, strict=True):
            spent.append(_first(recommender, user))
    return [statistics.median(spent) for spent in times]


def _first(recommender: Recommender, user: str) -> float:
    started = time.perf_counter()
    recommender.for_user(user)
    return 1000 * (time.perf_counter() - started)


def _look(recommender: Recommender, batches: int = 50, times: int = 50) -> float:
    """Ms of finding out that nothing is new, which each question begins with: p50 of batches."""
    spent = []
    for _ in range(batches):
        started = time.perf_counter()
        for _ in range(times):
            _ = recommender.generation
        spent.append(1000 * (time.perf_counter() - started) / times)
    return statistics.median(spent)


def _seen(recommender: Recommender, index: Path, n: int) -> float:
    """Seconds from the acknowledgement in another process to an answer that counts the event."""
    item_id = recommender.catalogue.ids[0]
    command = [sys.executable, "-c", _WRITER, str(index), str(n), item_id]
    worst = 0.0
    with subprocess.Popen(
        command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdin is not None
        for number in range(n):
            acknowledged = float(writer.stdout.readline())
            answer = recommender.for_user(f"live{number}")
            worst = max(worst, time.monotonic() - acknowledged)
            assert item_id not in answer.ids
            writer.stdin.write("\n")
            writer.stdin.flush()
    return worst
