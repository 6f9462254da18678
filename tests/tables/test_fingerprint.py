from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from crossrec_llm.errors import DataError
from crossrec_llm.tables import TablesOptions, fingerprint_inputs


def test_content_counts_and_names_do_not(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("id,title\n1,a\n")
    a, b = tmp_path / "a.csv", tmp_path / "b.csv"
    assert fingerprint_inputs(a, None) == fingerprint_inputs(str(b), None)
    assert fingerprint_inputs(a, None) == fingerprint_inputs([a], None)
    assert fingerprint_inputs([a], [b]) != fingerprint_inputs([a, b], None)
    before = fingerprint_inputs(a)
    a.write_text("id,title\n1,b\n")
    assert fingerprint_inputs(a) != before


def test_tables_by_content() -> None:
    one, two = pa.table({"id": ["1", "2"]}), pa.table({"id": ["1", "3"]})
    assert fingerprint_inputs(one) != fingerprint_inputs(two)
    split = pa.concat_tables([one.slice(0, 1), one.slice(1)])
    assert fingerprint_inputs(split) == fingerprint_inputs(one)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        fingerprint_inputs(tmp_path / "none.csv")


def test_names_count_where_they_come_before_ids(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv", "a.2.csv"):
        (tmp_path / name).write_text("id,title\n1,a\n")
    a, b, a2 = (tmp_path / name for name in ("a.csv", "b.csv", "a.2.csv"))
    plain, prefixed = TablesOptions(), TablesOptions(prefix_ids="items")
    assert fingerprint_inputs(a, options=plain) == fingerprint_inputs(b) == fingerprint_inputs(a)
    before = fingerprint_inputs(a, None, options=prefixed)
    assert before != fingerprint_inputs(b, None, options=prefixed)
    assert before == fingerprint_inputs(a2, None, options=prefixed)  # both are "a:..."
    one, two = (TablesOptions(prefix_ids="items", source_names=(name,)) for name in "xy")
    assert fingerprint_inputs(a, options=one) == fingerprint_inputs(b, options=one)
    assert fingerprint_inputs(a, options=one) != fingerprint_inputs(a, options=two)
    with pytest.raises(DataError, match="source_names has 1 name, and"):
        fingerprint_inputs([a, b], options=one)


def test_tables_with_prefixes() -> None:
    table = pa.table({"id": ["1"]})
    options = TablesOptions(prefix_ids="both")
    assert fingerprint_inputs([table], options=options) == fingerprint_inputs(
        table, options=options
    )
