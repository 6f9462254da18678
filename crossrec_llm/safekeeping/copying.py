"""A copy of an index that answers as it did at one moment, and the way back."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import sqlite3
import sys
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from crossrec_llm.errors import (
    IndexDamaged,
    IndexMissing,
    QueryError,
    StoreError,
    StoreUnavailable,
)
from crossrec_llm.judging import JUDGEMENTS
from crossrec_llm.kept import recipe_of
from crossrec_llm.records import Progress
from crossrec_llm.resources import default_index
from crossrec_llm.safekeeping.verifying import verify
from crossrec_llm.store import Index, Ledger, Manifest, checks
from crossrec_llm.store.database import end, go_on
from crossrec_llm.store.erasures import KINDS
from crossrec_llm.store.files import (
    disk_errors,
    disk_full,
    is_disk_full,
    sync_folder,
    sync_tree,
    write_atomically,
)
from crossrec_llm.store.index import CHROMA, GENERATIONS, LEDGER, MANIFEST, missing
from crossrec_llm.store.lock import locked
from crossrec_llm.store.receipts import FOLDER as RECEIPTS
from crossrec_llm.store.receipts import take_over_receipts
from crossrec_llm.store.writer import ASIDE, CACHE

_TRIES = 10
LAST_BACKUP = "backup.json"
_EXCHANGE, _HERE = 2, -100  # RENAME_EXCHANGE and AT_FDCWD of Linux


@dataclass(frozen=True)
class Copied:
    """A backup that was made, or an index that was restored.

    folder : where it is.
    generation : the one that answers in it.
    change : the number of the last live change that is in it.
    notes : what is not in it.
    """

    folder: str
    generation: str
    change: int
    items: int
    users: int
    events: int
    bytes: int
    seconds: float
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class LastBackup:
    """What an index knows of the newest copy that was made of it.

    made : ISO 8601 in UTC.
    folder : where it was put; it may have gone since.
    change : the number of the last live change that is in it.
    """

    made: str
    folder: str
    change: int

    def __str__(self) -> str:
        return f"{self.made}, in {self.folder}"

    @classmethod
    def of(cls, copied: Copied) -> LastBackup:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return cls(now, str(Path(copied.folder).resolve()), copied.change)


def last_backup(index: str | Path | None = None) -> LastBackup | None:
    """The newest backup of an index; None where none was made, or it is not known."""
    path = Path(index) if index is not None else default_index()
    try:
        return LastBackup(**json.loads((path / LAST_BACKUP).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def backup(
    folder: str | Path,
    index: str | Path | None = None,
    *,
    cache: bool = True,
    progress: Progress | None = None,
) -> Copied:
    """Copy an index as of one moment into a new folder, while others read and write.

    The copy is an index itself: it can be verified, and opened. Nobody is kept waiting by it. It is
    there under its name once it is whole, durable and verified.

    Parameters
    ----------
    folder : made; nothing may be there.
    cache : with the encoded texts, which spare a later build the encoding.

    Raises
    ------
    IndexMissing, IndexDamaged : there is nothing whole to copy.
    StoreUnavailable : something is there already, the disk is full, or generations came and went
        faster than they could be copied.
    """
    start, target = time.perf_counter(), Path(folder)
    path = Path(index) if index is not None else default_index()
    if not (path / MANIFEST).exists():
        raise missing(path)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise StoreUnavailable(
            f"{target}: there is something already; give a new folder for each backup"
        )
    if target.resolve().is_relative_to(path.resolve()):
        raise QueryError(f"{target}: this is inside the index that is copied")
    partial = target.with_name(target.name + ".partial")
    with disk_errors(target):
        partial.parent.mkdir(parents=True, exist_ok=True)
        try:
            for _ in range(_TRIES):
                shutil.rmtree(partial, ignore_errors=True)
                if _copied(path, partial, cache):
                    break
            else:
                raise StoreUnavailable(
                    f"{path}: generations came and went while they were copied; try again later"
                )
            _require_whole(partial, progress)
            sync_tree(partial)
            if target.exists():
                target.rmdir()
            partial.replace(target)
            sync_folder(target.parent)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
    made = _told(target, time.perf_counter() - start)
    with suppress(StoreUnavailable):  # whoever may only read it may copy it
        write_atomically(path / LAST_BACKUP, json.dumps(asdict(LastBackup.of(made))).encode())
    return made


def restore(
    folder: str | Path,
    index: str | Path | None = None,
    *,
    force: bool = False,
    progress: Progress | None = None,
) -> Copied:
    """Put a backup in the place of an index; the backup stays as it is.

    It is copied beside the index, verified, and then takes its place in one step. What was
    acknowledged after the backup was made is gone with the old index; but what was erased from that
    index stays known as erased, and its receipts stay. Where the backup still has some of it, the
    notes say so. In another place than that of the index it is an index of its own: what it has on
    a Chroma server is filled anew.

    Parameters
    ----------
    force : there may be an index, which is removed.

    Raises
    ------
    IndexMissing, IndexDamaged : the backup is none, or not whole.
    QueryError : it is the index itself, or one of them lies in the other.
    StoreUnavailable : there is something already, or the disk is full.
    IndexLocked : somebody makes a generation of the index that is to be replaced.
    """
    start, source = time.perf_counter(), Path(folder)
    path = Path(index) if index is not None else default_index()
    if not (source / MANIFEST).exists():
        raise IndexMissing(f"{source}: there is no backup here")
    kept, replaced = source.resolve(), path.resolve()
    if kept == replaced or kept in replaced.parents or replaced in kept.parents:
        what = "is the index itself" if kept == replaced else "and the index lie in one another"
        raise QueryError(f"{source}: this backup {what}; move one of them, or name another")
    there = path.is_dir() and any(path.iterdir())
    if there and not ((path / LEDGER).exists() or (path / GENERATIONS).exists()):
        raise StoreUnavailable(f"{path}: this folder holds other things; give a new or empty one")
    if there and not force:
        raise StoreUnavailable(
            f"{path}: there is an index already; --force replaces it with the backup"
        )
    partial = path.with_name(path.name + ".restoring")
    notes: tuple[str, ...] = ()
    with disk_errors(path):
        partial.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(partial, ignore_errors=True)
        try:
            shutil.copytree(source, partial, ignore=shutil.ignore_patterns("*-shm", "*-wal"))
            for name in (LEDGER, CACHE):  # with what is in their logs, if somebody has opened them
                if (source / name).exists():
                    _copy_database(source / name, partial / name)
            _identify(partial, _id_of(path))
            _require_whole(partial, progress)
            sync_tree(partial)
            if there:
                notes = _take_place(partial, path)
            else:
                partial.replace(path)
            sync_folder(path.parent)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return _told(path, time.perf_counter() - start, notes)


def _copied(path: Path, target: Path, cache: bool) -> bool:
    """Whether everything could be copied as of one moment; the records' one."""
    before = (path / MANIFEST).read_bytes()
    manifest = Manifest.read(path / MANIFEST)
    target.mkdir()
    try:
        for name in manifest.generations:
            place = target / GENERATIONS / name
            shutil.copytree(path / GENERATIONS / name, place)
            _copy_open_chroma(path / GENERATIONS / name / CHROMA, place / CHROMA)
        for name in (ASIDE, RECEIPTS):
            if (path / name).exists():
                shutil.copytree(path / name, target / name)
    except (FileNotFoundError, shutil.Error) as error:
        if is_disk_full(error):
            raise disk_full(target) from error
        if (path / MANIFEST).read_bytes() == before:
            raise IndexDamaged(
                f"{path}: it cannot be copied ({error}); `crossrec verify` says what is damaged"
            ) from error
        return False
    if (path / JUDGEMENTS).exists():
        shutil.copyfile(path / JUDGEMENTS, target / JUDGEMENTS)
    _copy_database(path / LEDGER, target / LEDGER)
    if (path / MANIFEST).read_bytes() != before:
        return False
    if cache and (path / CACHE).exists():
        with suppress(*checks.UNREADABLE):  # it is only a cache
            _copy_database(path / CACHE, target / CACHE)
    (target / MANIFEST).write_bytes(before)
    return True


