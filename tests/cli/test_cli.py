from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from crossrec_llm.cli.main import app

pytestmark = pytest.mark.model
ANSI = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture
def crossrec(shop_index, monkeypatch):
    """Runs the command on the shop's index; gives (exit code, stdout, stderr)."""
    monkeypatch.setenv("CROSSREC_INDEX", str(shop_index))

    def run(*words):
        result = CliRunner().invoke(app, [str(word) for word in words])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, ANSI.sub("", result.stdout), result.stderr

    return run


def test_user(crossrec):
    code, out, err = crossrec("user", "u1", "-k", 3)
    assert code == 0
    assert out.startswith("For u1, known in ")
    assert len(re.findall(r"^\s*[123] ", out, re.MULTILINE)) == 3
    assert not err


def test_user_json_is_one_document_with_the_promised_shape(crossrec):
    code, out, _ = crossrec("user", "u1", "--json", "-k", 4, "--cross-share", 0.5)
    answer = json.loads(out)
    assert code == 0
    assert [item["rank"] for item in answer["items"]] == [1, 2, 3, 4]
    assert sum(item["cross"] for item in answer["items"]) == 2
    assert answer["query"]["user_id"] == "u1"
    assert answer["shortfall"] is None
    assert set(answer["receipt"]) == {"generation", "recipe", "blend", "version"}


def test_filters_reach_the_answer(crossrec):
    _, out, _ = crossrec(
        "user", "u1", "--json", "--category", "books", "--not-category", "Books > Biography",
        "--price-max", 20, "--available", "--since", "2020-01-01", "--exclude", "b-roses",
        "--diversity", 0.3, "--include-seen",
    )  # fmt: skip
    answer = json.loads(out)
    assert answer["items"]
    for item in answer["items"]:
        assert item["category"].startswith("Books")
        assert "Biography" not in item["category"]
        assert item["price"] <= 20
    assert answer["query"]["diversity"] == 0.3
    assert answer["query"]["filter"]["since"] == 1577836800


def test_explain_shows_shares_and_signals(crossrec):
    _, out, _ = crossrec("user", "u1", "--explain")
    assert re.search(r"\d+% (reads like|people who took)", out)
    assert "neighbours 0." in out


def test_like_similar_audience(crossrec):
    code, out, _ = crossrec("like", "endgame puzzles", "--user", "u1", "-k", 2, "--json")
    assert code == 0
    assert json.loads(out)["query"]["text"] == "endgame puzzles"
    code, out, _ = crossrec("similar", "p-chess-set", "-k", 2)
    assert code == 0
    assert "More like “Tournament chess set with board”" in out
    code, out, _ = crossrec("audience", "p-chess-set", "-k", 2)
    assert code == 0
    assert "Who would want" in out
    code, out, _ = crossrec("audience", "p-chess-set", "--json")
    assert len(json.loads(out)["users"]) == 10


def test_shortfall_is_shown(crossrec):
    _, _, err = crossrec("user", "u1", "--brand", "Tempo")
    assert "no more items pass the filter" in err
    _, _, err = crossrec("user", "u1", "--brand", "Tempo", "--quiet")
    assert not err


def test_info_and_doctor(crossrec):
    code, out, _ = crossrec("info")
    assert code == 0
    assert "0001-" in out
    code, out, _ = crossrec("info", "--json")
    assert json.loads(out)["counts"]["items"] > 50
    code, out, _ = crossrec("doctor")
    assert code == 0
    assert "!!" not in out
    code, out, _ = crossrec("doctor", "--json")
    assert json.loads(out)["healthy"] is True


