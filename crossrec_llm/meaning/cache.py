"""Never encodes a text twice: vectors by the hash of the text and of the encoder."""

from __future__ import annotations

import hashlib
import logging
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import numpy as np

from crossrec_llm.errors import StoreUnavailable

logger = logging.getLogger(__name__)

# Below the number of parameters that any SQLite since 3.32 takes.
_CHUNK = 10_000
_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS vectors "
    "(key BLOB NOT NULL UNIQUE, vector BLOB NOT NULL, checksum BLOB)"
)
T = TypeVar("T")


class VectorCache:
    """One SQLite file of float32 unit vectors.

    A batch is one transaction: after a kill at any moment each batch is there whole or not at
    all. Each vector has a checksum, and counts as missing where that does not fit:
    a flipped bit leaves a unit vector, but a wrong one. A damaged file is set aside with a warning
    and started anew: it is only a cache.
    """

    def __init__(self, path: Path, dim: int) -> None:
        self.path, self.dim = path, dim
        self._connection: sqlite3.Connection | None = None

    @classmethod
    def open(cls, path: Path, dim: int) -> VectorCache:
        """Open or create the file.

        Raises
        ------
        StoreUnavailable : the file can neither be read nor created.
        """
        cache = cls(path, dim)
        cache._retrying(lambda connection: None)
        return cache

    def get_many(self, keys: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
        """Vectors of the keys that are there.

        Returns
        -------
        (n, dim) float32, undefined where missing; (n,) bool, which keys were there.
        """
        return self._retrying(lambda connection: self._read(connection, keys))

    def put_many(self, keys: Sequence[bytes], vectors: np.ndarray) -> None:
        """Keep `vectors` (n, dim) under `keys`, all or nothing."""
        rows = np.ascontiguousarray(vectors, dtype="<f4")
        pairs = [(key, row.tobytes()) for key, row in zip(keys, rows, strict=True)]
        self._retrying(lambda connection: _put(connection, pairs))

    def keep(self, vectors: np.ndarray) -> int:
        """Forget all but `vectors` (n, dim), so that the file holds no byte of the others.

        How many were forgotten. Keys are hashes, which do not tell whose a vector is: texts that
        are in use share their vectors with nobody's, but for equal texts.
        """
        rows = np.ascontiguousarray(vectors, dtype="<f4")
        kept = {row.tobytes() for row in rows}

        def write(connection: sqlite3.Connection) -> int:
            found = connection.execute("SELECT rowid, vector FROM vectors")
            gone = [(rowid,) for rowid, vector in found if vector not in kept]
            with connection:
                connection.executemany("DELETE FROM vectors WHERE rowid = ?", gone)
            if gone:
                connection.execute("VACUUM")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            return len(gone)

        return self._retrying(write)

    def clear(self) -> None:
        """Forget everything: what made it is not what makes vectors now."""

        def empty(connection: sqlite3.Connection) -> None:
            with connection:
                connection.execute("DELETE FROM vectors")

        self._retrying(empty)

    def __len__(self) -> int:
        return self._retrying(
            lambda connection: int(connection.execute("SELECT count(*) FROM vectors").fetchone()[0])
        )

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __enter__(self) -> VectorCache:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _read(
        self, connection: sqlite3.Connection, keys: Sequence[bytes]
    ) -> tuple[np.ndarray, np.ndarray]:
        vectors = np.zeros((len(keys), self.dim), dtype=np.float32)
        places: dict[bytes, list[int]] = {}
        for place, key in enumerate(keys):
            places.setdefault(key, []).append(place)
        there = np.zeros(len(keys), bool)
        unchecked: list[tuple[bytes, bytes]] = []
        distinct = sorted(places)
        for start in range(0, len(distinct), _CHUNK):
            chunk = distinct[start : start + _CHUNK]
            marks = ",".join("?" * len(chunk))
            query = f"SELECT key, vector, checksum FROM vectors WHERE key IN ({marks})"
            for key, vector, checksum in connection.execute(query, chunk):
                if len(vector) != 4 * self.dim or not _is_whole(key, vector, checksum):
                    continue
                if checksum is None:
                    unchecked.append((key, vector))
                vectors[places[key]] = np.frombuffer(vector, dtype="<f4")
                there[places[key]] = True
        # Vectors of before there were checksums get theirs when they are first read.
        _put(connection, unchecked)
        return vectors, there

    def _retrying(self, act: Callable[[sqlite3.Connection], T]) -> T:
        """Run `act`; on a damaged file once more on a new one."""
        for attempt in (1, 2):
            try:
                if self._connection is None:
                    self._connection = _connect(self.path)
                return act(self._connection)
            except (sqlite3.Error, OSError) as error:
                code = getattr(error, "sqlite_errorcode", None)
                if attempt == 2 or code is None or code & 0xFF not in _DAMAGE:
                    raise StoreUnavailable(
                        f"{self.path}: {error}; free space or choose another folder"
                    ) from error
                self.close()
                _set_aside(self.path, error)
        raise AssertionError("unreachable")


@dataclass(frozen=True)
class CacheState:
    """vectors in a cache; unchecked ones, of before there were checksums; damaged ones."""

    vectors: int
    unchecked: int
    damaged: int


def inspect_cache(path: Path) -> CacheState:
    """Look at every vector of a cache; writes nothing.

    Raises
    ------
    sqlite3.DatabaseError : the file cannot be read at all.
    """
    vectors = unchecked = damaged = 0
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(vectors)")]
        checksum = "checksum" if "checksum" in columns else "NULL"
        for row in connection.execute(f"SELECT key, vector, {checksum} FROM vectors NOT INDEXED"):
            vectors += 1
            unchecked += row[2] is None
            damaged += not _is_whole(*row)
    return CacheState(vectors, unchecked, damaged)


def drop_damaged(path: Path) -> int:
    """Take vectors that are not as they were written out of a cache; how many there were.

    Raises
    ------
    sqlite3.DatabaseError : the file cannot be read at all.
    """
    with closing(_connect(path)) as connection:
        rows = connection.execute("SELECT rowid, key, vector, checksum FROM vectors NOT INDEXED")
        damaged = [(row,) for row, *rest in rows if not _is_whole(*rest)]
        with connection:
            connection.executemany("DELETE FROM vectors WHERE rowid = ?", damaged)
            connection.execute("REINDEX")
        connection.execute("VACUUM")
    return len(damaged)


def _put(connection: sqlite3.Connection, pairs: Sequence[tuple[bytes, bytes]]) -> None:
    if pairs:
        rows = [(key, vector, _checksum(key, vector)) for key, vector in pairs]
        with connection:
            connection.executemany(
                "INSERT OR REPLACE INTO vectors (key, vector, checksum) VALUES (?, ?, ?)", rows
            )


def _checksum(key: bytes, vector: bytes) -> bytes:
    return hashlib.blake2b(key + vector, digest_size=8).digest()


def _is_whole(key: Any, vector: Any, checksum: Any) -> bool:
    """Whether a row is as it was written; without a checksum, whether it can be."""
    if not isinstance(key, bytes) or not isinstance(vector, bytes) or len(vector) % 4:
        return False
    if checksum is not None:
        return bool(checksum == _checksum(key, vector))
    with np.errstate(all="ignore"):
        row = np.frombuffer(vector, dtype="<f4")
        return bool(abs(row @ row - 1) < 1e-3)


def _connect(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=30)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        # A killed process loses nothing; a power cut may cost the last batches, not the file.
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA secure_delete=ON")
        connection.execute(_SCHEMA)
        columns = [row[1] for row in connection.execute("PRAGMA table_info(vectors)")]
        if "checksum" not in columns:  # as it was before there were checksums
            connection.execute("ALTER TABLE vectors ADD COLUMN checksum BLOB")
    except BaseException:
        connection.close()
        raise
    return connection


def _set_aside(path: Path, error: BaseException) -> None:
    aside = path.with_name(path.name + ".damaged")
    logger.warning("%s is damaged (%s): kept as %s, starting anew", path, error, aside.name)
    path.replace(aside)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
