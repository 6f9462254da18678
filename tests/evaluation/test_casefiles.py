from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crossrec_llm.errors import DataError
from crossrec_llm.evaluation.casefiles import read_cases, read_queries
from crossrec_llm.filter import Filter
from tests.small import events_of, plain_catalogue

CATALOGUE = plain_catalogue()
EVENTS = events_of([[0, 1, 2], [3, 4]])
ROWS = [
    {"history": ["i0", "i1"], "targets": ["i2"], "candidates": ["i2", "i3"], "user_id": "u0"},
    {"history": ["i3"], "targets": ["i4", "i5"], "candidates": [], "user_id": "u1"},
]


def written(tmp_path, kind):
    path = tmp_path / f"cases.{kind}"
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), path)
    elif kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    else:
        lines = ["history,targets,candidates,user_id", 'i0|i1,"[""i2""]",i2 i3,u0', "i3,i4 i5,,u1"]
        path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_every_format_gives_the_same_cases(tmp_path, kind):
    parts = read_cases(written(tmp_path, kind), CATALOGUE, EVENTS, own_log=True)
    assert [(c.user_id, c.history, c.targets, c.filter) for c in parts.cases] == [
        ("u0", ("i0", "i1"), ("i2",), Filter(only=("i2", "i3"))),
        ("u1", ("i3",), ("i4", "i5"), Filter()),
    ]
    learned = {(e["user_id"], e["item_id"]) for e in parts.events.to_pylist()}
    assert learned == {("u0", "i0"), ("u0", "i1"), ("u1", "i3")}
    assert parts.notes == ()


def test_what_cannot_be_used_is_counted_in_words(tmp_path):
    path = tmp_path / "cases.csv"
    path.write_text("history,targets\ngone,i1\ni0 lost,i0 none\n")
    parts = read_cases(path, CATALOGUE, EVENTS, own_log=True)
    assert [case.history for case in parts.cases] == [(), ("i0",)]
    assert parts.notes[:4] == (
        "1 target not in the catalogue, counted as missed",
        "2 items of histories not in the catalogue: left out",
        "1 case without a history left: answered with what is popular",
        "1 case with a target in the history, which never comes again: counted as missed",
    )
    assert "give the training log with --log" in parts.notes[4]


def test_targets_outside_the_candidates_of_their_row_are_counted(tmp_path):
    """i1 and i2 of the first row; the second has no candidates; `none` is told of once."""
    path = tmp_path / "cases.csv"
    path.write_text("history,targets,candidates,user_id\ni0,i1 i2 i3 none,i3 i4,u\ni0,i5,,v\n")
    parts = read_cases(path, CATALOGUE, EVENTS, own_log=True)
    assert parts.notes == (
        "1 target not in the catalogue, counted as missed",
        "2 targets outside the candidates of the row, counted as missed",
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("history,target\ni0,i1\n", r"cases.csv:1: no column 'targets'; did you mean 'target'"),
        ("history,targets\ni0,i1\ni2,\n", r"cases.csv:3: no target"),
        ("history,targets\n[i0],i1\n", r"cases.csv:2 column 'history': not a list of ids"),
        ('history,targets\ni0,"[1.5]"\n', r"cases.csv:2 column 'targets': not a list of ids"),
    ],
)
def test_errors_name_file_and_line(tmp_path, text, words):
    path = tmp_path / "cases.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=words):
        read_cases(path, CATALOGUE, EVENTS, own_log=True)


def searches(tmp_path, queries, qrels):
    (tmp_path / "queries.tsv").write_text(queries)
    (tmp_path / "qrels.txt").write_text(qrels)
    return read_queries(tmp_path / "queries.tsv", tmp_path / "qrels.txt", CATALOGUE, EVENTS)


def test_queries_and_their_judgements(tmp_path):
    queries = "query_id\ttext\nq1\ta red rose\nq2\tnothing good\n"
    parts = searches(tmp_path, queries, "q1 0 i3 2\nq1 0 i4 0\nq1 0 gone 1\nq2 0 i1 0\n")
    (case,) = parts.cases
    assert (case.text, case.targets, case.grades) == ("a red rose", ("i3", "gone"), (2, 1))
    assert parts.beside["judged"][0].filter.only == ("i3", "i4", "gone")
    assert parts.notes == (
        "1 of 2 queries left out: no judged item above grade 0",
        "1 judged item not in the catalogue, counted as missed",
    )
    assert parts.events is EVENTS


def test_judgements_that_are_none(tmp_path):
    queries = "query_id\ttext\nq1\ta red rose\n"
    with pytest.raises(DataError, match=r"qrels.txt:2: expected `query 0 item grade`"):
        searches(tmp_path, queries, "q1 0 i3 2\nq1 i4 0\n")
    with pytest.raises(DataError, match="do the ids match"):
        searches(tmp_path, queries, "other 0 i3 2\n")
