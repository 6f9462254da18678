"""Checksums over an SQLite file of ours: over its rows, its log and its bytes.

SQLite's own check looks at its trees only: a flipped letter of a title, or a bit of a vector,
passes. So there are three more:

- `RowSums`: for each table the sum of the hashes of its rows, in whatever order they lie. It is
  changed by the transaction that changes the rows, and so is right at any moment, after a kill too.
- `broken_log`: SQLite ignores a write-ahead log silently from its first damaged frame on.
- `seal` and `unsealed`: sha256 of the whole file as a writer left it, which covers what holds
  nothing (gaps between cells keep what lay there before). It is out of date while somebody writes.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sqlite3
import struct
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

from crossrec_llm.errors import StoreError
from crossrec_llm.store.files import sha256_of, write_atomically

_log = logging.getLogger(__name__)

_OURS = "check:"  # what names in `about` of our own start with
_MODULUS = 1 << 64
_EVENTS = {"insert": {"NEW": 1}, "delete": {"OLD": -1}, "update": {"OLD": -1, "NEW": 1}}
_ENCODE = json.JSONEncoder(separators=(",", ":")).encode

UNREADABLE = (sqlite3.DatabaseError, UnicodeDecodeError)
"""What a damaged file raises: the second where what SQLite says of it quotes a damaged byte."""

SealState = Literal["whole", "damaged", "out of date", "missing"]


class RowSums:
    """Keeps the sums of one writing connection; `about` of the file holds them.

    Triggers of the connection itself (TEMP) count every row that comes or goes, so that no
    statement that writes has to know of it, nor the file's layout.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._changed: dict[str, list[int]] = {}
        self._changed_file = False

    def watch(self) -> None:
        """Start to count; rows that were there before there were sums are taken as they are."""
        self._connection.execute("PRAGMA recursive_triggers = ON")  # else REPLACE removes unseen
        self._connection.create_function("crossrec_count", -1, self._count)
        for table in _tables(self._connection):
            for event in _EVENTS:
                self._watch(table, event)
        if not self._complete():
            self._connection.execute("BEGIN IMMEDIATE")
            self._start()
            self._connection.execute("COMMIT")

    def settle(self) -> None:
        """Write the sums down; to be called last in every transaction."""
        kept = _kept(self._connection)
        for table, (count, total) in self._changed.items():
            self._keep(table, _Sum.parse(kept[table]).changed(count, total))
        self._changed.clear()
        self._write("commits", str(int(kept.get("commits", 0)) + 1))
        self._write("rest", _rest(self._connection))
        self._changed_file = True

    def forget(self) -> None:
        """What was counted since the transaction began is not to be: it was rolled back."""
        self._changed.clear()

    def seal(self, path: Path) -> None:
        """Seal the file as it is now, if this connection changed it and nobody else is at it."""
        if self._changed_file:
            reseal(path)

    def _watch(self, table: str, event: str) -> None:
        columns = _tables(self._connection)[table]
        body = " ".join(
            f"SELECT crossrec_count('{table}', {sign}, "
            + ", ".join(f'{row}."{column}"' for column in columns)
            + ");"
            for row, sign in _EVENTS[event].items()
        )
        self._connection.execute(
            f"CREATE TEMP TRIGGER count_{event}_{table} AFTER {event} ON main.{table} "
            f"BEGIN {body} END"
        )

    def _count(self, table: str, sign: int, *row: Any) -> None:
        changed = self._changed.setdefault(table, [0, 0])
        changed[0] += sign
        changed[1] += sign * _hash(row)

    def _complete(self) -> bool:
        kept, tables = _kept(self._connection), _tables(self._connection)
        return kept.keys() == {*tables, "rest", "commits"} and all(
            _Sum.parse(kept[table]).columns == columns for table, columns in tables.items()
        )

    def _start(self) -> None:
        """Sums of everything, after a last look at the sums of an earlier layout."""
        kept = _kept(self._connection)
        for table, columns in _tables(self._connection).items():
            if table in kept:
                wanted = _Sum.parse(kept[table])
                if wanted != _Sum.of(self._connection, table, wanted.columns):
                    raise sqlite3.DatabaseError(f"rows of {table} are malformed")
            self._keep(table, _Sum.of(self._connection, table, columns))
        self._write("commits", str(int(kept.get("commits", 0)) + 1))
        self._write("rest", _rest(self._connection))
        self._changed_file = True

    def _keep(self, table: str, sum: _Sum) -> None:
        self._write(table, str(sum))

    def _write(self, name: str, value: str) -> None:
        self._connection.execute(
            "INSERT OR REPLACE INTO about VALUES (?, ?)", (_OURS + name, value)
        )


