from __future__ import annotations

import errno
import multiprocessing
import os
import shutil
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from crossrec_llm import add_events, backup, gc, restore, verify
from crossrec_llm.errors import (
    IndexDamaged,
    IndexLocked,
    IndexMissing,
    QueryError,
    StoreUnavailable,
)
from crossrec_llm.safekeeping import copying
from crossrec_llm.store import Ledger
from crossrec_llm.store.lock import locked
from tests.safekeeping.conftest import active, answers, flip


@pytest.fixture
def kept(path: Path, tmp_path: Path) -> Path:
    backup(tmp_path / "kept", path)
    return tmp_path / "kept"


def more(path: Path) -> None:
    add_events(path, [{"user_id": "u9", "item_id": "i1", "timestamp": 1.8e9}])


def test_a_backup_is_an_index_of_that_moment(path: Path, tmp_path: Path) -> None:
    before = answers(path)
    with Ledger.open(path / "records.sqlite", write=True) as ledger:
        ledger.add_correction("u3", items=["i9"])  # is in the log only
        made = backup(tmp_path / "deep" / "kept", path)
        ledger.add_correction("u3", items=["i11"])
    kept = Path(made.folder)
    assert (made.items, made.users, made.change) == (21, 8, 2)
    assert made.generation == active(path).name
    assert verify(kept).ok
    assert answers(kept) == before
    with Ledger.open(kept / "records.sqlite", write=False) as ledger:
        assert [one.items for one in ledger.corrections_of("u3")] == [("i9",)]
    assert not (kept.parent / "kept.partial").exists()


def test_without_the_cache(path: Path, tmp_path: Path) -> None:
    made = backup(tmp_path / "kept", path, cache=False)
    assert not (tmp_path / "kept" / "vectors.cache").exists()
    assert "without the encoded texts" in made.notes[0]
    assert restore(tmp_path / "kept", tmp_path / "there").notes == made.notes
    assert answers(tmp_path / "there") == answers(path)


def test_what_is_refused(path: Path, kept: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="something already"):
        backup(kept, path)
    with pytest.raises(StoreUnavailable, match="something already"):
        backup(path / "manifest.json", path)
    with pytest.raises(QueryError, match="inside the index"):
        backup(path / "kept", path)
    with pytest.raises(IndexMissing):
        backup(tmp_path / "new", tmp_path / "nothing")
    with pytest.raises(IndexMissing, match="no backup"):
        restore(tmp_path / "nothing", path)
    with pytest.raises(StoreUnavailable, match="--force"):
        restore(kept, path)
    with pytest.raises(QueryError, match="is the index itself"):
        restore(path / ".." / path.name, path, force=True)
    with pytest.raises(QueryError, match="lie in one another"):
        restore(path, path / "inside", force=True)
    assert verify(path).ok
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").write_text("dear")
    with pytest.raises(StoreUnavailable, match="other things"):
        restore(kept, tmp_path / "other", force=True)


def test_a_damaged_index_is_not_copied(path: Path, tmp_path: Path) -> None:
    flip(active(path) / "raw.npy")
    with pytest.raises(IndexDamaged, match="the copy is not whole"):
        backup(tmp_path / "kept", path)
    assert not list(tmp_path.glob("kept*"))
    shutil.rmtree(active(path))
    with pytest.raises(IndexDamaged, match="cannot be copied"):
        backup(tmp_path / "kept", path)


