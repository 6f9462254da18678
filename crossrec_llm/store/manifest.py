"""manifest.json: which generation of an index is active, and what each was made from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from crossrec_llm.errors import IndexDamaged, IndexMismatch
from crossrec_llm.store.files import write_atomically

FORMAT = 1


@dataclass(frozen=True)
class GenerationRecord:
    """What one generation was made from and holds.

    parts : fingerprints by name: encoder, templates, recipe, inputs ...
    counts : items, users, events ...
    seal : sha256 of the generation's own generation.json, which has the checksums of its files.
    """

    parts: Mapping[str, str]
    counts: Mapping[str, int]
    seal: str


@dataclass(frozen=True)
class Manifest:
    """The generations that are kept, by name, and the name of the one that answers."""

    active: str
    generations: Mapping[str, GenerationRecord]
    format: int = FORMAT

    @property
    def current(self) -> GenerationRecord:
        return self.generations[self.active]

    @classmethod
    def read(cls, path: Path) -> Manifest:
        """Read and check a manifest.

        Raises
        ------
        FileNotFoundError : there is none.
        IndexMismatch : a newer version of the software wrote it.
        IndexDamaged : it is not whole.
        """
        try:
            data = json.loads(path.read_bytes())
            written, checksum = int(data["format"]), data.pop("checksum")
        except FileNotFoundError:
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
            manifest = cls(data["active"], records, written)
            manifest.current  # noqa: B018  # the active generation must be among them
        except (TypeError, KeyError, AttributeError) as error:
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
        text = json.dumps(data, indent=1, sort_keys=True, ensure_ascii=False)
        write_atomically(path, (text + "\n").encode())


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