def describe_anew(connection: sqlite3.Connection) -> None:
    """The last of a transaction that changed the schema only; no row of `about` comes or goes."""
    update = "UPDATE about SET value = {} WHERE name = ?"
    connection.execute(update.format("CAST(value + 1 AS TEXT)"), (f"{_OURS}commits",))
    connection.execute(update.format("?"), (_rest(connection), f"{_OURS}rest"))


def lenient(path: Path) -> sqlite3.Connection:
    """A connection that only reads, and takes damaged text as it is."""
    access = "mode=ro" if os.access(path.parent, os.W_OK) else "immutable=1"
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?{access}", uri=True, isolation_level=None
    )
    connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
    return connection


def damaged_rows(reading: sqlite3.Connection) -> list[str]:
    """The tables whose rows are not those that were written, in words.

    Parameters
    ----------
    reading : of `lenient`; of a file without sums (an earlier layout) nothing can be said, see
        `has_sums`.

    Raises
    ------
    sqlite3.DatabaseError : the file cannot be read at all.
    """
    damaged = []
    reading.execute("BEGIN")  # one moment's state
    try:
        kept = _kept(reading)
        for table, columns in _tables(reading).items():
            try:
                wanted, found = _Sum.parse(kept[table]), _Sum.of(reading, table, columns)
            except (sqlite3.DatabaseError, LookupError, ValueError) as error:
                damaged.append(f"{table}: cannot be read ({error})")
                continue
            if wanted.count != found.count:
                damaged.append(f"{table}: {found.count:,} rows, of {wanted.count:,} written")
            elif wanted != found:
                damaged.append(f"{table}: at least one of its {found.count:,} rows was changed")
        if kept.get("rest") != _rest(reading):
            damaged.append("about: the description of the file was changed")
    finally:
        reading.execute("ROLLBACK")
    return damaged


def has_sums(connection: sqlite3.Connection) -> bool:
    return bool(_kept(connection))


def unsound(connection: sqlite3.Connection) -> list[str]:
    """What SQLite itself finds wrong, at most a few lines."""
    connection.execute("PRAGMA cell_size_check = ON")
    try:
        said = connection.execute("PRAGMA integrity_check(5)").fetchall()
    except UNREADABLE as error:
        return [str(error)]
    return [line for (text,) in said if text != "ok" for line in str(text).splitlines()]


def broken_log(path: Path) -> str | None:
    """What is wrong with the write-ahead log of a database, if there is anything.

    Every frame has a checksum that goes on from the one before. Frames of an earlier use of the
    log may follow the valid ones; they carry other salts.
    """
    try:
        log = path.with_name(path.name + "-wal").read_bytes()
    except FileNotFoundError:
        return None
    if not log:
        return None
    if len(log) < 32:
        return "its log ends within the header"
    magic, _, size = struct.unpack_from(">III", log)
    order = ">" if magic & 1 else "<"
    sums = _log_sums(log[:24], order, (0, 0))
    if magic & ~1 != 0x377F0682 or sums != struct.unpack_from(">II", log, 24):
        return "the header of its log is damaged"
    salts, whole, frame = log[16:24], True, 24 + size
    for number, at in enumerate(range(32, len(log), frame), 1):
        page = log[at : at + frame]
        alike = sum(a == b for a, b in zip(page[8:16], salts, strict=False))
        if whole and alike == 8 and len(page) == frame:
            sums = _log_sums(page[:8] + page[24:], order, sums)
            whole = sums == struct.unpack_from(">II", page, 16)
            if not whole:
                return f"frame {number} of its log is damaged: what was written since is lost"
        elif alike >= 7 and len(page) == frame:
            return f"frame {number} of its log is damaged: what was written since may be lost"
        else:
            whole = False
    return None


def seal(path: Path, connection: sqlite3.Connection) -> None:
    """Write down the sha256 of a file, as of what a connection to it sees.

    Nothing is written where the log has not been emptied, or somebody wrote meanwhile.
    """
    state = _state(connection)
    if _log_size(path):
        return
    content = {"state": state, "sha256": sha256_of(path)}
    if not _log_size(path) and _state(connection) == state:
        content["check"] = hashlib.sha256(_ENCODE(content).encode()).hexdigest()
        write_atomically(seal_path(path), _ENCODE(content).encode())


