"""What a build makes the truth: tables of files in place of what is there, under the live part."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from crossrec_llm.records import Progress
from crossrec_llm.store import rows
from crossrec_llm.store.database import Database
from crossrec_llm.store.merging import Base, LiveItem, LivePart, merge

_LIVE_ITEMS = f"""
SELECT change, removed, filed, {rows.ITEM_COLUMNS} FROM items WHERE change > 0 ORDER BY key
"""
_LIVE_EVENTS = """
SELECT events.change, user_id, item_id, timestamp, event, value FROM events
JOIN users ON users.key = user JOIN items ON items.key = item
WHERE events.change > 0 ORDER BY user, seq
"""
_FROM_FILES = (0, 0, None)


def content(database: Database) -> str:
    """As `Ledger.content`."""
    about = dict(database.all("SELECT name, value FROM about"))
    digest, change = about.get("content", ""), int(about.get("change", 0))
    return digest if change <= int(about.get("folded", 0)) else f"{digest}+{change}"


def live_part(database: Database) -> LivePart:
    """All rows with a change."""
    if database.layout < 3:
        return LivePart((), rows.events_table(()), np.empty(0, np.int64))
    items = [
        LiveItem(tuple(row), change, bool(removed), filed)
        for change, removed, filed, *row in database.all(_LIVE_ITEMS)
    ]
    events = database.all(_LIVE_EVENTS)
    numbers = np.array([change for change, *_ in events], np.int64)
    return LivePart(items, rows.events_table(tuple(row) for _, *row in events), numbers)


def write(
    database: Database,
    items: pa.Table,
    events: pa.Table,
    content_digest: str,
    *,
    upto: int,
    dropped: int = 0,
    progress: Progress | None = None,
) -> bool:
    """Put `merging.merge` of the tables and the live part in place of what is there.

    Parameters
    ----------
    content_digest : what `content` gives from then on, until something comes live after `upto`.
    upto : as of `merging.merge`.
    dropped : what came live up to this number is no more.

    Returns
    -------
    Whether anything was written; False when nothing is live and the content is there already.
    """
    with database.transaction() as execute:
        execute("DELETE FROM event_ids WHERE change <= ?", (dropped,))
        live = live_part(database)
        if content(database) == content_digest and not live:
            return False
        base = merge(items, events, live.after(dropped), upto)
        for table in ("events", "users", "items"):
            database.empty(table)
        execute("DROP INDEX IF EXISTS events_by_item")
        for done, total in _insert(database, base):
            if progress:
                progress("record", done, total)
        execute("CREATE INDEX events_by_item ON events (item, user)")
        execute("DELETE FROM event_ids WHERE user_id NOT IN (SELECT user_id FROM users)")
        about = [("content", content_digest), ("folded", str(upto))]
        database.insert("INSERT OR REPLACE INTO about VALUES (?, ?)", about)
    return True


def _insert(database: Database, base: Base) -> Iterator[tuple[int, int]]:
    """Rows done, and of how many."""
    users, user_keys, item_keys = rows.keys(base.items, base.events)
    marks = {row: (item.change, int(item.removed), item.filed) for row, item in base.live.items()}
    total, done = len(base.items) + len(users) + len(base.events), 0
    for table, width, values in (
        (
            "items",
            14,
            (
                (key, *row, *marks.get(key, _FROM_FILES))
                for key, row in enumerate(rows.item_rows(base.items))
            ),
        ),
        ("users", 2, enumerate(users)),
        ("events", 7, rows.event_rows(base.events, user_keys, item_keys, base.changes)),
    ):
        statement = f"INSERT INTO {table} VALUES ({', '.join('?' * width)})"
        for chunk in rows.chunks(values):
            database.insert(statement, chunk)
            done += len(chunk)
            yield done, total
