"""People and items out of the invented shop, for good."""

from __future__ import annotations

import csv
import json
import shutil
import sqlite3

import numpy as np
import pyarrow as pa
import pytest

from crossrec_llm import Recommender, build, correcting, drafting, erase_items, erasing, forget_user
from crossrec_llm.errors import QueryError, StoreError, UnknownItem, UnknownUser
from crossrec_llm.generation import Generation
from crossrec_llm.live import add_events, add_items, remove_items
from crossrec_llm.store import Index, IndexWriter, Ledger, read_receipts
from tests import shop

pytestmark = pytest.mark.model

ITEM, OTHER = "p-chess-set", "o-trail-vest"


def generation(index):
    with Index.open(index) as opened:
        return Generation.load(opened.generation)


def scanner(index, kind, *ids):
    with Index.open(index) as opened:
        return erasing.traces_of(Generation.load(opened.generation), opened.ledger, kind, ids)


def event(user, item, time):
    return {"user_id": user, "item_id": item, "timestamp": time, "event": "purchase", "value": None}


def answers(index, users):
    with Recommender.open(index) as recommender:
        return {user: [r.item_id for r in recommender.for_user(user)] for user in users}


def test_a_person_is_in_no_file_any_more(index):
    with Recommender.open(index) as recommender:
        correcting.pin(recommender, "u3", "Anything about astronomy, by the telescope")
    traces = scanner(index, "user", "u3")
    before = traces.scan(index)
    assert before.hits == before.traces
    assert set(before.traces) == {"text", "vector"}
    receipt = forget_user(index, "u3")
    assert traces.scan(index).hits == {}
    assert receipt.removed["people in the records"] == 1
    assert receipt.removed["corrections of profiles"] == 1
    assert receipt.removed["profiles"] == 1
    with Recommender.open(index) as recommender:
        with pytest.raises(UnknownUser):
            recommender.for_user("u3")
        assert recommender.generation.scanned == ()
        wanting = recommender.audience(ITEM, k=shop.N_USERS)
        assert "u3" not in [member.user_id for member in wanting.members]


def test_nothing_fitted_differs_from_a_build_without_the_person(index, shop_files, tmp_path):
    events = shop.interactions()
    rest = events.filter(pa.compute.not_equal(events["user_id"], "u7"))
    build(shop_files / "items.csv", rest, tmp_path / "never")
    forget_user(index, "u7")
    never, erased = generation(tmp_path / "never"), generation(index)
    assert never.users.ids == erased.users.ids
    np.testing.assert_allclose(never.users.vectors, erased.users.vectors, atol=1e-5)
    assert never.signals.matrices.keys() == erased.signals.matrices.keys()
    for name, matrix in never.signals.matrices.items():
        np.testing.assert_array_equal(matrix.columns, erased.signals.matrices[name].columns)
        np.testing.assert_allclose(matrix.values, erased.signals.matrices[name].values, atol=1e-4)
    np.testing.assert_array_equal(never.signals.popularity.people, erased.signals.popularity.people)
    people = ["u1", "u2", "u9"]
    assert answers(index, people) == answers(tmp_path / "never", people)


def test_an_item_is_in_no_file_any_more(index):
    with Recommender.open(index) as recommender:
        taker = recommender.ledger.users_of(ITEM)[0]
        correcting.strike(recommender, taker, [ITEM])
    traces = scanner(index, "item", ITEM)
    before = traces.scan(index)
    assert before.hits == before.traces
    assert set(before.traces) == {"id", "text", "vector"}
    receipt = erase_items(index, [ITEM], prove=True)
    assert traces.scan(index).hits == {}
    assert receipt.scan["hits"] == {}
    assert receipt.removed["corrections of others that named it"] == 1
    assert receipt.removed["encoded texts"] == 1
    with Recommender.open(index) as recommender:
        assert len(recommender.catalogue) == shop.items().num_rows - 1
        assert not recommender.ledger.corrections_of(taker)
        for user in ("u1", taker):
            assert ITEM not in [r.item_id for r in recommender.for_user(user, k=50)]
        found = recommender.generation.chroma_search("items")
        vectors = recommender.generation.vectors
        assert (found.nearest(vectors, 1)[0].ravel() == np.arange(len(vectors))).all()


def test_a_strike_of_several_items_keeps_the_others(index):
    with Recommender.open(index) as recommender:
        history = recommender.profile("u1").history
        struck = [entry.item.item_id for entry in history[:2]]
        correcting.strike(recommender, "u1", struck)
    erase_items(index, struck[0])
    with Index.open(index) as opened:
        assert opened.ledger.corrections_of("u1")[0].items == (struck[1],)


