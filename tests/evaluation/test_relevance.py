"""The bench of relevance, without data: processes of their own, and what a killed one loses."""

from __future__ import annotations

import json
import os
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture(autouse=True)
def _scripts(monkeypatch):
    monkeypatch.syspath_prepend(SCRIPTS)


def fill(megabytes):
    """The peak of a process that had so much memory at once."""
    import relevance

    np.ones((megabytes, 2**17)).sum()
    return relevance.peak()


def measured_or_killed(name, files, index):
    """In the place of `relevance.measure`."""
    import relevance

    if name == "beauty":
        os._exit(9)
    entry = {"data": name, "protocol": "warm", "options": {}, "rows": {"index": {}}}
    return relevance.Found(name, most={f"{name}, peak GB": (1, 2)}, trials=[entry])


def test_a_process_has_the_peak_of_what_it_does_itself():
    import relevance

    large = relevance.apart(fill, 600)
    small = relevance.apart(fill, 1)
    assert large > small + 0.4
    with pytest.raises(BrokenProcessPool):
        relevance.apart(os._exit, 9)


def test_a_data_set_whose_process_is_killed_is_a_missed_bar(monkeypatch, tmp_path):
    import relevance

    monkeypatch.setattr(relevance, "measure", measured_or_killed)
    files = dict.fromkeys(("beauty", "scientific"), ())
    found = {each.data: each for each in relevance.measured(files, tmp_path)}
    assert found["beauty"].least == {"beauty, runs to its end": (0, 1)}
    assert found["scientific"].most == {"scientific, peak GB": (1, 2)}


def test_what_is_done_is_written_before_the_next_begins(monkeypatch, tmp_path, capsys):
    import bench
    import relevance

    def interrupted(files, work):
        yield measured_or_killed("scientific", (), work)
        raise KeyboardInterrupt

    monkeypatch.setattr(relevance, "measured", interrupted)
    monkeypatch.setattr(bench, "HERE", tmp_path)
    (tmp_path / "docs").mkdir()
    with pytest.raises(KeyboardInterrupt):
        bench.bench_relevance(bench.Setting(tmp_path, tmp_path, update=True))
    (kept,) = json.loads((tmp_path / "docs" / "relevance.json").read_text())
    assert kept["data"] == "scientific"
    assert "met    scientific, peak GB: 1 (at most 2)" in capsys.readouterr().err


def test_a_baseline_without_measures_is_no_row():
    import golden

    value = {"recall@10": {"value": 0.1, "low": 0.0, "high": 0.2}}
    found = {
        "system": value,
        "baselines": {"als": {"recall@10": None}, "text": value},
        "slices": {},
        "controls": {},
        "users": 9,
    }
    entry = golden.entry_of("scientific", "cross-cold", {}, [found])
    assert entry["rows"] == {name: {"recall@10": [0.1, 0, 0.2]} for name in ("index", "text")}


def test_numbers_of_the_page_have_a_minus_sign_and_keep_what_is_above_1():
    import golden

    assert golden._cell((0.008, -0.009, 0.024)) == ".008 (−.009 to .024)"
    assert golden._cell((10.5, 10.25, 11)) == "10.500 (10.250 to 11.000)"
