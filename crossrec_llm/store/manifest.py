"""manifest.json: which generation of an index is active, and what each was made from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from crossrec_llm.errors import IndexDamaged, IndexMismatch
from crossrec_llm.store.files import write_atomically

FORMAT = 2
"""What is written: 2 has the change number and the moment of each generation, and the order in
which they went live. Format 1 is read as well."""


@dataclass(frozen=True)
class GenerationRecord:
    """What one generation was made from and holds.

    parts : fingerprints by name: encoder, templates, recipe, inputs ...
    counts : items, users, events ...
    seal : sha256 of the generation's own generation.json, which has the checksums of its files.
    change : the ledger's change number that it was built at; what came later is not in it.
    built : when it was sealed, ISO 8601 in UTC; "" where nobody wrote it down (format 1).
    truth : sha256 of the checksums of the tables that become true when it goes live; "" = none do.
    """

    parts: Mapping[str, str]
    counts: Mapping[str, int]
    seal: str
    change: int = 0
    built: str = ""
    truth: str = ""


@dataclass(frozen=True)
class Manifest:
    """The generations that are kept, by name, and the name of the one that answers.

    published : those that were live, in the order in which they went live; the last one is the
        active one. Where it is not given, all of them were, in the order of their numbers. The
        others were rehearsed, or rolled back from.
    newest : the highest number that a generation ever had; it is not given to another one.
    """

    active: str
    generations: Mapping[str, GenerationRecord]
    published: tuple[str, ...] = ()
    format: int = FORMAT
    newest: int = 0

    def __post_init__(self) -> None:
        newest = max([self.newest, *map(number_of, self.generations)])
        object.__setattr__(self, "newest", newest)
        if not self.published:
            before = sorted(self.generations.keys() - {self.active}, key=number_of)
            object.__setattr__(self, "published", (*before, self.active))

    @property
    def current(self) -> GenerationRecord:
        return self.generations[self.active]

    @property
    def waiting(self) -> list[str]:
        """Generations that are kept and not live, newest last: rehearsed, or rolled back from."""
        return sorted(self.generations.keys() - set(self.published), key=number_of)

    @property
    def previous(self) -> str | None:
        """What `rollback` goes back to."""
        return self.published[-2] if len(self.published) > 1 else None

    def adding(self, name: str, record: GenerationRecord) -> Manifest:
        """With one more generation, which does not answer yet."""
        return replace(self, generations={**self.generations, name: record}, format=FORMAT)

    def activating(self, name: str) -> Manifest:
        """With another of its generations live; going back takes those after it off the list."""
        if name in self.published:
            live = self.published[: self.published.index(name) + 1]
        else:
            live = (*self.published, name)
        known = {**self.generations, name: replace(self.generations[name], truth="")}
        return replace(self, active=name, generations=known, published=live, format=FORMAT)

    def keeping(self, keep: int, *, waiting: int) -> Manifest:
        """With the newest `keep` that were live (1 or more), and the newest `waiting` others."""
        live = self.published[-keep:]
        names = {*live, *self.waiting[len(self.waiting) - min(waiting, len(self.waiting)) :]}
        kept = {name: record for name, record in self.generations.items() if name in names}
        return replace(self, generations=kept, published=live, format=FORMAT)

    def without(self, names: Collection[str]) -> Manifest:
        """With some generations gone; the active one may not be among them."""
        kept = {name: record for name, record in self.generations.items() if name not in names}
        live = tuple(name for name in self.published if name not in names)
        return replace(self, generations=kept, published=live, format=FORMAT)

    @classmethod
    def read(cls, path: Path) -> Manifest:
        """Read and check a manifest.

        Raises
        ------
        FileNotFoundError, NotADirectoryError : there is none.
        IndexMismatch : a newer version of the software wrote it.
        IndexDamaged : it is not whole.
        """
        try:
            data = json.loads(path.read_bytes())
            written, checksum = int(data["format"]), data.pop("checksum")
        except (FileNotFoundError, NotADirectoryError):
            raise
        except (
            OSError,
            ValueError,
            TypeError,
            LookupError,
            AttributeError,
            RecursionError,
        ) as error:
            raise _damaged(path, error) from error
        if written > FORMAT:
            raise IndexMismatch(
                f"{path}: the index has format {written}, this version of crossrec-llm reads up to "
                f"{FORMAT}; upgrade crossrec-llm, or build the index again with this version"
            )
        if checksum != _checksum(data):
            raise _damaged(path, "its checksum does not match")
        try:
            records = {
                name: GenerationRecord(**record) for name, record in data["generations"].items()
            }
            live, newest = tuple(data.get("published", ())), data.get("newest", 0)
            manifest = cls(data["active"], records, live, written, newest)
            manifest.current  # noqa: B018  # the active generation must be among them
            if manifest.published[-1] != manifest.active or not records.keys() >= {
                *manifest.published
            }:
                raise ValueError("what was published is not what is there")
        except (TypeError, ValueError, LookupError, AttributeError) as error:
            raise _damaged(path, error) from error
        return manifest

    def write(self, path: Path) -> None:
        """Put it in place of the old one, in one step.

        Raises
        ------
        StoreUnavailable : the disk is full or read-only; the old manifest stays.
        """
        data = asdict(self)
        data["checksum"] = _checksum(data)
        write_atomically(path, _written(data))


def is_whole(content: bytes) -> bool:
    """Whether a manifest file has the bytes that were written; its format may be any."""
    try:
        data = json.loads(content)
        checksum = data.pop("checksum")
        return content == _written({**data, "checksum": checksum}) and checksum == _checksum(data)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return False


def _written(data: dict[str, Any]) -> bytes:
    text = json.dumps(data, indent=1, sort_keys=True, ensure_ascii=False)
    return (text + "\n").encode("utf-8", "surrogatepass")


def number_of(name: str) -> int:
    """The number that a generation's name begins with."""
    return int(name.partition("-")[0])


def differences(index: Mapping[str, str], asked: Mapping[str, str]) -> list[str]:
    """The parts that differ, in words; empty when both are the same."""
    return [
        f"{name}: index has {index.get(name, 'none')}, asked {asked.get(name, 'none')}"
        for name in sorted({*index, *asked})
        if index.get(name) != asked.get(name)
    ]


def _checksum(data: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def _damaged(path: Path, why: object) -> IndexDamaged:
    return IndexDamaged(
        f"{path}: the manifest is damaged ({why}); restore it from a backup, or delete this file "
        "and run `crossrec build` again with the same files (encoded texts are kept)"
    )
