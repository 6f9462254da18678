from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossrec_llm.errors import DataError
from crossrec_llm.tables.delimited import read_delimited
from crossrec_llm.tables.raw import FormatOptions, RawTable
from tests.tables.samples import raw


def read(text: str | bytes, **options: object) -> RawTable:
    data = text if isinstance(text, bytes) else text.encode()
    from collections import Counter

    return read_delimited(data, "f", FormatOptions(**options), list, "utf-8", Counter())  # type: ignore[arg-type]


def rows(table: RawTable) -> list[list[str]]:
    return [list(row.values()) for row in table.table.to_pylist()]


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|", "::", "\x01", "^", "~"])
def test_delimiters_are_found(delimiter: str) -> None:
    text = "\n".join(delimiter.join(row) for row in (["id", "title"], ["1", "a b"], ["2", "c"]))
    found = read(text)
    assert found.delimiter == delimiter
    assert rows(found) == [["1", "a b"], ["2", "c"]]


def test_commas_in_titles_do_not_mislead() -> None:
    found = read("id;title;price\n1;Shoes, red, size 4;1,5\n2;Hat, blue;2,5\n")
    assert found.delimiter == ";"
    assert found.table.column_names == ["id", "title", "price"]


def test_given_delimiter_and_header() -> None:
    found = read("1##a\n2##b", delimiter="##", header=("id", "title"))
    assert found.table.to_pylist() == [{"id": "1", "title": "a"}, {"id": "2", "title": "b"}]
    assert found.lines.tolist() == [1, 2]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends(end: str) -> None:
    found = read(end.join(["id,title", "1,a", "2,b"]))
    assert rows(found) == [["1", "a"], ["2", "b"]]
    assert found.lines.tolist() == [2, 3]


def test_quoted_line_breaks_keep_line_numbers_right() -> None:
    found = read('id,"ti\ntle"\n1,"a\nb"\nb,a,d\n2,"c\r\n\nd"\n3,e\n')
    assert rows(found) == [["1", "a\nb"], ["2", "c\r\n\nd"], ["3", "e"]]
    assert found.lines.tolist() == [3, 6, 9]
    assert [bad.line for bad in found.bad] == [5]


def test_line_numbers_when_the_broken_column_is_not_chosen() -> None:
    from collections import Counter

    data = b'id,title,x\n1,a,"p\nq"\n2,b,r\n'
    found = read_delimited(data, "f", FormatOptions(), lambda n: ["id"], "utf-8", Counter())
    assert found.lines.tolist() == [2, 4]


def test_ragged_rows() -> None:
    found = read("id,title\n1,a\n2\n3,x,y\n\n4,b,,\n5,c\n")
    assert rows(found) == [["1", "a"], ["2", ""], ["4", "b"], ["5", "c"]]
    assert found.lines.tolist() == [2, 3, 6, 7]
    assert [(bad.line, bad.content) for bad in found.bad] == [(4, "3,x,y")]
    assert found.bad[0].reason == "too many fields (3 where 2 are expected)"
    assert found.repairs == {
        "empty fields too many dropped": 1,
        "missing fields at the end left empty": 1,
        "blank lines skipped": 1,
    }


def test_missing_fields_at_the_end_are_empty() -> None:
    found = read('id,title,price,brand\n1,"a, b"\n2,"c\nd",5\n3,e,6,f\n4,"g""h"\r\n')
    assert rows(found) == [
        ["1", "a, b", "", ""],
        ["2", "c\nd", "5", ""],
        ["3", "e", "6", "f"],
        ["4", 'g"h', "", ""],
    ]
    assert found.lines.tolist() == [2, 3, 5, 6]
    assert found.repairs == {"missing fields at the end left empty": 3}
    assert not found.bad


def test_short_rows_do_not_grow_without_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crossrec_llm.tables.delimited.FREE_BYTES", 5)
    found = read("id,title,x,y\n1,a\n2,b\n3,c\n4,d,e,f\n")
    assert [row[0] for row in rows(found)] == ["1", "2", "4"]
    assert [(bad.line, bad.reason) for bad in found.bad] == [
        (4, "too few fields (2 where 4 are expected)")
    ]