def test_doctor_names_what_is_broken(crossrec, tmp_path):
    (tmp_path / "records.sqlite").write_bytes(b"not a database")
    (tmp_path / "manifest.json").write_text("{")
    recipe = tmp_path / "r.toml"
    recipe.write_text("[encoder]\nmodel = './nowhere'\n")
    code, out, _ = crossrec("doctor", "--index", tmp_path, "--recipe", recipe)
    assert code == 1
    assert out.count("!!") == 2
    assert "nowhere" in out


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["user", "u5x"], "did you mean"),
        (["similar", "p-ches-set"], "p-chess-set"),
        (["user", "u1", "-k", "0"], "k must be 1 or more"),
        (["user", "u1", "--category", "Nowhere"], "Nowhere"),
        (["user", "u1", "--since", "soon"], "not a date"),
        (["like", " "], "empty"),
        (["user", "u1", "--index", "no/such/index"], "crossrec build"),
        (["build", "--items", "no-such.csv"], "no-such.csv"),
        (["check", "--items", "no-such.csv"], "no-such.csv"),
        (["build", "--items", "x.csv", "--recipe", "nosuch"], "nosuch"),
    ],
)
def test_bad_input_is_one_clear_line_and_exit_code_2(crossrec, words, named):
    code, out, err = crossrec(*words)
    assert code == 2
    assert named in err
    assert err.startswith("crossrec: ")
    assert not out


def test_json_stays_clean_on_errors(crossrec):
    code, out, err = crossrec("user", "nobody at all", "--json")
    assert (code, out) == (2, "")
    assert err


def test_build_and_check(crossrec, shop_files, tmp_path):
    files = (
        "--items", shop_files / "items.csv", "--interactions", shop_files / "interactions.csv",
    )  # fmt: skip
    code, out, _ = crossrec("check", *files)
    assert code == 0
    assert re.search(r"read.*kept.*merged.*rejected", out)
    code, out, _ = crossrec("check", *files, "--json")
    assert json.loads(out)["items"]["rejected"] == 0
    code, out, _ = crossrec("build", *files, "--index", tmp_path / "i")
    assert code == 0
    assert "texts encoded" in out
    code, out, _ = crossrec("build", *files, "--index", tmp_path / "i")
    assert "nothing changed" in out
    code, out, _ = crossrec("build", *files, "--index", tmp_path / "i", "--json")
    assert json.loads(out)["unchanged"] is True
    code, out, _ = crossrec("build", *files, "--index", tmp_path / "i", "--quiet")
    assert (code, out) == (0, "")


def test_check_exits_1_on_rejects(crossrec, shop_files, tmp_path):
    events = tmp_path / "events.csv"
    events.write_text("user_id,item_id\nu1,p-chess-set\nu1,nothing\n")
    code, _, _ = crossrec(
        "check", "--items", shop_files / "items.csv", "--interactions", events,
        "--rejects", tmp_path / "rejects.csv",
    )  # fmt: skip
    assert code == 1
    assert "nothing" in (tmp_path / "rejects.csv").read_text()


def test_looking_up_by_id_loads_no_encoder(shop_index):
    """`user` and `similar` must not pay for torch, nor for Chroma at this size."""
    code = (
        "import sys; from crossrec_llm.cli.main import app\n"
        "try: app(sys.argv[1:])\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "heavy = 'torch transformers sentence_transformers chromadb scipy duckdb'.split()\n"
        "assert not set(heavy) & set(sys.modules), set(heavy) & set(sys.modules)"
    )
    for words in (["user", "u1"], ["similar", "p-chess-set"], ["audience", "p-chess-set"]):
        process = subprocess.run(
            [sys.executable, "-c", code, *words, "--index", str(shop_index), "--json"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert process.returncode == 0, process.stderr
        assert json.loads(process.stdout)


def test_help_names_every_verb_and_its_options():
    result = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"})
    for verb in "build check user like similar audience info doctor".split():
        assert verb in result.stdout
    result = CliRunner().invoke(app, ["user", "--help"], env={"COLUMNS": "200"})
    for option in ("--cross-share", "--not-category", "--index", "--json", "--explain"):
        assert option in result.stdout


def test_version():
    from crossrec_llm import __version__

    assert __version__ in CliRunner().invoke(app, ["--version"]).stdout


def test_a_reader_that_goes_away_is_no_bug(shop_index):
    process = subprocess.run(
        f"{sys.executable} -m crossrec_llm user u1 -k 50 --explain --index {shop_index} | head -1",
        shell=True, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "Traceback" not in process.stderr