def test_a_generation_that_comes_meanwhile(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then all is copied again, a few times."""
    copied, times = copying._copy_database, []

    def copy(source: Path, target: Path) -> None:
        copied(source, target)
        if source.name == "records.sqlite" and len(times) < 2:
            times.append(1)
            manifest = path / "manifest.json"
            manifest.write_bytes(manifest.read_bytes() + b" " * len(times))

    whole = (path / "manifest.json").read_bytes()
    monkeypatch.setattr(copying, "_copy_database", copy)
    monkeypatch.setattr(copying, "_TRIES", 2)
    with pytest.raises(StoreUnavailable, match="came and went"):
        backup(tmp_path / "kept", path)
    (path / "manifest.json").write_bytes(whole)
    assert verify(backup(tmp_path / "kept", path).folder).ok


def test_a_restored_index_takes_the_place_of_the_other(path: Path, kept: Path) -> None:
    before = answers(path)
    more(path)
    restore(kept, path, force=True)
    assert verify(path).ok
    assert answers(path) == before
    more(path)
    assert {entry.name for entry in path.parent.iterdir()} == {"shop", "kept"}


def test_without_a_rename_that_exchanges(
    path: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying.sys, "platform", "other")
    restore(kept, path, force=True)
    assert verify(path).ok
    assert {entry.name for entry in path.parent.iterdir()} == {"shop", "kept"}


def test_a_rename_that_fails_leaves_the_index(
    path: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.replace

    def fail(self: Path, target: Path) -> Path:
        if self.name.endswith(".restoring"):
            raise OSError(errno.EACCES, "no")
        return rename(self, target)

    monkeypatch.setattr(copying.sys, "platform", "other")
    monkeypatch.setattr(Path, "replace", fail)
    before = answers(path)
    with Ledger.open(path / "records.sqlite", write=True) as ledger:
        with pytest.raises((OSError, StoreUnavailable)):
            restore(kept, path, force=True)
        assert answers(path) == before
        ledger.add_correction("u1", items=["i1"])
    assert verify(path).ok
    assert {entry.name for entry in path.parent.iterdir()} == {"shop", "kept"}


def _killed(path: Path, kept: Path, when: str) -> None:
    """A restore that is killed right before or right after the folders change places."""

    def work() -> None:
        exchange = copying._exchange

        def last(new: Path, old: Path) -> None:
            if when == "after":
                exchange(new, old)
            os.kill(os.getpid(), signal.SIGKILL)

        copying._exchange = last
        restore(kept, path, force=True)

    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def test_a_restore_that_is_killed_loses_nothing_that_was_acknowledged(
    path: Path, kept: Path
) -> None:
    with Ledger.open(path / "records.sqlite", write=True) as ledger:
        _killed(path, kept, "after")
        with pytest.raises(StoreUnavailable, match="open it again"):
            ledger.add_correction("u1", items=["i1"])
    assert verify(path).ok
    more(path)
    restore(kept, path, force=True)
    assert {entry.name for entry in path.parent.iterdir()} == {"shop", "kept"}


@pytest.mark.parametrize("write", [more, lambda path: gc(path, 1)], ids=["event", "generations"])
def test_a_restore_that_is_killed_before_is_as_if_it_had_never_begun(
    path: Path, kept: Path, write: Callable[[Path], object]
) -> None:
    before = answers(path)
    with Ledger.open(path / "records.sqlite", write=True) as ledger:
        _killed(path, kept, "before")
        with pytest.raises(StoreUnavailable, match="open it again"):
            ledger.add_correction("u1", items=["i1"])
    assert verify(path).problems == ()
    assert answers(path) == before
    backup(path.parent / "another", path)
    restore(path.parent / "another", path.parent / "there")
    more(path.parent / "there")
    with locked(path), pytest.raises(IndexLocked):
        more(path)  # somebody may be restoring still
    write(path)
    assert verify(path).ok


def test_in_another_place_it_is_another_index(path: Path, kept: Path, tmp_path: Path) -> None:
    """Else the two would take each other's collections on a Chroma server for their own."""

    def id_of(index: Path) -> str:
        with Ledger.open(index / "records.sqlite", write=False) as ledger:
            return ledger.id

    place = id_of(path)
    restore(kept, path, force=True)
    restore(kept, tmp_path / "one")
    restore(kept, tmp_path / "two")
    one = id_of(tmp_path / "one")
    assert len({id_of(path), one, id_of(tmp_path / "two")}) == 3
    assert id_of(path) == place == id_of(kept)
    assert verify(tmp_path / "one").ok
    assert answers(tmp_path / "one") == answers(path)
    restore(path, tmp_path / "one", force=True)
    assert id_of(tmp_path / "one") == one


def test_who_has_the_old_records_open_is_refused_not_lost(path: Path, kept: Path) -> None:
    with Ledger.open(path / "records.sqlite", write=True) as ledger:
        restore(kept, path, force=True)
        with pytest.raises(StoreUnavailable, match="replaced by a backup meanwhile"):
            ledger.add_correction("u1", items=["i1"])
        assert ledger.item_count == 21  # reading goes on


def test_a_restore_waits_for_nobody(path: Path, kept: Path) -> None:
    with locked(path), pytest.raises(IndexLocked, match="process"):
        restore(kept, path, force=True)
    with closing(sqlite3.connect(path / "records.sqlite", isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        with pytest.raises(IndexLocked, match="somebody is writing"):
            restore(kept, path, force=True)
    assert verify(path).ok


def test_a_damaged_index_can_be_replaced_and_a_damaged_backup_cannot(
    path: Path, kept: Path
) -> None:
    (path / "records.sqlite").write_bytes(b"no database" * 1000)
    restore(kept, path, force=True)
    assert verify(path).ok
    flip(active(kept) / "raw.npy")
    with pytest.raises(IndexDamaged, match="not whole"):
        restore(kept, path, force=True)
    assert verify(path).ok


def test_of_an_earlier_version_chromas_database_is_copied_as_one_moment(
    path: Path, tmp_path: Path
) -> None:
    from tests.safekeeping.test_verifying import with_chroma_of_before

    with_chroma_of_before(path)
    made = backup(tmp_path / "kept", path)
    assert verify(made.folder).ok
    assert answers(tmp_path / "kept") == answers(path)
