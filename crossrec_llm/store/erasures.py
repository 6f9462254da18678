"""Out of the records for good: who and what is erased, and that it does not come back."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from crossrec_llm.errors import IndexLocked
from crossrec_llm.store.database import Database, Execute
from crossrec_llm.store.exposures import erase_exposures_of, erase_offers_of

Kind = Literal["user", "item"]

KINDS: tuple[Kind, ...] = ("user", "item")
_SALT, _UNFINISHED, _SERVERS = "erasing salt", "erasing ", "chroma servers"
_BETWEEN = re.compile(r"[,;|\t\n]")  # the values of a row
_WAIT = 10.0  # seconds for readers to let go of the records as they were


@dataclass(frozen=True)
class Removed:
    """What an erasure took out of the records.

    struck : corrections of other people that named an erased item.
    exposures, outcomes : what people were shown, and what came of it; offers : places that an
        erased item had, or might have had, in what others were shown.
    """

    users: int = 0
    items: int = 0
    events: int = 0
    corrections: int = 0
    struck: int = 0
    exposures: int = 0
    outcomes: int = 0
    offers: int = 0

    def __add__(self, other: Removed) -> Removed:
        names = [one.name for one in fields(self)]
        return Removed(*(getattr(self, name) + getattr(other, name) for name in names))


@dataclass(frozen=True)
class Unfinished:
    """An erasure that is done in the records, if at all, and not in what was made from them.

    subjects : a keyed hash for each id that is out of the records.
    moment : when it began, epoch seconds (UTC).
    number : of its receipt; 0 = none yet.
    removed : what was taken out of the records.
    generations : what was kept when it began.
    returned : hashes of what was erased once, and came back with a backup that was older.
    """

    subjects: tuple[str, ...] = ()
    moment: float = 0.0
    number: int = 0
    removed: Removed = field(default_factory=Removed)
    generations: tuple[str, ...] = ()
    returned: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, text: str) -> Unfinished:
        data = json.loads(text)
        lists = {name: tuple(data[name]) for name in ("subjects", "generations", "returned")}
        return cls(**{**data, **lists, "removed": Removed(**data["removed"])})


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
    def unfinished(self) -> dict[Kind, Unfinished]:
        """Erasures that were cut off, and what a restored backup brought back."""
        if not self._exists:
            return {}
        about = dict(self._database.all("SELECT name, value FROM about"))
        return {
            kind: Unfinished.from_json(about[_UNFINISHED + kind])
            for kind in KINDS
            if _UNFINISHED + kind in about
        }

    @property
    def notes(self) -> tuple[str, ...]:
        """What is unfinished, in words."""
        notes = []
        for one in self.unfinished.values():
            if one.subjects:
                notes.append(
                    "an erasure was cut off, so older generations still hold what it took out of "
                    "the records; `crossrec forget-user` without an id finishes it"
                )
            if one.returned:
                notes.append(
                    f"{len(one.returned):,} people or items that had been erased are in the backup "
                    "that was restored; `crossrec forget-user` without an id erases them again"
                )
        return tuple(notes)

    def has(self, kind: Kind, id: str) -> bool:
        """Whether the records hold something of an id."""
        tables = {
            "user": ("users", "corrections", "event_ids", "exposures"),
            "item": ("items", "event_ids", "offers"),
        }[kind]
        return any(
            self._database.one(f"SELECT count(*) FROM {table} WHERE {kind}_id = ?", id)
            for table in tables
        )

    def returned(self, kind: Kind) -> list[str]:
        """The ids that came back with a backup and are to be erased again."""
        unfinished = self.unfinished.get(kind)
        wanted = set(unfinished.returned) if unfinished else set()
        return [id for id in self._named(kind) if self.hash(kind, id) in wanted] if wanted else []

    def namer(self) -> Callable[[str], bool] | None:
        """Whether a row of an input, as text, has an erased id as one of its values.

        None where nobody was erased.
        """
        erased = {kind: self.moments(kind) for kind in KINDS}
        if not any(erased.values()):
            return None
        salt = self._salt

        def names(content: str) -> bool:
            return any(
                _hash(salt, kind, value) in hashes
                for value in _values(content)
                for kind, hashes in erased.items()
            )

        return names

    def ids(self, kind: Kind) -> list[str]:
        """All that the records hold, removed items too."""
        rows = self._database.all(f"SELECT {kind}_id FROM {kind}s ORDER BY key")
        return [id for (id,) in rows]

    def erase(self, kind: Kind, ids: Sequence[str], this: Unfinished) -> Unfinished:
        """Take people or items out of the records with their events, in one transaction.

        It is unfinished until `done`: what was made from the records still has them. Nothing of
        them stays in the file's free space once `scour` has run.

        Parameters
        ----------
        this : what began when, and what was kept; events of a person that are dated after its
            `moment` are a new life.

        Returns
        -------
        All of what is unfinished of this kind, with what had been cut off before.

        Raises
        ------
        IndexLocked, StoreUnavailable : it cannot be written; nothing was erased.
        """
        with self._database.transaction() as execute:
            if self._salt == "":
                execute("INSERT INTO about VALUES (?, ?)", (_SALT, secrets.token_hex(16)))
            before = self.unfinished.get(kind) or this
            removed = _erase_users(execute, ids) if kind == "user" else _erase_items(execute, ids)
            hashes = [self.hash(kind, id) for id in ids]
            for one in hashes:
                if one not in before.returned:  # its moment was another one
                    row = (kind, one, this.moment)
                    execute("INSERT OR REPLACE INTO erased VALUES (?, ?, ?)", row)
            unfinished = Unfinished(
                subjects=tuple(dict.fromkeys([*before.subjects, *hashes])),
                moment=before.moment or this.moment,
                number=before.number or this.number,
                removed=before.removed + removed,
                generations=tuple(dict.fromkeys([*before.generations, *this.generations])),
            )
            _keep(execute, kind, unfinished)
            # Not a digest of tables: the next build from files is to write them.
            about = ("content", f"erased {secrets.token_hex(16)}")
            execute("INSERT OR REPLACE INTO about VALUES (?, ?)", about)
        return unfinished

    def take_over(self, other: Erasures) -> int:
        """Have erased what was erased from the index that these records take the place of.

        Of what was erased after these records were copied, as many as returned are here again:
        they are unfinished until they are erased once more.
        """
        told = {kind: other.moments(kind) for kind in KINDS}
        if not any(told.values()):
            return 0
        count = 0
        with self._database.transaction() as execute:
            if self._salt == "":
                execute("INSERT INTO about VALUES (?, ?)", (_SALT, other._salt))
            same = self._salt == other._salt
            for kind, moments in told.items():
                known = self.moments(kind) if same else {}
                news = {one: at for one, at in moments.items() if known.get(one, 0.0) < at}
                there = {other.hash(kind, id): self.hash(kind, id) for id in self._named(kind)}
                returned = [there[one] for one in news if one in there]
                for one, at in news.items():
                    if same or one in there:  # else nobody knows what the hash would be here
                        row = (kind, there.get(one, one), at)
                        execute("INSERT OR REPLACE INTO erased VALUES (?, ?, ?)", row)
                if returned:
                    before = self.unfinished.get(kind, Unfinished())
                    _keep(execute, kind, replace(before, returned=tuple(returned)))
                count += len(returned)
        return count

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

    def done(self, kind: Kind) -> None:
        """Nothing that is kept was made from what was erased."""
        with self._database.transaction() as execute:
            execute("DELETE FROM about WHERE name = ?", (_UNFINISHED + kind,))

    def take_back(self, execute: Execute, item_ids: Iterable[str]) -> None:
        """Let erased items in again, because somebody named them; within a transaction."""
        hashes = [(self.hash("item", id),) for id in item_ids] if self.moments("item") else []
        for one in hashes:
            execute("DELETE FROM erased WHERE kind = 'item' AND hash = ?", one)

    @property
    def servers(self) -> set[str]:
        """Addresses of the Chroma servers that may hold something of this index."""
        kept = self._database.one("SELECT value FROM about WHERE name = ?", _SERVERS)
        return set(json.loads(kept or "[]"))

    @servers.setter
    def servers(self, urls: set[str]) -> None:
        if urls != self.servers:
            with self._database.transaction() as execute:
                about = (_SERVERS, json.dumps(sorted(urls)))
                execute("INSERT OR REPLACE INTO about VALUES (?, ?)", about)

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

    def _named(self, kind: Kind) -> list[str]:
        """Every id that is anywhere in the records."""
        places = {
            "user": ("users", "corrections", "event_ids", "exposures"),
            "item": ("items", "offers"),
        }[kind]
        rows = self._database.all(
            " UNION ".join(f"SELECT {kind}_id FROM {place}" for place in places)
        )
        return [id for (id,) in rows]

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


def _values(content: str) -> set[str]:
    """Of a row, as JSON by column or as it stands in a file."""
    try:
        found = json.loads(content)
    except ValueError:
        found = None
    values = found.values() if isinstance(found, dict) else _BETWEEN.split(content)
    return {str(value).strip(" \"'") for value in values}


def _erase_users(execute: Execute, ids: Sequence[str]) -> Removed:
    users = events = corrections = 0
    for id, key in _keys(execute, "user", ids):
        corrections += execute("DELETE FROM corrections WHERE user_id = ?", (id,)).rowcount
        if key is not None:
            events += execute("DELETE FROM events WHERE user = ?", (key,)).rowcount
            users += execute("DELETE FROM users WHERE key = ?", (key,)).rowcount
        execute("DELETE FROM event_ids WHERE user_id = ?", (id,))
    shown = erase_exposures_of(execute, ids)
    return Removed(users=users, events=events, corrections=corrections, **shown)


def _erase_items(execute: Execute, ids: Sequence[str]) -> Removed:
    items = events = struck = 0
    for id, key in _keys(execute, "item", ids):
        if key is not None:
            events += execute("DELETE FROM events WHERE item = ?", (key,)).rowcount
            items += execute("DELETE FROM items WHERE key = ?", (key,)).rowcount
        execute("DELETE FROM event_ids WHERE item_id = ?", (id,))
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
    return Removed(items=items, events=events, struck=struck, **erase_offers_of(execute, ids))


def _keys(execute: Execute, kind: Kind, ids: Sequence[str]) -> Iterator[tuple[str, int | None]]:
    for id in ids:
        row = execute(f"SELECT key FROM {kind}s WHERE {kind}_id = ?", (id,)).fetchone()
        yield id, row[0] if row else None


def _keep(execute: Execute, kind: Kind, unfinished: Unfinished) -> None:
    about = (_UNFINISHED + kind, json.dumps(asdict(unfinished)))
    execute("INSERT OR REPLACE INTO about VALUES (?, ?)", about)


def _hash(salt: str, kind: Kind, id: str) -> str:
    digest = hashlib.blake2b(id.encode(), digest_size=16, key=salt.encode(), person=kind.encode())
    return digest.hexdigest()


def _rows(n: int) -> str:
    return f"{n:,} row{'' if n == 1 else 's'}"
