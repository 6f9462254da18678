from __future__ import annotations

import gzip
import random
from pathlib import Path

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import zstandard

from crossrec_llm.errors import DataError
from crossrec_llm.tables.formats import read_source
from crossrec_llm.tables.raw import FormatOptions
from tests.tables.samples import raw

CSV = b"id,title\n1,a\n2,b\n"
LONG = b"id,title\n" + b"".join(
    b"%d,%d\n" % (i, random.Random(i).getrandbits(64)) for i in range(20_000)
)


@pytest.mark.parametrize("name", ["f.csv.gz", "f.csv", "f.zst", "f"])
@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress, bytes])
def test_packed_files_are_known_by_their_content(tmp_path: Path, name: str, pack: object) -> None:
    table = raw(tmp_path, pack(CSV), name)  # type: ignore[operator]
    assert table.table["title"].to_pylist() == ["a", "b"]


def test_several_members(tmp_path: Path) -> None:
    assert raw(tmp_path, gzip.compress(CSV) + gzip.compress(b"3,c\n")).table.num_rows == 3
    assert raw(tmp_path, zstandard.compress(CSV) + zstandard.compress(b"3,c\n")).rows_read == 3


def test_truncated_and_corrupt_packing(tmp_path: Path) -> None:
    packed = gzip.compress(LONG)
    with pytest.raises(
        DataError, match=r"f\.csv: the gzip data is damaged or ends too early.*get the file"
    ):
        raw(tmp_path, packed[: len(packed) // 2])
    with pytest.raises(DataError, match="gzip data is damaged"):
        raw(tmp_path, packed[:5000] + b"\0" * 500 + packed[5500:])
    squeezed = zstandard.ZstdCompressor(write_checksum=True).compress(LONG)
    for damaged in (squeezed[: len(squeezed) // 2], squeezed[:50] + b"\xff" * 50 + squeezed[100:]):
        with pytest.raises(DataError, match="zstd data"):
            raw(tmp_path, damaged)


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_bombs(tmp_path: Path, pack: object) -> None:
    bomb = pack(b"id,title\n" + b"\n" * 100_000_000)  # type: ignore[operator]
    with pytest.raises(DataError, match="decompression bomb; raise max_expansion"):
        raw(tmp_path, bomb)
    with pytest.raises(DataError, match="larger than 1,000,000 bytes"):
        raw(tmp_path, bomb, max_bytes=1_000_000)


def test_a_large_plain_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"larger than 10 bytes.*max_bytes"):
        raw(tmp_path, CSV, max_bytes=10)


@pytest.mark.parametrize("data", [b"", b"\n\n  \n", b"\xef\xbb\xbf", b"\0\0\0"])
def test_empty_files(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(DataError, match=r"f\.csv: is empty"):
        raw(tmp_path, data)


@pytest.mark.parametrize(
    ("page", "what"),
    [
        ("<!DOCTYPE html><html><body>Log in, please</body></html>", "an HTML page"),
        ("\ufeff\n<!-- a, b -->\n<HTML lang=en>\n<p>x", "an HTML page"),
        ("<?xml version='1.0'?><rss></rss>", "XML"),
    ],
)
def test_pages_are_no_tables(tmp_path: Path, page: str, what: str) -> None:
    with pytest.raises(DataError, match=rf"f\.csv: is {what}, not a table"):
        raw(tmp_path, page)


def test_binary_files_are_no_tables(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a picture; save it as CSV"):
        raw(tmp_path, b"\x89PNG\r\n\x1a\n" + bytes(range(256)))
    for seed in range(20):
        noise = b"id,title\n" + random.Random(seed).randbytes(5_000)
        with pytest.raises(DataError, match="is no text"):
            raw(tmp_path, noise)


@pytest.mark.parametrize("magic", [b"PK\x03\x04", b"%PDF-1.7", b"ARROW1", b"BZh9"])
def test_foreign_formats_are_named(tmp_path: Path, magic: bytes) -> None:
    with pytest.raises(DataError, match="save it as CSV"):
        raw(tmp_path, magic + b"rest of the file")


def test_missing_files_name_their_neighbours(tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_bytes(CSV)
    with pytest.raises(DataError, match=r"itmes\.csv: no such file; did you mean items\.csv"):
        read_source(tmp_path / "itmes.csv", "", FormatOptions())
    with pytest.raises(DataError, match="nothing in"):
        read_source(tmp_path / "zzz", "", FormatOptions())
    with pytest.raises(DataError, match="no such folder"):
        read_source(tmp_path / "no" / "f.csv", "", FormatOptions())


def test_folders(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no files"):
        read_source(tmp_path, "", FormatOptions())
    (tmp_path / "items.csv").write_bytes(CSV)
    with pytest.raises(DataError, match=r"is a folder, expected a file; it holds items\.csv"):
        read_source(str(tmp_path), "", FormatOptions())


def test_frames_and_tables() -> None:
    table = pa.table({"id": ["1", "2"], "tags": [["x"], None]})
    expected = table.to_pylist()
    for frame in (table, pl.from_arrow(table), pd.DataFrame(expected)):
        found = read_source(frame, "frame", FormatOptions())
        assert found.table["id"].to_pylist() == ["1", "2"]
        assert (found.source, found.format, found.lines.tolist()) == ("frame", "table", [1, 2])


def test_what_is_no_table() -> None:
    with pytest.raises(DataError, match=r"frame: expected a path.*not <class 'int'>"):
        read_source(5, "frame", FormatOptions())
    with pytest.raises(DataError, match="mixes types"):
        read_source(pd.DataFrame({"a": [1, "x"]}), "frame", FormatOptions())
