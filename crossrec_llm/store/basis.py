"""What a build makes the truth: tables of files in place of what is there, under what came live."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby, takewhile
from operator import itemgetter
from typing import Any

import numpy as np
import pyarrow as pa

from crossrec_llm.records import Progress
from crossrec_llm.store import rows
from crossrec_llm.store.changes import last_change
from crossrec_llm.store.database import Database, Execute
from crossrec_llm.store.merging import Base, Held, LiveItem, merge

_LIVE_ITEMS = f"""
SELECT change, removed, filed, {rows.ITEM_COLUMNS} FROM items WHERE change > 0 ORDER BY key
"""
_LIVE_EVENTS = """
SELECT events.change, events.filed, user_id, item_id, timestamp, event, value FROM events
JOIN users ON users.key = user JOIN items ON items.key = item
WHERE events.change > 0 ORDER BY user, seq
"""
_ITEMS = f"SELECT key, change, removed, filed, {rows.ITEM_COLUMNS} FROM items ORDER BY key"
_EVENTS = """
SELECT user, seq, item, timestamp, event, value, change, filed FROM events ORDER BY user, seq
"""
_FORGOTTEN = """
DELETE FROM items WHERE change > 0 AND change <= ? AND removed AND filed IS NULL
AND NOT EXISTS (SELECT 1 FROM events WHERE item = key)
"""


def base(database: Database) -> str:
    """What the last build from files made the truth; live changes do not change it."""
    return str(database.one("SELECT value FROM about WHERE name = 'content'") or "")


def content(database: Database) -> str:
    """As `Ledger.content`."""
    about = dict(database.all("SELECT name, value FROM about"))
    digest, change = about.get("content", ""), int(about.get("change", 0))
    return digest if change <= int(about.get("folded", 0)) else f"{digest}+{change}"


def held(database: Database) -> Held:
    """All ids, and all rows with a change."""
    item_ids, user_ids = (
        pa.array([id for (id,) in database.all(f"SELECT {name}_id FROM {name}s ORDER BY key")],
                 pa.string())
        for name in ("item", "user")
    )  # fmt: skip
    items, events = [], []
    if database.layout >= 3:
        items = [
            LiveItem(tuple(row), change, bool(removed), filed)
            for change, removed, filed, *row in database.all(_LIVE_ITEMS)
        ]
        events = database.all(_LIVE_EVENTS)
    marks = np.array([row[:2] for row in events], np.int64).reshape(-1, 2)
    table = rows.events_table(row[2:] for row in events)
    return Held(item_ids, user_ids, items, table, marks[:, 0], marks[:, 1].astype(bool))


def write(
    database: Database,
    items: pa.Table,
    events: pa.Table,
    content_digest: str,
    *,
    upto: int,
    dropped: int = 0,
    oldest: int = 0,
    progress: Progress | None = None,
) -> bool:
    """Put `merging.merge` of the tables and what came live in place of what is there.

    What differs is found out first, while others write; what they change meanwhile stays. The
    transaction that keeps them waiting only writes the difference.

    Parameters
    ----------
    content_digest : what `content` gives from then on, until something comes live after `upto`.
    upto, dropped : as of `merging.merge`.
    oldest : no generation that was built at a lower change is kept; items that were gone before
        are forgotten.

    Returns
    -------
    Whether anything was written; False when these tables are there already.
    """
    with closing(Database.open(database.path, write=False)) as then:
        then.begin_reading()
        merged = merge(items, events, held(then), upto, dropped=dropped)
        difference = _Difference.of(then, merged)
        same = not difference and content(then) == content_digest
    if same:
        return False
    with database.transaction() as execute:
        execute("DELETE FROM event_ids WHERE change <= ?", (dropped,))
        _Application(database, execute, merged, difference, progress).run()
        execute(_FORGOTTEN, (oldest,))
        about = [("content", content_digest), ("folded", str(upto))]
        database.insert("INSERT OR REPLACE INTO about VALUES (?, ?)", about)
    return True


@dataclass(frozen=True)
class _Marks:
    """The columns of an item that say how it came."""

    change: int
    removed: int
    filed: bytes | None


@dataclass(frozen=True, eq=False)
class _Difference:
    """What has to be written so that a ledger, as it was at a change, holds a base.

    puts : row and marks of the items of the base that are new or differ.
    gone_items, gone_users : keys of those that the base has not.
    users : (n_users,) int64 key of each user of the base, those of new ones above all others.
    user_codes, item_rows : (n_events,) int64 user and item of each event of the base, by number.
    differing : numbers of the users who have other events, with how many at their beginning are
        the same, and the seq that is free behind these.
    """

    change: int
    puts: list[tuple[int, _Marks]]
    gone_items: list[int]
    gone_users: list[int]
    user_ids: list[str]
    user_codes: np.ndarray
    item_rows: np.ndarray
    differing: dict[int, tuple[int, int]]

    def __bool__(self) -> bool:
        return bool(self.puts or self.gone_items or self.gone_users or self.differing)

    def changed_events(self) -> np.ndarray:
        """(n,) int64 numbers of the events of the base that have to be written."""
        same = np.full(len(self.user_ids), len(self.user_codes))
        for n, (first, _) in self.differing.items():
            same[n] = first
        begin = np.searchsorted(self.user_codes, np.arange(len(self.user_ids)))
        place = np.arange(len(self.user_codes)) - begin[self.user_codes]
        return np.flatnonzero(place >= same[self.user_codes])

    @classmethod
    def of(cls, then: Database, base: Base) -> _Difference:
        """Between what is read and a base that was made of it.

        Raises
        ------
        DataError : an item twice, or an event about an item that is not there.
        """
        user_ids, user_codes, item_rows = rows.keys(base.items, base.events)
        puts, gone_items, item_keys = _items_apart(then, base)
        there = dict(then.all("SELECT user_id, key FROM users ORDER BY key"))
        first = max(there.values(), default=-1) + 1
        users = np.array([there.get(id, first + n) for n, id in enumerate(user_ids)], np.int64)
        told = rows.event_rows(
            base.events, users[user_codes], item_keys[item_rows], base.changes, base.filed
        )
        differing = dict(_groups_apart(then.stream(_EVENTS), told))
        gone_users = sorted(set(there.values()) - set(users.tolist()))
        number = {int(key): n for n, key in enumerate(users)}
        return cls(
            last_change(then),
            puts,
            gone_items,
            gone_users,
            user_ids,
            user_codes,
            item_rows,
            {number[key]: same for key, same in differing.items() if key in number},
        )


def _items_apart(
    then: Database, base: Base
) -> tuple[list[tuple[int, _Marks]], list[int], np.ndarray]:
    """`puts` and `gone_items` of a difference, and the key of each item; new ones above all."""
    puts: list[tuple[int, _Marks]] = []
    gone: list[int] = []
    keys = np.full(len(base.items), -1, np.int64)
    told = enumerate(rows.item_rows(base.items))
    n, now = next(told, (-1, None))
    for key, change, removed, filed, *values in then.stream(_ITEMS):
        row, marks = tuple(values), _Marks(change, removed, filed)
        if now is None or row[0] != now[0]:
            if not change or marks != _Marks(change, 1, None):
                gone.append(key)
            continue
        wanted = _marks(base, n, now, change)
        if (row, marks) != (now, wanted):
            puts.append((n, wanted))
        keys[n] = key
        n, now = next(told, (-1, None))
    while now is not None:
        puts.append((n, _marks(base, n, now, 0)))
        n, now = next(told, (-1, None))
    new = np.flatnonzero(keys < 0)
    keys[new] = keys.max(initial=-1) + 1 + np.arange(len(new))
    return puts, gone, keys


def _marks(base: Base, n: int, row: rows.ItemRow, change: int) -> _Marks:
    """Of an item that had a change, or 0, before."""
    if live := base.live.get(n):
        return _Marks(live.change, int(live.removed), live.filed)
    return _Marks(change, 0, rows.row_digest(row) if change else None)


def _groups_apart(
    there: Iterable[tuple[Any, ...]], told: Iterable[tuple[Any, ...]]
) -> Iterator[tuple[int, tuple[int, int]]]:
    """`differing` of a difference, by the users' keys; both come user by user, by rising keys."""
    ends: tuple[float, list[tuple[Any, ...]]] = (np.inf, [])
    left, right = (_by_user(part) for part in (there, told))
    (key, old), (other, new) = next(left, ends), next(right, ends)
    while min(key, other) < np.inf:
        if key != other or _values(old) != _values(new):
            pairs = zip(old, new, strict=False) if key == other else ()
            same = sum(1 for _ in takewhile(lambda pair: pair[0][2:] == pair[1][2:], pairs))
            yield int(min(key, other)), (same, old[same - 1][1] + 1 if same else 0)
        at = min(key, other)
        if key == at:
            key, old = next(left, ends)
        if other == at:
            other, new = next(right, ends)


