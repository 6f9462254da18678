"""Short ways to write files and read them back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from crossrec_llm.tables import EVENTS_SCHEMA, ITEMS_SCHEMA, Catalogue
from crossrec_llm.tables.formats import read_source
from crossrec_llm.tables.raw import FormatOptions, RawTable


def raw(folder: Path, data: bytes | str, name: str = "f.csv", **options: Any) -> RawTable:
    """The raw table of a file with this content."""
    path = folder / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return read_source(path, "unused", FormatOptions(**options))


def items(*rows: dict[str, Any]) -> pa.Table:
    """Items from partial rows, by number where no id is given."""
    empty = {
        "description": "",
        "category": [],
        "brand": "",
        "price": None,
        "image_url": "",
        "available": True,
        "added": None,
        "metadata": "{}",
    }
    full = [{"item_id": f"i{n}", "title": f"t{n}", **empty, **row} for n, row in enumerate(rows)]
    return pa.Table.from_pylist(full, schema=ITEMS_SCHEMA)


def catalogue(n: int) -> Catalogue:
    return Catalogue.from_table(items(*({} for _ in range(n))))


def events(*rows: tuple[Any, ...]) -> pa.Table:
    """Events from (user, item, timestamp, event, value), the last ones optional."""
    none = (None, None, None, "", None)
    full = [row + none[len(row) :] for row in rows]
    return pa.Table.from_pylist(
        [dict(zip(EVENTS_SCHEMA.names, row, strict=True)) for row in full], schema=EVENTS_SCHEMA
    )