def test_older_generations_are_gone(index, shop_files):
    build(shop_files / "items.csv", shop_files / "interactions.csv", index, recipe=untuned())
    receipt = forget_user(index, ["u1", "u2"])
    assert len(receipt.generations_removed) == 2
    assert len(list((index / "generations").iterdir())) == 1
    assert receipt.learned
    assert all(one.fitted_in for one in receipt.learned if one.part not in ("blend", "bridges"))


def untuned():
    from dataclasses import replace

    from crossrec_llm.recipe import Recipe

    recipe = Recipe.load("default")
    return replace(recipe, answering=replace(recipe.answering, n_candidates=400))


@pytest.mark.parametrize("kind", ["user", "item"])
def test_unknown_ids_erase_nothing(index, kind):
    erase, error = (forget_user, UnknownUser) if kind == "user" else (erase_items, UnknownItem)
    known = "u1" if kind == "user" else ITEM
    before = (index / "manifest.json").read_bytes()
    with pytest.raises(error):
        erase(index, [known, "who-is-that"])
    assert (index / "manifest.json").read_bytes() == before
    with Index.open(index) as opened:
        assert opened.ledger.erasures.has(kind, known)
    with pytest.raises(QueryError, match="give an id"):
        erase(index, [])


def test_old_files_do_not_bring_them_back(index, shop_files):
    forget_user(index, "u1")
    erase_items(index, ITEM)
    report = build(shop_files / "items.csv", shop_files / "interactions.csv", index, replace=True)
    assert report.unchanged
    built = generation(index)
    assert ITEM not in built.catalogue.ids
    assert "u1" not in built.users.ids


def test_a_build_from_changed_files_leaves_them_out(index, shop_files):
    forget_user(index, "u1")
    erase_items(index, ITEM)
    items = shop.items().slice(0, 40)
    report = build(items, shop.interactions(), index)
    told = "\n".join(report.notes)
    assert "4 rows of erased people left out" in told
    assert "`crossrec add-items`" in told
    built = generation(index)
    assert ITEM not in built.catalogue.ids
    assert "u1" not in built.users.ids


def test_what_is_rejected_of_an_erased_person_is_not_written_down(index):
    forget_user(index, "u1")
    unknown = [event("u1", "nosuch", 1.0), event("u2", "nosuch", 1.0)]
    log = pa.concat_tables(
        [shop.interactions(), pa.Table.from_pylist(unknown)], promote_options="default"
    )
    build(shop.items(), log, index)
    with (index / "rejects.csv").open(newline="") as file:
        contents = [row["content"] for row in csv.DictReader(file)]
    assert len(contents) == 2
    assert contents[0] == ""
    assert '"u2"' in contents[1]


def test_a_new_life_begins_after_the_erasure(index):
    receipt = forget_user(index, "u1")
    events = [event("u1", OTHER, 1.0), event("u1", OTHER, None), event("u1", OTHER, 4e9)]
    report = add_events(index, pa.Table.from_pylist(events))
    assert (report.added, report.erased) == (1, 2)
    assert any("2 rows of erased people left out" in note for note in report.notes)
    with Index.open(index) as opened:
        assert opened.ledger.events_of("u1")["timestamp"].to_pylist() == [4e9]
    assert receipt.kind == "user"


def test_an_erased_item_that_is_added_by_name_is_wanted_again(index, shop_files):
    erase_items(index, ITEM)
    row = shop.items().filter(pa.compute.equal(shop.items()["item_id"], ITEM))
    assert add_items(index, row).added == 1
    build(shop_files / "items.csv", shop_files / "interactions.csv", index)
    assert ITEM in generation(index).catalogue.ids


def test_live_and_removed_ones_are_erased_too(index):
    new = {"item_id": "x-unheard-of-thing", "title": "An unheard-of thing, quite unheard of"}
    add_items(index, pa.Table.from_pylist([new]))
    add_events(index, pa.Table.from_pylist([event("somebody-new", new["item_id"], 4e9)]))
    remove_items(index, [OTHER])
    erase_items(index, [new["item_id"], OTHER])
    forget_user(index, "somebody-new")
    for path in index.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        for gone in ("unheard-of", "somebody-new", OTHER):
            assert gone.encode() not in content, path


def test_what_was_cut_off_is_finished(index, monkeypatch):
    traces = scanner(index, "user", "u3")

    def pulled(*_, **__):
        raise StoreError("the plug was pulled")

    with monkeypatch.context() as patch:
        patch.setattr(erasing, "_publish", pulled)
        with pytest.raises(StoreError, match="plug"):
            forget_user(index, "u3")
    assert traces.scan(index).hits
    receipt = forget_user(index, [])
    assert receipt.resumed
    assert traces.scan(index).hits == {}
    with IndexWriter.open(index) as writer:
        assert not writer.ledger.erasures.unfinished