def test_a_quoted_delimiter_at_the_end_is_no_empty_field() -> None:
    found = read('id,title\n1,a,\n2,",",,\n3,"b,"\n4,c,"d,"\n')
    assert rows(found) == [["1", "a"], ["2", ","], ["3", "b,"]]
    assert [bad.line for bad in found.bad] == [5]


def test_a_delimiter_at_every_line_end() -> None:
    assert rows(read("id,title\n1,a,\n2,b,\n")) == [["1", "a", ""], ["2", "b", ""]]


def test_row_names_before_the_columns() -> None:
    found = read('id,title\n"1",7,a\n"2",8,b\n')
    assert found.table.to_pylist()[1] == {"column 1": "2", "id": "8", "title": "b"}


def test_repeated_column_names() -> None:
    found = read("id,title,title,\n1,a,b,c\n")
    assert found.table.column_names == ["id", "title", "title (2)", "column 4"]
    assert found.repairs == {"repeated column names numbered": 1}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('1,12" pipe', '12" pipe'),
        ('1,"a ""quoted"" word"', 'a "quoted" word'),
        ('1,"a, b"', "a, b"),
        ('1,"x \\"y\\" z"', 'x "y" z'),
    ],
)
def test_quotes(line: str, expected: str) -> None:
    # Enough rows for the escape to be seen as the rule.
    text = "id,title\n" + "\n".join([line] * 3) + "\n"
    assert rows(read(text))[0] == ["1", expected]


def test_a_quote_that_is_never_closed_does_not_swallow_the_rest() -> None:
    found = read('id,title\n1,"abc\n2,d\n3,"e\n4,f')
    assert [row[0] for row in rows(found)] == ["1", "2", "3", "4"]
    assert found.lines.tolist() == [2, 3, 4, 5]
    assert rows(found)[2] == ["3", "e"]
    assert found.repairs == {"lines with a quote too many mended": 2}


def test_a_large_cell_with_a_quote_that_is_never_closed() -> None:
    found = read('id,title\n1,"abc\n' + "2,d\n" * 100_000)
    assert found.rows_read == 100_001


def test_only_a_header() -> None:
    for text in ("id,title", "id,title\n", "id,title\r\n\r\n"):
        with pytest.raises(DataError, match=r"f:1: .*only a header"):
            read(text)


def test_a_million_columns() -> None:
    wide = b",".join([b"x"] * 1_000_000)
    with pytest.raises(DataError, match="1,000,000 columns"):
        read(wide + b"\n1,2\n")
    found = read(b"id,title\n1,a\n" + wide + b"\n2,b\n")
    assert rows(found) == [["1", "a"], ["2", "b"]]
    assert [(bad.line, len(bad.content)) for bad in found.bad] == [(3, 2000)]


def test_a_cell_larger_than_a_block(tmp_path: Path) -> None:
    found = raw(tmp_path, b'id,title\n1,"' + b"x" * 40_000_000 + b'"\n2,b\n')
    assert [len(title) for title in found.table["title"].to_pylist()] == [40_000_000, 1]


cell = st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), max_size=8)


@given(
    st.lists(st.tuples(cell.filter(lambda t: t.strip() != ""), cell, cell), min_size=1, max_size=8)
)
def test_agrees_with_the_csv_module(table: list[tuple[str, str, str]]) -> None:
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerow(["id", "title", "note"])
    lines = []
    for row in table:
        lines.append(out.getvalue().count("\n") + 1)
        writer.writerow(row)
    found = read(out.getvalue(), delimiter=",")
    assert rows(found) == [list(row) for row in table]
    assert found.lines.tolist() == lines
    assert not found.bad


@given(
    st.lists(
        st.sampled_from(["1,a", "2", "3,b,c", "4,d,", '5,"e\nf"', '"', ",", "6,g"]), max_size=12
    )
)
def test_no_line_is_lost(lines: list[str]) -> None:
    text = "\n".join(["id,title", "0,start", *lines, ""])
    found = read(text, delimiter=",")
    places = found.lines.tolist() + [bad.line for bad in found.bad]
    assert sorted(places) == sorted(set(places))
    assert max(places) <= text.count("\n")
    if '"' not in lines:
        assert found.rows_read + found.repairs["blank lines skipped"] == 1 + len(lines)
