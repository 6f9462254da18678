from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossrec_llm.erasing.scanning import WINDOW, Scanner, Trace, text_traces, vector_traces
from tests.small import unit_rows


def hits(folder, *traces):
    return Scanner(traces).scan(folder).hits


@given(before=st.binary(max_size=300), after=st.binary(max_size=300), content=st.binary(min_size=8))
def test_finds_what_is_there_wherever_it_begins(tmp_path_factory, before, after, content):
    folder = tmp_path_factory.mktemp("scan")
    (folder / "file").write_bytes(before + content + after)
    scanner = Scanner([Trace("text", "it", content)])
    anchors = scanner.scan(folder).traces
    assert scanner.scan(folder).hits == anchors  # a row of equal bytes is not looked for
    assert anchors or len(set(content)) < len(content)


@pytest.mark.parametrize("start", [0, 1, 55, 56, 700, 1536 - WINDOW])
def test_any_window_of_a_vector_is_found_and_less_is_not(tmp_path, start):
    (vector,) = vector_traces("v", unit_rows(1, 384, 3))
    (tmp_path / "cut").write_bytes(b"x" * 13 + vector.content[start : start + WINDOW] + b"y" * 9)
    assert hits(tmp_path, vector) == {"vector": 1}
    (tmp_path / "cut").write_bytes(
        b"x" * 13 + vector.content[start : start + WINDOW - 1] + b"~" * 9
    )
    assert hits(tmp_path, vector) == {}


@pytest.mark.parametrize(
    "written",
    [lambda t: t.encode(), lambda t: json.dumps(t).encode(), lambda t: t.encode("utf-16-le")],
)
def test_a_text_is_found_however_it_is_written(tmp_path, written):
    text = 'Tee für "zwei" Tassen'
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "file").write_bytes(b"\0" + written(text))
    found = Scanner(text_traces("text", text)).scan(tmp_path)
    assert (found.hits, found.places) == ({"text": 1}, {"deep/file": 1})


def test_short_ids_are_not_looked_for():
    assert not list(text_traces("id", "12"))


def test_what_others_have_too_is_not_looked_for(tmp_path):
    mine, ours = unit_rows(2, 32, 5)
    (tmp_path / "file").write_bytes(mine.tobytes() + ours.tobytes() + b"a shared text, mine alone")
    traces = [
        *vector_traces("v", np.stack([mine, ours])),
        *text_traces("text", "a shared text"),
        *text_traces("text", "mine alone"),
    ]
    scanner = Scanner(traces).without(ours[None], b"a shared text")
    assert scanner.scan(tmp_path).traces == {"text": 1, "vector": 1}
    assert scanner.scan(tmp_path).hits == {"text": 1, "vector": 1}


def test_empty_files_and_folders(tmp_path):
    (tmp_path / "empty").touch()
    found = Scanner(text_traces("id", "somebody-else")).scan(tmp_path)
    assert (found.files, found.size, found.hits) == (1, 0, {})
    assert Scanner([]).scan(tmp_path).traces == {}
