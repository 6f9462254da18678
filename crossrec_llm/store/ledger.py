"""records.sqlite, the truth: items and events as acknowledged; all else can be built from it."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from crossrec_llm.errors import (
    DataError,
    IndexDamaged,
    IndexLocked,
    IndexMismatch,
    IndexMissing,
    StoreUnavailable,
    UnknownUser,
)
from crossrec_llm.profiles import Correction
from crossrec_llm.records import Progress
from crossrec_llm.store.checks import RowSums
from crossrec_llm.store.files import disk_errors, disk_full
from crossrec_llm.tables import EVENTS_SCHEMA, ITEMS_SCHEMA, near_matches
from crossrec_llm.tables.fingerprint import feed

_LAYOUT = 2  # in the file as user_version

# Events lie by user: one person's history is a few neighbouring pages. Keys are given in the order
# of the tables that came in, so that reading everything back needs no sort.
_SCHEMA = """
CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE items (
    key INTEGER PRIMARY KEY, item_id TEXT NOT NULL UNIQUE, title TEXT NOT NULL,
    description TEXT NOT NULL, category TEXT NOT NULL, brand TEXT NOT NULL, price REAL,
    image_url TEXT NOT NULL, available INTEGER NOT NULL, added REAL, metadata TEXT NOT NULL);
CREATE TABLE users (key INTEGER PRIMARY KEY, user_id TEXT NOT NULL UNIQUE);
CREATE TABLE events (
    user INTEGER NOT NULL, seq INTEGER NOT NULL, item INTEGER NOT NULL, timestamp REAL,
    event TEXT NOT NULL, value REAL, PRIMARY KEY (user, seq)) WITHOUT ROWID;
"""
# Since layout 2; a reader finds none of it in an older file. By the user's id: keys change with
# every log that comes in.
_CORRECTIONS = """
CREATE TABLE IF NOT EXISTS corrections (
    number INTEGER PRIMARY KEY AUTOINCREMENT, user_id TEXT NOT NULL, sentence TEXT NOT NULL,
    items TEXT NOT NULL, made REAL NOT NULL);
