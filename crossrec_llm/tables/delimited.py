"""Delimited text -> raw columns, with the line of every row; ragged rows apart."""

from __future__ import annotations

import csv
import io
from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from crossrec_llm.errors import DataError
from crossrec_llm.tables.raw import (
    FREE_BYTES,
    BadRow,
    Choose,
    EmptySource,
    FormatOptions,
    RawTable,
    too_wide,
)

_SAMPLE = 1 << 16
_DELIMITERS = (",", "\t", ";", "|", "::", "\x01", "^", "~")
_STAND_IN = "\x1f"  # for a delimiter of several characters
_BLOCK = 16 << 20
_MAX_BLOCK = 2**31 - 1
_SHOWN = 2_000
_MAX_PASSES = 10
_MAX_SURPLUS = 1_000
_FILLED, _DROPPED = "missing fields at the end left empty", "empty fields too many dropped"


@dataclass(frozen=True)
class _Dialect:
    delimiter: str
    escape: str | Literal[False]
    names: list[str]
    has_header: bool


def read_delimited(
    data: bytes,
    label: str,
    options: FormatOptions,
    choose: Choose,
    encoding: str,
    repairs: Counter[str],
) -> RawTable:
    """Reads delimited UTF-8 text; every column as text.

    Line numbers are those of the file, quoted line breaks counted. Lines without anything in the
    chosen columns are skipped and counted as a repair.

    Raises
    ------
    DataError : only a header, or too many columns.
    """
    if b"\n" not in data:
        data = data.replace(b"\r", b"\n")
    blank = len(data) - len(data.lstrip(b"\r\n"))
    first_line = 1 + data[:blank].count(b"\n")
    data = data[blank:]
    dialect = _dialect(data, label, options)
    delimiter = dialect.delimiter
    if len(delimiter) > 1:
        data = data.replace(delimiter.encode(), _STAND_IN.encode())
        dialect = _Dialect(_STAND_IN, dialect.escape, dialect.names, dialect.has_header)
    names = _unique(dialect.names, repairs)
    chosen = choose(names)
    try:
        rows = _parsed(data, dialect, names, chosen)
    except DataError as error:
        raise DataError(str(error), source=label) from error
    repairs += rows.repairs
    if not len(rows.lines) and not rows.bad:
        raise EmptySource("has only a header line, expected rows below it", source=label, line=1)
    return RawTable(
        source=label,
        format="delimited",
        table=rows.table,
        lines=rows.lines + first_line,
        bad=[BadRow(bad.line + first_line, bad.reason, bad.content) for bad in rows.bad],
        encoding=encoding,
        delimiter=delimiter,
        repairs=repairs,
    )


# ------------------------------------------------------------------ what the file looks like


def _dialect(data: bytes, label: str, options: FormatOptions) -> _Dialect:
    """The delimiter and escape under which most lines have as many fields as the first."""
    end = data.find(b"\n")
    head = data[: max(_SAMPLE, end + 1)]
    if len(head) < len(data) and (cut := head.rfind(b"\n")) > 0:
        head = head[: cut + 1]
    sample = head.decode("utf-8", "replace")
    first = sample.split("\n", 1)[0]
    candidates = (
        [options.delimiter] if options.delimiter else [d for d in _DELIMITERS if d in first]
    )
    best: tuple[float, int, int] = (-1.0, 0, 0)
    found = _Dialect(options.delimiter or ",", False, [first.strip("\r\n")], True)
    for place, delimiter in enumerate(candidates):
        if first.count(delimiter) >= options.max_columns:
            raise too_wide(first.count(delimiter) + 1, label, options)
        escape = _escape(sample, delimiter)
        rows = _sampled(sample, delimiter, escape)
        if not rows:
            continue
        sizes = Counter(len(row) for row in rows[1:]) or Counter([len(rows[0])])
        width, hits = sizes.most_common(1)[0]
        agree = hits / max(len(rows) - 1, 1) if width >= len(rows[0]) > 1 else 0.0
        score = (round(agree, 1), min(len(rows[0]), 3), -place)
        if score > best:
            best = score
            names = _fitting(rows, list(options.header))
            found = _Dialect(delimiter, escape or False, names, not options.header)
    return found


