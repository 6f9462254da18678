"""The SQLite file of the truth: opened, brought up to date, read, and written in transactions."""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, Self

from crossrec_llm.errors import (
    IndexDamaged,
    IndexLocked,
    IndexMismatch,
    IndexMissing,
    StoreUnavailable,
)
from crossrec_llm.store.checks import UNREADABLE, RowSums, describe_anew
from crossrec_llm.store.files import disk_errors, disk_full, is_disk_full
from crossrec_llm.store.lock import holder, locked

LAYOUT = 4
"""Of the tables in the file, which has it as user_version."""

WAIT = 0.8
"""Seconds a transaction waits for the one before it, at most."""

_ENDED, _REPLACED = "ended", "this index was replaced by a backup"

# Step n brings a file from layout n to n + 1.
#
# 1: events lie by user: one person's history is a few neighbouring pages. Keys are given in the
#    order of the tables that came in, so that reading everything back needs no sort.
# 2: corrections go by the user's id: keys change with every log that comes in.
# 3: what came live has the number of its change, what came from files has 0, and the indexes over
#    changes leave it out. `filed` is a digest of the item as the last files had it; null where they
#    had none; of an event, whether they had it. It is only kept for rows with a change: the others
#    are as the files had them.
#    Who was erased is known by a keyed hash and the moment (erasures.py).
# 4: changes that came with a key of their own are known by it (answered.py).
_STEPS = (
    """
    CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE items (
        key INTEGER PRIMARY KEY, item_id TEXT NOT NULL UNIQUE, title TEXT NOT NULL,
        description TEXT NOT NULL, category TEXT NOT NULL, brand TEXT NOT NULL, price REAL,
        image_url TEXT NOT NULL, available INTEGER NOT NULL, added REAL, metadata TEXT NOT NULL);
    CREATE TABLE users (key INTEGER PRIMARY KEY, user_id TEXT NOT NULL UNIQUE);
    CREATE TABLE events (
        user INTEGER NOT NULL, seq INTEGER NOT NULL, item INTEGER NOT NULL, timestamp REAL,
        event TEXT NOT NULL, value REAL, PRIMARY KEY (user, seq)) WITHOUT ROWID;
    """,
    """
    CREATE TABLE corrections (
        number INTEGER PRIMARY KEY AUTOINCREMENT, user_id TEXT NOT NULL, sentence TEXT NOT NULL,
        items TEXT NOT NULL, made REAL NOT NULL);
    CREATE INDEX corrections_by_user ON corrections (user_id);
    """,
    """
    ALTER TABLE items ADD COLUMN change INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE items ADD COLUMN removed INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE items ADD COLUMN filed BLOB;
    ALTER TABLE events ADD COLUMN change INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE events ADD COLUMN filed INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE event_ids (
        event_id TEXT PRIMARY KEY, user_id TEXT NOT NULL, item_id TEXT NOT NULL,
        change INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE erased (
        kind TEXT NOT NULL, hash TEXT NOT NULL, at REAL NOT NULL,
        PRIMARY KEY (kind, hash)) WITHOUT ROWID;
    CREATE INDEX items_live ON items (change) WHERE change > 0;
    CREATE INDEX events_live ON events (change) WHERE change > 0;
    CREATE INDEX IF NOT EXISTS events_by_item ON events (item, user);
    """,
    """
    CREATE TABLE answered (
        key TEXT PRIMARY KEY, body TEXT NOT NULL, answer TEXT NOT NULL, at REAL NOT NULL)
        WITHOUT ROWID;
    """,
)

Execute = Callable[..., sqlite3.Cursor]


