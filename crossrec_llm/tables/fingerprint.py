"""Whether inputs are the same as last time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from crossrec_llm.profiles import Correction
from crossrec_llm.tables.formats import from_frame, read_source
from crossrec_llm.tables.raw import FormatOptions
from crossrec_llm.tables.sources import TablesOptions, as_list, id_prefix

_BATCH = 50_000


def fingerprint_inputs(*tables: Any, options: TablesOptions | None = None) -> str:
    """Sha256 over the content of files and frames, in the order they are given.

    Names of files do not count, but where `options` puts them in front of ids.

    Parameters
    ----------
    tables : for each table a source, a list of them, or None.

    Raises
    ------
    DataError : a file cannot be read, or `options.source_names` has too few names.
    """
    digest = hashlib.sha256()
    for table in tables:
        sources = [] if table is None else as_list(table)
        digest.update(f"{len(sources)} sources".encode())
        for place, source in enumerate(sources):
            digest.update(_content(source))
            if options is not None:
                named = str(source) if isinstance(source, str | Path) else f"table {place + 1}"
                if prefix := id_prefix(named, place, options):
                    digest.update(f"prefix {len(prefix)} {prefix}".encode())
    return digest.hexdigest()


def history_digest(events: pa.Table, corrections: Sequence[Correction] = ()) -> str:
    """12 digits over one person's events and corrections, in their order.

    Corrections count by what they say, not by when it was said.
    """
    digest = hashlib.sha256()
    # Made anew: a table that was filtered keeps, under its nulls, bytes of what it had.
    columns = [pa.array(column.to_pylist(), column.type) for column in events.columns]
    feed(digest, pa.table(columns, schema=events.schema))
    for one in corrections:
        digest.update(json.dumps([one.sentence, *one.items]).encode())
    return digest.hexdigest()[:12]


def _content(source: Any) -> bytes:
    if not isinstance(source, str | Path):
        digest = hashlib.sha256()
        feed(digest, from_frame(source, "table"))
        return digest.digest()
    try:
        with Path(source).open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError:
        read_source(source, str(source), FormatOptions())  # says what is wrong with it
        raise


def feed(digest: Any, table: pa.Table) -> None:
    """Put a table's schema and content into a hash, a batch at a time."""
    digest.update(table.schema.serialize())
    for batch in table.combine_chunks().to_batches(max_chunksize=_BATCH):
        digest.update(batch.serialize())
