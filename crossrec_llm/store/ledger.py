"""records.sqlite, the truth: items and events as acknowledged; all else can be built from it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa

from crossrec_llm.errors import UnknownUser
from crossrec_llm.profiles import Correction
from crossrec_llm.records import Progress
from crossrec_llm.store import basis, changes
from crossrec_llm.store.answered import Answered
from crossrec_llm.store.changes import Appended, LiveItems, Put
from crossrec_llm.store.database import Database
from crossrec_llm.store.erasures import Erasures
from crossrec_llm.store.merging import merge
from crossrec_llm.store.rows import ITEM_COLUMNS, content_digest, events_table, items_table
from crossrec_llm.tables import near_matches

_EVENTS = """
SELECT users.user_id, items.item_id, timestamp, event, value{more} FROM events
JOIN users ON users.key = user JOIN items ON items.key = item
"""
_REMOVED = "SELECT {what} FROM items WHERE change > 0 AND removed"


@dataclass(frozen=True)
class Merged:
    """What a build from files is made of.

    items, events : ITEMS_SCHEMA and EVENTS_SCHEMA, files and live changes together.
    change : the number of the last change that is in them.
    """

    items: pa.Table
    events: pa.Table
    change: int


class Ledger:
    """The items and events of one index, and what people said of their profiles.

    Reading never waits for a writer, and sees what was acknowledged before the read began. Items
    and events are as of now: without removed items, and without what is about them. Every live
    change raises `change` by 1, and the rows that came with it have its number; rows from files
    have 0. A file of an older layout can be read, nothing in it is live.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

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
        return cls(Database.open(path, write=write, held=held))

    @property
    def path(self) -> Path:
        return self._database.path

    def close(self) -> None:
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def moment(self) -> Iterator[Self]:
        """A ledger to read of which everything is of one moment, whatever is written meanwhile."""
        with type(self).open(self.path, write=False) as then:
            then._database.begin_reading()
            yield then

    # ------------------------------------------------------------------ what it is

    @property
    def id(self) -> str:
        """12 hex digits, drawn once when the file was made: tells indexes on one server apart."""
        return str(self._database.one("SELECT value FROM about WHERE name = 'id'"))

    def identify(self, id: str = "") -> None:
        """Take an id, or draw a new one: a copy in another place is another index."""
        self._database.identify(id)

    @property
    def layout(self) -> int:
        """Of the file; opening it for writing brings it to the newest."""
        return self._database.layout

    @property
    def change(self) -> int:
        """The number of the last live change; 0 before the first."""
        return changes.last_change(self._database)

    @property
    def content(self) -> str:
        """What is in it, for comparing: "" when it is empty.

        It is the `content_digest` of what a build wrote; with live changes since, that and the
        number of the last of them.
        """
        return basis.content(self._database)

    @property
    def base(self) -> str:
        """The `content` of the last build from files, whatever came live since."""
        return basis.base(self._database)

    @property
    def published(self) -> tuple[str, ...]:
        """The generations that were live, in that order, for a manifest that has to be made anew.

        Empty where an earlier version wrote the last manifest.
        """
        said = self._database.one("SELECT value FROM about WHERE name = 'published'")
        return tuple(json.loads(said or "[]"))

    def note_published(self, names: Sequence[str]) -> None:
        """Have `published` give these. Raises as `put_items`."""
        if self.published != tuple(names):
            with self._database.transaction() as execute:
                said = json.dumps(list(names))
                execute("INSERT OR REPLACE INTO about VALUES ('published', ?)", (said,))

    @property
    def item_count(self) -> int:
        return self._count("items", "key")

    @property
    def user_count(self) -> int:
        return int(self._database.one("SELECT count(*) FROM users"))

    @property
    def event_count(self) -> int:
        return self._count("events", "item")

    def _count(self, table: str, column: str) -> int:
        number = int(self._database.one(f"SELECT count(*) FROM {table}"))
        if self._database.layout < 3:
            return number
        removed = _REMOVED.format(what="key")
        return number - int(
            self._database.one(f"SELECT count(*) FROM {table} WHERE {column} IN ({removed})")
        )

    @property
    def erasures(self) -> Erasures:
        """What was taken out for good, and the taking out."""
        return Erasures(self._database)

    @property
    def answered(self) -> Answered:
        """Changes of the last day that came with a key; for who writes."""
        return Answered(self._database)

    # ------------------------------------------------------------------ reading

    @property
    def _there(self) -> str:
        return "NOT items.removed" if self._database.layout >= 3 else "true"

    def items(self) -> pa.Table:
        """All items (ITEMS_SCHEMA) in the order they came in."""
        statement = f"SELECT {ITEM_COLUMNS} FROM items WHERE {self._there} ORDER BY key"
        return items_table(self._database.all(statement))

    def events(self, *, upto: int | None = None) -> pa.Table:
        """All events (EVENTS_SCHEMA), user by user, each in the order they came in.

        Parameters
        ----------
        upto : only what came up to this change; None = everything.
        """
        came = f"{_EVENTS.format(more='')} WHERE {self._there}"
        if upto is None or self._database.layout < 3:
            return events_table(self._database.all(f"{came} ORDER BY user, seq"))
        statement = f"{came} AND events.change <= ? ORDER BY user, seq"
        return events_table(self._database.all(statement, upto))

    def events_of(self, user_id: str) -> pa.Table:
        """One user's events (EVENTS_SCHEMA) in the order they came in.

        Raises
        ------
        UnknownUser : names users whose ids look like it.
        """
        statement = (
            f"{_EVENTS.format(more='')} WHERE users.user_id = ? AND {self._there} ORDER BY seq"
        )
        found = self._database.all(statement, user_id)
        if not found and not self.has_user(user_id):
            users = self._database.all("SELECT user_id FROM users")
            raise UnknownUser(user_id, near_matches(user_id, [id for (id,) in users]))
        return events_table(found)

    def events_of_all(self, user_ids: Iterable[str]) -> pa.Table:
        """The events of some users (EVENTS_SCHEMA), as in `events`; none of unknown ones."""
        statement = (
            f"{_EVENTS.format(more='')} WHERE users.user_id IN (SELECT value FROM json_each(?)) "
            f"AND {self._there} ORDER BY user, seq"
        )
        return events_table(self._database.all(statement, json.dumps(list(user_ids))))

    def has_user(self, user_id: str) -> bool:
        return bool(self._database.one("SELECT count(*) FROM users WHERE user_id = ?", user_id))

    def users_of(self, item_id: str) -> list[str]:
        """The users with an event about an item, each once, in the order of the users."""
        found = self._database.all(
            "SELECT DISTINCT users.user_id FROM items JOIN events ON item = items.key "
            f"JOIN users ON users.key = user WHERE item_id = ? AND {self._there} ORDER BY user",
            item_id,
        )
        return [user_id for (user_id,) in found]

    def rows(self, item_ids: pa.ChunkedArray) -> np.ndarray:
        """(n,) int64 a number of each item, -1 for ids that are not there (any more)."""
        return changes.item_keys(self._database, item_ids)

    @property
    def example(self) -> str:
        """The id of an item; "" where there is none."""
        return str(self._database.one("SELECT item_id FROM items ORDER BY key LIMIT 1") or "")

    def never_heard_of(self, item_ids: Iterable[str]) -> list[str]:
        """Those that are no items, not even removed ones."""
        there = "SELECT 1 FROM items WHERE item_id = ?"
        return [item_id for item_id in item_ids if not self._database.one(there, item_id)]

    def items_since(self, change: int) -> LiveItems:
        """The items that were put or removed after a change, as they are now."""
        return changes.items_since(self._database, change)

    def users_since(self, change: int) -> list[str]:
        """The users with an event that came after a change, in the order of the users."""
        return changes.users_since(self._database, change)

    def count_since(self, change: int) -> int:
        """How many items were put or removed, and events came, after a change."""
        return changes.count_since(self._database, change)

    def before(self, change: int) -> tuple[pa.Table, pa.Table]:
        """Items whose last change has at most this number, and the events that came up to it.

        A generation that was built at this number has these items, and those that were changed or
        removed since, of which the ledger keeps what they are now.
        """
        items = f"SELECT {ITEM_COLUMNS} FROM items WHERE change <= ? AND NOT removed ORDER BY key"
        events = f"{_EVENTS.format(more='')} WHERE events.change <= ? ORDER BY user, seq"
        return (
            items_table(self._database.all(items, change)),
            events_table(self._database.all(events, change)),
        )

    # ------------------------------------------------------------------ live changes

    def append(self, events: pa.Table, event_ids: Sequence[str | None] | None = None) -> Appended:
        """Add events in one transaction; durable when it returns.

        An event with an id is there once for each id; the first that tells of an event of the files
        (the same user, item, time and name; without a time the same value, too) gives it its id
        and is a repetition. One without is a repetition if the same user
        has an event of the same item, time, name and value. What is older than the erasure of its
        user, or has no time, is left out.

        Parameters
        ----------
        events : EVENTS_SCHEMA, about items that are there; users may be new.
        event_ids : one for each event, None = it has none.

        Raises
        ------
        DataError : an event about an item that is not there, or was removed; nothing is written.
        IndexLocked, StoreUnavailable : it cannot be written now.
        """
        return changes.append(self._database, events, event_ids)

    def put_items(self, items: pa.Table) -> Put:
        """Add items, or change those that are there, in one transaction; durable when it returns.

        Items that are as they were are not touched. A removed one is back, with its events; an
        erased one is new, and may come in files again.

        Parameters
        ----------
        items : ITEMS_SCHEMA; of an id that occurs twice the last row stands.

        Raises
        ------
        IndexLocked, StoreUnavailable : it cannot be written now.
        """
        return changes.put_items(self._database, items)

    def remove_items(self, item_ids: Iterable[str]) -> int:
        """Take items out in one transaction; how many of them were there.

        They stay in the file with their events, flagged, and come back when they are put again.
        Raises as `put_items`.
        """
        return changes.remove_items(self._database, item_ids)

    # ------------------------------------------------------------------ builds

    def merged(self, items: pa.Table, events: pa.Table) -> Merged:
        """What `merge` would make of these files; writes nothing.

        Parameters
        ----------
        items, events : as read from files: ITEMS_SCHEMA with each id once, EVENTS_SCHEMA.
        """
        with self.moment() as then:
            change, held = then.change, basis.held(then._database)
        return Merged(*merge(items, events, held, change).visible(), change)

    def unfiled(self) -> int:
        """How many items and events are not as the files of the last build have them."""
        with self.moment() as then:
            return basis.held(then._database).unfiled

    def merge(
        self,
        items: pa.Table,
        events: pa.Table,
        *,
        upto: int,
        content: str,
        oldest: int = 0,
        progress: Progress | None = None,
    ) -> None:
        """Make files and what came live the truth, in one transaction. Corrections stay.

        Others wait while the difference to what is there is written, not while it is found.

        Every item has the last word said about it. A row that is the same as in the last files
        says nothing new, so a live change or removal stays; one that differs is newer. An item
        that came live and is in no file stays; one that the last files had, and these have not, is
        gone. Events are there once, from files or live.

        Parameters
        ----------
        items, events : the tables that `merged` was given.
        upto : the change that `merged` gave; what came later is newer than the files.
        content : `content_digest` of what `merged` gave.
        oldest : the change of the oldest generation that is kept: what was gone before it is
            forgotten.

        Raises
        ------
        DataError : an item twice, or an event about an item that is not there.
        StoreUnavailable : no room, or not to be written; the old truth stays whole.
        """
        basis.write(
            self._database,
            items,
            events,
            content,
            upto=upto,
            oldest=oldest,
            progress=progress,
        )

    def replace(
        self,
        items: pa.Table,
        events: pa.Table,
        *,
        upto: int | None = None,
        oldest: int = 0,
        progress: Progress | None = None,
    ) -> bool:
        """Make these tables the truth, in one transaction. Corrections stay.

        Parameters
        ----------
        items : ITEMS_SCHEMA, each id once.
        events : EVENTS_SCHEMA, about these items; kept in order within each user.
        upto : changes with a higher number stay on top of the tables; by default none does.
        oldest : as of `merge`.

        Returns
        -------
        Whether anything was written; False when these very tables are there already.

        Raises
        ------
        As `merge`.
        """
        upto = self.change if upto is None else upto
        return basis.write(
            self._database,
            items,
            events,
            content_digest(items, events),
            upto=upto,
            dropped=upto,
            oldest=oldest,
            progress=progress,
        )

    # ------------------------------------------------------------------ corrections

    def corrections_of(self, user_id: str) -> tuple[Correction, ...]:
        """In the order they were made; what another process just wrote is among them."""
        if self._database.layout < 2:
            return ()
        rows = self._database.all(
            "SELECT number, sentence, items, made FROM corrections WHERE user_id = ? "
            "ORDER BY number",
            user_id,
        )
        return tuple(Correction(n, said, tuple(json.loads(ids)), t) for n, said, ids, t in rows)

    def users_with_strikes(self) -> list[str]:
        """Whose history is not what the events say, by id."""
        if self._database.layout < 2:
            return []
        statement = "SELECT DISTINCT user_id FROM corrections WHERE sentence = '' ORDER BY user_id"
        return [user_id for (user_id,) in self._database.all(statement)]

    def add_correction(
        self, user_id: str, *, sentence: str = "", items: Sequence[str] = ()
    ) -> Correction:
        """Write down a sentence that is pinned, or items that are struck.

        One transaction of SQLite: it needs no lock of the index, so that a build that goes on for
        an hour keeps nobody from correcting a profile.

        Raises
        ------
        IndexLocked : somebody has been writing to the records for more than 0.8 s.
        StoreUnavailable : no room, or not to be written.
        """
        values = (user_id, sentence, json.dumps(list(items)), time.time())
        with self._database.transaction() as execute:
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
        with self._database.transaction() as execute:
            return execute(statement, values).rowcount > 0
