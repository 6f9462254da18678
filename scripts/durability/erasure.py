"""People and items erased from an index: no byte of an id, a text or a vector is left in it."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from crossrec_llm import build
from crossrec_llm.erasing import Scanner, erase_items, forget_user, traces_of
from crossrec_llm.generation import Generation
from crossrec_llm.store import Index, Kind


def run(short: bool, seed: int, index: Path | None = None) -> dict[str, float]:
    """Erase 100 people and 100 items (6 and 6 in short) of a copy, and scan before and after.

    A scan before must find every one of them: else it is blind.
    """
    rng = np.random.default_rng(seed)
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "index"
        if index is None:
            _shop(Path(folder), place)
        else:
            shutil.copytree(index, place)
        for kind in ("user", "item"):
            figures |= _erased(place, kind, 6 if short else 100, rng)
    return figures


def _shop(folder: Path, place: Path) -> None:
    """The invented shop of the tests, with ids that no other bytes are by chance."""
    from tests import shop

    def distinct(column: pa.ChunkedArray, letter: str) -> pa.Array:
        names = [f"{letter}-7f3a9c{len(id):02}{id}-{hash_of(id)}" for id in column.to_pylist()]
        return pa.array(names)

    def hash_of(id: str) -> str:
        return f"{int.from_bytes(id.encode()[-6:], 'big') * 0x9E3779B1 % (1 << 32):08x}"

    items, events = shop.items(), shop.interactions()
    items = _with(items, "item_id", distinct(items["item_id"], "i"))
    events = _with(events, "item_id", distinct(events["item_id"], "i"))
    events = _with(events, "user_id", distinct(events["user_id"], "u"))
    build(items, events, place)


def _with(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, values)


def _erased(place: Path, kind: Kind, n: int, rng: np.random.Generator) -> dict[str, float]:
    plural = f"{kind}s"
    ids, scanner, before = _drawn(place, kind, n, rng)
    erase = forget_user if kind == "user" else erase_items
    started = time.perf_counter()
    receipt = erase(place, ids, refill=False)
    erased = time.perf_counter() - started
    after = scanner.scan(place)
    with Index.open(place) as opened:
        held = Generation.load(opened.generation)
        there = set(held.users.ids if kind == "user" else held.catalogue.ids)
    figures: dict[str, float] = {
        f"{plural} erased": len(ids) - len(there & set(ids)),
        f"{plural}: traces looked for": sum(before.traces.values()),
        f"{plural}: traces found before, share": _share(before.hits, before.traces),
        f"{plural}: traces found after": sum(after.hits.values()),
        f"{plural}: bytes scanned": after.size,
        f"{plural}: seconds": erased,
    }
    for what, found in after.traces.items():
        figures[f"{plural}: {what}s looked for"] = found
    # Filling Chroma again is no part of the erasure, and must not bring anything back.
    started = time.perf_counter()
    _refilled(place, kind, rng)
    figures[f"{plural}: seconds of one more, Chroma filled again"] = time.perf_counter() - started
    again = scanner.scan(place)
    figures[f"{plural}: traces found after filling"] = sum(again.hits.values())
    assert not receipt.scan
    return figures


def _drawn(
    place: Path, kind: Kind, n: int, rng: np.random.Generator
) -> tuple[list[str], Scanner, object]:
    """Ids, what only they have, and what a scan finds of it."""
    with Index.open(place) as opened:
        generation = Generation.load(opened.generation)
        known = generation.users.ids if kind == "user" else generation.catalogue.ids
        ids = [known[at] for at in rng.choice(len(known), n, replace=False)]
        scanner = traces_of(generation, opened.ledger, kind, ids)
    return ids, scanner, scanner.scan(place)


def _refilled(place: Path, kind: Kind, rng: np.random.Generator) -> None:
    ids, _, _ = _drawn(place, kind, 1, rng)
    (forget_user if kind == "user" else erase_items)(place, ids)


def _share(found: dict[str, int], looked_for: dict[str, int]) -> float:
    return sum(found.values()) / max(1, sum(looked_for.values()))
