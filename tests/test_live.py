from __future__ import annotations

import gzip
import io
import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest

from crossrec_llm import Recommender, add_events, add_items, build, live, remove_items
from crossrec_llm.errors import (
    DataError,
    IndexDamaged,
    IndexLocked,
    IndexMissing,
    UnknownItem,
    UnknownUser,
)
from crossrec_llm.store import Appended, Index, Ledger
from crossrec_llm.store.lock import locked
from crossrec_llm.tables import FormatOptions
from crossrec_llm.tables.formats import read_source
from tests import shop

pytestmark = pytest.mark.model

CHESS = "p-chess-set"
BOUGHT = {"user_id": "zoe", "item_id": CHESS, "event": "purchase", "timestamp": 1.7e9}
SPADE = {"item_id": "g-spade", "title": "A spade for heavy soil", "category": "Garden > Tools"}


def records(index: Path) -> Ledger:
    return Ledger.open(index / "records.sqlite", write=False)


def test_rows_of_dicts_are_added_once(index: Path) -> None:
    done = add_events(index, [BOUGHT, {**BOUGHT, "item_id": "g-trowel"}])
    assert (done.added, done.repeated, done.rejected, done.due.changes) == (2, 0, 0, 2)
    again = add_events(index, BOUGHT)
    assert (again.added, again.repeated, again.change) == (0, 1, done.change)
    with Recommender.open(index) as recommender:
        there = [entry.item.item_id for entry in recommender.profile("zoe").history]
    assert sorted(there) == ["g-trowel", CHESS]


def test_an_event_id_is_recognised_and_taken_once(index: Path) -> None:
    rows = pa.Table.from_pylist([{**BOUGHT, "Event ID": name} for name in ("a", "b", "a", "")])
    done = add_events(index, rows)
    assert (done.added, done.repeated) == (2, 2)
    with records(index) as ledger:
        assert len(ledger.events_of("zoe")) == 2


def test_rejects_have_file_line_and_reason(index: Path, tmp_path: Path) -> None:
    log = tmp_path / "new.csv"
    log.write_text(f"user,item,qty\nzoe,{CHESS},1\nzoe,nothing,1\n,{CHESS},1\nzoe,{CHESS},0\n")
    done = add_events(index, log, rejects=tmp_path / "rejects.csv")
    assert (done.added, done.rejected) == (1, 3)
    assert done.report is not None
    (source,) = done.report.sources
    assert {(one.line, one.reason) for one in source.examples} == {
        (3, "unknown item"),
        (4, "empty user id"),
        (5, "quantity not above 0"),
    }
    assert len((tmp_path / "rejects.csv").read_text().splitlines()) == 4
    assert json.dumps(done.to_dict())


def test_where_nothing_is_usable_nothing_is_added(index: Path) -> None:
    with pytest.raises(
        DataError, match=r"none of the 1 rows .*: 1 unknown item \(row 1\); .*'nothing'"
    ):
        add_events(index, {**BOUGHT, "item_id": "nothing"})
    with pytest.raises(DataError, match="a list of dicts"):
        add_events(index, [[1, 2]])
    with pytest.raises(DataError, match="mixes types"):
        add_events(index, [BOUGHT, {**BOUGHT, "user_id": 7}])
    with records(index) as ledger:
        assert ledger.change == 0


def test_nothing_at_all_adds_nothing(index: Path, tmp_path: Path) -> None:
    files = {name: tmp_path / name for name in ("empty.csv", "empty.json", "header.csv")}
    files["empty.csv"].write_text("")
    files["empty.json"].write_text("[]")
    files["header.csv"].write_text("user_id,item_id,title\n")
    for nothing in ([], pa.table({}), *files.values()):
        for add in (add_events, add_items):
            done = add(index, nothing)
            assert (done.added, done.rejected, done.change) == (0, 0, 0)
            assert json.dumps(done.to_dict())
    assert add_events(index, files["empty.csv"]).notes == (f"{files['empty.csv']} is empty",)
    assert remove_items(index, []).removed == 0
    with pytest.raises(DataError, match="holds no usable item"):
        add_items(index, {"item_id": "x", "title": ""})


def test_standard_input_is_read_to_its_end(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = "".join(json.dumps({**BOUGHT, "user_id": f"z{n}"}) + "\n" for n in range(30))
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(lines.encode())))
    monkeypatch.setattr(live, "BATCH", 8)
    steps: list[tuple[str, int, int]] = []
    done = add_events(index, ["-"], progress=lambda *step: steps.append(step))
    assert (done.added, done.change) == (30, 4)
    assert steps[-4:] == [("add", n, 30) for n in (8, 16, 24, 30)]


