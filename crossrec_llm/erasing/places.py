"""Where an index holds what is about people and items, and how each place lets go of it."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from crossrec_llm.store.files import disk_errors, write_atomically

Holds = Literal["records", "generations", "vectors", "text", "copy", "nothing", "unknown"]


@dataclass(frozen=True)
class Place:
    """A file or folder of an index.

    holds : "records", "generations", "vectors" (the cache) are erased in their own ways; "text"
        is rejected rows and logs, of which lines go; "copy" is something set aside, which goes
        as a whole; "nothing" holds no id, text or vector; "unknown" is not the index's own, and
        is not touched.
    """

    path: Path
    holds: Holds


# In this order: the first pattern that a name matches.
_PLACES: tuple[tuple[str, Holds], ...] = (
    ("*.damaged*", "copy"),
    ("records.sqlite*", "records"),
    ("generations", "generations"),
    ("rehearsed", "generations"),
    ("vectors.cache*", "vectors"),
    ("*.csv", "text"),
    ("*.log", "text"),
    ("manifest.json", "nothing"),
    ("lock*", "nothing"),
    ("erasures", "nothing"),
    ("*.new", "copy"),
)


def places(index: Path) -> list[Place]:
    """Everything in an index's folder, by name. A new kind of file is added to the list above."""
    return [Place(path, _holds(path)) for path in sorted(index.iterdir())]


def clear_texts(index: Path, ids: Sequence[str]) -> dict[str, int]:
    """Take the rows that name one of `ids` out of rejected rows and logs; copies go as a whole.

    A row that names a longer id which holds one of these goes too. By file, how many went.
    """
    removed = {}
    for place in places(index):
        if place.holds == "text" and (gone := _clear(place.path, ids)):
            removed[place.path.name] = gone
        if place.holds == "copy" and place.path.is_file():
            with disk_errors(place.path):
                place.path.unlink()
            removed[place.path.name] = 1
    return removed


def _holds(path: Path) -> Holds:
    return next((holds for pattern, holds in _PLACES if path.match(pattern)), "unknown")


def _clear(path: Path, ids: Sequence[str]) -> int:
    text = path.read_text("utf-8", "surrogateescape")
    if not any(id in text for id in ids):
        return 0
    out = io.StringIO(newline="")
    gone = 0
    if path.suffix == ".csv":
        rows = list(csv.reader(io.StringIO(text, newline="")))
        kept = [row for row in rows if not any(id in field for field in row for id in ids)]
        csv.writer(out).writerows(kept)
        gone = len(rows) - len(kept)
    else:
        for line in text.splitlines(keepends=True):
            if any(id in line for id in ids):
                gone += 1
            else:
                out.write(line)
    write_atomically(path, out.getvalue().encode("utf-8", "surrogateescape"))
    return gone