def _copy_database(source: Path, target: Path) -> None:
    """One moment's state of a database that others write to."""
    for suffix in ("", "-wal", "-shm", ".seal"):
        target.with_name(target.name + suffix).unlink(missing_ok=True)
    access = "mode=ro" if os.access(source.parent, os.W_OK) else "immutable=1"
    uri = f"{source.absolute().as_uri()}?{access}"
    try:
        with (
            closing(sqlite3.connect(uri, uri=True)) as old,
            closing(sqlite3.connect(target)) as new,
        ):
            old.backup(new)
    except sqlite3.OperationalError as error:
        if is_disk_full(error):
            raise disk_full(target) from error
        raise StoreUnavailable(
            f"{target}: cannot be written ({error}); check the disk and its free space"
        ) from error
    go_on(target)  # it may have been copied in the moment before it was replaced
    checks.reseal(target)


def _copy_open_chroma(source: Path, target: Path) -> None:
    """Where an earlier version built a generation, each reader writes into Chroma's database."""
    with suppress(*checks.UNREADABLE), closing(checks.lenient(source)) as reading:
        query = "SELECT count(*) FROM sqlite_master WHERE name = 'crossrec_sealed'"
        if source.exists() and not reading.execute(query).fetchone()[0]:
            _copy_database(source, target)
            checks.seal_path(target).unlink(missing_ok=True)


