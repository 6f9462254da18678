"""Out of the records for good: who and what is erased, and that it does not come back."""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from crossrec_llm.errors import IndexLocked
from crossrec_llm.store.database import Database, Execute
from crossrec_llm.store.rows import events_table

Kind = Literal["user", "item"]

_SALT, _PENDING = "erasing salt", "erasing"
_WAIT = 10.0  # seconds for readers to let go of the records as they were


@dataclass(frozen=True)
class Removed:
    """What an erasure took out of the records.

    struck : corrections of other people that named an erased item.
    """

    users: int = 0
    items: int = 0
    events: int = 0
    corrections: int = 0
    struck: int = 0


@dataclass(frozen=True)
class Barred:
    """Rows of an input that were left out: they are of what was erased."""

    user_rows: int = 0
    items: int = 0
    item_rows: int = 0

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left out, in words; empty where nothing was."""
        found = []
        if self.user_rows:
            found.append(
                f"{_rows(self.user_rows)} of erased people left out: older than the erasure, or "
                "without a time"
            )
        if self.items or self.item_rows:
            found.append(
                f"{self.items:,} erased item{'' if self.items == 1 else 's'} and "
                f"{_rows(self.item_rows)} about them left out; `crossrec add-items` with a file "
                "that has such an item takes it back"
            )
        return tuple(found)


class Erasures:
    """What was erased from a ledger, and the erasing itself.

    An id that was erased is kept as a keyed hash only: enough to know it when it comes again.
    Whoever has this file and guesses an id can check the guess; nobody can read the ids off it.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def hash(self, kind: Kind, id: str) -> str:
        """32 hex digits, other ones in every index."""
        return _hash(self._salt, kind, id)

    def moments(self, kind: Kind) -> dict[str, float]:
        """When each erased id, by its hash, was erased: epoch seconds (UTC)."""
        if not self._exists:
            return {}
        return dict(self._database.all("SELECT hash, at FROM erased WHERE kind = ?", kind))

    @property
    def pending(self) -> bool:
        """Whether an erasure took something out of the records and was not finished elsewhere."""
        return bool(self._database.one("SELECT value FROM about WHERE name = ?", _PENDING))

    def has(self, kind: Kind, id: str) -> bool:
        """Whether the records hold something of an id."""
        found = self._database.one(f"SELECT count(*) FROM {kind}s WHERE {kind}_id = ?", id)
        if kind == "user":
            told = "SELECT count(*) FROM corrections WHERE user_id = ?"
            found = found or self._database.one(told, id)
        return bool(found)

    def ids(self, kind: Kind) -> list[str]:
        """All that the records hold, removed items too."""
        rows = self._database.all(f"SELECT {kind}_id FROM {kind}s ORDER BY key")
        return [id for (id,) in rows]

    def erase(self, kind: Kind, ids: Sequence[str], moment: float) -> Removed:
        """Take people or items out of the records with their events, in one transaction.

        It is pending until `done`: what was made from the records still has them. Nothing of
        them stays in the file's free space once `scour` has run.

        Parameters
        ----------
        moment : epoch seconds (UTC): events of a person that are dated after it are a new life.

        Raises
        ------
        IndexLocked, StoreUnavailable : it cannot be written; nothing was erased.
        """
        with self._database.transaction() as execute:
            if self._salt == "":
                execute("INSERT INTO about VALUES (?, ?)", (_SALT, secrets.token_hex(16)))
            removed = _erase_users(execute, ids) if kind == "user" else _erase_items(execute, ids)
            for id in ids:
                row = (kind, self.hash(kind, id), moment)
                execute("INSERT OR REPLACE INTO erased VALUES (?, ?, ?)", row)
            execute("INSERT OR REPLACE INTO about VALUES (?, '1')", (_PENDING,))
            # Not a digest of tables: the next build from files is to write them.
            about = ("content", f"erased {secrets.token_hex(16)}")
            execute("INSERT OR REPLACE INTO about VALUES (?, ?)", about)
        return removed

    def events(self, upto: int) -> pa.Table:
        """What came up to a change (EVENTS_SCHEMA), as `Ledger.events`."""
        return events_table(
            self._database.all(
                "SELECT users.user_id, items.item_id, timestamp, event, value FROM events "
                "JOIN users ON users.key = user JOIN items ON items.key = item "
                "WHERE NOT items.removed AND events.change <= ? ORDER BY user, seq",
                upto,
            )
        )

    def scour(self) -> None:
        """Write the file anew and empty its log, so that no page holds what was deleted.

        Raises
        ------
        IndexLocked : somebody has been reading the records as they were for more than 10 s.
        """
        self._database.execute("VACUUM")
        until = time.monotonic() + _WAIT
        while self._database.one("PRAGMA wal_checkpoint(TRUNCATE)"):
            if time.monotonic() > until:
                raise IndexLocked(
                    f"{self._database.path}: another process has been reading the records as "
                    "they were before the erasure; run the same command again to finish it"
                )
            time.sleep(0.05)

    def done(self) -> None:
        """Nothing that is kept was made from what was erased."""
        with self._database.transaction() as execute:
            execute("DELETE FROM about WHERE name = ?", (_PENDING,))

    def take_back(self, item_ids: Iterable[str]) -> int:
        """Let erased items in again, because somebody named them; how many there were."""
        if not self._exists:
            return 0
        hashes = [(self.hash("item", id),) for id in item_ids]
        statement = "DELETE FROM erased WHERE kind = 'item' AND hash = ?"
        with self._database.transaction() as execute:
            return sum(execute(statement, one).rowcount for one in hashes)

    def of_old_lives(self, events: pa.Table) -> np.ndarray:
        """(n_events,) bool: of an erased person, and not dated after the erasure."""
        erased = self._moments_of("user", events["user_id"], self.moments("user"))
        times = np.asarray(events["timestamp"].to_numpy(), np.float64)
        found: np.ndarray = np.isfinite(erased) & ~(times > erased)
        return found

    def barred(self, items: pa.Table, events: pa.Table) -> tuple[pa.Table, pa.Table, Barred]:
        """Both tables without what was erased.

        Of a person, that is what is older than the erasure or has no time: what is newer is a new
        life of that id. Of an item, it is everything.
        """
        if not self._exists:
            return items, events, Barred()
        gone = self.moments("item")
        item_rows = np.isfinite(self._moments_of("item", items["item_id"], gone))
        about_gone = np.isfinite(self._moments_of("item", events["item_id"], gone))
        of_gone = self.of_old_lives(events) & ~about_gone
        found = Barred(int(of_gone.sum()), int(item_rows.sum()), int(about_gone.sum()))
        return (
            items.filter(pa.array(~item_rows)),
            events.filter(pa.array(~(of_gone | about_gone))),
            found,
        )

    def _moments_of(
        self, kind: Kind, ids: pa.ChunkedArray, moments: dict[str, float]
    ) -> np.ndarray:
        """(n,) float64, when each was erased; NaN where it was not."""
        if not moments or not len(ids):
            return np.full(len(ids), np.nan)
        encoded = pc.dictionary_encode(ids.combine_chunks())
        salt = self._salt
        known = np.array(
            [moments.get(_hash(salt, kind, id), np.nan) for id in encoded.dictionary.to_pylist()]
        )
        found: np.ndarray = known[encoded.indices.to_numpy(zero_copy_only=False)]
        return found

    @property
    def _salt(self) -> str:
        return str(self._database.one("SELECT value FROM about WHERE name = ?", _SALT) or "")

    @property
    def _exists(self) -> bool:
        return self._database.layout >= 3


