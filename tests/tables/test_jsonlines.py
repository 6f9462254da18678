from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crossrec_llm.errors import DataError
from crossrec_llm.tables.cleaning import as_text
from tests.tables.samples import raw


def test_lines_of_one_shape(tmp_path: Path) -> None:
    table = raw(tmp_path, '{"id": 1, "t": "2020-01-01"}\n{"id": 2, "t": "b"}\n', "f.jsonl")
    assert table.format == "json lines"
    assert table.table.to_pylist() == [{"t": "2020-01-01", "id": 1}, {"t": "b", "id": 2}]
    assert table.lines.tolist() == [1, 2]


def test_lines_of_many_shapes(tmp_path: Path) -> None:
    lines = [
        '{"id": 1, "t": "a"}',
        '{"id": "2", "t": [1, "x"], "more": {"k": null}}',
        "nope",
        "{'id': u'3', 'ok': True}",
        "",
        "[1]",
        '{"id": 4, "t": "\\ud800"}',
        "[" * 100_000,
    ]
    table = raw(tmp_path, "\n".join(lines), "f.jsonl")
    assert table.lines.tolist() == [1, 2, 4, 7]
    assert table.table["id"].to_pylist() == ["1", "2", "3", "4"]
    assert table.table["t"].to_pylist() == ["a", '[1, "x"]', None, "?"]
    assert [(bad.line, bad.reason) for bad in table.bad] == [
        (3, "not JSON"),
        (6, "not a JSON object"),
        (8, "not JSON"),
    ]
    assert table.repairs == {"Python literals read as JSON": 1}


def test_a_json_list(tmp_path: Path) -> None:
    table = raw(tmp_path, '[{"id": 1},\n {"id": 2}, 3]', "f.json")
    assert table.table["id"].to_pylist() == ["1", "2"]
    assert [(bad.line, bad.content) for bad in table.bad] == [(3, "3")]


@pytest.mark.parametrize("indent", [None, 2])
def test_a_list_in_an_object(tmp_path: Path, indent: int | None) -> None:
    whole = {"total": 2, "tags": ["x"], "products": [{"id": 1, "t": "a"}, {"id": 2}]}
    table = raw(tmp_path, json.dumps(whole, indent=indent), "f.json")
    assert table.table.to_pylist() == [{"id": "1", "t": "a"}, {"id": "2", "t": None}]
    assert table.lines.tolist() == [1, 2]


def test_lines_with_lists_of_objects_are_lines(tmp_path: Path) -> None:
    line = json.dumps({"id": 1, "variants": [{"size": 3}]})
    assert raw(tmp_path, f"{line}\n{line}\n", "f.jsonl").table["id"].to_pylist() == [1, 1]
    two = json.dumps({"id": 1, "a": [{"x": 1}], "b": [{"x": 1}]})
    assert raw(tmp_path, two, "f.json").table["id"].to_pylist() == [1]


@pytest.mark.parametrize("other", [{}, {"more": {"k": 1}}])
def test_one_id_however_the_number_is_written(tmp_path: Path, other: dict[str, object]) -> None:
    lines = [{"id": 77, **other}, {"id": 77.0}, {"id": 7.5}]
    table = raw(tmp_path, "\n".join(map(json.dumps, lines)), "f.jsonl")
    assert as_text(table.table["id"]).to_pylist() == ["77", "77", "7.5"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[{"id": 1}, ', "is not JSON"),
        ("{nope}\n", "no line holds a JSON object: not JSON"),
        (json.dumps({f"c{i}": 1 for i in range(6000)}), "6,000 columns"),
        (json.dumps({f"c{i}": [1] for i in range(900)}) + "\n{", "900 columns"),
    ],
)
def test_what_cannot_be_read(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        raw(tmp_path, text, "f.json", max_columns=800)


value = st.one_of(st.none(), st.text(max_size=5), st.integers(-9, 9), st.lists(st.text(max_size=3)))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.dictionaries(st.sampled_from("abc"), value), min_size=1, max_size=6))
def test_both_ways_of_reading_agree_with_json(tmp_path: Path, rows: list[dict]) -> None:
    table = raw(tmp_path, "\n".join(map(json.dumps, rows)) + "\n", "f.jsonl")
    assert table.rows_read == len(rows)
    for name in table.table.column_names:
        texts = as_text(table.table[name]).to_pylist()
        for row, text in zip(rows, texts, strict=True):
            wanted = row.get(name)
            if wanted is None or isinstance(wanted, str):
                assert text == wanted
            else:
                assert json.loads(text) == wanted