def _require_whole(folder: Path, progress: Progress | None) -> None:
    """Refuse a copy that is not as it was written; what is on a server is not part of it."""
    found = verify(folder, server=False, progress=progress)
    if found.problems:
        raise IndexDamaged(
            f"{folder}: the copy is not whole, so it was removed ("
            + "; ".join(map(str, found.problems[:3]))
            + "); `crossrec verify` and `crossrec repair` look at where it came from"
        )


def _identify(index: Path, id: str) -> None:
    """Give it the id of the index that it replaces, else a new one.

    Collections on a Chroma server belong to an id: two indexes with one would remove each other's.
    """
    if _id_of(index) != id:
        with Ledger.open(index / LEDGER, write=True) as ledger:
            ledger.identify(id)


def _id_of(index: Path) -> str:
    """Of the index in a place; "" where there is none, or a damaged one."""
    try:
        with Ledger.open(index / LEDGER, write=False) as ledger:
            return ledger.id
    except StoreError:
        return ""


def _take_place(new: Path, old: Path) -> tuple[str, ...]:
    """An index takes the place of another; what is written meanwhile is refused, not lost.

    What was erased from the other one stays known as that: notes.
    """
    with locked(old):
        end(old / LEDGER)
        try:
            notes = _still_erased(old, new)
            _exchange(new, old)
            return notes
        except BaseException:
            go_on(old / LEDGER)
            raise


def _still_erased(old: Path, new: Path) -> tuple[str, ...]:
    """Have erased in a copy what was erased from the index that it takes the place of; notes."""
    take_over_receipts(old, new)
    try:
        with Ledger.open(old / LEDGER, write=False) as then:
            if not any(then.erasures.moments(kind) for kind in KINDS):
                return ()
            with Ledger.open(new / LEDGER, write=True) as now:
                now.erasures.take_over(then.erasures)
                return now.erasures.notes
    except (IndexMissing, IndexDamaged) as error:
        return (f"what was erased from the index that was there is not known any more: {error}",)
    finally:
        sync_tree(new)


def _exchange(new: Path, old: Path) -> None:
    """Two folders take each other's place: in one step on Linux, else in two."""
    if sys.platform == "linux":
        rename = getattr(ctypes.CDLL(None), "renameat2", None)
        names = os.fsencode(new), os.fsencode(old)
        if rename and rename(_HERE, names[0], _HERE, names[1], _EXCHANGE) == 0:
            return
    aside = old.with_name(old.name + ".replaced")
    old.replace(aside)
    try:
        new.replace(old)
    except OSError:
        aside.replace(old)
        raise
    aside.replace(new)


def _told(folder: Path, seconds: float, said: Sequence[str] = ()) -> Copied:
    notes = [*said]
    if not (folder / CACHE).exists():
        notes.append("without the encoded texts: the next build encodes them again")
    with Index.open(folder) as opened:
        if url := recipe_of(opened.generation).store.url:
            notes.append(f"what Chroma has at {url} is not in it: `crossrec repair` fills it")
    with Ledger.open(folder / LEDGER, write=False) as ledger:
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        return Copied(
            str(folder),
            Manifest.read(folder / MANIFEST).active,
            ledger.change,
            ledger.item_count,
            ledger.user_count,
            ledger.event_count,
            size,
            seconds,
            tuple(notes),
        )