def test_rejects_logs_and_copies_let_go_of_them(index):
    (index / "rejects.csv").write_text("source,line,reason,content\na,1,odd,u3;x\na,2,odd,k;x\n")
    (index / "build.log").write_text("about u3\nabout nobody\n")
    (index / "vectors.cache.damaged").write_bytes(b"anything")
    (index / "notes.txt").write_text("u3 called")
    (index / "customers.csv").write_bytes(b"user_id\r\nu3\r\n")
    receipt = forget_user(index, "u3")
    for name in ("rejects.csv", "build.log", "vectors.cache.damaged"):
        assert not (index / name).exists()
        assert receipt.removed[name] == 1
    assert (index / "customers.csv").read_bytes() == b"user_id\r\nu3\r\n"
    assert any("customers.csv, notes.txt" in line for line in receipt.out_of_reach)


def test_chroma_is_scanned_until_it_is_filled(index, monkeypatch):
    people = ["u1", "u2", "u9"]
    receipt = forget_user(index, "u3", refill=False)
    assert receipt.to_fill == ("graph", "users")
    before = answers(index, people)
    loaded = generation(index)
    assert loaded.scanned == ("graph", "users")
    found, _ = loaded.chroma_search("users").nearest(loaded.users.vectors, 1)
    assert (found.ravel() == np.arange(len(loaded.users.ids))).all()

    def lost(*_, **__):
        raise StoreError("not found again")

    with monkeypatch.context() as patch:
        patch.setattr(drafting, "audit", lost)
        receipt = forget_user(index, "u27")
    assert receipt.to_fill == ("graph", "users")
    build(index=index)
    assert generation(index).scanned == ()
    assert not any(one.to_fill or one.waiting for one in read_receipts(index))
    assert before.keys() == set(people)


def test_refit_leaves_nothing_waiting(index):
    receipt = forget_user(index, "u3", refit=True)
    assert not receipt.waiting
    assert not receipt.to_fill
    assert receipt.seconds["done"] > receipt.seconds["erased"]
    (kept,) = read_receipts(index)
    assert kept == receipt


def test_receipts_hold_no_ids(index):
    receipt = forget_user(index, ["u3", "u27"])
    (path,) = (index / "erasures").iterdir()
    written = path.read_text()
    assert '"u3"' not in written
    assert len(receipt.subjects) == 2
    assert json.loads(written)["subjects"] == list(receipt.subjects)
    with IndexWriter.open(index) as writer:
        assert writer.ledger.erasures.hash("user", "u3") == receipt.subjects[0]


def test_indexes_of_before_with_one_chroma(index):
    """All collections in one Chroma, as it was: nothing of it can be taken over."""
    with IndexWriter.open(index) as writer:
        (folder,) = (writer.path / "generations").iterdir()
    shutil.rmtree(folder / "chroma")
    from crossrec_llm.store import ChromaStore

    loaded = generation(index)
    with ChromaStore.embedded(folder / "chroma") as store:
        store.write("users", loaded.users.ids, loaded.users.vectors)
    assert loaded.chroma_search("users").nearest(loaded.users.vectors[:1], 1)[0][0, 0] == 0
    loaded.close()
    receipt = forget_user(index, "u3", refill=False)
    assert receipt.to_fill == ("items", "texts", "graph", "users")


def test_a_reader_that_holds_on_is_told_of(index, monkeypatch):
    monkeypatch.setattr("crossrec_llm.store.erasures._WAIT", 0.1)
    reader = sqlite3.connect(index / "records.sqlite", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM events").fetchone()
    from crossrec_llm.errors import IndexLocked

    with pytest.raises(IndexLocked, match="run the same command again"):
        forget_user(index, "u3")
    reader.close()
    assert forget_user(index, "u3").resumed
    with Ledger.open(index / "records.sqlite", write=False) as ledger:
        assert not ledger.has_user("u3")


def test_the_commands(index, crossrec):
    code, out, _ = crossrec("forget-user", "u3", "--index", index, "--prove")
    assert code == 0
    assert "1 person erased" in out
    assert "0 found" in out
    assert "out of reach: backups" in out
    code, out, _ = crossrec(
        "remove-items", ITEM, "--erase", "--index", index, "--json", "--no-refill"
    )
    assert code == 0
    assert json.loads(out)["kind"] == "item"
    assert crossrec("forget-user", "nobody", "--index", index)[0] == 2
    assert crossrec("remove-items", OTHER, "--prove", "--index", index)[0] == 2
    code, out, _ = crossrec("remove-items", OTHER, "--index", index)
    assert code == 0
    first, last = crossrec("forget-user", "u5", "--index", index, "--quiet")[1].splitlines()
    assert first.startswith("1 person erased")
    assert last.startswith("receipt ")
