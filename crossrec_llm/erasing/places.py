"""Where an index holds what is about people and items, and how each place lets go of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from crossrec_llm.erasing.scanning import forms_of
from crossrec_llm.store.files import disk_errors

Holds = Literal["records", "generations", "vectors", "judgements", "leftover", "nothing", "unknown"]


@dataclass(frozen=True)
class Place:
    """A file or folder of an index.

    holds : "records", "generations", "vectors" (the cache), "judgements" are erased in their own
        ways; a "leftover" is rejected rows, a log or something set aside, which goes as a whole;
        "nothing" holds no id, text or vector; "unknown" is not the index's own, and is not
        touched.
    """

    path: Path
    holds: Holds


# In this order: the first pattern that a name matches.
_PLACES: tuple[tuple[str, Holds], ...] = (
    ("records.sqlite*", "records"),
    ("generations", "generations"),
    ("rehearsed", "generations"),
    ("derived", "nothing"),  # points of maps, without ids
    ("backup.json*", "nothing"),
    ("vectors.cache.damaged", "leftover"),
    ("vectors.cache*", "vectors"),
    ("rejects.csv", "leftover"),
    ("build.log", "leftover"),
    ("judgements.jsonl*", "judgements"),
    ("judgements.lock", "nothing"),
    ("manifest.json*", "nothing"),
    ("lock", "nothing"),
    ("lock.holder*", "nothing"),
    ("erasures", "nothing"),
)


def places(index: Path) -> list[Place]:
    """Everything in an index's folder, by name. A new kind of file is added to the list above."""
    return [Place(path, _holds(path)) for path in sorted(index.iterdir())]


def remove_leftovers(index: Path) -> dict[str, int]:
    """Remove what nothing is made from, whoever it names. By file, how many went.

    Looking for the rows of one id would be a matter of luck: they are as the input had them.
    """
    removed = {}
    for path in _leftovers(index):
        with disk_errors(path):
            path.unlink()
        removed[path.name] = 1
    return removed


def named_in_leftovers(index: Path, id: str) -> bool:
    """Whether rejected rows or a log have an id, and not only as a part of a longer word."""
    forms = b"|".join(map(re.escape, forms_of(id)))
    whole = re.compile(rb"(?<![\w.@-])(?:" + forms + rb")(?![\w.@-])")
    return any(whole.search(path.read_bytes()) for path in _leftovers(index))


def _leftovers(index: Path) -> list[Path]:
    return [
        place.path for place in places(index) if place.holds == "leftover" and place.path.is_file()
    ]


def _holds(path: Path) -> Holds:
    return next((holds for pattern, holds in _PLACES if path.match(pattern)), "unknown")
