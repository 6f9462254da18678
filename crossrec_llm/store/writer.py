"""The one process that may change which generations an index has, and which one answers."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pyarrow as pa

from crossrec_llm.errors import IndexDamaged, QueryError, StoreUnavailable
from crossrec_llm.records import Progress
from crossrec_llm.store import chroma_files
from crossrec_llm.store.checks import reseal, seal_path
from crossrec_llm.store.files import (
    checksums,
    differing,
    disk_errors,
    is_disk_trouble,
    sync_folder,
    sync_tree,
    unavailable,
    write_atomically,
)
from crossrec_llm.store.index import (
    DERIVED,
    GENERATIONS,
    LEDGER,
    MANIFEST,
    SEAL,
    StoredGeneration,
    damage,
    damaged,
    load_generation,
    missing,
    prefix_of,
    read_manifest,
)
from crossrec_llm.store.ledger import Ledger
from crossrec_llm.store.lock import HOLDER, LOCK, free_lock, take_lock
from crossrec_llm.store.manifest import FORMAT, GenerationRecord, Manifest, number_of
from crossrec_llm.store.receipts import complete_receipts

if TYPE_CHECKING:
    from filelock import FileLock

_log = logging.getLogger(__name__)

CACHE, ASIDE, CHECKSUMS = "vectors.cache", "rehearsed", "checksums.json"
_PARTIAL = ".partial"


@dataclass(frozen=True, eq=False)
class Truth:
    """What becomes true together with a generation that was built from files.

    items, events : ITEMS_SCHEMA and EVENTS_SCHEMA.
    upto : the ledger's change number that they were looked at with; later changes stay live.
    content : the `content_digest` of these tables merged with what came live (`Ledger.merge`);
        None = they replace everything up to that change.
    """

    items: pa.Table
    events: pa.Table
    upto: int = 0
    content: str | None = None


@dataclass(frozen=True)
class Draft:
    """A generation being written; the fields are those of StoredGeneration."""

    name: str
    folder: Path
    parts: Mapping[str, str]
    prefix: str


class IndexWriter:
    """The one process that may change an index; a context manager that holds its lock.

    Attributes
    ----------
    ledger : the truth, to be written.
    cache_path : where encoded texts are kept.
    active : the generation that answers now; None before the first, or if it is damaged.
    """

    def __init__(
        self, path: Path, lock: FileLock, ledger: Ledger, keep: int, *, made: bool = False
    ) -> None:
        self.path, self.ledger, self._made = path, ledger, made
        self.cache_path = path / CACHE
        self._lock, self._keep = lock, keep
        self._manifest = read_manifest(path) if (path / MANIFEST).exists() else None
        self.active: StoredGeneration | None = None
        if self._manifest:
            try:
                self.active = load_generation(
                    path, self._manifest, self._manifest.active, ledger.id
                )
            except IndexDamaged as error:  # the next generation replaces it
                _log.info("%s", error)

    @classmethod
    def open(cls, path: Path, *, keep: int = 2, make: bool = True) -> Self:
        """Take the lock; the folder is made if it is not there.

        Parameters
        ----------
        make : False refuses a place where no index was built.
        keep : how many generations stay after publishing, the active one included; 1 or more.

        Raises
        ------
        IndexMissing : there is none, and none is to be made.
        IndexLocked : at once, naming the process that writes.
        IndexDamaged, IndexMismatch : what is there cannot be continued.
        StoreUnavailable : the place cannot be written, or holds something else.
        """
        if path.exists() and not path.is_dir():
            raise StoreUnavailable(f"{path}: this is a file; an index is a folder")
        if not make:
            read_manifest(path)
        made = not path.exists()
        with disk_errors(path):
            path.mkdir(parents=True, exist_ok=True)
            _refuse_foreign(path)
            (path / GENERATIONS).mkdir(exist_ok=True)
        lock = take_lock(path)
        try:
            for left in (path / GENERATIONS).glob(f"*{_PARTIAL}"):  # first: it may fill the disk
                shutil.rmtree(left, ignore_errors=True)
            seal_path(path / CACHE).unlink(missing_ok=True)  # it is written to from now on
            ledger = Ledger.open(path / LEDGER, write=True, held=True)
            try:
                return cls(path, lock, ledger, keep, made=made)
            except BaseException:
                ledger.close()
                raise
        except BaseException:
            free_lock(path, lock)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        self.close()
        if isinstance(error, OSError) and is_disk_trouble(error):
            raise unavailable(self.path, error) from error

    def close(self) -> None:
        """Give the lock back. Drafts that were not published are removed by the next one.

        Where nothing was built or encoded yet, nothing stays: a build was refused before.
        """
        bare = self._is_bare()
        self.ledger.close()
        if bare:
            for file in self.path.glob(f"{LEDGER}*"):
                file.unlink()
            (self.path / GENERATIONS).rmdir()
            (self.path / LOCK).unlink(missing_ok=True)
        reseal(self.cache_path)
        free_lock(self.path, self._lock)
        if bare and self._made:
            with suppress(OSError):  # somebody else has begun in it
                self.path.rmdir()

    def _is_bare(self) -> bool:
        """Whether there is nothing in it that took any work."""
        generations = self.path / GENERATIONS
        names = {entry.name.removeprefix(LEDGER) for entry in self.path.iterdir()}
        ours = {"", "-wal", "-shm", ".seal", GENERATIONS, LOCK, HOLDER}
        empty = names <= ours and not any(generations.iterdir())
        return empty and not self.ledger.item_count and not self.ledger.change

    def begin(self, parts: Mapping[str, str]) -> Draft:
        """Start a generation made from these parts in a folder of its own.

        The name depends on the parts and the published generations only: a build that was killed
        and started again ends with the name that an undisturbed one has. What killed builds left
        is removed here.
        """
        known = self._manifest.generations if self._manifest else {}
        number = self._manifest.newest + 1 if self._manifest else 1
        digest = hashlib.sha256(json.dumps(dict(parts), sort_keys=True).encode()).hexdigest()
        name = f"{number:04d}-{digest[:8]}"
        folder = self._folder(name + _PARTIAL)
        with disk_errors(folder):
            self._remove_all_but(known)
            folder.mkdir()
        return Draft(name, folder, dict(parts), prefix_of(self.ledger.id, name))

    def seal(
        self,
        draft: Draft,
        counts: Mapping[str, int],
        *,
        change: int = 0,
        truth: Truth | None = None,
    ) -> StoredGeneration:
        """Make a draft a whole generation that does not answer yet; `activate` has it answer.

        Chroma and all files of the draft must be closed. The checksums of all its files go into
        its generation.json. Everything is durable before one rename makes the generation known.
        Another one that waits is removed.

        Parameters
        ----------
        change : the ledger's change number that it was built at.
        truth : to become true when it goes live; None = it was built from the ledger as it is.
        """
        manifest = self._require_manifest()
        aside = "" if truth is None else self._set_aside(draft.name, truth)
        known = manifest.adding(draft.name, self._seal(draft, counts, change, aside))
        self._write(known.keeping(len(known.published), waiting=1))
        self._remove_all_but(self._require_manifest().generations)
        return self.stored(draft.name)

    def publish(
        self,
        draft: Draft,
        counts: Mapping[str, int],
        truth: Truth | None = None,
        *,
        change: int = 0,
        progress: Progress | None = None,
    ) -> StoredGeneration:
        """Make a draft the active generation, and what it was built from the truth.

        As `seal` and `activate` in one. The truth is replaced once everything else is durable, and
        then one rename makes the generation live. A kill between these two leaves the old
        generation over the new truth; the next build sees that from `Ledger.content` and goes on.
        Generations beyond `keep` are removed afterwards.

        Parameters
        ----------
        truth : to become true with it; None = it was built from the ledger as it is.
        change : the ledger's change number that it was built at.
        """
        record = self._seal(draft, counts, change)
        if truth is not None:
            self._make_true(truth, progress)
        known = self._manifest or Manifest(draft.name, {})
        live = known.adding(draft.name, record).activating(draft.name)
        return self._go_live(live.keeping(self._keep, waiting=1))

    def activate(self, name: str, *, progress: Progress | None = None) -> StoredGeneration:
        """Have a kept generation answer: one that was sealed, or one that was live before.

        Raises
        ------
        QueryError : there is none of this name; or it was rehearsed from files, and other files
            have become the truth since.
        IndexDamaged : a file of it, or of the truth that waits with it, is not as it was sealed.
        """
        manifest = self._require_manifest()
        if name not in manifest.generations:
            there = ", ".join(sorted(manifest.generations, key=number_of))
            raise QueryError(f"no generation is called {name!r}; there is {there}")
        stored = self.stored(name)
        if harmed := damage(stored):
            raise damaged(stored.folder, f"{harmed[0]} is not as it was published")
        if seal := manifest.generations[name].truth:
            truth, base = _read_aside(self._aside(name), seal)
            made_true = (
                self.ledger.base == truth.content
            )  # by a publish that was killed right after
            if not made_true and base != self.ledger.base:
                raise QueryError(
                    f"generation {name} was rehearsed from files, and the records were built from "
                    "others since: publishing it would undo these; rehearse it again"
                )
            if not made_true:
                self._make_true(truth, progress)
        return self._go_live(manifest.activating(name))

    def collect(self, keep: int, *, keep_waiting: bool = False) -> list[str]:
        """Remove all but the newest `keep` generations that were live; the names of the others.

        What is left of unfinished builds goes too, and what waits unless it is kept.
        """
        manifest = self._require_manifest()
        kept = manifest.keeping(keep, waiting=len(manifest.waiting) if keep_waiting else 0)
        if kept.generations.keys() != manifest.generations.keys():
            self._write(kept)
        self._remove_all_but(kept.generations)
        return sorted(manifest.generations.keys() - kept.generations.keys(), key=number_of)

    def drop(self, names: Collection[str]) -> None:
        """Remove generations that do not answer, with their files."""
        kept = self._require_manifest().without(names)
        self._write(kept)
        self._remove_all_but(kept.generations)

    def complete_receipts(self) -> None:
        """Have the receipts of erasures say what was fitted anew with the active generation."""
        if self.active is not None and not self.ledger.erasures.unfinished:
            complete_receipts(self.path, self.active.name, self.active.parts)

    def rewrite_manifest(self) -> None:
        """The same in the format of this version."""
        self._write(replace(self._require_manifest(), format=FORMAT))

    def stored(self, name: str) -> StoredGeneration:
        """A kept generation by its name.

        Raises
        ------
        IndexDamaged : its folder is missing, or not the one that was sealed.
        """
        return load_generation(self.path, self._require_manifest(), name, self.ledger.id)

    @property
    def manifest(self) -> Manifest | None:
        """What is kept and which one answers; None before the first build."""
        return self._manifest

    @property
    def prefixes(self) -> list[str]:
        """What the collections of the kept generations start with, for clearing up a server."""
        known = self._manifest.generations if self._manifest else {}
        return [prefix_of(self.ledger.id, name) for name in known]

    def _folder(self, name: str) -> Path:
        return self.path / GENERATIONS / name

    def _aside(self, name: str) -> Path:
        """Where the truth of a rehearsed generation waits for it to go live."""
        return self.path / ASIDE / name

    def _set_aside(self, name: str, truth: Truth) -> str:
        """Keep what is to become true, durably; the seal of it."""
        folder = self._aside(name)
        with disk_errors(folder):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            for table, part in ((truth.items, "items"), (truth.events, "events")):
                with pa.ipc.new_file(str(folder / f"{part}.arrow"), table.schema) as writer:
                    writer.write_table(table)
            base = self.ledger.base
            about = json.dumps({"upto": truth.upto, "content": truth.content, "base": base})
            (folder / "about.json").write_text(about, "utf-8")
            content = json.dumps(checksums(folder), sort_keys=True).encode()
            (folder / CHECKSUMS).write_bytes(content)
            sync_tree(folder)
            sync_folder(folder.parent)
        return hashlib.sha256(content).hexdigest()

    def _make_true(self, truth: Truth, progress: Progress | None) -> None:
        known = self._manifest.generations.values() if self._manifest else ()
        oldest = min((record.change for record in known), default=truth.upto)
        items, events, upto = truth.items, truth.events, truth.upto
        if truth.content is None:
            self.ledger.replace(items, events, upto=upto, oldest=oldest, progress=progress)
        else:
            self.ledger.merge(
                items, events, upto=upto, content=truth.content, oldest=oldest, progress=progress
            )

    def _seal(
        self, draft: Draft, counts: Mapping[str, int], change: int, truth: str = ""
    ) -> GenerationRecord:
        """Give a draft its checksums and its name, durably."""
        final = self._folder(draft.name)
        for database in draft.folder.glob(f"chroma/**/{chroma_files.DATABASE}"):
            chroma_files.seal(database.parent)
        seal = {
            "name": draft.name,
            "parts": dict(draft.parts),
            "counts": dict(counts),
            "change": change,
            **({"truth": truth} if truth else {}),
            "files": checksums(draft.folder),
        }
        content = json.dumps(seal, indent=1, sort_keys=True, ensure_ascii=False).encode()
        with disk_errors(final):
            write_atomically(draft.folder / SEAL, content)
            sync_tree(draft.folder)
            draft.folder.replace(final)
            sync_folder(final.parent)
        return GenerationRecord(
            dict(draft.parts),
            dict(counts),
            hashlib.sha256(content).hexdigest(),
            change,
            datetime.now(UTC).isoformat(timespec="seconds"),
            truth,
        )

    def _require_manifest(self) -> Manifest:
        if self._manifest is None:
            raise missing(self.path)
        return self._manifest

    def _write(self, manifest: Manifest) -> None:
        self.ledger.note_published(manifest.published)  # first: it may be refused
        manifest.write(self.path / MANIFEST)
        self._manifest = manifest

    def _go_live(self, manifest: Manifest) -> StoredGeneration:
        self._write(manifest)
        self.active = self.stored(manifest.active)
        self._remove_all_but(manifest.generations)
        self.complete_receipts()
        return self.active

    def _remove_all_but(self, names: Collection[str]) -> None:
        """Other generations, what was made from them, and truths that wait for none any more."""
        waiting = set(names) - set(self._manifest.published if self._manifest else ())
        for place, kept in (
            (GENERATIONS, set(names)),
            (DERIVED, set(names)),
            (ASIDE, waiting),
        ):
            folder = self.path / place
            for entry in folder.iterdir() if folder.exists() else ():
                if entry.name not in kept:
                    shutil.rmtree(entry, ignore_errors=True)


def _refuse_foreign(path: Path) -> None:
    """Refuse a folder that holds other things, so that a mistyped path mixes nothing up."""
    names = {entry.name for entry in path.iterdir()}
    if names and not names & {LEDGER, LOCK, GENERATIONS}:
        shown = ", ".join(sorted(names)[:3])
        raise StoreUnavailable(
            f"{path}: this folder holds other things ({shown}); give a new or an empty one"
        )


def aside_damage(folder: Path, seal: str) -> list[tuple[str, str]]:
    """Files of a truth that waits which are not as its seal says, and how."""
    try:
        content = (folder / CHECKSUMS).read_bytes()
    except OSError:
        return [(CHECKSUMS, "it is missing")]
    if hashlib.sha256(content).hexdigest() != seal:
        return [(CHECKSUMS, "it is not as it was written")]
    return differing(folder, json.loads(content))


def _read_aside(folder: Path, seal: str) -> tuple[Truth, str]:
    """What is to become true, and the `Ledger.base` that it was looked at with."""
    for name, what in aside_damage(folder, seal):
        raise IndexDamaged(
            f"{folder / name}: {what}; this generation was rehearsed with it: rehearse it again"
        )
    items, events = (_read_table(folder / f"{part}.arrow") for part in ("items", "events"))
    about = json.loads((folder / "about.json").read_text("utf-8"))
    return Truth(items, events, about["upto"], about["content"]), about["base"]


def _read_table(path: Path) -> pa.Table:
    with pa.OSFile(str(path)) as source:
        return pa.ipc.open_file(source).read_all()
