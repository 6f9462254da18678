"""Tables of items and events <-> the rows of records.sqlite."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from crossrec_llm.errors import DataError
from crossrec_llm.tables import EVENTS_SCHEMA, ITEMS_SCHEMA
from crossrec_llm.tables.fingerprint import feed

ITEM_COLUMNS = ", ".join(ITEMS_SCHEMA.names)
ItemRow = tuple[Any, ...]
"""The values of ITEM_COLUMNS as SQLite has them: the category as JSON, a truth value as 0 or 1."""

_CHUNK = 50_000


def item_rows(items: pa.Table) -> Iterator[ItemRow]:
    """The rows of a table of ITEMS_SCHEMA, in order."""
    for start in range(0, len(items), _CHUNK):
        columns = [column.to_pylist() for column in items.slice(start, _CHUNK).columns]
        columns[3] = [json.dumps(path, ensure_ascii=False) for path in columns[3]]
        columns[7] = list(map(int, columns[7]))
        yield from zip(*columns, strict=True)


def items_table(rows: Iterable[ItemRow]) -> pa.Table:
    """What `item_rows` was made from."""
    columns = _columns(rows, ITEMS_SCHEMA)
    columns[3] = list(map(json.loads, columns[3]))
    columns[7] = list(map(bool, columns[7]))
    return _table(columns, ITEMS_SCHEMA)


def events_table(rows: Iterable[tuple[Any, ...]]) -> pa.Table:
    """A table of EVENTS_SCHEMA from its rows."""
    return _table(_columns(rows, EVENTS_SCHEMA), EVENTS_SCHEMA)


def row_digest(row: ItemRow) -> bytes:
    """16 bytes that tell rows of different content apart."""
    return hashlib.blake2b(repr(row).encode("utf-8", "replace"), digest_size=16).digest()


def content_digest(items: pa.Table, events: pa.Table) -> str:
    """Sha256 over the content of both tables; `Ledger.content` of a ledger that holds them."""
    digest = hashlib.sha256()
    for table in (items, events):
        feed(digest, table)
    return digest.hexdigest()


def keys(items: pa.Table, events: pa.Table) -> tuple[list[str], np.ndarray, np.ndarray]:
    """User ids by first appearance, and the (n,) int64 user and item number of each event.

    Raises
    ------
    DataError : an item twice, or an event about an item that is not there.
    """
    item_ids = items["item_id"].combine_chunks()
    if len(item_ids.unique()) != len(item_ids):
        twice = item_ids.value_counts().sort(order="descending", by="counts")[0]["values"].as_py()
        raise DataError(f"the item id {twice!r} twice", source="items")
    item_keys = pc.index_in(events["item_id"].combine_chunks(), value_set=item_ids)
    if item_keys.null_count:
        row = item_keys.is_null().index(True).as_py()
        unknown = events["item_id"][row].as_py()
        raise DataError(f"an event about {unknown!r}, which is not among the items")
    users = events["user_id"].combine_chunks().dictionary_encode()
    return (
        users.dictionary.to_pylist(),
        users.indices.to_numpy(zero_copy_only=False).astype(np.int64),
        item_keys.to_numpy(zero_copy_only=False).astype(np.int64),
    )


def event_rows(
    events: pa.Table,
    user_keys: np.ndarray,
    item_keys: np.ndarray,
    changes: np.ndarray,
    filed: np.ndarray,
) -> Iterator[tuple[Any, ...]]:
    """The rows of the events table in the order of its key, which is the fastest to insert."""
    if np.any(user_keys[1:] < user_keys[:-1]):
        order = np.argsort(user_keys, kind="stable")
        events, changes, filed = events.take(order), changes[order], filed[order]
        user_keys, item_keys = user_keys[order], item_keys[order]
    marks = (filed & (changes > 0)).astype(np.int64)
    seqs = np.arange(len(user_keys)) - np.searchsorted(user_keys, user_keys)
    for start in range(0, len(events), _CHUNK):
        part, here = events.slice(start, _CHUNK), slice(start, start + _CHUNK)
        numbers = [array[here].tolist() for array in (user_keys, seqs, item_keys)]
        rest = [part[name].to_pylist() for name in ("timestamp", "event", "value")]
        yield from zip(*numbers, *rest, changes[here].tolist(), marks[here].tolist(), strict=True)


def chunks(rows: Iterable[tuple[Any, ...]]) -> Iterator[Sequence[tuple[Any, ...]]]:
    """The rows, so many at a time as one statement inserts."""
    chunk: list[tuple[Any, ...]] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == _CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _columns(rows: Iterable[tuple[Any, ...]], schema: pa.Schema) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in schema]


def _table(columns: list[list[Any]], schema: pa.Schema) -> pa.Table:
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)
