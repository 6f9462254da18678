from __future__ import annotations

import hashlib
import logging
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from crossrec_llm.errors import StoreUnavailable
from crossrec_llm.meaning import CacheState, VectorCache, drop_damaged, inspect_cache


def unit(n: int, dim: int = 8, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def keys(n: int) -> list[bytes]:
    return [hashlib.sha256(str(i).encode()).digest() for i in range(n)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "vectors.cache"


def test_what_goes_in_comes_out_bit_by_bit(path: Path):
    vectors, names = unit(1300), keys(1300)
    with VectorCache.open(path, 8) as cache:
        cache.put_many(names[:700], vectors[:700])
        cache.put_many(names[700:1200], vectors[700:1200])
        assert len(cache) == 1200
    with VectorCache.open(path, 8) as cache:
        asked = [*names[::-1], names[5], names[5]]
        found, there = cache.get_many(asked)
    assert there.tolist() == [False] * 100 + [True] * 1202
    assert found[there].tobytes() == np.concatenate([vectors[1199::-1], vectors[[5, 5]]]).tobytes()
    assert found.dtype == np.float32


def test_nothing_asked_nothing_there(path: Path):
    with VectorCache.open(path, 8) as cache:
        found, there = cache.get_many([])
        assert (found.shape, there.shape) == ((0, 8), (0,))
        assert not cache.get_many(keys(3))[1].any()


def test_a_batch_is_all_or_nothing(path: Path):
    with VectorCache.open(path, 8) as cache:
        assert cache._connection is not None
        cache._connection.execute(
            "CREATE TEMP TRIGGER refusing BEFORE INSERT ON vectors WHEN NEW.key = x'"
            + keys(4)[3].hex()
            + "' BEGIN SELECT RAISE(ABORT, 'refused'); END"
        )
        with pytest.raises(StoreUnavailable, match="refused"):
            cache.put_many(keys(4), unit(4))
        assert len(cache) == 0
        cache.put_many(keys(3), unit(3))
        cache.put_many(keys(3), unit(3))
        assert len(cache) == 3


def test_vectors_of_another_length_count_as_missing(path: Path):
    with VectorCache.open(path, 4) as other:
        other.put_many(keys(1), unit(1, 4))
    with VectorCache.open(path, 8) as cache:
        cache.put_many(keys(3)[1:], unit(2))
        assert cache.get_many(keys(3))[1].tolist() == [False, True, True]


@pytest.mark.parametrize("column", ["key", "vector", "checksum"])
def test_a_flipped_bit_makes_a_vector_missing(path: Path, column: str):
    """The lowest bit of a number: what is left is a unit vector, and a wrong one."""
    with VectorCache.open(path, 8) as cache:
        cache.put_many(keys(3), unit(3))
    assert inspect_cache(path) == CacheState(3, 0, 0)
    with closing(sqlite3.connect(path)) as connection, connection:
        query = f"SELECT {column} FROM vectors WHERE key = ?"
        (old,) = connection.execute(query, keys(2)[1:]).fetchone()
        new = bytes([old[0] ^ 1]) + old[1:]
        connection.execute(f"UPDATE vectors SET {column} = ? WHERE {column} = ?", (new, old))
    assert inspect_cache(path) == CacheState(3, 0, 1)
    with VectorCache.open(path, 8) as cache:
        assert cache.get_many(keys(3))[1].tolist() == [True, False, True]
    assert drop_damaged(path) == 1
    assert inspect_cache(path) == CacheState(2, 0, 0)


def test_vectors_of_before_there_were_checksums_get_theirs_when_they_are_read(path: Path):
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE vectors (key BLOB NOT NULL UNIQUE, vector BLOB NOT NULL)")
        rows = [(key, row.tobytes()) for key, row in zip(keys(3), unit(3), strict=True)]
        rows[2] = (rows[2][0], (unit(1) * 2).tobytes())
        connection.executemany("INSERT INTO vectors VALUES (?, ?)", rows)
    assert inspect_cache(path) == CacheState(3, 3, 1)
    with VectorCache.open(path, 8) as cache:
        assert cache.get_many(keys(2))[1].all()
        assert not cache.get_many(keys(3)[2:])[1].any()
        cache.put_many(keys(4)[3:], unit(1))
    assert inspect_cache(path) == CacheState(4, 1, 1)
    assert drop_damaged(path) == 1


@pytest.mark.parametrize("how", ["at opening", "later"])
def test_a_damaged_file_is_set_aside(path: Path, how: str, caplog: pytest.LogCaptureFixture):
    with VectorCache.open(path, 8) as cache:
        cache.put_many(keys(400), unit(400))
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(0 if how == "at opening" else 4096)
        file.write(b"\xff" * (4096 if how == "at opening" else size - 4096))
    with caplog.at_level(logging.WARNING), VectorCache.open(path, 8) as cache:
        assert not cache.get_many(keys(400))[1].any()
        cache.put_many(keys(5), unit(5))
        assert len(cache) == 5
    assert "is damaged" in caplog.text
    assert path.with_name("vectors.cache.damaged").stat().st_size == size


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable, match="file"):
        VectorCache.open(tmp_path / "file" / "vectors.cache", 8)
    (tmp_path / "folder").mkdir()
    with pytest.raises(StoreUnavailable, match="folder"):
        VectorCache.open(tmp_path / "folder", 8)


def test_a_full_disk_loses_nothing(path: Path):
    with VectorCache.open(path, 8) as cache:
        cache.put_many(keys(10), unit(10))
        assert isinstance(cache._connection, sqlite3.Connection)
        pages = cache._connection.execute("PRAGMA page_count").fetchone()[0]
        cache._connection.execute(f"PRAGMA max_page_count={pages}")
        with pytest.raises(StoreUnavailable, match="full"):
            cache.put_many(keys(5000), unit(5000))
        assert cache.get_many(keys(10))[1].all()
        assert len(cache) == 10
