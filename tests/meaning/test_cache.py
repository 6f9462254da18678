from __future__ import annotations

import hashlib
import logging
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from crossrec_llm.errors import StoreUnavailable
from crossrec_llm.meaning import VectorCache


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
        names: list[bytes] = [*keys(3), None]  # type: ignore[list-item]
        with pytest.raises(StoreUnavailable):
            cache.put_many(names, unit(4))
        assert len(cache) == 0
        cache.put_many(keys(3), unit(3))
        cache.put_many(keys(3), unit(3))
        assert len(cache) == 3


def test_vectors_of_another_length_or_damaged_count_as_missing(path: Path):
    with VectorCache.open(path, 4) as other:
        other.put_many(keys(1), unit(1, 4))
    with VectorCache.open(path, 8) as cache:
        damaged = unit(2)
        damaged[1] *= 3
        cache.put_many(keys(3)[1:], damaged)
        assert cache.get_many(keys(3))[1].tolist() == [False, True, False]


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