def reseal(path: Path) -> None:
    """Seal a file that nobody else writes to, if it is there and can be read."""
    try:
        if path.exists():
            with closing(sqlite3.connect(path, isolation_level=None)) as connection:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                seal(path, connection)
    except (*UNREADABLE, OSError, StoreError) as error:  # out of date, then: no harm is done
        _log.info("%s was not sealed: %s", path, error)


def unsealed(path: Path, connection: sqlite3.Connection) -> SealState:
    """How a file stands to its seal; "damaged" may be the seal itself."""
    try:
        raw = seal_path(path).read_bytes()
    except FileNotFoundError:
        return "missing"
    try:
        content = json.loads(raw)
        check = content.pop("check")
        sealed, digest = content["state"], content["sha256"]
        whole = check == hashlib.sha256(_ENCODE(content).encode()).hexdigest()
        if not whole or raw != _ENCODE({**content, "check": check}).encode():
            return "damaged"
    except (ValueError, TypeError, LookupError, AttributeError):
        return "damaged"
    if sealed != _state(connection) or _log_size(path):
        return "out of date"
    if sha256_of(path) == digest:
        return "whole"
    return "damaged" if sealed == _state(connection) else "out of date"


def seal_path(path: Path) -> Path:
    return path.with_name(path.name + ".seal")


def _state(connection: sqlite3.Connection) -> str:
    """Changes with every transaction: the count that `RowSums` keeps, or how many vectors are."""
    tables = connection.execute("SELECT name FROM sqlite_master").fetchall()
    if ("about",) in tables:
        return _kept(connection).get("commits", "0")
    return str(connection.execute("SELECT count(*), count(checksum) FROM vectors").fetchone())


def _log_size(path: Path) -> int:
    log = path.with_name(path.name + "-wal")
    return log.stat().st_size if log.exists() else 0


def _log_sums(data: bytes, order: str, sums: tuple[int, int]) -> tuple[int, int]:
    one, two = sums
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for a, b in zip(words[::2], words[1::2], strict=True):
        one = (one + a + two) & 0xFFFFFFFF
        two = (two + b + one) & 0xFFFFFFFF
    return one, two


def _tables(connection: sqlite3.Connection) -> dict[str, list[str]]:
    """Column names of every table but `about`, which has the sums, and SQLite's own."""
    found = connection.execute(
        "SELECT name FROM main.sqlite_master WHERE type = 'table' "
        "AND name NOT LIKE 'sqlite!_%' ESCAPE '!' AND name != 'about' ORDER BY name"
    ).fetchall()
    return {
        name: [row[1] for row in connection.execute(f"PRAGMA main.table_info({name})")]
        for (name,) in found
    }


def _kept(connection: sqlite3.Connection) -> dict[str, str]:
    rows = connection.execute("SELECT name, value FROM about WHERE name LIKE ?", (_OURS + "%",))
    return {str(name).removeprefix(_OURS): str(value) for name, value in rows.fetchall()}


@dataclass(frozen=True)
class _Sum:
    """count rows, and the sum of the hashes of some of their columns."""

    count: int
    total: int
    columns: list[str]

    @classmethod
    def parse(cls, kept: str) -> Self:
        count, total, columns = kept.split(":")
        return cls(int(count), int(total, 16), columns.split(","))

    @classmethod
    def of(cls, connection: sqlite3.Connection, table: str, columns: list[str]) -> Self:
        count = total = 0
        names = ", ".join(f'"{column}"' for column in columns)
        for row in connection.execute(f"SELECT {names} FROM main.{table} NOT INDEXED"):
            count, total = count + 1, total + _hash(row)
        return cls(count, total % _MODULUS, columns)

    def changed(self, count: int, total: int) -> Self:
        return replace(self, count=self.count + count, total=(self.total + total) % _MODULUS)

    def __str__(self) -> str:
        return f"{self.count}:{self.total:x}:{','.join(self.columns)}"


def _rest(connection: sqlite3.Connection) -> str:
    """Hash of what no trigger sees: the description, the schema, numbers given out so far."""
    queries = [
        f"SELECT name, value FROM about WHERE name NOT LIKE '{_OURS}%' ORDER BY name",
        "SELECT type, name, tbl_name, sql FROM main.sqlite_master ORDER BY type, name",
        "PRAGMA user_version",
    ]
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'").fetchone():
        queries.append("SELECT name, seq FROM sqlite_sequence ORDER BY name")
    rows: Iterator[Any] = (row for query in queries for row in connection.execute(query))
    return f"{sum(_hash((n, *row)) for n, row in enumerate(rows)) % _MODULUS:x}"


def _hash(row: Sequence[Any]) -> int:
    digest = hashlib.blake2b(ascii(row).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")
