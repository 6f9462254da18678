from __future__ import annotations

import io
import sys

from crossrec_llm.answering import Bridge, Bridges, BridgesOptions, JumpModel, TunedBlend
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


def test_bridges_are_a_table_and_a_line_for_the_others(capsys):
    pairs = (
        Bridge("A", "B", 0.2, 0.1, 0.3, 1_200, "behaviour", True),
        Bridge("B", "A", 0.0, 0.0, 0.1, 80, "meaning", False),
    )
    figures = {"items": 900, "precision": 0.1, "precision at half": 0.16, "ece": 0.02}
    fitted = Bridges(pairs, untested_open=True, jumps=JumpModel(figures=figures))
    show.bridges(fitted, ["", "denied"], BridgesOptions(gate=False))
    told = capsys.readouterr()
    lines = told.out.splitlines()
    assert lines[1].split() == "A B 0.20 0.10 to 0.30 1,200 behaviour open".split()
    assert lines[2].split()[-2:] == ["closed", "denied"]
    assert lines[3] == "1 of 2 pairs are open; pairs that cannot be judged are open"
    assert "10.0% were taken" in lines[4]
    assert "16.0%" in lines[4]
    assert "nothing is held back" in told.err
    show.bridges(Bridges(), [], BridgesOptions())
    assert "everything is open" in capsys.readouterr().out
