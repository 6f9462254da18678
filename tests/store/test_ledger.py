from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pyarrow as pa
import pytest

from crossrec_llm.errors import (
    DataError,
    IndexDamaged,
    IndexLocked,
    IndexMismatch,
    IndexMissing,
    StoreUnavailable,
    UnknownUser,
)
from crossrec_llm.store import Ledger
from crossrec_llm.tables import EVENTS_SCHEMA, ITEMS_SCHEMA
from tests.store.small import EVENTS, ITEMS, make_events, make_items

ODD_IDS = [
    "x" * 5000,
    "../../etc",
    "a b\tc",
    "🛒/",
    "\u00e9",
    "e\u0301",
    "nul\0l",
    "'; DROP TABLE items",
    "1",
]


def test_tables_come_back_as_they_went_in(ledger: Ledger, path: Path) -> None:
    for reader in (ledger, Ledger.open(path, write=False)):
        assert reader.items().equals(ITEMS)
        assert reader.events().equals(EVENTS)
        assert (reader.item_count, reader.user_count, reader.event_count) == (8, 3, 5)
    reader.close()


def test_one_users_events(ledger: Ledger) -> None:
    assert ledger.events_of("ann").equals(EVENTS.slice(0, 3))
    assert ledger.has_user("ann")
    assert not ledger.has_user("Ann")


def test_the_users_of_an_item(ledger: Ledger) -> None:
    assert ledger.users_of("i1") == ["ann", "cy"]
    assert ledger.users_of("i3") == []
    assert ledger.users_of("gone") == []


def test_odd_ids(path: Path) -> None:
    items = make_items(ODD_IDS)
    events = make_events([(user, item) for user in ODD_IDS for item in ODD_IDS])
    with Ledger.open(path, write=True) as ledger:
        ledger.replace(items, events)
        assert ledger.items().equals(items)
        assert ledger.events().equals(events)
        for user in ODD_IDS:
            assert ledger.events_of(user)["user_id"].unique().to_pylist() == [user]
            assert ledger.users_of(user) == ODD_IDS


def test_events_in_any_order_are_put_by_user(path: Path) -> None:
    events = make_events([("b", "i1"), ("a", "i2"), ("b", "i3"), ("a", "i1")])
    with Ledger.open(path, write=True) as ledger:
        ledger.replace(ITEMS, events)
        assert ledger.events().equals(events.take(pa.array([0, 2, 1, 3])))


def test_nothing_in_it(path: Path) -> None:
    with Ledger.open(path, write=True) as ledger:
        assert ledger.items().schema == ITEMS_SCHEMA
        assert ledger.replace(ITEMS_SCHEMA.empty_table(), EVENTS_SCHEMA.empty_table())
        assert ledger.events().equals(EVENTS_SCHEMA.empty_table())
        assert (ledger.item_count, ledger.user_count, ledger.event_count) == (0, 0, 0)
        with pytest.raises(UnknownUser, match="no user 'ann'"):
            ledger.events_of("ann")


def test_replacing_leaves_nothing_of_the_old(ledger: Ledger) -> None:
    assert ledger.replace(make_items(["new"]), make_events([("dan", "new")]))
    assert ledger.items()["item_id"].to_pylist() == ["new"]
    assert not ledger.has_user("ann")


def test_the_same_tables_are_not_written_again(ledger: Ledger) -> None:
    assert not ledger.replace(ITEMS, pa.concat_tables([EVENTS.slice(0, 2), EVENTS.slice(2)]))
    assert ledger.replace(ITEMS, EVENTS.slice(1))
    assert ledger.replace(ITEMS, EVENTS)


