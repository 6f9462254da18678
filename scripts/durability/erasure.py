"""People and items erased from an index: no byte of an id, a text or a vector is left in it."""

from __future__ import annotations

import hashlib
import shutil
import sys
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
    sys.path.append(str(Path(__file__).resolve().parents[2]))
    from tests import shop

    def distinct(table: pa.Table, name: str) -> pa.Table:
        ids = table[name].to_pylist()
        new = [f"{id}-{hashlib.blake2b(id.encode(), digest_size=8).hexdigest()}" for id in ids]
        return table.set_column(table.column_names.index(name), name, pa.array(new))

    events = distinct(distinct(shop.interactions(), "item_id"), "user_id")
    build(distinct(shop.items(), "item_id"), events, place)


def _erased(place: Path, kind: Kind, n: int, rng: np.random.Generator) -> dict[str, float]:
    what, erase = f"{kind}s", forget_user if kind == "user" else erase_items
    ids, scanner = _drawn(place, kind, n, rng)
    before = scanner.scan(place)
    worked = time.process_time()
    seconds = erase(place, ids).seconds
    worked = time.process_time() - worked
    after = scanner.scan(place)
    looked_for = sum(before.traces.values())
    figures: dict[str, float] = {
        f"{what}: looked for": looked_for,
        **{f"{what}: {of}s looked for": found for of, found in before.traces.items()},
        f"{what}: found before, share": sum(before.hits.values()) / max(1, looked_for),
        f"{what}: found after": sum(after.hits.values()),
        f"{what}: bytes scanned": after.size,
        f"{what}: seconds until erased": seconds["erased"],
        f"{what}: seconds until Chroma is filled again": seconds["done"],
        f"{what}: processor seconds": worked,
    }
    return figures


def _drawn(place: Path, kind: Kind, n: int, rng: np.random.Generator) -> tuple[list[str], Scanner]:
    """Ids, and a search for what only they have."""
    with Index.open(place) as opened:
        generation = Generation.load(opened.generation)
        known = generation.users.ids if kind == "user" else generation.catalogue.ids
        ids = [known[at] for at in rng.choice(len(known), n, replace=False)]
        return ids, traces_of(generation, opened.ledger, kind, ids)
