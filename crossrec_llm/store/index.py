"""An index on disk: generations that go live in one step, as any number of readers see them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from crossrec_llm.errors import (
    IndexDamaged,
    IndexMissing,
)
from crossrec_llm.store.files import checksums, sha256_of
from crossrec_llm.store.ledger import Ledger
from crossrec_llm.store.manifest import Manifest

MANIFEST, LEDGER = "manifest.json", "records.sqlite"
GENERATIONS, SEAL = "generations", "generation.json"
DERIVED = "derived"  # what can be made anew from a generation, in a folder of its name
CHROMA = "chroma/chroma.sqlite3"  # in a generation; later versions have one for each collection


@dataclass(frozen=True)
class StoredGeneration:
    """One published generation.

    name : "0003-1f2e3d4c": its number and the start of a hash of its parts.
    folder : where its files are.
    parts : the fingerprints of what it was made from.
    counts : how many items, users, events ... it holds.
    prefix : what the names of its collections on a Chroma server start with.
    change : the ledger's change number that it was built at; what came later is the live part.
    """

    name: str
    folder: Path
    parts: Mapping[str, str]
    counts: Mapping[str, int]
    prefix: str
    change: int = 0


class Index:
    """An index as a reader sees it: one moment's active generation, and the ledger."""

    def __init__(
        self, path: Path, manifest: Manifest, generation: StoredGeneration, ledger: Ledger
    ) -> None:
        self.path, self.manifest = path, manifest
        self.generation, self.ledger = generation, ledger

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the active generation; never waits for a writer.

        Raises
        ------
        IndexMissing : there is none; names the command that makes one.
        IndexMismatch : a newer version of the software wrote it.
        IndexDamaged : a part is missing or not as the manifest says.
        """
        if not (path / MANIFEST).exists():
            raise missing(path)
        if not (path / LEDGER).exists():
            raise IndexDamaged(
                f"{path}: {LEDGER} is missing; restore it from a backup, or run `crossrec build` "
                "again with the same files"
            )
        ledger = Ledger.open(path / LEDGER, write=False)
        try:
            manifest = Manifest.read(path / MANIFEST)
            try:
                generation = load_generation(path, manifest, manifest.active, ledger.id)
            except IndexDamaged:
                # A writer may have replaced the generation and removed it since.
                again = Manifest.read(path / MANIFEST)
                if again.active == manifest.active:
                    raise
                manifest = again
                generation = load_generation(path, manifest, manifest.active, ledger.id)
        except BaseException:
            ledger.close()
            raise
        return cls(path, manifest, generation, ledger)

    def close(self) -> None:
        self.ledger.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def damage(generation: StoredGeneration) -> list[str]:
    """The files of a generation that are missing or not as they were published."""
    sealed = json.loads((generation.folder / SEAL).read_bytes())["files"]
    found = checksums(generation.folder)
    damaged = [name for name in sealed if found.get(name) != sealed[name]]
    return damaged


def require_whole(generation: StoredGeneration, names: Collection[str]) -> None:
    """Refuse a generation of which some of these files are not as they were published.

    Raises
    ------
    IndexDamaged : names the first of them.
    """
    sealed = json.loads((generation.folder / SEAL).read_bytes())["files"]
    for name in names:
        if name in sealed and sha256_of(generation.folder / name) != sealed[name]:
            raise damaged(generation.folder, f"{name} is not as it was published")


def prefix_of(index_id: str, generation: str) -> str:
    return f"crossrec-{index_id}-{generation}"


def load_generation(path: Path, manifest: Manifest, name: str, index_id: str) -> StoredGeneration:
    """One generation, after a look at the seal of its folder."""
    folder, record = path / GENERATIONS / name, manifest.generations[name]
    try:
        content = (folder / SEAL).read_bytes()
    except OSError as error:
        raise damaged(folder, f"{SEAL} cannot be read: {error.strerror}") from error
    if hashlib.sha256(content).hexdigest() != record.seal:
        raise damaged(folder, f"{SEAL} is not the one that was published")
    prefix = prefix_of(index_id, name)
    return StoredGeneration(name, folder, record.parts, record.counts, prefix, record.change)


def damaged(folder: Path, why: str) -> IndexDamaged:
    return IndexDamaged(
        f"{folder}: this generation is damaged ({why}); `crossrec repair` makes it anew from "
        "the records (encoded texts are kept)"
    )


def read_manifest(path: Path) -> Manifest:
    """The manifest of an index's folder, whatever has become of its generations.

    Raises
    ------
    IndexMissing : there is none; names the command that makes one.
    IndexMismatch, IndexDamaged : it cannot be read.
    """
    try:
        return Manifest.read(path / MANIFEST)
    except (FileNotFoundError, NotADirectoryError):
        raise missing(path) from None


def missing(path: Path) -> IndexMissing:
    if path.is_file():
        return IndexMissing(f"{path}: this is a file, not an index; an index is a folder")
    command = f"`crossrec build --items FILE --interactions FILE --index {path}`"
    if (path / LEDGER).exists():
        return IndexMissing(f"{path}: this index was never finished; run {command} again")
    return IndexMissing(f"{path}: there is no index here; {command} makes one")
