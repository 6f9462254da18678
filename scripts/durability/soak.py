"""An index under load for an hour (or -n minutes): questions, appends and two publishes."""

from __future__ import annotations

import gc
import json
import os
import random
import sys
import tempfile
import time
import traceback
from pathlib import Path

import numpy as np

from crossrec_llm import Recommender, add_events, build
from crossrec_llm.errors import UnknownUser
from durability import _driver, _shop
from durability._driver import Say

SHORT, LONG = 12.0, 3600.0  # seconds
RATE = 20  # questions a second
APPENDS = 5  # a second
WARM = 0.25  # of the time, before memory is compared


def run(short: bool, seed: int, n: int | None = None) -> dict[str, float]:
    """One process asks, one appends, and two more build and publish on the way."""
    _shop.quick_encoder()
    seconds = n * 60.0 if n else SHORT if short else LONG
    with tempfile.TemporaryDirectory(prefix="crossrec-soak-", dir=_driver.memory()) as work:
        index = Path(work, "index")
        _driver.rehearse(lambda _: _first(index))
        asking = _driver.start(lambda say: _ask(index, seconds, seed, say))
        adding = _driver.start(lambda say: _append(index, seconds, seed, say))
        published, started = 0, time.monotonic()
        for share in (1 / 3, 2 / 3):
            time.sleep(max(0.0, started + share * seconds - time.monotonic()))
            outcome = _driver.run(lambda _: _publish(index))
            published += outcome.code == 0
            if outcome.code:
                print(outcome.error, file=sys.stderr)
        asked, added = asking.wait(), adding.wait()
    for outcome in (asked, added):
        if outcome.code:
            print(outcome.error, file=sys.stderr)
    samples = [json.loads(line) for line in asked.said]
    warm = [sample for sample in samples if sample["t"] >= WARM * seconds]
    slope, error = _slope([s["t"] / 3600 for s in warm], [s["memory"] / 1024 for s in warm])
    handles = [sample["handles"] for sample in warm]
    last = samples[-1]
    return {
        "seconds": seconds,
        "questions": last["questions"],
        "questions a second": last["questions"] / seconds,
        "slowest question, ms": last["slowest"],
        "events appended": float(len(added.said)),
        "publishes": published,
        "generations that the open reader answered from": last["generations"],
        "errors": last["errors"] + (asked.code != 0) + (added.code != 0),
        "MB at the end": last["memory"] / 1024,
        "memory slope, MB an hour": slope,
        "its standard error": error,
        "file handles more at the end than when warm": handles[-1] - handles[0],
    }


def _first(index: Path) -> None:
    build(_shop.items(), _shop.events(), index, recipe=_shop.RECIPE)
    add_events(index, [{"user_id": "u0", "item_id": "i0", "timestamp": 1.7e9}])
    _shop.answers(index)


def _publish(index: Path) -> None:
    build(index=index)


def _ask(index: Path, seconds: float, seed: int, say: Say) -> None:
    """At a steady rate; a sample every two seconds of what the process holds."""
    rng = random.Random(seed)
    questions = errors = 0
    slowest, generations = 0.0, set()
    started = time.monotonic()
    sampled = -2.0
    with Recommender.open(index) as rec:
        while (now := time.monotonic() - started) < seconds:
            time.sleep(max(0.0, questions / RATE - now))
            begun = time.perf_counter()
            try:
                kind = rng.random()
                if kind < 0.6:
                    answer = rec.for_user(f"u{rng.randrange(_shop.N_USERS)}", k=8)
                elif kind < 0.8:
                    answer = rec.similar(f"i{rng.randrange(_shop.N_ITEMS)}", k=8)
                else:
                    answer = rec.like(rng.choice(("blue cup", "large tent", "plain book")), k=8)
                generations.add(answer.receipt.generation)
                errors += not len(answer)
            except UnknownUser:
                pass
            except Exception:
                traceback.print_exc()
                errors += 1
            questions += 1
            slowest = max(slowest, time.perf_counter() - begun)
            if now - sampled >= 2:
                sampled = now
                gc.collect()  # what a replaced generation held is let go of when it comes to that
                say(
                    json.dumps(
                        {
                            "t": now,
                            "memory": _own_memory(),
                            "handles": len(os.listdir("/proc/self/fd")),  # noqa: PTH208
                            "questions": questions,
                            "errors": errors,
                            "slowest": 1000 * slowest,
                            "generations": len(generations),
                        }
                    )
                )


def _append(index: Path, seconds: float, seed: int, say: Say) -> None:
    rng = random.Random(seed + 1)
    started, number = time.monotonic(), 0
    while (now := time.monotonic() - started) < seconds:
        time.sleep(max(0.0, number / APPENDS - now))
        # The people are a few, as the index is to stay small: what leaks is not what grows. They
        # take half of the items only: who has them all gets no answer any more.
        user, item = f"u{rng.randrange(_shop.N_USERS)}", f"i{rng.randrange(_shop.N_ITEMS // 2)}"
        event = {"user_id": user, "item_id": item, "timestamp": 1.7e9 + number % 500}
        add_events(index, [event])
        number += 1
        say("added")


def _own_memory() -> int:
    """KB that are this process's alone, without what it has mapped from files."""
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("RssAnon")).split()[1])


def _slope(hours: list[float], values: list[float]) -> tuple[float, float]:
    """Least squares: how much more an hour, and the standard error of that."""
    x, y = np.array(hours) - np.mean(hours), np.array(values)
    slope = float(x @ y / (x @ x))
    left = y - y.mean() - slope * x
    return slope, float(np.sqrt(left @ left / max(1, len(x) - 2) / (x @ x)))
