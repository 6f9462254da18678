"""Live changes of the truth: each call is one transaction, durable when it returns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from crossrec_llm.errors import DataError
from crossrec_llm.store.database import Database
from crossrec_llm.store.erasures import Erasures
from crossrec_llm.store.rows import ITEM_COLUMNS, item_rows, items_table, row_digest

Execute = Callable[..., Any]

_CHANGED = (
    "change = ?, filed = CASE WHEN change > 0 THEN filed ELSE ? END"  # its row, before any change
)


@dataclass(frozen=True)
class Appended:
    """What became of events.

    added : new ones; repeated : those that were there already; erased : of people who were erased
    after they happened, which are left out.
    """

    added: int
    repeated: int
    erased: int = 0


@dataclass(frozen=True)
class Put:
    """added : items that were not there, or had been removed; changed; unchanged : the same."""

    added: int
    changed: int
    unchanged: int


@dataclass(frozen=True)
class LiveItems:
    """Items with a change since some moment, as they are now.

    items : ITEMS_SCHEMA, new and changed ones, in the order they came in.
    removed : ids of the removed ones.
    """

    items: pa.Table
    removed: tuple[str, ...]


def last_change(database: Database) -> int:
    return int(database.one("SELECT value FROM about WHERE name = 'change'") or 0)


def append(
    database: Database, events: pa.Table, event_ids: Sequence[str | None] | None = None
) -> Appended:
    """As `Ledger.append`."""
    ids = [None] * len(events) if event_ids is None else event_ids
    with database.transaction() as execute:
        # Within it: an erasure that ends right before it is not to be undone.
        old = Erasures(database).of_old_lives(events)
        if old.any():
            left = np.flatnonzero(~old)
            events, ids = events.take(left), [ids[int(row)] for row in left]
        number = last_change(database) + 1
        items = _known_items(execute, events["item_id"].unique().to_pylist())
        users = _Users(execute)
        added = named = 0
        columns = (column.to_pylist() for column in events.columns)
        for event_id, user_id, item_id, *rest in zip(ids, *columns, strict=True):
            user = users.find(user_id)
            if event_id is not None:
                told = "INSERT OR IGNORE INTO event_ids VALUES (?, ?, ?, ?)"
                if not execute(told, (event_id, user_id, item_id, number)).rowcount:
                    continue
                if user is not None and _is_named(execute, user, items[item_id], rest, number):
                    named += 1
                    continue
            elif user is not None and _is_there(execute, user, items[item_id], rest):
                continue
            user, seq = users.next(user_id)
            execute(
                "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, 0)",
                (user, seq, items[item_id], *rest, number),
            )
            added += 1
        if added or named:
            _number(execute, number)
    return Appended(added, len(events) - added, int(old.sum()))


def put_items(database: Database, items: pa.Table) -> Put:
    """As `Ledger.put_items`."""
    there = f"SELECT key, removed, {ITEM_COLUMNS} FROM items WHERE item_id = ?"
    names = ITEM_COLUMNS.split(", ")
    values = ", ".join(f"{name} = ?" for name in names)
    added = changed = 0
    with database.transaction() as execute:
        Erasures(database).take_back(execute, items["item_id"].to_pylist())
        number = last_change(database) + 1
        key = execute("SELECT coalesce(max(key) + 1, 0) FROM items").fetchone()[0]
        for row in item_rows(items):
            old = execute(there, row[:1]).fetchone()
            if old is None:
                marks = ", ".join("?" * (len(row) + 1))
                execute(f"INSERT INTO items VALUES ({marks}, ?, 0, NULL)", (key, *row, number))
                key, added = key + 1, added + 1
            elif old[1] or old[2:] != row:
                execute(
                    f"UPDATE items SET {values}, removed = 0, {_CHANGED} WHERE key = ?",
                    (*row, number, None if old[1] else row_digest(old[2:]), old[0]),
                )
                added, changed = added + old[1], changed + 1 - old[1]
        if added or changed:
            _number(execute, number)
    return Put(added, changed, len(items) - added - changed)


def remove_items(database: Database, item_ids: Iterable[str]) -> int:
    """As `Ledger.remove_items`."""
    there = f"SELECT key, {ITEM_COLUMNS} FROM items WHERE item_id = ? AND removed = 0"
    removed = 0
    with database.transaction() as execute:
        number = last_change(database) + 1
        for item_id in item_ids:
            if old := execute(there, (item_id,)).fetchone():
                execute(
                    f"UPDATE items SET removed = 1, {_CHANGED} WHERE key = ?",
                    (number, row_digest(old[1:]), old[0]),
                )
                removed += 1
        if removed:
            _number(execute, number)
    return removed


def items_since(database: Database, change: int) -> LiveItems:
    """As `Ledger.items_since`."""
    if database.layout < 3:
        return LiveItems(items_table(()), ())
    # The first condition is that of the index.
    since = "FROM items WHERE change > 0 AND change > ? AND removed = ? ORDER BY key"
    return LiveItems(
        items_table(database.all(f"SELECT {ITEM_COLUMNS} {since}", change, 0)),
        tuple(id for (id,) in database.all(f"SELECT item_id {since}", change, 1)),
    )


def item_keys(database: Database, item_ids: pa.ChunkedArray) -> np.ndarray:
    """As `Ledger.rows`."""
    encoded = item_ids.combine_chunks().dictionary_encode()
    there = "" if database.layout < 3 else " AND NOT removed"
    find = f"SELECT key FROM items WHERE item_id = ?{there}"
    keys = (database.one(find, item_id) for item_id in encoded.dictionary.to_pylist())
    known = np.array([-1 if key is None else key for key in keys], np.int64)
    return np.asarray(known[encoded.indices.to_numpy(zero_copy_only=False)])


def users_since(database: Database, change: int) -> list[str]:
    """As `Ledger.users_since`."""
    if database.layout < 3:
        return []
    rows = database.all(
        "SELECT user_id FROM users WHERE key IN (SELECT user FROM events INDEXED BY events_live "
        "WHERE change > 0 AND change > ?) ORDER BY key",
        change,
    )
    return [user_id for (user_id,) in rows]


def count_since(database: Database, change: int) -> int:
    """As `Ledger.count_since`."""
    if database.layout < 3:
        return 0
    since = "SELECT count(*) FROM {} WHERE change > 0 AND change > ?"
    return sum(int(database.one(since.format(name), change)) for name in ("items", "events"))


class _Users:
    """Keys of users and the next number of an event of theirs; new users get a key."""

    def __init__(self, execute: Execute) -> None:
        self._execute = execute
        self._known: dict[str, tuple[int, int]] = {}

    def find(self, user_id: str) -> int | None:
        """The key of a user who is there."""
        if user_id not in self._known:
            row = self._execute("SELECT key FROM users WHERE user_id = ?", (user_id,)).fetchone()
            if row is None:
                return None
            last = "SELECT coalesce(max(seq) + 1, 0) FROM events WHERE user = ?"
            self._known[user_id] = row[0], self._execute(last, row).fetchone()[0]
        return self._known[user_id][0]

    def next(self, user_id: str) -> tuple[int, int]:
        """The key and number of the next event of a user."""
        if self.find(user_id) is None:
            key = self._execute("SELECT coalesce(max(key) + 1, 0) FROM users").fetchone()[0]
            self._execute("INSERT INTO users VALUES (?, ?)", (key, user_id))
            self._known[user_id] = key, 0
        key, seq = self._known[user_id]
        self._known[user_id] = key, seq + 1
        return key, seq


def _known_items(execute: Execute, item_ids: Sequence[str]) -> dict[str, int]:
    """The keys of items; refuses ids that are not there."""
    keys = {}
    for item_id in item_ids:
        found = execute("SELECT key FROM items WHERE item_id = ? AND removed = 0", (item_id,))
        if (row := found.fetchone()) is None:
            raise DataError(f"an event about {item_id!r}, which is not among the items")
        keys[item_id] = row[0]
    return keys


def _is_there(execute: Execute, user: int, item: int, rest: Sequence[Any]) -> bool:
    same = (
        "SELECT 1 FROM events WHERE item = ? AND user = ? AND timestamp IS ? AND event = ? "
        # A build adds up the values of equal rows.
        "AND (value IS ? OR (change = 0 OR filed = 1) AND timestamp IS NOT NULL) LIMIT 1"
    )
    return execute(same, (item, user, *rest)).fetchone() is not None


def _is_named(execute: Execute, user: int, item: int, rest: Sequence[Any], number: int) -> bool:
    """Give an event of the files, which has no id, the one that it is told again with."""
    unnamed = (
        "UPDATE events SET change = ?, filed = 1 WHERE (user, seq) IN (SELECT user, seq FROM "
        "events WHERE item = ? AND user = ? AND change = 0 AND timestamp IS ? AND event = ? "
        "AND (timestamp IS NOT NULL OR value IS ?) LIMIT 1)"
    )
    return bool(execute(unnamed, (number, item, user, *rest)).rowcount)


def _number(execute: Execute, number: int) -> None:
    execute("INSERT OR REPLACE INTO about VALUES ('change', ?)", (str(number),))
