from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from crossrec_llm import Outcome, Recommender, Recorder
from crossrec_llm.cli.main import app

ARMS = """
[[arms]]
name = "plain"
share = 0.5
[[arms]]
name = "diverse"
share = 0.5
[arms.recipe.answering]
diversity = 0.5
"""


@pytest.fixture
def run(tiny, tmp_path: Path):
    (tmp_path / "arms.toml").write_text(ARMS)
    (tmp_path / "target.toml").write_text("[answering]\ndiversity = 0.2\n")

    def call(*words: object):
        done = CliRunner().invoke(app, ["experiment", *map(str, words), "--index", str(tiny[0])])
        return done.exit_code, done.stdout, done.stderr

    return call


def test_from_begin_to_end(run, tiny, tmp_path: Path) -> None:
    assert run()[1] == "no experiment was begun\n"
    code, out, _ = run("lists", "--start", tmp_path / "arms.toml")
    assert code == 0
    assert out.startswith("lists: plain 50%, diverse 50%; began ")
    with Recommender.open(tiny[0]) as rec, Recorder(rec) as recorder:
        for user in rec.generation.users.ids[:24]:
            shown = recorder.for_user(user, 3)
            recorder.record(Outcome(shown.exposure_id, shown.answer.ids[0]))

    code, out, err = run("lists")
    assert code == 0
    assert "lists: click by person and by exposure" in out
    assert "1 (1 to 1) a person, 1 (1 to 1) an exposure" in out
    assert "diverse less plain: 0 (0 to 0) a person" in out
    assert "to find a difference of 0.05 a person: no more people" in out
    assert "split as stated: p = " in out
    assert "fewer than 30 people" in err

    told = json.loads(run("lists", "--json", "--target", tmp_path / "target.toml")[1])
    assert told["judged"]["exposures"] == 24
    assert told["mismatched"] is False
    code, out, _ = run("--target", tmp_path / "target.toml", "--quiet")
    assert code == 0
    assert "the target, from 24 exposures of 24 people" in out
    assert "the data cannot tell: " in out

    assert ", ended " in run("lists", "--stop")[1]
    (one,) = json.loads(run("--json")[1])["experiments"]
    assert one["ended"] >= one["began"]
    assert [arm["name"] for arm in one["definition"]["arms"]] == ["plain", "diverse"]


def test_an_estimate_is_printed_where_the_data_can_tell(run, tiny, tmp_path: Path) -> None:
    with Recommender.open(tiny[0]) as rec, Recorder(rec) as recorder:
        for user in rec.generation.users.ids:
            for k in (2, 3, 4):
                shown = recorder.for_user(user, k)
                recorder.record(Outcome(shown.exposure_id, shown.answer.ids[0]))
    (tmp_path / "same.toml").write_text("[answering]\ndiversity = 0.0\n")

    code, out, _ = run("--target", tmp_path / "same.toml")

    assert code == 0
    if "cannot tell" not in out:
        assert "the target: 1 (1 to 1) by self-normalised weights" in out
        assert "the target: 1 (1 to 1) doubly robust" in out


def test_a_broken_split_is_exit_code_1(run, tiny, tmp_path: Path) -> None:
    run("lists", "--start", tmp_path / "arms.toml")
    with Recommender.open(tiny[0]) as rec, Recorder(rec) as recorder:
        for user in rec.generation.users.ids[:30]:
            recorder.expose(rec.for_user(user, 3), experiment="lists", arm="plain")

    code, out, err = run("lists")

    assert code == 1
    assert "the split is not the stated one (plain 30, diverse 0; p = " in err
    assert "not known" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--stop"], "need the name of an experiment"),
        (["one", "--stop", "--start", "x.toml"], "either --start or --stop"),
        (["one"], "no experiment 'one' in this index"),
        (["one", "--start", "nothing.toml"], "nothing.toml"),
        (["one", "--effect", "0"], "effect must be above 0"),
    ],
)
def test_what_makes_no_sense(run, words, said: str) -> None:
    code, out, err = run(*words)

    assert (code, out) == (2, "")
    assert said in err
