"""A file, whatever it is -> a table of raw columns, with the line of every row.

The content decides what a file is, not its suffix.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa

from crossrec_llm.errors import DataError
from crossrec_llm.tables.delimited import read_delimited
from crossrec_llm.tables.encodings import as_utf8
from crossrec_llm.tables.jsonlines import read_json
from crossrec_llm.tables.near import near_matches
from crossrec_llm.tables.parquet import plain_types, read_parquet
from crossrec_llm.tables.raw import (
    FREE_BYTES,
    Choose,
    EmptySource,
    FormatOptions,
    RawTable,
    too_large,
)

_CHUNK = 1 << 20
_PACKED = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
_PARQUET = b"PAR1"
_JSON = re.compile(rb"\s*(\{|\[\s*[\{\]])")
_MARKUP = re.compile(
    rb"\s*(?:(?><!--.*?-->)\s*)*<(!doctype html|html|head|body|\?xml)\b", re.S | re.I
)
_FOREIGN = {
    b"PK\x03\x04": "a zip archive or an Excel workbook",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"%PDF": "a PDF",
    b"BZh": "packed with bzip2",
    b"\xfd7zXZ": "packed with xz",
    b"ARROW1": "an Arrow IPC file",
    b"SQLite format 3": "an SQLite database",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"GIF8": "a picture",
    b"\x93NUMPY": "a NumPy array",
    b"\x89HDF": "an HDF5 file",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"\x7fELF": "a program",
}


def read_source(source: Any, name: str, options: FormatOptions, choose: Choose = list) -> RawTable:
    """Reads a path, a stream of bytes, a pyarrow table, a pandas / polars frame, or rows as dicts.

    Parameters
    ----------
    name : what a table that has no path is called in messages.
    choose : which columns are wanted.

    Raises
    ------
    DataError : it cannot be read at all.
    """
    if hasattr(source, "readinto"):
        label, data = name, _spooled(source, name, options)
    elif not isinstance(source, str | Path):
        table = plain_types(from_frame(source, name))
        if not table.num_columns:
            raise EmptySource("is empty; expected columns and rows", source=name)
        return _numbered(name, "table", table.select(choose(table.column_names)))
    else:
        label, data = str(source), _unpacked(Path(source), options)
    if not data.strip(b"\xef\xbb\xbf\xff\xfe \t\r\n\0"):
        raise EmptySource("is empty; expected a header line and rows", source=label)
    for magic, what in _FOREIGN.items():
        if data.startswith(magic):
            raise DataError(
                f"is {what}; save it as CSV, JSON lines or parquet (.gz and .zst are fine)",
                source=label,
            )
    if data.startswith(_PARQUET) or label.endswith((".parquet", ".pq")):
        return _numbered(label, "parquet", read_parquet(data, label, options, choose))
    text = as_utf8(data, label, options)
    if page := _MARKUP.match(text.data[:_CHUNK]):
        what = "XML" if page[1].lower() == b"?xml" else "an HTML page"
        raise DataError(
            f"is {what}, not a table (was an error page or a log-in saved?); save the data as CSV,"
            " JSON lines or parquet",
            source=label,
        )
    read = read_json if _JSON.match(text.data) else read_delimited
    table = read(text.data, label, options, choose, text.encoding, text.repairs)
    return replace(table, guessed=text.guessed)


def _numbered(source: str, format: str, table: pa.Table) -> RawTable:
    return RawTable(source, format, table, np.arange(1, table.num_rows + 1, dtype=np.int64))


def from_frame(frame: Any, name: str) -> pa.Table:
    if isinstance(frame, pa.Table):
        return frame
    if isinstance(frame, list) and all(isinstance(row, Mapping) for row in frame):
        return _from_dicts(frame, name)
    import narwhals as nw

    try:
        table = nw.from_native(frame, eager_only=True).to_arrow()
    except TypeError as error:
        raise DataError(
            "expected a path, a pyarrow table, a pandas / polars frame or a list of dicts, not "
            f"{type(frame)}",
            source=name,
        ) from error
    except pa.ArrowException as error:
        raise DataError(f"a column mixes types: {error}; make it text", source=name) from error
    return table


def _from_dicts(rows: list[Mapping[str, Any]], name: str) -> pa.Table:
    columns = dict.fromkeys(column for row in rows for column in row)
    try:
        return pa.table({column: [row.get(column) for row in rows] for column in columns})
    except pa.ArrowException as error:
        raise DataError(f"a column mixes types: {error}; make it text", source=name) from error


def _spooled(stream: BinaryIO, label: str, options: FormatOptions) -> bytes:
    """What comes from a stream until it ends; where it grows too large, no more is read of it."""
    with tempfile.TemporaryFile() as file:
        while chunk := stream.read(_CHUNK):
            file.write(chunk)
            if file.tell() > options.max_bytes:
                raise too_large(label, options)
        return _whole(file, file.tell(), label, options)


def _whole(file: BinaryIO, size: int, label: str, options: FormatOptions) -> bytes:
    file.seek(0)
    head = file.read(4)
    file.seek(0)
    for magic, packing in _PACKED.items():
        if head.startswith(magic):
            return _bounded(_chunks(file, packing, label), size, label, options)
    if size > options.max_bytes:
        raise too_large(label, options)
    return file.read()


def _unpacked(path: Path, options: FormatOptions) -> bytes:
    label = str(path)
    try:
        with path.open("rb") as file:
            return _whole(file, path.stat().st_size, label, options)
    except FileNotFoundError as error:
        raise _missing(path) from error
    except IsADirectoryError as error:
        inside = sorted(p.name for p in path.iterdir() if p.is_file())[:8]
        holds = f"it holds {', '.join(inside)}" if inside else "it holds no files"
        raise DataError(f"is a folder, expected a file; {holds}", source=label) from error
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", source=label) from error


def _missing(path: Path) -> DataError:
    folder = path.parent
    if not folder.is_dir():
        return DataError(f"no such file, and no such folder {str(folder)!r}", source=str(path))
    names = sorted(p.name for p in folder.iterdir())
    near = near_matches(path.name, names)
    hint = f"did you mean {', '.join(near)}?" if near else f"nothing in {folder} has a like name"
    return DataError(f"no such file; {hint}", source=str(path))


def _chunks(file: BinaryIO, packing: str, label: str) -> Iterator[bytes]:
    """The unpacked content, a chunk at a time."""
    try:
        with pa.CompressedInputStream(pa.PythonFile(file, "r"), packing) as stream:
            while chunk := stream.read(_CHUNK):
                yield chunk
    except OSError as error:
        raise DataError(
            f"the {packing} data is damaged or ends too early ({error}); get the file again",
            source=label,
        ) from error


def _bounded(chunks: Iterator[bytes], packed: int, label: str, options: FormatOptions) -> bytes:
    grown = bytearray()
    for chunk in chunks:
        grown += chunk
        if len(grown) > options.max_bytes:
            raise too_large(label, options)
        if len(grown) > FREE_BYTES and len(grown) > packed * options.max_expansion:
            raise DataError(
                f"grows more than {options.max_expansion} times when unpacked, like a"
                " decompression bomb; raise max_expansion in the recipe if it is meant",
                source=label,
            )
    return bytes(grown)
