from __future__ import annotations

import io
import sys

from crossrec_llm.answering import TunedBlend
from crossrec_llm.cli import show


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_what_could_not_be_fitted_is_told_by_reason():
    lines = show.left_out({"als": "nobody", "ease": "too many", "graph": "nobody"})
    assert lines == ["without als, graph: nobody", "without ease: too many"]
    assert show.left_out({}) == []


def test_a_blend_that_nothing_looked_at_says_why_and_what_fits_it():
    (line,) = show.blend(TunedBlend())
    assert line.startswith("blend: defaults")
    for words in ("--no-tune", "tune = false", "`crossrec tune`"):
        assert words in line
    assert show.blend(TunedBlend(left_out={"user": "too few"})) == [
        "blend for user: defaults, too few"
    ]


def test_the_bar_shows_the_step_that_runs(monkeypatch):
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    with show.progress(quiet=False) as report:
        report("encode", 1, 2)
        report("fitting ease", 3, 7)
        stream.truncate(0)
    last = stream.getvalue()
    assert "fitting ease" in last
    assert "encode" not in last


def test_no_bar_without_a_terminal_or_when_quiet(monkeypatch):
    with show.progress(quiet=False) as report:
        assert report is None
    monkeypatch.setattr(sys, "stderr", Terminal())
    with show.progress(quiet=True) as report:
        assert report is None
