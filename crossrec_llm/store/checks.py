"""Checksums over an SQLite file of ours: over its rows, its log and its bytes.

SQLite's own check looks at its trees only: a flipped letter of a title, or a bit of a vector, passes.
So there are three more:

- `RowSums`: for each table the sum of the hashes of its rows, in whatever order they lie. It is
  changed by the transaction that changes the rows, and so is right at any moment, after a kill too.
- `broken_log`: SQLite ignores a write-ahead log silently from its first damaged frame on.
- `seal` and `unsealed`: sha256 of the whole file as a writer left it, which covers what holds
  nothing (gaps between cells keep what lay there before). It is out of date while somebody writes.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import struct
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Literal, Self

from crossrec_llm.store.files import sha256_of, write_atomically

_OURS = "check:"  # what names in `about` of our own start with
_MODULUS = 1 << 64
_ENCODE = json.JSONEncoder(separators=(",", ":"), default=bytes.hex).encode

SealState = Literal["whole", "damaged", "out of date", "missing"]


class RowSums:
    """Keeps the sums of one writing connection; `about` of the file holds them.

    Triggers of the connection itself (TEMP) count every row that comes or goes, so that no
    statement that writes has to know of it, nor the file's layout.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._changed: dict[str, list[int]] = {}
        self.committed = False

    @classmethod
    def watch(cls, connection: sqlite3.Connection) -> Self:
        """Start to count; rows that were there before there were sums are taken as they are."""
        sums = cls(connection)
        connection.execute("PRAGMA recursive_triggers = ON")  # else REPLACE removes unseen
        connection.create_function("crossrec_count", -1, sums._count)
        for table, columns in _tables(connection).items():
            for event, calls in (
                ("INSERT", [(1, "NEW")]),
                ("DELETE", [(-1, "OLD")]),
                ("UPDATE", [(-1, "OLD"), (1, "NEW")]),
            ):
                body = " ".join(
                    f"SELECT crossrec_count('{table}', {sign}, "
                    f"{', '.join(f'{row}."{column}"' for column in columns)});"
                    for sign, row in calls
                )
                connection.execute(
                    f"CREATE TEMP TRIGGER count_{event}_{table} AFTER {event} ON main.{table} "
                    f"BEGIN {body} END"
                )
        if _kept(connection).keys() != {*_tables(connection), "rest", "commits"}:
            connection.execute("BEGIN IMMEDIATE")
            sums._start()
            connection.execute("COMMIT")
        return sums

    def settle(self) -> None:
        """Write the sums down; to be called last in every transaction."""
        kept = _kept(self._connection)
        for table, (count, total) in self._changed.items():
            old_count, old_total = _parsed(kept.get(table, "0:0"))
            self._keep(table, old_count + count, old_total + total)
        self._changed.clear()
        self._write("commits", str(int(kept.get("commits", 0)) + 1))
        self._write("rest", _rest(self._connection))
        self.committed = True

    def forget(self) -> None:
        """What was counted since the transaction began is not to be: it was rolled back."""
        self._changed.clear()

    def _count(self, table: str, sign: int, *row: Any) -> None:
        changed = self._changed.setdefault(table, [0, 0])
        changed[0] += sign
        changed[1] += sign * _hash(row)

    def _start(self) -> None:
        self._changed.clear()
        for table, columns in _tables(self._connection).items():
            self._keep(table, *_summed(self._connection, table, columns))
        self._write("commits", "1")
        self._write("rest", _rest(self._connection))

    def _keep(self, table: str, count: int, total: int) -> None:
        self._write(table, f"{count}:{total % _MODULUS:x}")

    def _write(self, name: str, value: str) -> None:
        self._connection.execute(
            "INSERT OR REPLACE INTO about VALUES (?, ?)", (_OURS + name, value)
        )


def damaged_rows(connection: sqlite3.Connection) -> list[str]:
    """The tables whose rows are not those that were written, in words; reads one moment's state.

    Of a file without sums (an earlier layout) nothing can be said: see `has_sums`.
    """
    damaged = []
    with closing(_lenient(connection)) as reading:
        reading.execute("BEGIN")
        kept = _kept(reading)
        for table, columns in _tables(reading).items():
            try:
                wanted, found = _parsed(kept[table]), _summed(reading, table, columns)
            except (sqlite3.DatabaseError, LookupError, ValueError) as error:
                damaged.append(f"{table}: cannot be read ({error})")
                continue
            if wanted[0] != found[0]:
                damaged.append(f"{table}: {found[0]:,} rows, of {wanted[0]:,} that were written")
            elif wanted != found:
                damaged.append(f"{table}: at least one of its {found[0]:,} rows was changed")
        if kept.get("rest") != _rest(reading):
            damaged.append("about: the description of the file was changed")
    return damaged


def has_sums(connection: sqlite3.Connection) -> bool:
    return bool(_kept(connection))


def unsound(connection: sqlite3.Connection) -> list[str]:
    """What SQLite itself finds wrong, at most a few lines."""
    connection.execute("PRAGMA cell_size_check = ON")
    try:
        said = connection.execute("PRAGMA integrity_check(5)").fetchall()
    except sqlite3.DatabaseError as error:
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


def seal(path: Path, commits: int) -> None:
    """Write down the sha256 of a file that nobody writes to, as of so many commits.

    Nothing is written where the log has not been emptied, or somebody wrote meanwhile.
    """
    if _log_size(path):
        return
    content = {"commits": commits, "sha256": sha256_of(path)}
    if not _log_size(path):
        content["check"] = hashlib.sha256(_ENCODE(content).encode()).hexdigest()
        write_atomically(seal_path(path), _ENCODE(content).encode())


def unsealed(path: Path, commits: int) -> SealState:
    """How a file stands to its seal; "damaged" may be the seal itself."""
    try:
        raw = seal_path(path).read_bytes()
    except FileNotFoundError:
        return "missing"
    try:
        content = json.loads(raw)
        check = content.pop("check")
        of, digest = content["commits"], content["sha256"]
        whole = check == hashlib.sha256(_ENCODE(content).encode()).hexdigest()
        if not whole or raw != _ENCODE({**content, "check": check}).encode():
            return "damaged"
    except (ValueError, TypeError, LookupError, AttributeError):
        return "damaged"
    if of != commits or _log_size(path):
        return "out of date"
    return "whole" if sha256_of(path) == digest else "damaged"


def seal_path(path: Path) -> Path:
    return path.with_name(path.name + ".seal")


def commits(connection: sqlite3.Connection) -> int:
    """How many transactions have been written, by the count that `RowSums` keeps."""
    return int(_kept(connection).get("commits", 0))


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


def _parsed(kept: str) -> tuple[int, int]:
    count, _, total = kept.partition(":")
    return int(count), int(total, 16)


def _summed(connection: sqlite3.Connection, table: str, columns: Sequence[str]) -> tuple[int, int]:
    """How many rows there are, and the sum of their hashes."""
    count = total = 0
    names = ", ".join(f'"{column}"' for column in columns)
    for row in connection.execute(f"SELECT {names} FROM main.{table} NOT INDEXED"):
        count, total = count + 1, total + _hash(row)
    return count, total % _MODULUS


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
    digest = hashlib.blake2b(_ENCODE(row).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def _lenient(connection: sqlite3.Connection) -> sqlite3.Connection:
    """Another connection to the same file that reads damaged text too."""
    file = connection.execute("PRAGMA database_list").fetchone()[2]
    reading = sqlite3.connect(f"{Path(file).as_uri()}?mode=ro", uri=True, isolation_level=None)
    reading.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
    return reading
