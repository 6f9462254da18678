"""An index on disk: one writer, any number of readers, generations that go live in one step."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa

from crossrec_llm.errors import IndexDamaged, IndexLocked, IndexMissing, StoreUnavailable
from crossrec_llm.records import Progress
from crossrec_llm.store.chroma import is_volatile
from crossrec_llm.store.files import (
    checksums,
    disk_errors,
    is_disk_full,
    sync_folder,
    sync_tree,
    unavailable,
    write_atomically,
)
from crossrec_llm.store.ledger import Ledger
from crossrec_llm.store.manifest import GenerationRecord, Manifest

if TYPE_CHECKING:
    from filelock import FileLock

_log = logging.getLogger(__name__)

_MANIFEST, _LEDGER, _CACHE = "manifest.json", "records.sqlite", "vectors.cache"
_LOCK, _HOLDER, _GENERATIONS, _SEAL = "lock", "lock.holder", "generations", "generation.json"
_CHROMA = "chroma/chroma.sqlite3"


@dataclass(frozen=True)
class StoredGeneration:
    """One published generation.

    name : "0003-1f2e3d4c": its number and the start of a hash of its parts.
    folder : where its files are.
    parts : the fingerprints of what it was made from.
    counts : how many items, users, events ... it holds.
    prefix : what the names of its collections on a Chroma server start with.
    """

    name: str
    folder: Path
    parts: Mapping[str, str]
    counts: Mapping[str, int]
    prefix: str


@dataclass(frozen=True)
class Draft:
    """A generation being written; the fields are those of StoredGeneration."""

    name: str
    folder: Path
    parts: Mapping[str, str]
    prefix: str


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
        if not (path / _MANIFEST).exists():
            raise _missing(path)
        if not (path / _LEDGER).exists():
            raise IndexDamaged(
                f"{path}: {_LEDGER} is missing; restore it from a backup, or run `crossrec build` "
                "again with the same files"
            )
        ledger = Ledger.open(path / _LEDGER, write=False)
        try:
            manifest = Manifest.read(path / _MANIFEST)
            try:
                generation = _load(path, manifest, manifest.active, ledger.id)
            except IndexDamaged:
                # A writer may have replaced the generation and removed it since.
                again = Manifest.read(path / _MANIFEST)
                if again.active == manifest.active:
                    raise
                manifest = again
                generation = _load(path, manifest, manifest.active, ledger.id)
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


class IndexWriter:
    """The one process that may change an index; a context manager that holds its lock.

    Attributes
    ----------
    ledger : the truth, to be written.
    cache_path : where encoded texts are kept.
    active : the generation that answers now; None before the first, or if it is damaged.
    """

    def __init__(self, path: Path, lock: FileLock, ledger: Ledger, keep: int) -> None:
        self.path, self.ledger = path, ledger
        self.cache_path = path / _CACHE
        self._lock, self._keep = lock, keep
        self._manifest = _read_manifest(path)
        self.active: StoredGeneration | None = None
        if self._manifest:
            try:
                self.active = _load(path, self._manifest, self._manifest.active, ledger.id)
            except IndexDamaged as error:  # the next generation replaces it
                _log.warning("%s", error)

    @classmethod
    def open(cls, path: Path, *, keep: int = 2) -> Self:
        """Take the lock; the folder is made if it is not there.

        Parameters
        ----------
        keep : how many generations stay after publishing, the active one included; 1 or more.

        Raises
        ------
        IndexLocked : at once, naming the process that writes.
        IndexDamaged, IndexMismatch : what is there cannot be continued.
        StoreUnavailable : the place cannot be written, or holds something else.
        """
        if path.exists() and not path.is_dir():
            raise StoreUnavailable(f"{path}: this is a file; an index is a folder")
        with disk_errors(path):
            path.mkdir(parents=True, exist_ok=True)
            _refuse_foreign(path)
            (path / _GENERATIONS).mkdir(exist_ok=True)
        lock = _take_lock(path)
        try:
            ledger = Ledger.open(path / _LEDGER, write=True)
            try:
                return cls(path, lock, ledger, keep)
            except BaseException:
                ledger.close()
                raise
        except BaseException:
            _free_lock(path, lock)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        self.close()
        if isinstance(error, OSError) and is_disk_full(error):
            raise unavailable(self.path, error) from error

    def close(self) -> None:
        """Give the lock back. Drafts that were not published are removed by the next one."""
        self.ledger.close()
        _free_lock(self.path, self._lock)

    def begin(self, parts: Mapping[str, str]) -> Draft:
        """Start a generation made from these parts in a folder of its own.

        The name depends on the parts and the published generations only: a build that was killed
        and started again ends with the name that an undisturbed one has. What killed builds left
        is removed here.
        """
        known = self._manifest.generations if self._manifest else {}
        number = max((_number(name) for name in known), default=0) + 1
        digest = hashlib.sha256(json.dumps(dict(parts), sort_keys=True).encode()).hexdigest()
        name = f"{number:04d}-{digest[:8]}"
        folder = self._folder(name + ".partial")
        with disk_errors(folder):
            self._remove_all_but(known)
            folder.mkdir()
        return Draft(name, folder, dict(parts), _prefix(self.ledger.id, name))

    def publish(
        self,
        draft: Draft,
        counts: Mapping[str, int],
        items: pa.Table,
        events: pa.Table,
        *,
        progress: Progress | None = None,
    ) -> StoredGeneration:
        """Make a draft the active generation, and what it was built from the truth.

        Chroma and all files of the draft must be closed. The checksums of its files go into its
        generation.json, but for those that Chroma changes when it is only read. Everything is
        durable before the truth is replaced, and then one rename makes the generation live. A
        kill between these two leaves the old generation over the new truth; the next build sees
        that from `Ledger.content` and goes on. Generations beyond `keep` are removed afterwards.
        """
        final = self._folder(draft.name)
        seal = {
            "name": draft.name,
            "parts": dict(draft.parts),
            "counts": dict(counts),
            "files": checksums(draft.folder, skip=is_volatile),
        }
        content = json.dumps(seal, indent=1, sort_keys=True, ensure_ascii=False).encode()
        record = GenerationRecord(
            dict(draft.parts), dict(counts), hashlib.sha256(content).hexdigest()
        )
        with disk_errors(final):
            write_atomically(draft.folder / _SEAL, content)
            sync_tree(draft.folder)
            draft.folder.replace(final)
            sync_folder(final.parent)
        known = self._manifest.generations if self._manifest else {}
        kept = sorted(known, key=_number)[max(0, len(known) - self._keep + 1) :]
        manifest = Manifest(
            draft.name, {**{name: known[name] for name in kept}, draft.name: record}
        )
        self.ledger.replace(items, events, progress=progress)
        manifest.write(self.path / _MANIFEST)
        self._manifest = manifest
        self.active = _load(self.path, manifest, draft.name, self.ledger.id)
        self._remove_all_but(manifest.generations)
        return self.active

    @property
    def prefixes(self) -> list[str]:
        """What the collections of the kept generations start with, for clearing up a server."""
        known = self._manifest.generations if self._manifest else {}
        return [_prefix(self.ledger.id, name) for name in known]

    def _folder(self, name: str) -> Path:
        return self.path / _GENERATIONS / name

    def _remove_all_but(self, names: Mapping[str, Any]) -> None:
        for folder in (self.path / _GENERATIONS).iterdir():
            if folder.name not in names:
                shutil.rmtree(folder, ignore_errors=True)


def damage(generation: StoredGeneration) -> list[str]:
    """The files of a generation that are missing or not as they were published."""
    sealed = json.loads((generation.folder / _SEAL).read_bytes())["files"]
    found = checksums(generation.folder, skip=is_volatile)
    damaged = [name for name in sealed if found.get(name) != sealed[name]]
    in_chroma = any(name.startswith("chroma/") for name in sealed)
    if in_chroma and not (generation.folder / _CHROMA).exists():
        damaged.append(_CHROMA)
    return damaged


def _number(name: str) -> int:
    return int(name.partition("-")[0])


def _prefix(index_id: str, generation: str) -> str:
    return f"crossrec-{index_id}-{generation}"


def _read_manifest(path: Path) -> Manifest | None:
    try:
        return Manifest.read(path / _MANIFEST)
    except FileNotFoundError:
        return None


def _load(path: Path, manifest: Manifest, name: str, index_id: str) -> StoredGeneration:
    """One generation, after a look at the seal of its folder."""
    folder, record = path / _GENERATIONS / name, manifest.generations[name]
    try:
        content = (folder / _SEAL).read_bytes()
    except OSError as error:
        raise _damaged(folder, f"{_SEAL} cannot be read: {error.strerror}") from error
    if hashlib.sha256(content).hexdigest() != record.seal:
        raise _damaged(folder, f"{_SEAL} is not the one that was published")
    return StoredGeneration(name, folder, record.parts, record.counts, _prefix(index_id, name))


def _damaged(folder: Path, why: str) -> IndexDamaged:
    return IndexDamaged(
        f"{folder}: this generation is damaged ({why}); run `crossrec build` again with the same "
        "files (encoded texts are kept)"
    )


def _missing(path: Path) -> IndexMissing:
    command = f"`crossrec build --items FILE --interactions FILE --index {path}`"
    if (path / _LEDGER).exists():
        return IndexMissing(f"{path}: this index was never finished; run {command} again")
    return IndexMissing(f"{path}: there is no index here; {command} makes one")


def _refuse_foreign(path: Path) -> None:
    """Refuse a folder that holds other things, so that a mistyped path mixes nothing up."""
    names = {entry.name for entry in path.iterdir()}
    if names and not names & {_LEDGER, _LOCK, _GENERATIONS}:
        shown = ", ".join(sorted(names)[:3])
        raise StoreUnavailable(
            f"{path}: this folder holds other things ({shown}); give a new or an empty one"
        )


def _take_lock(path: Path) -> FileLock:
    """The lock of the operating system, which a process that dies gives back."""
    from filelock import FileLock, Timeout

    lock = FileLock(path / _LOCK, timeout=0, thread_local=False)
    with disk_errors(path):
        try:
            lock.acquire()
        except Timeout as error:
            raise IndexLocked(
                f"{path}: {_holder(path)} is writing to this index; wait for it, or stop it and "
                "run the same command again"
            ) from error
    me = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    try:
        write_atomically(path / _HOLDER, json.dumps(me).encode())
    except BaseException:
        lock.release()
        raise
    return lock


def _free_lock(path: Path, lock: FileLock) -> None:
    if lock.is_locked:
        (path / _HOLDER).unlink(missing_ok=True)
        lock.release()


def _holder(path: Path) -> str:
    try:
        who = json.loads((path / _HOLDER).read_bytes())
        return f"process {who['pid']} on {who['host']} (since {who['since']})"
    except (OSError, ValueError, TypeError, KeyError):
        return "another process"
