from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from crossrec_llm import Recommender, backup, erase_items, forget_user, judging, restore
from crossrec_llm.cli.main import app as commands
from crossrec_llm.errors import IndexLocked, QueryError, UnknownItem, UnknownUser
from crossrec_llm.judging import JUDGEMENTS, cases, judge, judgements


@pytest.fixture
def index(walled_index: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(walled_index, tmp_path / "index"))


@pytest.fixture
def rec(index: Path) -> Iterator[Recommender]:
    with Recommender.open(index) as opened:
        yield opened


def test_the_last_word_stands(rec) -> None:
    for good in (True, False, True):
        judge(rec, "u0", "b-roses", good)
    judge(rec, "u0", "k-chess-mug", False, ["b-roses", "k-chess-mug"])
    judge(rec, "u2", "b-roses", True)
    judge(rec, "u2", "b-roses", None)
    assert [(one.item_id, one.good) for one in judgements(rec)] == [
        ("b-roses", True), ("k-chess-mug", False),
    ]  # fmt: skip
    assert judgements(rec, "u2") == []


def test_they_are_cases_to_evaluate_by(rec, index, tmp_path) -> None:
    shown = rec.for_user("u0").ids
    judge(rec, "u0", shown[0], True, shown)
    judge(rec, "u0", shown[1], False, shown)
    judge(rec, "u2", shown[1], False, shown)
    found = list(cases(rec))
    history = [entry.item.item_id for entry in rec.profile("u0").history]
    assert found == [
        {"user_id": "u0", "history": history, "targets": [shown[0]], "candidates": shown}
    ]
    file = tmp_path / "cases.jsonl"
    file.write_text("".join(json.dumps(case) + "\n" for case in found))
    asked = ["evaluate", "--protocol", "cases", "--cases", str(file), "--index", str(index)]
    ran = CliRunner().invoke(commands, [*asked, "--only", "popularity", "--json", "--quiet"])
    assert ran.exit_code == 0, ran.output
    assert json.loads(ran.stdout)["users"] == 1


def test_what_was_taken_since_is_no_target_any_more(rec) -> None:
    taken = rec.profile("u0").history[0].item.item_id
    judge(rec, "u0", taken, True)
    assert list(cases(rec)) == []


def test_what_is_unknown_or_behind_a_wall_is_refused(rec, index) -> None:
    with pytest.raises(UnknownUser):
        judge(rec, "nobody", "b-roses", True)
    with pytest.raises(UnknownItem):
        judge(rec, "u0", "nothing", True)
    with pytest.raises(QueryError, match="behind a wall"):
        judge(rec, "u0", "p-chess-set", True)
    assert not (index / JUDGEMENTS).exists()
    judge(rec, "u0", "b-roses", True, ["p-chess-set", "b-roses"])
    assert b"p-chess" not in (index / JUDGEMENTS).read_bytes()


def test_a_line_that_was_cut_off_costs_nothing_else(rec, index) -> None:
    judge(rec, "u0", "b-roses", True)
    with (index / JUDGEMENTS).open("ab") as file:
        file.write(b'{"user_id": "u0", "item_id": "k-ch')
    judge(rec, "u2", "b-roses", False)
    assert [one.user_id for one in judgements(rec)] == ["u0", "u2"]


def test_who_is_erased_leaves_none(rec, index) -> None:
    for user in ("u0", "u2", "u3"):
        judge(rec, user, "b-roses", True, ["b-roses", "k-chess-mug"])
    receipt = forget_user(index, "u2", refill=False)
    assert receipt.removed["judgements"] == 1
    assert [one.user_id for one in judgements(rec)] == ["u0", "u3"]
    erase_items(index, "k-chess-mug", refill=False)
    assert [one.shown for one in judgements(rec)] == [("b-roses",)] * 2
    erase_items(index, "b-roses", refill=False)
    assert (index / JUDGEMENTS).read_bytes() == b""
    assert list(cases(rec)) == []


def test_whoever_left_the_records_gives_no_case(rec, index) -> None:
    judge(rec, "u0", "b-roses", True, ["b-roses"])
    line = json.loads((index / JUDGEMENTS).read_text())
    (index / JUDGEMENTS).write_text(json.dumps({**line, "user_id": "who"}) + "\n")
    assert list(cases(rec)) == []


def test_a_backup_has_them(rec, index, tmp_path) -> None:
    judge(rec, "u0", "b-roses", True)
    backup(tmp_path / "copy", index)
    restore(tmp_path / "copy", tmp_path / "again")
    with Recommender.open(tmp_path / "again") as other:
        assert judgements(other) == judgements(rec)


def test_a_lock_that_is_held_is_said(rec, index, monkeypatch) -> None:
    from filelock import FileLock

    monkeypatch.setattr(judging, "_PATIENCE", 0.05)
    with (
        FileLock(index / judging.LOCK),
        pytest.raises(IndexLocked, match="another process has been writing"),
    ):
        judge(rec, "u0", "b-roses", True)