def _by_user(
    events: Iterable[tuple[Any, ...]],
) -> Iterator[tuple[float, list[tuple[Any, ...]]]]:
    for key, group in groupby(events, itemgetter(0)):
        yield key, list(group)


def _values(events: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return [row[2:] for row in events]


@dataclass(frozen=True, eq=False)
class _Application:
    """A difference being written, within a transaction; what is newer than it stays as it is."""

    database: Database
    execute: Execute
    base: Base
    difference: _Difference
    progress: Progress | None

    def run(self) -> None:
        self._drop_items()
        item_keys = self._put_items()
        self._put_events(item_keys)
        self._drop_users()

    def _drop_items(self) -> None:
        """What came live is kept as removed, for generations that know nothing of its end."""
        execute, since = self.execute, self.difference.change
        for key in self.difference.gone_items:
            change = execute("SELECT change FROM items WHERE key = ?", (key,)).fetchone()[0]
            late = "SELECT max(change) FROM events WHERE item = ? AND change > ?"
            change = change or execute(late, (key, since)).fetchone()[0]
            if change is None:
                execute("DELETE FROM items WHERE key = ?", (key,))
                continue
            execute("UPDATE items SET removed = 1, change = ? WHERE key = ? AND change <= ?",
                    (change, key, since))  # fmt: skip
            execute("UPDATE items SET filed = NULL WHERE key = ?", (key,))

    def _put_items(self) -> np.ndarray:
        """(n_items,) int64 the key of each."""
        base, execute, since = self.base, self.execute, self.difference.change
        names = rows.ITEM_COLUMNS.split(", ")
        update = ", ".join(f"{name} = ?" for name in (*names, "change", "removed", "filed"))
        insert = f"INSERT INTO items VALUES ({', '.join('?' * (len(names) + 4))})"
        free = execute("SELECT coalesce(max(key) + 1, 0) FROM items").fetchone()[0]
        picked = base.items.take(pa.array([n for n, _ in self.difference.puts], pa.int64()))
        told = zip(self.difference.puts, rows.item_rows(picked), strict=True)
        for (n, marks), row in told:
            there = execute("SELECT key, change FROM items WHERE item_id = ?", row[:1]).fetchone()
            values = (*row, marks.change, marks.removed, marks.filed)
            if there is None:
                execute(insert, (free, *values))
                free += 1
            elif there[1] <= since:
                execute(f"UPDATE items SET {update} WHERE key = ?", (*values, there[0]))
            else:
                filed = marks.filed if n in base.live else rows.row_digest(row)
                execute("UPDATE items SET filed = ? WHERE key = ?", (filed, there[0]))
        keys = dict(execute("SELECT item_id, key FROM items"))
        return np.array([keys[id] for id in base.items["item_id"].to_pylist()], np.int64)

    def _put_events(self, item_keys: np.ndarray) -> None:
        """Of the users who have others; what came since is behind them."""
        difference, base, execute = self.difference, self.base, self.execute
        keys = np.zeros(len(difference.user_ids), np.int64)
        late, first = [], {}
        for n, (_, free) in difference.differing.items():
            id = (difference.user_ids[n],)
            row = execute("SELECT key FROM users WHERE user_id = ?", id).fetchone()
            if row is None:
                row = execute(
                    "INSERT INTO users (user_id, key) "
                    "SELECT ?, coalesce(max(key) + 1, 0) FROM users RETURNING key", id
                ).fetchone()  # fmt: skip
            else:
                since = "SELECT * FROM events WHERE user = ? AND change > ? ORDER BY seq"
                late += execute(since, (*row, difference.change)).fetchall()
                execute("DELETE FROM events WHERE user = ? AND seq >= ?", (*row, free))
            keys[n], first[row[0]] = row[0], free
        picked = difference.changed_events()
        told = rows.event_rows(
            base.events.take(pa.array(picked)),
            keys[difference.user_codes[picked]],
            item_keys[difference.item_rows[picked]],
            base.changes[picked],
            base.filed[picked],
        )
        insert, done = f"INSERT INTO events VALUES ({', '.join('?' * 8)})", 0
        placed = ((user, first[user] + seq, *rest) for user, seq, *rest in told)
        for chunk in rows.chunks(placed):
            self.database.insert(insert, chunk)
            done += len(chunk)
            if self.progress:
                self.progress("record", done, len(picked))
        for user, _, *rest in late:
            execute(
                "INSERT INTO events SELECT ?1, coalesce(max(seq) + 1, 0), ?, ?, ?, ?, ?, ? "
                "FROM events WHERE user = ?1", (user, *rest)
            )  # fmt: skip

    def _drop_users(self) -> None:
        for key in self.difference.gone_users:
            self.execute("DELETE FROM events WHERE user = ? AND change <= ?",
                         (key, self.difference.change))  # fmt: skip
            there = "NOT EXISTS (SELECT 1 FROM events WHERE user = key)"
            self.execute(f"DELETE FROM users WHERE key = ? AND {there}", (key,))
