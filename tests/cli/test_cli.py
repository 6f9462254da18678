from __future__ import annotations

import csv
import gzip
import json
import os
import re
import shutil
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from crossrec_llm.__main__ import main as start
from crossrec_llm.cli.main import app
from crossrec_llm.meaning import Encoder
from crossrec_llm.store import IndexWriter

pytestmark = pytest.mark.model


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
    assert set(answer["receipt"]) == {
        "generation",
        "recipe",
        "blend",
        "version",
        "history",
        "change",
    }


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


def test_explain_tells_what_would_change_and_it_does(crossrec):
    code, out, _ = crossrec("user", "u1", "-k", 3, "--explain", "--json")
    assert code == 0
    answer = json.loads(out)
    first = answer["items"][0]
    assert sum(c["value"] for c in first["contributions"]) == pytest.approx(
        first["score"], abs=1e-4
    )
    told = answer["counterfactual"]
    assert 1 <= len(told) <= 3
    for claim in told:
        (item,) = claim["without"]
        code, out, _ = crossrec("user", "u1", "-k", 3, "--without", item["item_id"], "--json")
        found = json.loads(out)
        assert found.pop("before")["items"]
        assert (code, found) == (0, claim)
    lines = crossrec("user", "u1", "-k", 3, "--explain")[1].splitlines()
    shown = [line for line in lines if line.startswith("without “")]
    assert [line.split("”")[0][9:] for line in shown] == [
        claim["without"][0]["title"] for claim in told
    ]


def test_without_shows_both_lists(crossrec):
    answer = json.loads(crossrec("user", "u1", "-k", 3, "--json")[1])
    assert "contributions" not in answer["items"][0]
    assert "counterfactual" not in answer
    because = next(x["item_id"] for x in answer["items"][0]["reasons"] if x["item_id"])
    code, out, _ = crossrec("user", "u1", "-k", 3, "--without", because)
    assert code == 0
    assert out.startswith("For u1: as it is, then without “")
    assert "overlap@3" in out
    code, _, err = crossrec("user", "u1", "--without", "p-nothing")
    assert code == 2
    assert "p-nothing" in err


def test_bridges_of_a_small_shop_are_all_open(crossrec):
    code, out, err = crossrec("bridges")
    assert (code, err) == (0, "")
    assert out.startswith("no bridges were fitted: everything is open")
    code, out, _ = crossrec("bridges", "--json")
    assert json.loads(out) == {"bridges": [], "untested_open": True, "jumps": {}}


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


def test_similar_has_modes(crossrec):
    titles = {"both": "More like", "alike": "Instead of", "together": "Goes with"}
    for mode, title in titles.items():
        code, out, _ = crossrec("similar", "p-chess-set", "-k", 2, "--mode", mode)
        assert code == 0
        assert out.startswith(f"{title} “Tournament chess set with board”")
    answer = json.loads(crossrec("similar", "p-chess-computer", "--mode", "together", "--json")[1])
    assert answer["query"]["mode"] == "together"
    assert "nobody took this item yet" in answer["notes"][0]
    assert answer["items"][0]["reasons"][0]["kind"] == "stand_in"
    assert crossrec("similar", "p-chess-set", "--mode", "apart")[0] == 2


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


def test_build_and_info_say_which_signals_are_missing(crossrec, shop_files, tmp_path):
    where = ("--index", tmp_path / "index")
    code, out, _ = crossrec("build", "--items", shop_files / "items.csv", *where)
    line = "without neighbours, transitions, ease, graph, als, trending: nobody took anything"
    assert code == 0
    assert line in out
    assert line in crossrec("info", *where)[1]
    document = json.loads(crossrec("info", *where, "--json")[1])
    assert document["left_out"]["ease"].startswith("nobody took anything")
    _, out, _ = crossrec("info")
    assert re.search(r"^left out +without sequence: no blend weighs it", out, re.MULTILINE)


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
    code, out, err = crossrec("build", *files, "--index", tmp_path / "i", "--quiet")
    assert (code, out.count("\n"), err) == (0, 1, "")


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


def test_a_second_writer_is_one_clear_line(crossrec, shop_files, shop_index):
    with IndexWriter.open(shop_index):
        code, out, err = crossrec("build", "--items", shop_files / "items.csv")
    assert (code, out) == (2, "")
    assert f"process {os.getpid()} on" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("file", "content", "named"),
    [
        ("manifest.json", "{", "manifest is damaged"),
        ("manifest.json", '{"format": 99, "checksum": ""}', "upgrade crossrec-llm"),
        ("records.sqlite", "not a database", "records are damaged"),
        ("generations/*/vectors.npy", "short", "crossrec build"),
        ("generations/*/generation.json", "{}", "crossrec repair"),
    ],
)
def test_a_damaged_index_is_one_clear_line(file, content, named, crossrec, shop_index, tmp_path):
    index = tmp_path / "index"
    shutil.copytree(shop_index, index)
    (path,) = index.glob(file)
    path.write_text(content)
    code, out, err = crossrec("user", "u1", "--index", index)
    assert (code, out) == (2, "")
    assert named in err
    assert err.count("\n") == 1