class Database:
    """One connection to the file. Reading never waits for a writer."""

    def __init__(self, connection: sqlite3.Connection, path: Path, sums: RowSums) -> None:
        self._connection, self.path, self._sums = connection, path, sums
        self._layout = 0

    @classmethod
    def open(cls, path: Path, *, write: bool, held: bool = False) -> Self:
        """Open the file; a writer makes it if it is not there, and brings it to this layout.

        Parameters
        ----------
        held : whether the caller holds the index's lock.

        Raises
        ------
        IndexMissing : there is nothing to read.
        IndexMismatch : a newer version of the software made it.
        IndexDamaged : it is no ledger, or not a whole one.
        IndexLocked : it has to be brought up to date, and somebody is writing; or it is being
            replaced by a backup.
        StoreUnavailable : it cannot be written here.
        """
        if not write and not path.exists():
            raise IndexMissing(f"{path}: there is no index here; `crossrec build` makes one")
        with _translated(path):
            connection = sqlite3.connect(
                f"{path.absolute().as_uri()}?{_access(path, write)}",
                uri=True,
                timeout=WAIT,
                isolation_level=None,
                check_same_thread=False,
            )
            try:
                if write and _is_ended(connection):
                    connection.close()
                    with nullcontext() if held else locked(path.parent):
                        go_on(path)
                    return cls.open(path, write=True, held=held)
                _prepare(connection, path, write)
                sums = RowSums(connection)
                if write:
                    sums.watch()
            except BaseException:
                connection.close()
                raise
        return cls(connection, path, sums)

    def close(self) -> None:
        """Let go of the file; a writer seals what it has changed."""
        self._sums.seal(self.path)
        self._connection.close()

    @property
    def layout(self) -> int:
        """Of the file as it is now: a writer may bring it up to date while we read."""
        if self._layout < LAYOUT:
            self._layout = int(self.one("PRAGMA user_version"))
        return self._layout

    def one(self, statement: str, *values: Any) -> Any:
        """The first value of the first row; None without a row."""
        rows = self.all(statement, *values)
        return rows[0][0] if rows else None

    def all(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with _translated(self.path):
            return self._connection.execute(statement, values).fetchall()

    def stream(self, statement: str) -> Iterator[tuple[Any, ...]]:
        """The rows one by one, for tables that need not be in memory as a whole."""
        with _translated(self.path):
            yield from self._connection.execute(statement)

    def begin_reading(self) -> None:
        """From now on everything that is read is of one moment, until the connection is closed."""
        with _translated(self.path):
            self._connection.execute("BEGIN")
            self._connection.execute("SELECT count(*) FROM about").fetchone()

    @contextmanager
    def transaction(self) -> Iterator[Execute]:
        """All of what is executed within, durable at its end, or none of it.

        Raises
        ------
        IndexLocked : it cannot begin within `WAIT`.
        StoreUnavailable : no room, or not to be written.
        """
        with _translated(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            changes = self._connection.total_changes
            try:
                yield self._connection.execute
                if self._connection.total_changes != changes:
                    self._sums.settle()
                self._connection.execute("COMMIT")
            except BaseException:
                self._sums.forget()
                if self._connection.in_transaction:  # SQLite itself rolls back on a full disk
                    self._connection.execute("ROLLBACK")
                raise

    def identify(self, id: str = "") -> None:
        """Take an id, or draw one."""
        with self.transaction() as execute:
            execute("INSERT OR REPLACE INTO about VALUES ('id', ?)", (id or _drawn(),))

    def execute(self, statement: str) -> None:
        """A statement that cannot be part of a transaction."""
        with _translated(self.path):
            self._connection.execute(statement)

    def insert(self, statement: str, rows: Any) -> None:
        """One statement over many rows, within a transaction."""
        self._connection.executemany(statement, rows)


def _access(path: Path, write: bool) -> str:
    """How to open the file: a medium that cannot be written needs to be called immutable."""
    if write:
        return "mode=rwc"
    pending = path.with_name(path.name + "-wal")
    readonly = not os.access(path.parent, os.W_OK) and not pending.exists()
    return "immutable=1" if readonly else "mode=ro"


def _prepare(connection: sqlite3.Connection, path: Path, write: bool) -> None:
    layout = connection.execute("PRAGMA user_version").fetchone()[0]
    if layout > LAYOUT:
        raise IndexMismatch(
            f"{path}: it has layout {layout}, this version of crossrec-llm reads up to {LAYOUT}; "
            "upgrade crossrec-llm"
        )
    if write:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA secure_delete = ON")
        if layout < LAYOUT:
            _bring_up_to_date(connection)
    elif not layout:
        raise IndexDamaged(f"{path}: there is no ledger in this file; run `crossrec build` again")


def _bring_up_to_date(connection: sqlite3.Connection) -> None:
    """In one transaction: a kill leaves the layout it had."""
    connection.execute("BEGIN IMMEDIATE")
    layout = connection.execute("PRAGMA user_version").fetchone()[0]  # another may have been first
    for step in _STEPS[layout:]:
        for statement in step.split(";"):
            connection.execute(statement)
    if not layout:
        connection.execute("INSERT INTO about VALUES ('id', ?)", (_drawn(),))
    connection.execute(f"PRAGMA user_version = {LAYOUT}")
    connection.execute("COMMIT")


def _drawn() -> str:
    """12 hex digits."""
    return secrets.token_hex(6)


def end(path: Path) -> None:
    """Refuse whoever writes to the file from now on, those too who have it open.

    That is for a file that is about to be replaced, by somebody who holds the index's lock. Where
    it was not replaced after all, the next one who opens it to write goes on with it.

    Raises
    ------
    IndexLocked : somebody is writing.
    """
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            if not _is_ended(connection):
                connection.execute(
                    f"CREATE TRIGGER {_ENDED} BEFORE INSERT ON about "
                    f"BEGIN SELECT RAISE(ABORT, '{_REPLACED}'); END"
                )
                describe_anew(connection)
            connection.execute("COMMIT")
    except UNREADABLE as error:
        if "locked" in str(error):
            raise IndexLocked(f"{path}: somebody is writing to it; try again") from error
        # It is damaged: nobody can write to it.


def go_on(path: Path) -> None:
    """Take an `end` back; for who holds the index's lock."""
    with suppress(*UNREADABLE), closing(sqlite3.connect(path, isolation_level=None)) as connection:
        if _is_ended(connection):
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(f"DROP TRIGGER {_ENDED}")
            describe_anew(connection)
            connection.execute("COMMIT")


def _is_ended(connection: sqlite3.Connection) -> bool:
    found = "SELECT count(*) FROM sqlite_master WHERE type = 'trigger' AND name = ?"
    return bool(connection.execute(found, (_ENDED,)).fetchone()[0])


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """SQLite's errors as ours."""
    try:
        with disk_errors(path):
            yield
    except UnicodeDecodeError as error:  # SQLite quotes what is damaged
        raise _damaged(path, error) from error
    except sqlite3.Error as error:
        text = str(error)
        if text == _REPLACED:
            raise StoreUnavailable(f"{path}: {_REPLACED} meanwhile; open it again") from error
        if is_disk_full(error):
            raise disk_full(path) from error
        if "locked" in text:
            raise IndexLocked(
                f"{path}: {holder(path.parent, looks=1)} has been writing to the records for more "
                f"than {WAIT} s; run the same command again"
            ) from error
        if "readonly" in text or "unable to open" in text or "disk I/O" in text:
            raise StoreUnavailable(
                f"{path}: cannot be opened or written ({text}); check the folder, its permissions "
                "and the free space"
            ) from error
        if isinstance(error, sqlite3.DatabaseError) and (
            "malformed" in text
            or "not a database" in text
            or "no such" in text
            or "user-defined function" in text  # a row that is counted has text that is none
        ):
            raise _damaged(path, error) from error
        raise


def _damaged(path: Path, why: Exception) -> IndexDamaged:
    return IndexDamaged(
        f"{path}: the records are damaged ({why}); `crossrec restore BACKUP --force` puts a backup "
        "in place; or move this file away and run `crossrec build` with the files"
    )
