"""How fast live changes are made durable, and how soon another process sees them.

Over the records of an index that is given, or made-up ones of 38,000 items, 53,000 people and
570,000 events. Each transaction is in the file before the next begins (synchronous=FULL).
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from crossrec_llm import add_events, build
from crossrec_llm.store import Ledger, content_digest
from crossrec_llm.tables import EVENTS_SCHEMA, ITEMS_SCHEMA
from durability import _shop

_BATCH = 1_000

# Says when (the clock is that of the machine) it sees each of the people it waits for.
_READER = """
import sys, time
from pathlib import Path
from crossrec_llm.store import Ledger
with Ledger.open(Path(sys.argv[1]), write=False) as ledger:
    print("ready", flush=True)
    for n in range(int(sys.argv[2])):
        while not ledger.has_user(f"seen{n}"):
            time.sleep(0.001)
        print(time.monotonic(), flush=True)
"""


def run(*, short: bool, seed: int, index: Path | None = None) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="crossrec-rates-") as folder:
        copy = Path(folder) / "index"
        if index is not None:
            _copy_records(index, copy)
        else:
            _made_up(copy, seed, *((2_000, 3_000, 30_000) if short else (38_000, 53_000, 570_000)))
        return _measured(copy, seed, batches=5 if short else 50, single=50 if short else 1_000)


def _measured(index: Path, seed: int, *, batches: int, single: int) -> dict[str, float]:
    rng = random.Random(seed + 1)  # other events than made-up records have
    with Ledger.open(index / "records.sqlite", write=True) as ledger:
        items, people = ledger.items(), ledger.events()["user_id"].unique().to_pylist()
        figures = {"items": float(len(items)), "events there before": float(ledger.event_count)}
        ids = items["item_id"].to_pylist()

        def appended(sizes: Sequence[int]) -> float:
            made = [_events(rng, ids, people, size) for size in sizes]
            started = time.perf_counter()
            added = sum(ledger.append(part).added for part in made)
            seconds = time.perf_counter() - started
            if added != sum(sizes):
                raise AssertionError(f"{added} of {sum(sizes)} events were new; all are")
            return added / seconds

        figures["events appended a second, in batches"] = appended([_BATCH] * batches)
        figures["single events appended a second"] = appended([1] * single)
        started = time.perf_counter()
        ledger.put_items(_edition(items.slice(0, _BATCH), "live"))
        figures["items changed a second"] = _BATCH / (time.perf_counter() - started)
        waits = _seen_after(ledger, ids[0], 5 if batches < 10 else 50)
        figures["seconds until another process sees an event, worst"] = max(waits)

        started = time.perf_counter()
        merged = ledger.merged(items, EVENTS_SCHEMA.empty_table())
        figures["seconds to merge files and live changes"] = time.perf_counter() - started
        content = content_digest(merged.items, merged.events)
        events = ledger.events()
        started = time.perf_counter()
        ledger.merge(items, events, upto=merged.change, content=content)
        figures["seconds that a build keeps others from writing"] = time.perf_counter() - started
    rows = _events(rng, ids, people, min(single, 200)).to_pylist()
    started = time.perf_counter()
    for row in rows:
        add_events(index, row)
    figures["calls of add_events a second"] = len(rows) / (time.perf_counter() - started)
    return figures


def _seen_after(ledger: Ledger, item_id: str, n: int) -> list[float]:
    """Seconds from the acknowledgement of an event until another process sees it."""
    command = [sys.executable, "-c", _READER, str(ledger.path), str(n)]
    waits = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdout is not None
        reader.stdout.readline()
        for number in range(n):
            row = {"user_id": f"seen{number}", "item_id": item_id, "event": "buy"}
            ledger.append(pa.Table.from_pylist([row], schema=EVENTS_SCHEMA))
            acknowledged = time.monotonic()
            waits.append(max(float(reader.stdout.readline()) - acknowledged, 0.0))
    return waits


def _events(rng: random.Random, ids: list[str], people: list[str], n: int) -> pa.Table:
    """Events of people who are there and, one in ten, of new ones."""
    rows = [
        {
            "user_id": rng.choice(people) if rng.random() < 0.9 else f"new{rng.getrandbits(40)}",
            "item_id": rng.choice(ids),
            "timestamp": 1.8e9 + rng.random() * 1e6,
            "event": "purchase",
            "value": None,
        }
        for _ in range(n)
    ]
    return pa.Table.from_pylist(rows, schema=EVENTS_SCHEMA)


def _edition(items: pa.Table, edition: str) -> pa.Table:
    rows = [{**row, "title": f"{row['title']}, {edition}"} for row in items.to_pylist()]
    return pa.Table.from_pylist(rows, schema=ITEMS_SCHEMA)


def _copy_records(index: Path, copy: Path) -> None:
    """What live changes need of an index: the records, and what says how rows are read."""
    active = json.loads((index / "manifest.json").read_text("utf-8"))["active"]
    names = [f"generations/{active}/{name}.json" for name in ("generation", "recipe")]
    for name in ("manifest.json", "records.sqlite", *names):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(index / name, copy / name)


def _made_up(index: Path, seed: int, n_items: int, n_people: int, n_events: int) -> None:
    """A tiny index over records of this size."""
    _shop.quick_encoder()
    build(_shop.items(), _shop.events(), index, recipe=_shop.RECIPE)
    rng = random.Random(seed)
    with Ledger.open(index / "records.sqlite", write=True) as ledger:
        (row,) = ledger.items().slice(0, 1).to_pylist()
        text = "a made-up description of some length, as those of shops are. " * 5
        items = [
            {**row, "item_id": f"i{n}", "title": f"thing {n}", "description": text}
            for n in range(n_items)
        ]
        people = [f"u{n}" for n in range(n_people)]
        events = _events(rng, [item["item_id"] for item in items], people, n_events)
        ledger.replace(pa.Table.from_pylist(items, schema=ITEMS_SCHEMA), events)