def test_another_model_is_one_clear_line(crossrec, monkeypatch):
    monkeypatch.setattr(Encoder, "fingerprint", "f" * 64)
    code, out, err = crossrec("like", "chess")
    assert (code, out) == (2, "")
    assert "encoder: index has sentence-transformers/all-MiniLM-L6-v2" in err
    assert "run `crossrec build` again" in err


@pytest.mark.parametrize("limit", [2_000, 60_000])
def test_a_full_disk_is_one_clear_line(limit, shop_files, tmp_path):
    code = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit},) * 2)\n"
        "from crossrec_llm.cli.main import run; run()"
    )
    process = subprocess.run(
        [sys.executable, "-c", code, "build", "--items", shop_files / "items.csv", "--index",
         tmp_path / "index"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert process.returncode == 2, process.stderr
    assert re.search("free .*space", process.stderr)
    assert process.stderr.count("\n") == 1


BAD_FILES = {
    "empty.csv": b"",
    "header.csv": b"item_id,title\n",
    "no-title.csv": b"item_id,colour\nx,red\n",
    "no-id.csv": b"title,colour\nx,red\n",
    "cut.csv.gz": gzip.compress(b"item_id,title\n" + b"a,b\n" * 1000)[:-20],
    "wide.csv": b",".join(b"c%d" % n for n in range(1_000_000)),
    "claims.parquet": b"PAR1" + b"\0" * 20 + b"PAR1",
}


@pytest.mark.parametrize("name", BAD_FILES)
@pytest.mark.parametrize("verb", ["build", "check"])
def test_a_file_that_cannot_be_used_is_one_clear_line(verb, name, crossrec, tmp_path):
    (tmp_path / name).write_bytes(BAD_FILES[name])
    words = [verb, "--items", tmp_path / name]
    code, out, err = crossrec(*words, *(["--index", tmp_path / "i"] if verb == "build" else []))
    assert (code, out) == (2, "")
    assert name in err
    assert err.count("\n") == 1


def test_odd_ids_survive_the_whole_way(crossrec, tmp_path):
    odd = ["two words", "a/b\\c", "🛒", "ж" * 5000, "-k", "..", "'; drop table items; --"]
    with (tmp_path / "items.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("item_id", "title"), *((i, f"Thing {i[:9]}") for i in odd)])
    with (tmp_path / "log.csv").open("w", newline="") as file:
        pairs = [(user, item) for n, user in enumerate(odd) for item in odd[: n % 3 + 1]]
        csv.writer(file).writerows([("user_id", "item_id"), *pairs])
    index = tmp_path / "index"
    files = ["--items", tmp_path / "items.csv", "--interactions", tmp_path / "log.csv"]
    assert crossrec("build", *files, "--index", index)[0] == 0
    for id in odd:
        for verb in ("user", "similar", "audience"):
            code, out, err = crossrec(verb, "--index", index, "--json", "--", id)
            assert code == 0, err
            assert json.loads(out)
    answer = json.loads(crossrec("similar", "--index", index, "--json", "--", odd[0])[1])
    assert {item["item_id"] for item in answer["items"]} == set(odd[1:])


def test_completion_is_offered(crossrec):
    result = CliRunner().invoke(
        app, [], prog_name="crossrec", env={"_CROSSREC_COMPLETE": "complete_bash",
        "COMP_WORDS": "crossrec si", "COMP_CWORD": "1"},
    )  # fmt: skip
    assert "similar" in result.stdout


def test_ctrl_c_says_what_is_true_for_the_command(crossrec, monkeypatch, tmp_path):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("crossrec_llm.live.add_events", stop)
    monkeypatch.setattr("crossrec_llm.safekeeping.verify", stop)
    code, _, err = crossrec("add-events", tmp_path / "new.csv")
    said = "crossrec: stopped; what was acknowledged stays; give the same again\n"
    assert (code, err) == (130, said)
    code, _, err = crossrec("verify")
    assert (code, err) == (130, "crossrec: stopped\n")


def test_ctrl_c_while_things_are_imported(monkeypatch, capsys):
    class Stopped:
        def __getattr__(self, _):
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "crossrec_llm.cli.main", Stopped())
    with pytest.raises(SystemExit) as ended:
        start()
    assert (ended.value.code, capsys.readouterr().err) == (130, "crossrec: stopped\n")


def test_a_refused_first_build_leaves_nothing(crossrec, tmp_path):
    (tmp_path / "colours.csv").write_text("item_id,colour\nx,red\n")
    code, _, _ = crossrec("build", "--items", tmp_path / "colours.csv", "--index", tmp_path / "new")
    assert (code, (tmp_path / "new").exists()) == (2, False)
