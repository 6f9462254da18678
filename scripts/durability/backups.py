"""Backups while others append and publish, and what they answer once they are restored."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path

from crossrec_llm import add_events, add_items, backup, build, restore, verify
from crossrec_llm.errors import IndexLocked
from crossrec_llm.store import Index, Ledger
from durability import _driver, _shop
from durability._driver import Say

SHORT, LONG = 3, 100


def run(short: bool, seed: int, n: int | None = None) -> dict[str, float]:
    """N cycles: a writer appends, changes items and builds all the time; a backup is taken.

    The backup must be of one moment: its events are the first so many that the writer made, all of
    those acknowledged before it began among them. It is restored in another place, and must give
    the answers that the backup itself gives, and the records that it has.
    """
    _shop.quick_encoder()
    n = n or (SHORT if short else LONG)
    torn = lost = different = damaged = 0
    seconds = []
    generations = set()
    with tempfile.TemporaryDirectory(prefix="crossrec-backups-") as work:
        index, place, stop = Path(work, "index"), Path(work, "restored"), Path(work, "stop")
        writer = _driver.start(_writer(index, stop, seed))  # a fork: before anything is opened
        while not _began(index):
            time.sleep(0.05)
        for cycle in range(n):
            kept = Path(work, f"backup{cycle}")
            before = _events(index)
            started = time.perf_counter()
            made = backup(kept, index)
            seconds.append(time.perf_counter() - started)
            generations.add(made.generation)
            events = _events(kept)
            torn += events != list(range(len(events)))
            lost += len(events) < len(before)
            if place.exists():  # before the first cycle there is nothing, then an older index
                restore(kept, place, force=True)
            else:
                restore(kept, place)
            different += _shop.answers(place) != _shop.answers(kept)
            different += _contents(place) != _contents(kept)
            damaged += not verify(place).ok
            shutil.rmtree(kept)
        stop.touch()
        outcome = writer.wait()
        appended = len(_events(index))
    return {
        "cycles": n,
        "generations seen": len(generations),
        "events appended meanwhile": appended,
        "backups of more than one moment": torn,
        "backups without something acknowledged before": lost,
        "restored indexes with other answers": different,
        "damaged ones": damaged,
        "writers that broke": float(outcome.code != 0),
        "seconds of a backup, worst": max(seconds),
    }


def _writer(index: Path, stop: Path, seed: int):  # type: ignore[no-untyped-def]
    def body(say: Say) -> None:
        build(_shop.items(edition="0"), _shop.events(), index, recipe=_shop.RECIPE)
        add_items(index, [{"item_id": "own", "title": "lamp 0"}])
        number = 0
        while not stop.exists():
            one = {"user_id": "writer", "item_id": f"i{(number + seed) % 40}"}
            add_events(index, [one | {"timestamp": 1.7e9 + number, "event_id": str(number)}])
            number += 1
            if number % 20 == 0:
                add_items(index, [{"item_id": "own", "title": f"lamp {number}"}])
            if number % 15 == 0:
                try:
                    items = _shop.items(edition=str(number))
                    build(items, _shop.events(), index, recipe=_shop.RECIPE)
                except IndexLocked:
                    continue
        say(str(number))

    return body


def _began(index: Path) -> bool:
    return (index / "manifest.json").exists() and bool(_events(index))


def _events(index: Path) -> list[int]:
    """The numbers of what the writer appended, in order."""
    with Ledger.open(index / "records.sqlite", write=False) as ledger:
        if not ledger.has_user("writer"):
            return []
        times = ledger.events_of("writer")["timestamp"].to_pylist()
    return sorted(int(time - 1.7e9) for time in times)


def _contents(index: Path) -> tuple[object, ...]:
    with Index.open(index) as opened:
        ledger = opened.ledger
        return (
            opened.manifest,
            ledger.change,
            ledger.items().to_pylist(),
            ledger.events().to_pylist(),
        )