CREATE INDEX IF NOT EXISTS corrections_by_user ON corrections (user_id);
"""
_ITEM_COLUMNS = (
    "item_id, title, description, category, brand, price, image_url, available, added, metadata"
)
_EVENTS = """
SELECT users.user_id, items.item_id, timestamp, event, value FROM events
JOIN users ON users.key = user JOIN items ON items.key = item
"""
_CHUNK = 50_000


class Ledger:
    """The items and events of one index, and what people said of their profiles.

    Reading never waits for a writer, and sees what was acknowledged before the read began.
    """

    def __init__(
        self, connection: sqlite3.Connection, path: Path, sums: RowSums | None = None
    ) -> None:
        self._connection, self.path = connection, path
        self._sums = sums

    @classmethod
    def open(cls, path: Path, *, write: bool) -> Self:
        """Open the file; a writer makes it if it is not there.

        Raises
        ------
        IndexMissing : there is nothing to read.
        IndexMismatch : a newer version of the software made it.
        IndexDamaged : it is no ledger, or not a whole one.
        StoreUnavailable : it cannot be written here.
        """
        if not write and not path.exists():
            raise IndexMissing(f"{path}: there is no index here; `crossrec build` makes one")
        with _translated(path):
            connection = sqlite3.connect(
                f"{path.absolute().as_uri()}?{_access(path, write)}",
                uri=True,
                timeout=5,
                isolation_level=None,
                check_same_thread=False,
            )
            try:
                _prepare(connection, path, write)
                sums = RowSums.watch(connection) if write else None
            except BaseException:
                connection.close()
                raise
        return cls(connection, path, sums)

    def close(self) -> None:
        """Let go of the file; a writer seals what it has changed."""
        if self._sums is not None:
            self._sums.seal(self.path)
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def id(self) -> str:
        """12 hex digits, drawn once when the file was made: tells indexes on one server apart."""
        return str(self._one("SELECT value FROM about WHERE name = 'id'"))

    @property
    def content(self) -> str:
        """The `content_digest` of what is in it; "" when it is empty."""
        return str(self._one("SELECT value FROM about WHERE name = 'content'") or "")

    @property
    def item_count(self) -> int:
        return int(self._one("SELECT count(*) FROM items"))

    @property
    def user_count(self) -> int:
        return int(self._one("SELECT count(*) FROM users"))

    @property
    def event_count(self) -> int:
        return int(self._one("SELECT count(*) FROM events"))

    def replace(
        self, items: pa.Table, events: pa.Table, *, progress: Progress | None = None
    ) -> bool:
        """Make these tables the truth, in one transaction. Corrections stay.

        Parameters
        ----------
        items : ITEMS_SCHEMA, each id once.
        events : EVENTS_SCHEMA, about these items; kept in order within each user.

        Returns
        -------
        Whether anything was written; False when these very tables are there already.

        Raises
        ------
        DataError : an item twice, or an event about an item that is not there.
        StoreUnavailable : no room, or not to be written; the old truth stays whole.
        """
        digest = content_digest(items, events)
        if self.content == digest:
            return False
        users, user_keys, item_keys = _keys(items, events)
        total = len(items) + len(users) + len(events)
        with _translated(self.path), self._transaction() as execute:
            for table in ("events", "users", "items"):
                self._writing.empty(table)
            execute("DROP INDEX IF EXISTS events_by_item")
            done = 0
            for name, width, rows in (
                ("items", 11, _item_rows(items)),
                ("users", 2, _chunks([list(range(len(users))), users])),
                ("events", 6, _event_rows(events, user_keys, item_keys)),
            ):
                statement = f"INSERT INTO {name} VALUES ({', '.join('?' * width)})"
                for chunk in rows:
                    self._connection.executemany(statement, chunk)
                    done += len(chunk)
                    if progress:
                        progress("record", done, total)
            execute("CREATE INDEX events_by_item ON events (item, user)")
            execute("INSERT OR REPLACE INTO about VALUES ('content', ?)", (digest,))
        return True

    def items(self) -> pa.Table:
        """All items (ITEMS_SCHEMA) in the order they came in."""
        rows = self._all(f"SELECT {_ITEM_COLUMNS} FROM items ORDER BY key")
        columns: list[list[Any]] = [list(column) for column in zip(*rows, strict=True)]
        columns = columns or [[] for _ in ITEMS_SCHEMA]
        columns[3] = list(map(json.loads, columns[3]))
        columns[7] = list(map(bool, columns[7]))
        return _table(columns, ITEMS_SCHEMA)

    def events(self) -> pa.Table:
        """All events (EVENTS_SCHEMA), user by user, each in the order they came in."""
        rows = self._all(f"{_EVENTS} ORDER BY user, seq")
        columns: list[list[Any]] = [list(column) for column in zip(*rows, strict=True)]
        return _table(columns or [[] for _ in EVENTS_SCHEMA], EVENTS_SCHEMA)

    def events_of(self, user_id: str) -> pa.Table:
        """One user's events (EVENTS_SCHEMA) in the order they came in.

        Raises
        ------
        UnknownUser : names users whose ids look like it.
        """
        rows = self._all(f"{_EVENTS} WHERE users.user_id = ? ORDER BY seq", user_id)
        if not rows and not self.has_user(user_id):
            users = self._all("SELECT user_id FROM users")
            raise UnknownUser(user_id, near_matches(user_id, [id for (id,) in users]))
        columns: list[list[Any]] = [list(column) for column in zip(*rows, strict=True)]
        return _table(columns or [[] for _ in EVENTS_SCHEMA], EVENTS_SCHEMA)

    def has_user(self, user_id: str) -> bool:
        return bool(self._one("SELECT count(*) FROM users WHERE user_id = ?", user_id))

    def users_of(self, item_id: str) -> list[str]:
        """The users with an event about an item, each once, in the order of the users."""
        rows = self._all(
            "SELECT DISTINCT users.user_id FROM items JOIN events ON item = items.key "
            "JOIN users ON users.key = user WHERE item_id = ? ORDER BY user",
            item_id,
        )
        return [user_id for (user_id,) in rows]

    def corrections_of(self, user_id: str) -> tuple[Correction, ...]:
        """In the order they were made; what another process just wrote is among them."""
        if not self._has_corrections:
            return ()
        rows = self._all(
            "SELECT number, sentence, items, made FROM corrections WHERE user_id = ? "
            "ORDER BY number",
            user_id,
        )
        return tuple(Correction(n, said, tuple(json.loads(ids)), t) for n, said, ids, t in rows)

    def users_with_strikes(self) -> list[str]:
        """Whose history is not what the events say, by id."""
        if not self._has_corrections:
            return []
        statement = "SELECT DISTINCT user_id FROM corrections WHERE sentence = '' ORDER BY user_id"
        return [user_id for (user_id,) in self._all(statement)]

    def add_correction(
        self, user_id: str, *, sentence: str = "", items: Sequence[str] = ()
    ) -> Correction:
        """Write down a sentence that is pinned, or items that are struck.

        One transaction of SQLite: it needs no lock of the index, so that a build that goes on for
        an hour keeps nobody from correcting a profile.

        Raises
        ------
        IndexLocked : somebody has been writing to the records for more than 5 s.
        StoreUnavailable : no room, or not to be written.
        """
        values = (user_id, sentence, json.dumps(list(items)), time.time())
        with _translated(self.path), self._transaction() as execute:
            number = execute(
                "INSERT INTO corrections (user_id, sentence, items, made) VALUES (?, ?, ?, ?)",
                values,
            ).lastrowid
        assert number is not None
        return Correction(number, sentence, tuple(items), values[3])

    def undo(self, user_id: str, number: int | None = None) -> bool:
        """Take a correction of a user back, by default the last; nothing of it stays.

        False where there is none (any more). Raises as `add_correction`.
        """
        which = "= (SELECT max(number) FROM corrections WHERE user_id = ?1)"
        values: tuple[Any, ...] = (user_id,)
        if number is not None:
            which, values = "= ?2", (user_id, number)
        statement = f"DELETE FROM corrections WHERE user_id = ?1 AND number {which}"
        with _translated(self.path), self._transaction() as execute:
            return execute(statement, values).rowcount > 0

    @property
    def _has_corrections(self) -> bool:
        return int(self._one("PRAGMA user_version")) >= 2

    def _one(self, statement: str, *values: Any) -> Any:
        rows = self._all(statement, *values)
        return rows[0][0] if rows else None

    def _all(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with _translated(self.path):
            return self._connection.execute(statement, values).fetchall()

    @property
    def _writing(self) -> RowSums:
        assert self._sums is not None, "this ledger was opened to be read"
        return self._sums

    @contextmanager
    def _transaction(self) -> Iterator[Callable[..., sqlite3.Cursor]]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield self._connection.execute
            self._writing.settle()
            self._connection.execute("COMMIT")
        except BaseException:
            self._writing.forget()
            if self._connection.in_transaction:  # SQLite itself rolls back when the disk is full
                self._connection.execute("ROLLBACK")
            raise


def _access(path: Path, write: bool) -> str:
    """How to open the file: a medium that cannot be written needs to be called immutable."""
    if write:
        return "mode=rwc"
    pending = path.with_name(path.name + "-wal")
    readonly = not os.access(path.parent, os.W_OK) and not pending.exists()
    return "immutable=1" if readonly else "mode=ro"


def _prepare(connection: sqlite3.Connection, path: Path, write: bool) -> None:
    layout = connection.execute("PRAGMA user_version").fetchone()[0]
    if layout > _LAYOUT:
        raise IndexMismatch(
            f"{path}: it has layout {layout}, this version of crossrec-llm reads up to {_LAYOUT}; "
            "upgrade crossrec-llm"
        )
    if write:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA secure_delete = ON")
        if not layout:
            id = f"INSERT INTO about VALUES ('id', '{secrets.token_hex(6)}')"
            connection.executescript(f"BEGIN; {_SCHEMA} {id}; PRAGMA user_version = 1; COMMIT")
        if layout < 2:
            connection.executescript(
                f"BEGIN IMMEDIATE; {_CORRECTIONS} PRAGMA user_version = 2; COMMIT"
            )
    elif not layout:
        raise IndexDamaged(f"{path}: there is no ledger in this file; run `crossrec build` again")


def content_digest(items: pa.Table, events: pa.Table) -> str:
    """Sha256 over the content of both tables; `Ledger.content` of a ledger that holds them."""
    digest = hashlib.sha256()
    for table in (items, events):
        feed(digest, table)
    return digest.hexdigest()


def _keys(items: pa.Table, events: pa.Table) -> tuple[list[str], np.ndarray, np.ndarray]:
    """User ids by first appearance, and the user and item number of each event."""
    item_ids = items["item_id"].combine_chunks()
    if len(item_ids.unique()) != len(item_ids):
        twice = item_ids.value_counts().sort(order="descending", by="counts")[0]["values"].as_py()
        raise DataError(f"the item id {twice!r} twice", source="items")
    item_keys = pc.index_in(events["item_id"].combine_chunks(), value_set=item_ids)
    if item_keys.null_count:
        row = item_keys.is_null().index(True).as_py()
        unknown = events["item_id"][row].as_py()
        raise DataError(f"an event about {unknown!r}, which is not among the items")
    users = events["user_id"].combine_chunks().dictionary_encode()
    return (
        users.dictionary.to_pylist(),
        users.indices.to_numpy(zero_copy_only=False).astype(np.int64),
        item_keys.to_numpy(zero_copy_only=False).astype(np.int64),
    )


def _item_rows(items: pa.Table) -> Iterator[Sequence[tuple[Any, ...]]]:
    for start in range(0, len(items), _CHUNK):
        part = items.slice(start, _CHUNK)
        columns = [part[name].to_pylist() for name in _ITEM_COLUMNS.split(", ")]
        columns[3] = [json.dumps(path, ensure_ascii=False) for path in columns[3]]
        yield list(zip(range(start, start + len(part)), *columns, strict=True))


def _event_rows(
    events: pa.Table, user_keys: np.ndarray, item_keys: np.ndarray
) -> Iterator[Sequence[tuple[Any, ...]]]:
    """The rows of the events table in the order of its key, which is the fastest to insert."""
    if np.any(user_keys[1:] < user_keys[:-1]):
        order = np.argsort(user_keys, kind="stable")
        events, user_keys, item_keys = events.take(order), user_keys[order], item_keys[order]
    first = np.searchsorted(user_keys, user_keys)
    seqs = np.arange(len(user_keys)) - first
    for start in range(0, len(events), _CHUNK):
        part, here = events.slice(start, _CHUNK), slice(start, start + _CHUNK)
        numbers = [array[here].tolist() for array in (user_keys, seqs, item_keys)]
        rest = [part[name].to_pylist() for name in ("timestamp", "event", "value")]
        yield list(zip(*numbers, *rest, strict=True))


def _chunks(columns: list[list[Any]]) -> Iterator[Sequence[tuple[Any, ...]]]:
    rows = list(zip(*columns, strict=True))
    for start in range(0, len(rows), _CHUNK):
        yield rows[start : start + _CHUNK]


def _table(columns: list[list[Any]], schema: pa.Schema) -> pa.Table:
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """SQLite's errors as ours."""
    try:
        with disk_errors(path):
            yield
    except sqlite3.Error as error:
        text = str(error)
        if "full" in text:
            raise disk_full(path) from error
        if "locked" in text:
            raise IndexLocked(
                f"{path}: another process has been writing for more than 5 s; try again"
            ) from error
        if "readonly" in text or "unable to open" in text or "disk I/O" in text:
            raise StoreUnavailable(
                f"{path}: cannot be opened or written ({text}); check the folder, its permissions "
                "and the free space"
            ) from error
        if isinstance(error, sqlite3.DatabaseError) and (
            "malformed" in text or "not a database" in text or "no such" in text
        ):
            raise IndexDamaged(
                f"{path}: the records are damaged ({text}); restore this file from a backup, or "
                "delete it and run `crossrec build` again with the same files"
            ) from error
        raise