def test_chunks_and_progress(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crossrec_llm.store.rows._CHUNK", 2)
    seen: list[tuple[str, int, int]] = []
    with Ledger.open(path, write=True) as ledger:
        ledger.replace(ITEMS, EVENTS, progress=lambda *step: seen.append(step))
        assert ledger.events().equals(EVENTS)
        assert ledger.items().equals(ITEMS)
    assert seen[0] == ("record", 2, 5)
    assert seen[-1] == ("record", 5, 5)


def test_near_users_are_named(path: Path) -> None:
    with Ledger.open(path, write=True) as ledger:
        ledger.replace(ITEMS, make_events([(f"user{n}", "i1") for n in range(3000)]))
        with pytest.raises(UnknownUser, match=r"'usr777' in this index; did you mean '.*user777'"):
            ledger.events_of("usr777")
        with pytest.raises(UnknownUser) as caught:
            ledger.events_of("🛒" * 5000)
    assert caught.value.near == ()


def test_an_event_about_nothing(ledger: Ledger) -> None:
    with pytest.raises(DataError, match="'i99'"):
        ledger.replace(ITEMS, make_events([("ann", "i99")]))
    assert ledger.events().equals(EVENTS)


def test_an_item_twice(ledger: Ledger) -> None:
    with pytest.raises(DataError, match="'i2' twice"):
        ledger.replace(make_items(["i1", "i2", "i2"]), EVENTS)


def test_each_ledger_has_an_id_for_life(ledger: Ledger, path: Path, tmp_path: Path) -> None:
    first = ledger.id
    assert len(first) == 12
    ledger.replace(ITEMS, EVENTS.slice(1))
    with Ledger.open(path, write=True) as again:
        assert again.id == first
    with Ledger.open(tmp_path / "other", write=True) as other:
        assert other.id != first


def test_a_reader_keeps_seeing_what_was_acknowledged(ledger: Ledger, path: Path) -> None:
    with Ledger.open(path, write=False) as reader, ledger._database.transaction() as execute:
        execute("DELETE FROM events")
        started = time.perf_counter()
        assert reader.events().equals(EVENTS)
        assert time.perf_counter() - started < 5


def test_a_reader_cannot_write(ledger: Ledger, path: Path) -> None:
    with (
        Ledger.open(path, write=False) as reader,
        pytest.raises(StoreUnavailable, match="readonly"),
    ):
        reader.replace(make_items(["new"]), make_events([]))


def test_a_medium_that_cannot_be_written(
    ledger: Ledger, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.close()
    monkeypatch.setattr("os.access", lambda *_: False)
    with Ledger.open(path, write=False) as reader:
        assert reader.events().equals(EVENTS)
    assert {file.name for file in path.parent.iterdir()} == {path.name, f"{path.name}.seal"}


def test_two_writers_at_the_same_moment(
    ledger: Ledger, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Ledger.open(path, write=True) as other, ledger._database.transaction():
        other._database._connection.execute("PRAGMA busy_timeout = 10")
        with pytest.raises(IndexLocked, match="another process"):
            other.replace(make_items(["new"]), make_events([]))


def test_deleted_content_is_overwritten(path: Path) -> None:
    with Ledger.open(path, write=True) as ledger:
        ledger.replace(ITEMS, make_events([("secret-user-4711", "i1")]))
        ledger.replace(ITEMS, EVENTS)
    assert b"secret-user-4711" not in b"".join(f.read_bytes() for f in path.parent.iterdir())


def test_missing(path: Path) -> None:
    with pytest.raises(IndexMissing, match="crossrec build"):
        Ledger.open(path, write=False)
    assert not path.exists()


@pytest.mark.parametrize("content", [b"no database at all, but text" * 100, b""])
def test_something_else(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(IndexDamaged, match="crossrec build"):
        Ledger.open(path, write=False)


def test_damaged(ledger: Ledger, path: Path) -> None:
    ledger.close()
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    path.write_bytes(content)
    with (
        Ledger.open(path, write=False) as reader,
        pytest.raises(IndexDamaged, match=r"records are damaged .*backup"),
    ):
        reader.items()


def test_a_newer_layout(ledger: Ledger, path: Path) -> None:
    ledger._database._connection.execute("PRAGMA user_version = 7")
    with pytest.raises(IndexMismatch, match=r"layout 7.*upgrade"):
        Ledger.open(path, write=False)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="unable to open"):
        Ledger.open(tmp_path / "none" / "records.sqlite", write=True)


def test_other_errors_are_bugs(ledger: Ledger) -> None:
    with pytest.raises(sqlite3.Error):
        ledger._database.all("SELECT ? + 1")


def test_a_full_disk_keeps_the_old_truth(ledger: Ledger) -> None:
    ledger._database._connection.execute("PRAGMA max_page_count = 20")
    many = make_events([(f"user{n}", "i1") for n in range(20_000)])
    with pytest.raises(StoreUnavailable, match=r"disk is full; free some space"):
        ledger.replace(ITEMS, many)
    assert ledger.items().equals(ITEMS)
    assert ledger.events().equals(EVENTS)
    assert ledger.replace(ITEMS, EVENTS.slice(1)), "and it can be written again"


def test_a_file_that_may_not_grow(ledger: Ledger, path: Path) -> None:
    code = """
        import resource, sys
        from pathlib import Path
        from crossrec_llm.errors import StoreUnavailable
        from crossrec_llm.store import Ledger
        from tests.store.small import make_events, make_items
        events = make_events([(f"user{n}", "i1") for n in range(20_000)])
        ledger = Ledger.open(Path(sys.argv[1]), write=True)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            ledger.replace(make_items(["i1"]), events)
        except StoreUnavailable as error:
            print(error)
    """
    run = [sys.executable, "-c", textwrap.dedent(code), path]
    said = subprocess.run(run, capture_output=True, text=True, check=True).stdout
    assert "records.sqlite" in said
    assert ledger.events().equals(EVENTS)


@pytest.mark.parametrize("after", [1, 40, 90])
def test_a_kill_in_the_middle_keeps_the_old_truth(ledger: Ledger, path: Path, after: int) -> None:
    ledger.close()
    code = """
        import os, signal, sys
        from pathlib import Path
        from crossrec_llm.store import Ledger
        from crossrec_llm.store import rows as module
        from tests.store.small import make_events, make_items
        module._CHUNK = 100
        calls = 0
        def kill(*step):
            global calls
            calls += 1
            if calls == int(sys.argv[2]):
                os.kill(os.getpid(), signal.SIGKILL)
        events = make_events([(f"user{n}", "i1") for n in range(9000)])
        ledger = Ledger.open(Path(sys.argv[1]), write=True)
        ledger.replace(make_items(["i1"]), events, progress=kill)
    """
    run = [sys.executable, "-c", textwrap.dedent(code), path, str(after)]
    assert subprocess.run(run, check=False).returncode == -signal.SIGKILL
    with Ledger.open(path, write=False) as reader:
        assert reader.items().equals(ITEMS)
        assert reader.events().equals(EVENTS)
