"""What is erased stays erased, and is told of: races, kills, backups, repairs and servers."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from crossrec_llm import (
    add_events,
    add_items,
    backup,
    build,
    erase_items,
    erasing,
    forget_user,
    generations,
    publish,
    rehearse,
    repair,
    restore,
    verify,
)
from crossrec_llm.answering import TunedBlend
from crossrec_llm.builder import tune
from crossrec_llm.cli.main import app
from crossrec_llm.erasing import scrubbing
from crossrec_llm.errors import IndexDamaged, StoreError, UnknownUser
from crossrec_llm.publishing import unfinished
from crossrec_llm.recipe import Recipe
from crossrec_llm.store import ERASED, Ledger, changes, read_receipts
from crossrec_llm.store.writer import IndexWriter
from tests.safekeeping.conftest import RECIPE, active, events, items
from tests.store.conftest import own_server  # noqa: F401
from tests.store.servers import Server

OLD = {"user_id": "u3", "item_id": "i2", "timestamp": 1.5e9}


def records(path: Path) -> Ledger:
    return Ledger.open(path / "records.sqlite", write=False)


def crossrec(*words: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, list(map(str, words)))
    return done.exit_code, done.stdout, done.stderr


def cut_off(path: Path, monkeypatch: pytest.MonkeyPatch, at: str = "_publish") -> None:
    def pulled(*_: object, **__: object) -> None:
        raise StoreError("the plug was pulled")

    with monkeypatch.context() as patch:
        patch.setattr(erasing, at, pulled)
        with pytest.raises(StoreError, match="plug"):
            forget_user(path, "u3")


# ------------------------------------------------------------------ races


def test_an_append_that_meets_an_erasure_brings_nobody_back(path, monkeypatch):
    real = changes.append

    def late(*given):
        monkeypatch.setattr(changes, "append", real)
        forget_user(path, "u3", refill=False)
        return real(*given)

    monkeypatch.setattr(changes, "append", late)
    ids = [{**OLD, "event_id": "a"}, {**OLD, "user_id": "u4", "event_id": "b"}]
    report = add_events(path, ids)
    assert (report.added, report.erased) == (1, 1)
    with records(path) as ledger:
        assert not ledger.erasures.has("user", "u3")
        assert len(ledger.events_of("u4")) == 6


def test_items_that_could_not_be_added_stay_erased(path, monkeypatch):
    erase_items(path, "i5", refill=False)

    def fails(_):
        raise StoreError("no room")

    with monkeypatch.context() as patch:
        patch.setattr(changes, "item_rows", fails)
        with pytest.raises(StoreError, match="no room"):
            add_items(path, [{"item_id": "i5", "title": "tea"}])
    with records(path) as ledger:
        assert len(ledger.erasures.moments("item")) == 1
    add_items(path, [{"item_id": "i5", "title": "tea"}])
    with records(path) as ledger:
        assert not ledger.erasures.moments("item")


# ------------------------------------------------------------------ what belongs to whom


def test_ids_of_events_go_with_their_own_people_and_items(path):
    told = [
        {**OLD, "user_id": "1", "event_id": "by-hand"},
        *(
            {"user_id": "ann", "item_id": f"i{n % 3}", "timestamp": 1e9 + n, "event_id": f"o-{n}"}
            for n in range(20)
        ),
    ]
    add_events(path, told)
    forget_user(path, "1", refill=False)
    assert add_events(path, told[1:]).repeated == 20
    erase_items(path, "i1", refill=False)
    left = [one for one in told[1:] if one["item_id"] != "i1"]
    assert add_events(path, left).repeated == len(left)
    with records(path) as ledger:
        ids = {id for (id,) in ledger._database.all("SELECT event_id FROM event_ids")}
        assert ids == {one["event_id"] for one in left}


def test_people_of_whom_only_traces_are_there_can_be_forgotten(path):
    add_events(
        path, [{"user_id": "lonely-88", "item_id": "live", "timestamp": 1e9, "event_id": "e"}]
    )
    with IndexWriter.open(path) as writer, writer.ledger._database.transaction() as execute:
        key = execute("SELECT key FROM users WHERE user_id = 'lonely-88'").fetchone()
        execute("DELETE FROM events WHERE user = ?", key)
        execute("DELETE FROM users WHERE key = ?", key)
    assert forget_user(path, "lonely-88", refill=False, prove=True).scan["hits"] == {}
    (path / "rejects.csv").write_text("source,line,reason,content\na,1,odd,rejected-77;x\n")
    with pytest.raises(UnknownUser):
        forget_user(path, "rejected")
    assert (path / "rejects.csv").exists()
    forget_user(path, "rejected-77", refill=False)
    assert not (path / "rejects.csv").exists()


def test_a_build_without_somebody_keeps_no_id_of_their_events(path):
    add_events(path, [{**OLD, "user_id": "lonely-88", "event_id": "e-88"}])
    build(items("third"), events(), path, recipe=RECIPE, replace=True)
    with records(path) as ledger:
        assert not ledger.erasures.has("user", "lonely-88")


def test_the_proof_knows_ids_as_csv_quotes_them(path):
    who = 'o"brien-the-person-4711'
    add_events(path, [{**OLD, "user_id": who}])
    with (path / "rejects.csv").open("w", newline="") as file:
        csv.writer(file).writerow(("a", 1, "odd", json.dumps({"user_id": who})))
        file.write("x" * 200_000)
    found = erasing.Scanner(erasing.scanning.text_traces("id", who)).scan(path)
    assert found.places["rejects.csv"] == 1
    receipt = forget_user(path, who, prove=True, refill=False)
    assert receipt.scan["hits"] == {}
    assert receipt.removed["rejects.csv"] == 1


# ------------------------------------------------------------------ cut off


def test_what_was_cut_off_is_told_of_and_has_a_whole_receipt(path, monkeypatch):
    cut_off(path, monkeypatch)
    assert "an erasure was cut off" in unfinished(path)[0]
    found = verify(path)
    assert found.ok
    assert "an erasure was cut off" in " ".join(found.notes)
    assert "an erasure was cut off" in crossrec("generations", "--index", path)[2]
    assert "an erasure was cut off" in " ".join(build(index=path).notes)
    assert "an erasure was cut off" in crossrec("build", "--index", path)[2]
    names = {one.name for one in generations(path)}
    with records(path) as ledger:
        subject = ledger.erasures.hash("user", "u3")
    receipt = forget_user(path, [])
    assert receipt.subjects == (subject,)
    assert receipt.removed["people in the records"] == 1
    assert receipt.removed["events"] == 5
    assert set(receipt.generations_removed) > names
    assert not unfinished(path)
    assert "erasure" not in " ".join(verify(path).notes)


def test_two_that_were_cut_off_have_two_receipts(path, monkeypatch):
    cut_off(path, monkeypatch)
    receipt = erase_items(path, "i5", refill=False)
    assert [one.kind for one in read_receipts(path)] == ["user", "item"]
    assert receipt.number == 2
    assert not unfinished(path)


def test_no_receipt_is_lost_or_made_twice_by_a_kill(path, monkeypatch):
    cut_off(path, monkeypatch, at="_out_of_reach")
    assert not read_receipts(path)
    monkeypatch.setattr("crossrec_llm.store.erasures.Erasures.done", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        forget_user(path, [])
    monkeypatch.undo()
    forget_user(path, [])
    (receipt,) = read_receipts(path)
    assert receipt.removed["people in the records"] == 1


# ------------------------------------------------------------------ receipts


@pytest.fixture
def waiting(path, monkeypatch):
    """An index in which EASE waits for a build, and the blend is named with it.

    There are too few people here for one to be fitted.
    """
    monkeypatch.setattr(scrubbing, "EASE_AT_ONCE", 0)
    with monkeypatch.context() as patch:
        patch.setattr(scrubbing.Scrubbed, "waiting", lambda *_: ["blend", "bridges", "ease"])
        assert forget_user(path, "u3", refill=False).waiting == ("ease",)
    return path


def mark(path: Path) -> str:
    with IndexWriter.open(path) as writer:
        return writer.active.parts.get(ERASED, "")


def test_publishing_a_rehearsal_completes_receipts(waiting):
    rehearse(waiting, users=3)
    assert read_receipts(waiting)[0].waiting
    now = publish(waiting)
    (receipt,) = read_receipts(waiting)
    assert not receipt.waiting
    assert {one.fitted_in for one in receipt.learned} == {receipt.generation, now.name}


def test_a_kill_behind_the_publishing_leaves_no_receipt_waiting(waiting, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(IndexWriter, "complete_receipts", lambda _: None)
        build(index=waiting)
    assert read_receipts(waiting)[0].waiting
    assert build(index=waiting).unchanged
    assert not read_receipts(waiting)[0].waiting


def test_what_a_repair_takes_over_waits_on(waiting):
    file = next((active(waiting) / "signals").glob("*.safetensors"))
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    repair(waiting)
    assert mark(waiting) == "blend, bridges"
    assert not read_receipts(waiting)[0].waiting
    assert not build(index=waiting).unchanged
    assert mark(waiting) == ""


def test_tuning_fits_what_waited_of_the_blend(waiting, monkeypatch):
    fitted = TunedBlend(left_out={"user": "too few people"})
    monkeypatch.setattr("crossrec_llm.builder.fit_blend", lambda *_, **__: fitted)
    tune(waiting)
    assert mark(waiting) == "ease"
    assert read_receipts(waiting)[0].waiting == ("ease",)


def test_what_is_fitted_anew_waits_no_more(waiting):
    forget_user(waiting, "u4", refill=False)
    assert mark(waiting) == "blend, bridges, ease"
    scrubbing.EASE_AT_ONCE = 4_000
    receipt = forget_user(waiting, "u5")
    assert mark(waiting) == "blend, bridges"
    assert not any(one.waiting or one.to_fill for one in read_receipts(waiting))
    assert read_receipts(waiting)[0].learned[-1].fitted_in
    assert receipt.seconds["done"] > receipt.seconds["erased"]


def test_a_changed_receipt_is_found_and_set_aside(path):
    forget_user(path, "u3", refill=False)
    forget_user(path, "u4", refill=False)
    file = path / "erasures" / "000001.json"
    file.write_bytes(file.read_bytes().replace(b'"events": 5', b'"events": 4'))
    found = verify(path)
    assert [problem.file for problem in found.problems] == ["erasures/000001.json"]
    with pytest.raises(IndexDamaged, match="as it was written"):
        read_receipts(path)
    build(index=path)  # which it does not stop
    done = repair(path)
    assert done.after.ok
    assert "set aside" in done.done[0]
    assert "set aside" in " ".join(done.after.notes)
    (left,) = read_receipts(path)
    assert left.number == 2
    assert forget_user(path, "u5", refill=False).number == 3


# ------------------------------------------------------------------ backups


def test_a_restored_backup_does_not_undo_an_erasure(path, tmp_path):
    forget_user(path, "u3", refill=False)
    backup(tmp_path / "copy", path)
    assert len(read_receipts(tmp_path / "copy")) == 1
    forget_user(path, "u4", refill=False)
    erase_items(path, "i5", refill=False)
    code, _, err = crossrec("restore", tmp_path / "copy", "--index", path, "--force")
    assert code == 0
    assert err.count("erases them again") == 2
    assert len(read_receipts(path)) == 3
    with records(path) as ledger:
        assert ledger.has_user("u4")
        assert not ledger.erasures.of_old_lives(pa.table({"user_id": ["u3"], "timestamp": [9e9]}))[
            0
        ]
    assert any("erases them again" in note for note in verify(path).notes)
    forget_user(path, [], refill=False)
    with records(path) as ledger:
        assert not ledger.has_user("u4")
        assert "i5" not in ledger.items()["item_id"].to_pylist()
        assert not ledger.erasures.unfinished
    assert len(read_receipts(path)) == 5
    assert verify(path).ok


def test_a_backup_of_another_index_learns_who_was_erased(path, tmp_path):
    other = tmp_path / "other"
    build(items("else"), events(), other, recipe=RECIPE)
    forget_user(other, "u1", refill=False)
    forget_user(path, "u3", refill=False)
    restored = restore(other, path, force=True)
    assert any("1 people" in note for note in restored.notes)
    assert len(read_receipts(path)) == 2
    forget_user(path, [], refill=False)
    with records(path) as ledger:
        assert not ledger.has_user("u3")
        assert ledger.has_user("u2")


def test_a_restore_over_damaged_records_says_what_is_not_known(path, tmp_path):
    backup(tmp_path / "copy", path)
    for file in path.glob("records.sqlite-*"):
        file.unlink()
    (path / "records.sqlite").write_bytes(b"no database at all" * 999)
    notes = restore(tmp_path / "copy", path, force=True).notes
    assert any("not known any more" in note for note in notes)


# ------------------------------------------------------------------ servers


@pytest.mark.server
def test_a_former_server_is_cleared_or_named(own_server: Server, tmp_path):  # noqa: F811
    import chromadb

    path = tmp_path / "moved"
    on_server = {"blend": {"tune": False}, "store": {"url": own_server.url, "retries": 1}}
    build(items("old"), events(), path, recipe=Recipe.from_dict(on_server))
    build(items("new"), events(), path, recipe=RECIPE)
    client = chromadb.HttpClient("127.0.0.1", own_server.port)
    assert client.list_collections()  # `rollback` may go back to it
    own_server.kill()
    receipt = forget_user(path, "u3")
    assert own_server.url in " ".join(receipt.out_of_reach)
    own_server.start()
    assert chromadb.HttpClient("127.0.0.1", own_server.port).list_collections()
    receipt = forget_user(path, "u4")
    assert "which could not be cleared" not in " ".join(receipt.out_of_reach)
    assert not chromadb.HttpClient("127.0.0.1", own_server.port).list_collections()
    with records(path) as ledger:
        assert not ledger.erasures.servers