def test_a_stream_has_a_bound() -> None:
    options = FormatOptions(max_bytes=100)
    with pytest.raises(DataError, match="<pipe>: is larger than 100 bytes"):
        read_source(io.BytesIO(b"a,b\n" * 50), "<pipe>", options)
    packed = gzip.compress(b"user,item\n1,2\n")
    assert read_source(io.BytesIO(packed), "<pipe>", options).table.num_rows == 1


def test_a_live_change_waits_for_the_end_of_a_build(
    index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def append(ledger: Ledger, events: pa.Table, ids: list[str | None]) -> Appended:
        tried.append(len(events))
        if len(tried) == 2:
            block.__exit__(None, None, None)
        return real(ledger, events, ids)

    real = Ledger.append
    with Ledger.open(index / "records.sqlite", write=True) as other:
        block = other._database.transaction()
        block.__enter__()
        with pytest.raises(IndexLocked, match="another process"):
            add_events(index, BOUGHT)
        monkeypatch.setattr(Ledger, "append", append)
        with locked(index):
            assert add_events(index, BOUGHT).added == 1
    assert tried == [1, 1]


def test_what_a_batch_before_the_failure_brought_stays(
    index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "BATCH", 2)
    monkeypatch.setattr(live, "PATIENCE", 0.0)
    rows = [{**BOUGHT, "user_id": f"z{n}"} for n in range(5)]
    (index / "lock.holder").write_text('{"pid": 4711, "host": "here", "since": "noon"}')
    with Ledger.open(index / "records.sqlite", write=True) as other:
        block = other._database.transaction()

        def take(step: str, done: int, _: int) -> None:
            if (step, done) == ("add", 4):
                block.__enter__()

        with pytest.raises(IndexLocked, match="process 4711 on here"):
            add_events(index, rows, progress=take)
        block.__exit__(None, None, None)
    done = add_events(index, rows)
    assert (done.added, done.repeated) == (1, 4)


def test_items_are_added_and_changed_where_they_differ(index: Path, shop_files: Path) -> None:
    same = add_items(index, shop_files / "items.csv")
    assert (same.added, same.changed, same.change) == (0, 0, 0)
    assert same.unchanged == shop.items().num_rows
    assert same.due.advice == ""
    done = add_items(index, [SPADE, {"item_id": CHESS, "title": "Chess, for two"}])
    assert (done.added, done.changed, done.due.changes) == (1, 1, 2)
    assert done.due.advice.startswith("2 changes since generation 0001")
    with records(index) as ledger:
        rows = {row["item_id"]: row for row in ledger.items().to_pylist()}
    assert rows[CHESS]["title"] == "Chess, for two"
    assert rows[CHESS]["description"] == "", "a row is the whole item"


def test_a_removed_item_comes_back_with_its_events(index: Path) -> None:
    with records(index) as ledger:
        takers = ledger.users_of(CHESS)
    assert remove_items(index, CHESS).removed == 1
    again = remove_items(index, [CHESS, "g-trowel"])
    assert (again.removed, again.unchanged) == (1, 1)
    with pytest.raises(DataError, match="unknown item"):
        add_events(index, BOUGHT)
    with pytest.raises(UnknownItem, match="'p-ches-set'"):
        remove_items(index, ["p-chess-wood", "p-ches-set"])
    with records(index) as ledger:
        assert ledger.users_of(CHESS) == []
        assert ledger.users_of("p-chess-wood")
    add_items(index, {"item_id": CHESS, "title": "Chess"})
    with records(index) as ledger:
        assert ledger.users_of(CHESS) == takers


def test_an_index_is_needed(tmp_path: Path, index: Path) -> None:
    for change in (add_events, add_items, remove_items):
        with pytest.raises(IndexMissing, match="crossrec build"):
            change(tmp_path / "none", "-")
    with Index.open(index) as opened:
        (opened.generation.folder / "recipe.json").write_text("{")
    with pytest.raises(IndexDamaged, match="recipe"):
        remove_items(index, CHESS)


def test_the_recipe_of_the_index_maps_columns(shop_files: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "r.toml"
    recipe.write_text(
        '[tables]\nprefix_ids = "items"\nsource_names = ["s"]\n'
        '[tables.event_columns]\nuser_id = "who"\n[blend]\ntune = false\n'
    )
    index = tmp_path / "index"
    log = [{"who": f"u{n}", "item_id": CHESS, "timestamp": n} for n in range(3)]
    build(shop_files / "items.csv", log, index, recipe=recipe)
    done = add_events(index, {"who": "zoe", "item_id": f"s:{CHESS}", "timestamp": 9})
    assert done.added == 1
    ours = {"user_id": "zoe", "item_id": f"s:{CHESS}", "timestamp": 10}
    assert add_events(index, ours).added == 1
    with pytest.raises(DataError, match=r"like who, user_id.*; call it user_id, or what the recip"):
        add_events(index, {"someone": "zoe", "item_id": f"s:{CHESS}"})


def test_a_build_folds_in_and_keeps_what_came_live(index: Path, shop_files: Path) -> None:
    files = shop_files / "items.csv", shop_files / "interactions.csv"
    add_items(index, SPADE)
    add_events(index, {**BOUGHT, "item_id": "g-spade"})
    remove_items(index, "p-chess-wood")
    for _ in range(2):
        done = build(*files, index)
        with Recommender.open(index) as recommender:
            assert "g-spade" in recommender.catalogue
            assert "p-chess-wood" not in recommender.catalogue
            assert recommender.profile("zoe").history[0].item.item_id == "g-spade"
    assert done.unchanged
    assert add_events(index, {**BOUGHT, "item_id": "g-spade"}).due.changes == 0
    assert build(*files, index, replace=True).dropped == 3
    with Recommender.open(index) as recommender:
        assert "g-spade" not in recommender.catalogue
        assert "p-chess-wood" in recommender.catalogue
        with pytest.raises(UnknownUser):
            recommender.profile("zoe")


def test_on_the_command_line(crossrec, index: Path, tmp_path: Path) -> None:
    log = tmp_path / "new.jsonl"
    log.write_text("".join(json.dumps({**BOUGHT, "item_id": id}) + "\n" for id in (CHESS, "none")))
    at = ("--index", index)
    code, said, noted = crossrec("add-events", log, *at)
    assert (code, said) == (0, f"{index}: events: 1 added, 1 rejected\n")
    assert f"rejected: {log}:2: unknown item" in noted
    assert "note: 1 change since generation 0001" in noted
    code, said, noted = crossrec("add-events", log, *at, "--json")
    assert (code, json.loads(said)["repeated"], noted) == (0, 1, "")
    items = tmp_path / "items.csv"
    items.write_text(f"id,title\ng-spade,A spade\n{CHESS},Chess\n")
    assert crossrec("add-items", items, *at)[1] == f"{index}: items: 1 added, 1 changed\n"
    quiet = crossrec("remove-items", "g-spade", *at, "--quiet")
    assert quiet == (0, f"{index}: items: 1 removed\n", "")
    assert crossrec("remove-items", "g-spade", *at)[1] == f"{index}: items: 1 unchanged\n"
    code, _, said = crossrec("remove-items", "g-spode", *at)
    assert code == 2
    assert "did you mean 'g-spade'" not in said, "a removed item is not offered"
    log.write_text(json.dumps({**BOUGHT, "timestamp": "32.1.2024"}))
    noted = crossrec("add-events", log, *at)[2]
    assert f"note: {log}: not understood 1: timestamp (line 1 '32.1.2024')" in noted


def test_an_older_index_takes_live_changes(index: Path, tmp_path: Path) -> None:
    from tests.store.small import make_older

    old = shutil.copytree(index, tmp_path / "old")
    make_older(old / "records.sqlite", 2)
    assert add_events(old, BOUGHT).added == 1


def test_enough_changes_start_a_build(
    crossrec, index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Index.open(index) as opened:
        file = opened.generation.folder / "recipe.json"
    recipe = json.loads(file.read_text())
    recipe["live"] = {"rebuild_at": 1e-6, "rebuild_least": 2}
    file.write_text(json.dumps(recipe))
    started: list[str] = []
    monkeypatch.setattr("crossrec_llm.publishing.start_build", lambda at: started.append(at) or 11)
    items = tmp_path / "items.csv"
    items.write_text("id,title\ng-spade,A spade\n")
    assert "process" not in crossrec("add-items", items, "--index", index)[2]
    noted = crossrec("remove-items", CHESS, "--index", index)[2]
    assert "a build was started in process 11" in noted
    said = crossrec("remove-items", CHESS, "--index", index, "--json")[1]
    assert json.loads(said)["building"] == 11
    assert started == [str(index)] * 2
