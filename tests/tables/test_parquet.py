from __future__ import annotations

import datetime as dt
import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crossrec_llm.errors import DataError
from tests.tables.samples import raw


def parquet(table: pa.Table, **options: object) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def test_plain_types_come_back(tmp_path: Path) -> None:
    moment = dt.datetime(2020, 1, 1)
    table = pa.table(
        {
            "id": pa.array(["a", "b"], pa.large_string()),
            "brand": pa.array(["x", "x"]).dictionary_encode(),
            "when": pa.array([moment, None], pa.timestamp("ns")),
            "tags": [["p"], None],
        }
    )
    found = raw(tmp_path, parquet(table), "f.parquet")
    assert found.table.schema.field("id").type == pa.string()
    assert found.table.schema.field("brand").type == pa.string()
    assert found.table["tags"].to_pylist() == [["p"], None]
    assert found.lines.tolist() == [1, 2]


def test_a_suffix_is_not_needed(tmp_path: Path) -> None:
    assert raw(tmp_path, parquet(pa.table({"id": [1]})), "data").format == "parquet"


def test_a_footer_that_claims_gigabytes(tmp_path: Path) -> None:
    # 200 million equal values take a few hundred bytes: a footer that promises much.
    column = pa.chunked_array([pa.nulls(50_000_000, pa.bool_())] * 4)
    data = parquet(pa.table({"id": column}), row_group_size=200_000_000, write_statistics=False)
    assert len(data) < 1_000_000
    with pytest.raises(DataError, match="footer claims 200,000,000 rows"):
        raw(tmp_path, data, "f.parquet", max_bytes=1 << 30)
    with pytest.raises(DataError, match="footer claims 200,000,000 rows"):
        raw(tmp_path, data, "f.parquet", max_expansion=2)


def test_one_long_value_repeated_a_million_times(tmp_path: Path) -> None:
    indices = pa.array([0] * 1_000_000, pa.int32())
    table = pa.table({"id": pa.DictionaryArray.from_arrays(indices, pa.array(["x" * 100_000]))})
    data = parquet(table)
    assert len(data) < 200_000
    with pytest.raises(DataError, match="larger than"):
        raw(tmp_path, data, "f.parquet", max_bytes=1 << 30)


@pytest.mark.parametrize("cut", [10, 100, -20])
def test_a_truncated_file(tmp_path: Path, cut: int) -> None:
    data = parquet(pa.table({"id": [str(i) for i in range(1000)]}))
    with pytest.raises(DataError, match=r"f\.parquet: is not a whole parquet file") as caught:
        raw(tmp_path, data[:cut], "f.parquet")
    assert "\n" not in str(caught.value)


def test_damaged_pages(tmp_path: Path) -> None:
    data = bytearray(parquet(pa.table({"id": [str(i) for i in range(10_000)]})))
    data[100:5000] = b"\xff" * 4900
    with pytest.raises(DataError, match="not a whole parquet file"):
        raw(tmp_path, bytes(data), "f.parquet")


def test_text_that_is_called_parquet(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a whole parquet file"):
        raw(tmp_path, b"id,title\n1,a\n", "f.parquet")


def test_too_many_columns(tmp_path: Path) -> None:
    data = parquet(pa.table({f"c{i}": [1] for i in range(20)}))
    with pytest.raises(DataError, match="20 columns"):
        raw(tmp_path, data, "f.parquet", max_columns=10)
