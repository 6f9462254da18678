"""Parquet files, whose footers are not believed -> raw columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from crossrec_llm.errors import DataError
from crossrec_llm.tables.raw import FREE_BYTES, Choose, FormatOptions, too_large, too_wide


def read_parquet(data: bytes, label: str, options: FormatOptions, choose: Choose) -> pa.Table:
    import pyarrow.parquet as pq

    try:
        meta = pq.read_metadata(pa.BufferReader(data))
        schema = meta.schema.to_arrow_schema()
        wanted = choose(schema.names)
        if len(schema.names) > options.max_columns:
            raise too_wide(len(schema.names), label, options)
        _check_claims(meta, wanted, len(data), label, options)
        # Repeated long values stay one value until their size is known.
        texts = [
            f.name for f in schema if pa.types.is_string(f.type) or pa.types.is_large_string(f.type)
        ]
        table = pq.read_table(pa.BufferReader(data), columns=wanted, read_dictionary=texts)
        if sum(_decoded_bytes(column) for column in table.columns) > options.max_bytes:
            raise too_large(label, options)
        return plain_types(table)
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"is not a whole parquet file ({first})", source=label) from error


def _check_claims(
    meta: Any, wanted: list[str], size: int, label: str, options: FormatOptions
) -> None:
    """Refuses a footer that promises more than the file can hold, before anything is allocated."""
    groups = (meta.row_group(i) for i in range(meta.num_row_groups))
    chunks = [group.column(i) for group in groups for i in range(meta.num_columns)]
    packed = sum(chunk.total_compressed_size for chunk in chunks)
    claimed = sum(
        chunk.total_uncompressed_size
        for chunk in chunks
        if chunk.path_in_schema.split(".")[0] in wanted
    )
    # A row takes about eight bytes a column once it is read, however well it was packed.
    claimed = max(claimed, meta.num_rows * 8 * len(wanted))
    if packed > size or min(claimed, packed) < 0:
        raise DataError(
            f"its footer claims {packed:,} bytes of data in a file of {size:,}: it is damaged",
            source=label,
        )
    if claimed > options.max_bytes or (
        claimed > FREE_BYTES and claimed > 100 * options.max_expansion * size
    ):
        raise DataError(
            f"its footer claims {meta.num_rows:,} rows and {claimed:,} bytes unpacked, too much for"
            f" a file of {size:,} bytes; raise max_bytes or max_expansion in the recipe if it is"
            " meant",
            source=label,
        )


def _decoded_bytes(column: pa.ChunkedArray) -> int:
    if not pa.types.is_dictionary(column.type):
        return int(column.nbytes)
    total = 0
    for chunk in column.chunks:
        lengths = pc.binary_length(chunk.dictionary).to_numpy(zero_copy_only=False)
        codes = chunk.indices.drop_null().to_numpy()
        counts = np.bincount(codes, minlength=len(lengths)) if len(codes) else 0
        total += int(np.sum(np.nan_to_num(lengths) * counts))
    return total


def plain_types(table: pa.Table) -> pa.Table:
    """Without dictionary and view types, which few of Arrow's functions take."""
    for i, column in enumerate(table.schema):
        kind = column.type
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        if pa.types.is_large_string(kind) or kind == pa.string_view():
            kind = pa.string()
        if kind != column.type:
            table = table.set_column(i, column.name, table[i].cast(kind))
    return table
