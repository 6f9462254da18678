"""JSON lines, or a JSON list of objects, or an object around one -> raw columns, with lines."""

from __future__ import annotations

import ast
import io
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from crossrec_llm.errors import DataError
from crossrec_llm.tables.parquet import plain_types
from crossrec_llm.tables.raw import BadRow, Choose, EmptySource, FormatOptions, RawTable, too_wide

_SHOWN = 2_000
_BLOCK = 16 << 20


def read_json(
    data: bytes,
    label: str,
    options: FormatOptions,
    choose: Choose,
    encoding: str,
    repairs: Counter[str],
) -> RawTable:
    """Reads UTF-8 JSON lines; lists and objects in them become JSON text.

    Well-formed lines of one shape are read by Arrow; otherwise line by line, where a line that is
    not JSON is set apart, and one written as a Python literal is read and counted.

    Raises
    ------
    DataError : no line holds an object, or there are too many names.
    """
    bad: list[BadRow] = []
    whole = _list(data, label) if data.lstrip().startswith(b"[") else _wrapped(data)
    table = _by_arrow(data) if whole is None else None
    if table is not None:
        lines = np.arange(1, table.num_rows + 1, dtype=np.int64)
    else:
        pairs = _by_line(data) if whole is None else _numbered(whole)
        rows: list[dict[str, Any]] = []
        at: list[int] = []
        for line, row, problem in pairs:
            if isinstance(row, dict):
                rows.append(row)
                at.append(line)
                if problem:
                    repairs[problem] += 1
            else:
                bad.append(BadRow(line, problem, str(row)[:_SHOWN]))
        if not (rows or bad):
            raise EmptySource("is empty; expected JSON objects", source=label)
        if not rows:
            raise DataError(f"no line holds a JSON object: {bad[0].reason}", source=label, line=1)
        table, lines = _as_text(rows, label, options), np.array(at, np.int64)
    if table.num_columns > options.max_columns:
        raise too_wide(table.num_columns, label, options)
    table = table.select(choose(table.column_names))
    return RawTable(label, "json lines", table, lines, bad, encoding, "", repairs)


def _by_arrow(data: bytes) -> pa.Table | None:
    """The table, when every line is an object and no name changes its type; else None."""
    import pyarrow.json as pajson

    try:
        first = json.loads(data.lstrip().split(b"\n", 1)[0])
    except (ValueError, RecursionError):
        return None
    if not isinstance(first, dict) or len(first) > 1_000:
        return None
    # Else Arrow makes dates of texts that look like dates, and an id may look like one.
    known = [(name, pa.string()) for name, value in first.items() if isinstance(value, str)]
    try:
        table = pajson.read_json(
            pa.BufferReader(data),
            pajson.ReadOptions(block_size=min(_BLOCK, len(data) + 1)),
            pajson.ParseOptions(explicit_schema=pa.schema(known)),
        )
    except pa.ArrowException:
        return None
    n_lines = data.count(b"\n") + (not data.endswith(b"\n"))
    nested = any(pa.types.is_struct(f.type) or pa.types.is_timestamp(f.type) for f in table.schema)
    return None if nested or table.num_rows != n_lines else plain_types(table)


def _by_line(data: bytes) -> Iterator[tuple[int, Any, str]]:
    """Line, row and repair; or line, text and what is wrong with it."""
    for number, raw in enumerate(io.BytesIO(data), 1):
        line = raw.strip()
        if not line:
            continue
        text = line.decode("utf-8", "replace")
        try:
            row = json.loads(text)
            problem = ""
        except (ValueError, RecursionError):
            row, problem = _python_literal(text)
        if isinstance(row, dict):
            yield number, row, problem
        else:
            yield number, text, problem or "not a JSON object"


def _python_literal(text: str) -> tuple[Any, str]:
    try:
        return ast.literal_eval(text), "Python literals read as JSON"
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None, "not JSON"


def _list(data: bytes, label: str) -> list[Any]:
    try:
        return list(json.loads(data))
    except (ValueError, RecursionError) as error:
        line = getattr(error, "lineno", None)
        raise DataError(
            f"is not JSON ({error}); expected one object a line", source=label, line=line
        ) from error


def _wrapped(data: bytes) -> list[Any] | None:
    """The only list of objects in an object that is the whole file, as in {"products": [...]}."""
    lines = io.BytesIO(data.lstrip())
    try:
        json.loads(next(lines))
        if any(line.strip() for line in lines):
            return None  # one object a line
    except (ValueError, RecursionError):
        pass
    try:
        whole = json.loads(data)
    except (ValueError, RecursionError):
        return None
    lists = [v for v in whole.values() if isinstance(v, list) and v and isinstance(v[0], dict)]
    return lists[0] if len(lists) == 1 else None


def _numbered(rows: list[Any]) -> Iterator[tuple[int, Any, str]]:
    for number, row in enumerate(rows, 1):
        yield number, row, "" if isinstance(row, dict) else "not a JSON object"


def _as_text(rows: list[dict[str, Any]], label: str, options: FormatOptions) -> pa.Table:
    names = dict.fromkeys(name for row in rows for name in row)
    if len(names) > options.max_columns:
        raise too_wide(len(names), label, options)
    return pa.table(
        {name: pa.array([_cell(row.get(name)) for row in rows], pa.string()) for name in names}
    )


def _cell(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        # A lone half of a surrogate pair is legal in JSON, and no text.
        return value and value.encode("utf-8", "replace").decode()
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        value = int(value)  # an id may be 77 here and 77.0 there
    return json.dumps(value, ensure_ascii=False, default=str)