def _erase_users(execute: Execute, ids: Sequence[str]) -> Removed:
    users = events = corrections = 0
    for id, key in _keys(execute, "user", ids):
        corrections += execute("DELETE FROM corrections WHERE user_id = ?", (id,)).rowcount
        if key is not None:
            events += execute("DELETE FROM events WHERE user = ?", (key,)).rowcount
            users += execute("DELETE FROM users WHERE key = ?", (key,)).rowcount
        execute("DELETE FROM event_ids WHERE user_id = ?1 OR instr(event_id, ?1)", (id,))
    return Removed(users=users, events=events, corrections=corrections)


def _erase_items(execute: Execute, ids: Sequence[str]) -> Removed:
    items = events = struck = 0
    for id, key in _keys(execute, "item", ids):
        if key is not None:
            events += execute("DELETE FROM events WHERE item = ?", (key,)).rowcount
            items += execute("DELETE FROM items WHERE key = ?", (key,)).rowcount
        execute("DELETE FROM event_ids WHERE instr(event_id, ?)", (id,))
    gone = set(ids)
    made = execute("SELECT number, items FROM corrections WHERE sentence = ''").fetchall()
    for number, listed in made:
        named = json.loads(listed)
        left = [id for id in named if id not in gone]
        if len(left) == len(named):
            continue
        struck += 1
        if left:
            execute("UPDATE corrections SET items = ? WHERE number = ?", (json.dumps(left), number))
        else:
            execute("DELETE FROM corrections WHERE number = ?", (number,))
    return Removed(items=items, events=events, struck=struck)


def _keys(execute: Execute, kind: Kind, ids: Sequence[str]) -> Iterator[tuple[str, int | None]]:
    for id in ids:
        row = execute(f"SELECT key FROM {kind}s WHERE {kind}_id = ?", (id,)).fetchone()
        yield id, row[0] if row else None


def _hash(salt: str, kind: Kind, id: str) -> str:
    digest = hashlib.blake2b(id.encode(), digest_size=16, key=salt.encode(), person=kind.encode())
    return digest.hexdigest()


def _rows(n: int) -> str:
    return f"{n:,} row{'' if n == 1 else 's'}"
