"""Many processes write to one index at once."""

from __future__ import annotations

import random
import re
import sqlite3
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from crossrec_llm import add_events, add_items, build
from crossrec_llm.errors import IndexLocked
from crossrec_llm.store import Index
from durability import _driver, _shop
from durability._driver import Say

WRITERS = 8
SHORT, LONG = 6, 100
_HOLDER = re.compile(r"process \d+ on \S+ \(since \d{4}-\d\d-\d\dT")


def run(short: bool, seed: int, n: int | None = None) -> dict[str, float]:
    """Each process does n rounds: mostly appends, some changed items, one in ten a build.

    Appends may all succeed, or be refused; of two builds at once one must be refused, at once and
    with the name of the other.
    """
    _shop.quick_encoder()
    n = n or (SHORT if short else LONG)
    with tempfile.TemporaryDirectory(prefix="crossrec-writers-") as work:
        index = Path(work, "index")
        _driver.rehearse(lambda _: _first(index))
        children = [_driver.start(_writer(index, w, n, seed)) for w in range(WRITERS)]
        outcomes = [child.wait() for child in children]
        for outcome in outcomes:
            if outcome.code:
                print(outcome.error, file=sys.stderr)
        told = [line.split(" ", 2) for outcome in outcomes for line in outcome.said]
        acknowledged = {words for kind, _, words in told if kind == "event"}
        titles = {
            words.split("=")[0]: words.split("=")[1] for kind, _, words in told if kind == "item"
        }
        refused = [
            (kind, float(seconds), words) for kind, seconds, words in told if kind == "refused"
        ]
        at_the_end = _driver.run(lambda say: _check(index, acknowledged, titles, say))
        if at_the_end.code:
            print(at_the_end.error, file=sys.stderr)
    lost, strange = (int(word) for word in (at_the_end.said or ["1", "1"])[:2])
    return {
        "writers": WRITERS,
        "rounds of each": n,
        "events acknowledged": len(acknowledged),
        "builds that went live": sum(kind == "built" for kind, _, _ in told),
        "writers that broke": sum(outcome.code != 0 for outcome in outcomes),
        "acknowledged changes lost": lost,
        "changes that nobody was told of": strange,
        "damage found at the end": float(at_the_end.code != 0),
        "refused": len(refused),
        "seconds until refused, worst": max((seconds for _, seconds, _ in refused), default=0.0),
        "builds refused without pid, host and since": sum(
            words.startswith("build") and not _HOLDER.search(words) for _, _, words in refused
        ),
    }


def _build(index: Path, edition: int) -> None:
    build(_shop.items(edition=str(edition)), _shop.events(), index, recipe=_shop.RECIPE)


def _first(index: Path) -> None:
    _build(index, 0)
    add_items(index, [{"item_id": "own", "title": "lamp"}])
    _shop.answers(index)


def _writer(index: Path, writer: int, rounds: int, seed: int):  # type: ignore[no-untyped-def]
    def body(say: Say) -> None:
        rng = random.Random(f"{seed} {writer}")
        for number in range(rounds):
            kind = rng.choices(("event", "item", "build"), (7, 2, 1))[0]
            started = time.perf_counter()
            try:
                if kind == "event":
                    one = {"user_id": f"w{writer}", "item_id": f"i{rng.randrange(40)}"}
                    one |= {"timestamp": 1.7e9 + number, "event_id": f"{writer}-{number}"}
                    add_events(index, [one])
                    words = f"{writer} {number}"
                elif kind == "item":
                    # An item of its own, so that the last title it was given is known.
                    title = f"lamp {writer} {number}"
                    add_items(index, [{"item_id": f"own{writer}", "title": title}])
                    words = f"own{writer}={title}"
                else:
                    _build(index, 1000 * writer + number)
                    kind, words = "built", "-"
            except IndexLocked as error:
                kind, words = "refused", f"{kind} {error}"
            say(f"{kind} {time.perf_counter() - started:.3f} {words}")

    return body


def _check(index: Path, acknowledged: set[str], titles: dict[str, str], say: Say) -> None:
    """Tells how many acknowledged changes are lost, and how many are there that nobody made."""
    with Index.open(index) as opened:
        path = opened.ledger.path
        events = opened.ledger.events().to_pylist()
        items = {item["item_id"]: item["title"] for item in opened.ledger.items().to_pylist()}
    there = [
        f"{event['user_id'][1:]} {int(event['timestamp'] - 1.7e9)}"
        for event in events
        if event["user_id"].startswith("w")
    ]
    lost = len(acknowledged - set(there)) + sum(items.get(id) != titles[id] for id in titles)
    strange = len(there) - len(acknowledged & set(there))
    say(str(lost))
    say(str(strange))
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert _shop.answers(index)