def _sampled(sample: str, delimiter: str, escape: str | None) -> list[list[str]]:
    if len(delimiter) > 1:
        sample, delimiter = sample.replace(delimiter, _STAND_IN), _STAND_IN
    reader = csv.reader(io.StringIO(sample), delimiter=delimiter, escapechar=escape)
    rows: list[list[str]] = []
    try:
        for row in reader:
            if row:
                rows.append(row)
            if len(rows) > 200:
                break
    except csv.Error:  # a field beyond the csv module's limit: what was read so far must do
        pass
    return rows


def _escape(sample: str, delimiter: str) -> str | None:
    """A backslash, when quotes inside quotes are written with one."""
    if '\\"' not in sample or len(delimiter) > 1:
        return None
    plain, escaped = (_well_formed(sample, delimiter, escape) for escape in (None, "\\"))
    return "\\" if escaped and not plain else None


def _well_formed(text: str, delimiter: str, escape: str | None) -> bool:
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter, escapechar=escape, strict=True
    )
    try:
        for _ in reader:
            pass
    except csv.Error:
        return False
    return True


def _fitting(rows: list[list[str]], header: list[str]) -> list[str]:
    """The column names; with one more where every row has one field more than the header."""
    names = header or [name.strip() for name in rows[0]]
    wide = [row for row in rows[1:] if len(row) == len(names) + 1]
    if header or len(rows) == 1 or len(wide) < 0.95 * (len(rows) - 1):
        return names
    # A delimiter at the end of each line, or the unnamed row numbers that R writes first.
    return [*names, ""] if all(not row[-1] for row in wide) else ["", *names]


def _unique(names: list[str], repairs: Counter[str]) -> list[str]:
    seen: Counter[str] = Counter()
    unique: list[str] = []
    for place, name in enumerate(names, 1):
        plain = name or f"column {place}"
        seen[plain] += 1
        unique.append(plain if seen[plain] == 1 else f"{plain} ({seen[plain]})")
    if repeated := sum(seen.values()) - len(seen):
        repairs["repeated column names numbered"] += repeated
    return unique


# ------------------------------------------------------------------ rows


@dataclass(frozen=True)
class _Rows:
    table: pa.Table
    lines: np.ndarray  # 0-based, from the first line of the data
    bad: list[BadRow]
    heights: np.ndarray  # lines each row takes, bad and blank ones too
    header_height: int
    repairs: Counter[str]


def _parsed(data: bytes, dialect: _Dialect, names: list[str], chosen: list[str]) -> _Rows:
    """All rows; a quote that is never closed is removed, or it would swallow the rows after it."""
    if not data.endswith(b"\n"):
        data += b"\n"
    removed = 0
    for _ in range(_MAX_PASSES):
        rows = _read(data, dialect, names, chosen)
        stray = _stray_quotes(data, rows, dialect)
        if not stray:
            break
        removed += len(stray)
        pieces, place = [], 0
        for start, end in stray:
            pieces += [data[place:start], data[start:end].replace(b'"', b"")]
            place = end
        data = b"".join([*pieces, data[place:]])
    if removed:
        rows.repairs["lines with a quote too many mended"] += removed
    return rows


def _stray_quotes(data: bytes, rows: _Rows, dialect: _Dialect) -> list[tuple[int, int]]:
    """The first lines (start, end) of rows over several lines whose quotes make no sense."""
    tall = np.flatnonzero(rows.heights > 1)
    if not len(tall):
        return []
    ends = np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n"))
    first = np.cumsum(rows.heights) - rows.heights + rows.header_height
    stray = []
    for line, height in zip(first[tall].tolist(), rows.heights[tall].tolist(), strict=True):
        start = int(ends[line - 1]) + 1 if line else 0
        if not _well_quoted(data[start : int(ends[line + height - 1]) + 1], dialect):
            stray.append((start, int(ends[line])))
    return stray


def _well_quoted(row: bytes, dialect: _Dialect) -> bool:
    if len(row) >= csv.field_size_limit():
        return row.count(b'"') % 2 == 0
    text = row.decode("utf-8", "replace")
    return _well_formed(text, dialect.delimiter, dialect.escape or None)


