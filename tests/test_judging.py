from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from crossrec_llm import (
    Recommender,
    backup,
    erase_items,
    erasing,
    forget_user,
    judging,
    restore,
)
from crossrec_llm.cli.main import app as commands
from crossrec_llm.errors import IndexLocked, QueryError, UnknownItem, UnknownUser
from crossrec_llm.judging import JUDGEMENTS, cases, judge, judgements
from crossrec_llm.store.erasures import Erasures


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


def test_a_thumb_just_before_the_records_let_go_is_erased(rec, index, monkeypatch) -> None:
    erase = Erasures.erase

    def erased(*given: Any) -> Any:
        judge(rec, "u2", "b-roses", True)
        return erase(*given)

    monkeypatch.setattr(Erasures, "erase", erased)
    assert forget_user(index, "u2", refill=False).removed["judgements"] == 1
    assert (index / JUDGEMENTS).read_bytes() == b""


def test_who_or_what_is_erased_while_it_is_judged_is_refused(rec, index, monkeypatch) -> None:
    """Another process erases between the question whether they are known and the writing."""
    locked = judging._locked

    def meanwhile(work: Callable[[], Any]) -> None:
        @contextmanager
        def late(path: Path) -> Iterator[None]:
            monkeypatch.setattr(judging, "_locked", locked)
            work()
            with locked(path):
                yield

        monkeypatch.setattr(judging, "_locked", late)

    meanwhile(lambda: forget_user(index, "u2", refill=False))
    with pytest.raises(UnknownUser):
        judge(rec, "u2", "b-roses", True)
    meanwhile(lambda: erase_items(index, "b-roses", refill=False))
    with pytest.raises(UnknownItem):
        judge(rec, "u0", "b-roses", True)
    meanwhile(lambda: erase_items(index, "g-tomato-seeds", refill=False))
    judge(rec, "u0", "k-chess-mug", True, ["g-tomato-seeds", "k-chess-mug"])
    (line,) = (index / JUDGEMENTS).read_text().splitlines()
    assert json.loads(line)["shown"] == ["k-chess-mug"]


def test_an_erasure_that_was_cut_off_forgets_judgements_too(rec, index, monkeypatch) -> None:
    judge(rec, "u2", "b-roses", True)
    judge(rec, "u3", "b-roses", True)

    def stopped(*_: Any) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as now:
        now.setattr(erasing, "forget_judgements", stopped)
        with pytest.raises(KeyboardInterrupt):
            forget_user(index, "u2", refill=False)
    receipt = forget_user(index, [], refill=False)

    assert receipt.removed["judgements"] == 1
    assert [one.user_id for one in judgements(rec)] == ["u3"]


def test_one_persons_are_found_without_reading_the_others(rec, index, monkeypatch) -> None:
    odd = 'u2", "é\n'
    for user in ("u0", "u2", odd, "u0"):
        line = {"user_id": user, "item_id": "b-roses", "good": True, "shown": [], "made": 1.0}
        with (index / JUDGEMENTS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
    read: list[bytes] = []
    loads = json.loads
    monkeypatch.setattr(json, "loads", lambda line: read.append(line) or loads(line))

    assert [one.user_id for one in judgements(rec, "u2")] == ["u2"]
    assert [one.user_id for one in judgements(rec, odd)] == [odd]
    assert judgements(rec, "u") == judgements(rec, "\ud800") == []
    assert len(read) == 2
    assert len(judgements(rec)) == 3


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
