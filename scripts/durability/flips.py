"""One byte of one file is another one: `verify` must find it, `repair` must undo it."""

from __future__ import annotations

import random
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

import pyarrow as pa

from crossrec_llm import (
    add_events,
    add_items,
    backup,
    build,
    forget_user,
    rehearse,
    repair,
    restore,
    verify,
)
from crossrec_llm.errors import CrossrecError, IndexDamaged
from crossrec_llm.store import Ledger
from crossrec_llm.tables import EVENTS_SCHEMA
from durability import _shop

SHORT, LONG = 24, 1000
_LAST = pa.Table.from_pylist(
    [{"user_id": "u2", "item_id": "i5", "timestamp": 1.7e9, "event": "", "value": None}],
    schema=EVENTS_SCHEMA,
)
# Nothing is answered from these: a list of what was not used, a lock's name, the order of a log
# that SQLite makes anew when it opens a file.
SCRATCH = ("rejects.csv", "lock", "lock.holder", "-shm", ".log")


def run(short: bool, seed: int, n: int | None = None) -> dict[str, float]:
    """A random byte of a random file of a random kind, in a copy each time.

    Kinds are the records, their log as a killed writer leaves it, the cache, the manifest, Chroma's
    files and the other files of generations: two are kept, with live changes over them, and one
    waits with the files it was rehearsed with; and the receipts of erasures. Where
    `repair` refuses because the truth is damaged, a backup is restored. Answers must be those of
    before.
    """
    _shop.quick_encoder()
    n, rng = n or (SHORT if short else LONG), random.Random(seed)
    found = repaired = refused = restored = wrong = quiet = 0
    missed: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="crossrec-flips-") as work:
        index, kept, copy = Path(work, "index"), Path(work, "backup"), Path(work, "copy")
        killed = Path(work, "killed")
        _index(index)
        with Ledger.open(index / "records.sqlite", write=True) as ledger:
            ledger.append(_LAST)
            shutil.copytree(index, killed, ignore=shutil.ignore_patterns("*-shm"))
        before = _shop.answers(index)
        backup(kept, index)
        shutil.rmtree(index)
        restore(kept, index)  # as it is when nobody has it open
        assert verify(index).ok, "the index is not whole to begin with"
        assert verify(killed).ok, "nor is the one that was killed"
        places = _kinds(index) | {"log": [(killed, Path("records.sqlite-wal"))]}
        for _ in range(n):
            origin, name = rng.choice(places[rng.choice(sorted(places))])
            quiet_files = shutil.ignore_patterns("*-shm", *(["*-wal"] * (origin is index)))
            shutil.copytree(origin, copy, ignore=quiet_files)
            _flip(copy / name, rng)
            problems = verify(copy).problems
            if not problems:
                missed[str(name)] += 1
                wrong += _shop.answers(copy) != before
            else:
                found += 1
                named = {Path(problem.file).name.removesuffix(".seal") for problem in problems}
                quiet += name.name.removesuffix(".seal") not in named
                try:
                    whole = repair(copy).after.ok
                    repaired += whole and _shop.answers(copy) == before
                    wrong += not whole or _shop.answers(copy) != before
                    if not whole or _shop.answers(copy) != before:
                        print(f"not repaired: {name}: {problems[0]}", file=sys.stderr)
                except IndexDamaged:
                    refused += 1
                    is_truth = any(problem.is_truth for problem in problems)
                    restore(kept, copy, force=True)
                    restored += is_truth and _shop.answers(copy) == before
                except CrossrecError as error:
                    print(f"not repaired: {name}: {error}", file=sys.stderr)
                    wrong += 1
            shutil.rmtree(copy)
    for name, times in missed.items():
        print(f"not found: {name}, {times} times", file=sys.stderr)
    return {
        "flips": n,
        "files": sum(map(len, places.values())),
        "flips found": found,
        "share of the flips found": found / n,
        "flips whose file was not named": quiet,
        "repaired, with the same answers": repaired,
        "refused, as the truth is damaged": refused,
        "of these restored from a backup, with the same answers": restored,
        "flips after which an answer is wrong": wrong + refused - restored,
    }


def _kinds(index: Path) -> dict[str, list[tuple[Path, Path]]]:
    """The files to choose from, by kind; each with the index it is in."""
    kinds: dict[str, list[tuple[Path, Path]]] = {}
    for file in sorted(index.rglob("*")):
        if file.is_file() and file.stat().st_size and not file.name.endswith(SCRATCH):
            name = file.relative_to(index)
            kind = name.parts[0].removesuffix(".seal")
            kind = "chroma" if "chroma" in name.parts else kind
            kinds.setdefault(kind, []).append((index, name))
    return kinds


def _index(index: Path) -> None:
    events = _shop.events()
    build(_shop.items(edition="1"), events, index, recipe=_shop.RECIPE)
    forget_user(index, "u14")
    build(_shop.items(edition="2"), events, index, recipe=_shop.RECIPE)
    add_items(index, [{"item_id": "new", "title": "blue paper lantern"}])
    add_events(index, [{"user_id": "u1", "item_id": "new", "timestamp": 1.7e9}])
    items = _shop.items(edition="3")
    rehearse(index, _shop.RECIPE, items=items, interactions=events, users=3)


def _flip(file: Path, rng: random.Random) -> None:
    """Another value for one byte."""
    with file.open("r+b") as opened:
        at = rng.randrange(file.stat().st_size)
        opened.seek(at)
        old = opened.read(1)[0]
        opened.seek(at)
        opened.write(bytes([old ^ rng.randrange(1, 256)]))