def _read(data: bytes, dialect: _Dialect, names: list[str], chosen: list[str]) -> _Rows:
    table, invalid = _arrow(data, dialect, names, chosen)
    header = int(dialect.has_header)
    n_rows = table.num_rows + len(invalid)
    places = np.array([row.number for row in invalid], np.int64) - 1 - header
    valid = np.delete(np.arange(n_rows), places)
    heights = np.ones(n_rows + header, np.int64)
    if data.count(b"\n") != n_rows + header:  # there are line breaks inside quotes
        whole = table if chosen == names else _arrow(data, dialect, names, names)[0]
        for column in whole.columns:
            heights[header + valid] += pc.count_substring(column, "\n").to_numpy()
        heights[header + places] += np.array([row.text.count("\n") for row in invalid], np.int64)
        surplus = int(heights.sum()) - data.count(b"\n")
        heights[-1] -= max(surplus, 0)  # an open quote takes the end of the last line in
        heights[:header] += max(-surplus, 0)  # what is left is the header's
    lines = (np.cumsum(heights) - heights)[header:]

    repairs = Counter[str]()
    table, ordinals, bad = _mended(table, valid, invalid, places, dialect, names, chosen, repairs)
    empty = np.ones(table.num_rows, bool)
    for column in table.columns:
        empty &= pc.equal(column, "").to_numpy()
    if empty.any():
        repairs["blank lines skipped"] += int(empty.sum())
        table, ordinals = table.filter(pa.array(~empty)), ordinals[~empty]
    bad = [BadRow(int(lines[row.line]), row.reason, row.content) for row in bad]
    return _Rows(
        table, lines[ordinals], bad, heights[header:], int(heights[:header].sum()), +repairs
    )


def _mended(
    table: pa.Table,
    valid: np.ndarray,
    invalid: list[Any],
    places: np.ndarray,
    dialect: _Dialect,
    names: list[str],
    chosen: list[str],
    repairs: Counter[str],
) -> tuple[pa.Table, np.ndarray, list[BadRow]]:
    """Takes back in the rows that have empty fields too many, or whose last fields are missing.

    Returns the table, the place of each of its rows among all rows, and what remains bad.
    """
    mended: dict[int, bytes] = {}
    room = FREE_BYTES  # a small file of short rows under a wide header must not grow without bounds
    for at, row in enumerate(invalid):
        surplus = row.actual_columns - row.expected_columns
        text = row.text.rstrip("\r")
        if 0 < surplus <= _MAX_SURPLUS and text.endswith(dialect.delimiter * surplus):
            mended[at] = text[:-surplus].encode() + b"\n"
        elif -room <= surplus < 0 and _well_quoted(text.encode(), dialect):
            mended[at] = (text + dialect.delimiter * -surplus).encode() + b"\n"
            room += surplus
    if mended:
        plain = _Dialect(dialect.delimiter, dialect.escape, names, has_header=False)
        added, wrong = _arrow(b"".join(mended.values()), plain, names, chosen)
        if wrong or added.num_rows != len(mended):
            mended = {}
        else:
            ordinals = np.concatenate([valid, places[list(mended)]])
            order = np.argsort(ordinals)
            table = pa.concat_tables([table, added]).take(pa.array(order))
            valid = ordinals[order]
    bad = []
    for at, row in enumerate(invalid):
        if at in mended:
            short = row.actual_columns < row.expected_columns
            repairs[_FILLED if short else _DROPPED] += 1
        else:
            words = "too many" if row.actual_columns > row.expected_columns else "too few"
            reason = (
                f"{words} fields ({row.actual_columns} where {row.expected_columns} are expected)"
            )
            bad.append(BadRow(int(places[at]), reason, row.text.replace(_STAND_IN, " ")[:_SHOWN]))
    return table, valid, bad


def _arrow(
    data: bytes, dialect: _Dialect, names: list[str], chosen: list[str], block: int = _BLOCK
) -> tuple[pa.Table, list[Any]]:
    import pyarrow.csv as pacsv

    invalid: list[Any] = []

    def keep(row: Any) -> str:
        invalid.append(row)
        return "skip"

    try:
        table = pacsv.read_csv(
            pa.BufferReader(data),
            # Only one thread numbers the rows that do not fit.
            pacsv.ReadOptions(
                use_threads=False,
                block_size=min(block, len(data) + 1),
                column_names=names,
                skip_rows=0,
                skip_rows_after_names=int(dialect.has_header),
            ),
            pacsv.ParseOptions(
                delimiter=dialect.delimiter,
                escape_char=dialect.escape,
                newlines_in_values=True,
                ignore_empty_lines=False,
                invalid_row_handler=keep,
            ),
            pacsv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                include_columns=chosen,
                check_utf8=False,
            ),
        )
    except pa.ArrowInvalid as error:
        if block >= min(len(data) + 1, _MAX_BLOCK):
            raise DataError(f"cannot be read as delimited text: {error}") from error
        return _arrow(data, dialect, names, chosen, _MAX_BLOCK)  # a row longer than a block
    return table, invalid
