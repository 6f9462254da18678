"""An open recommender sees what other processes do, with the real model and a real index."""

from __future__ import annotations

import dataclasses
import gc
import shutil
import subprocess
import sys
import threading
import time
import weakref
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pytest

from crossrec_llm import Recommender, build, comparing, rollback
from crossrec_llm.answers import Answers
from crossrec_llm.errors import IndexDamaged, QueryError, UnknownItem, UnknownUser
from crossrec_llm.generation import Generation
from crossrec_llm.recipe import Recipe
from crossrec_llm.store import Ledger, damage
from crossrec_llm.tables import EVENTS_SCHEMA
from tests.small import catalogue_of

pytestmark = pytest.mark.model

KETTLE = {
    "item_id": "new-kettle",
    "title": "Titanium camping kettle",
    "description": "A light kettle for the trail",
    "category": ["Outdoors", "Camp Kitchen"],
}


def events(*pairs):
    rows = [
        {"user_id": u, "item_id": i, "timestamp": 1.8e9 + n, "event": "purchase", "value": None}
        for n, (u, i) in enumerate(pairs)
    ]
    return pa.Table.from_pylist(rows, schema=EVENTS_SCHEMA)


@pytest.fixture
def ledger(index):
    with Ledger.open(index / "records.sqlite", write=True) as opened:
        yield opened


@pytest.fixture
def recommender(index):
    with Recommender.open(index) as opened:
        yield opened


def put(ledger, *items):
    return ledger.put_items(catalogue_of(*items).table)


def republish(shop_files, index, **answering):
    """Another generation, of the same parts."""
    default = Recipe.load("default")
    recipe = dataclasses.replace(
        default, answering=dataclasses.replace(default.answering, **answering)
    )
    return build(shop_files / "items.csv", shop_files / "interactions.csv", index, recipe=recipe)


def test_everything_is_seen_by_the_next_question_of_everybody(index, ledger):
    with Recommender.open(index) as one, Recommender.open(index) as two:
        with pytest.raises(UnknownUser):
            one.for_user("zoe")
        put(ledger, KETTLE)
        for recommender in (one, two):
            first = recommender.like("titanium camping kettle", 3).items[0]
            assert first.item_id == "new-kettle"
            assert first.cold
            assert recommender.item("new-kettle").title == KETTLE["title"]
            assert recommender.similar("new-kettle", 3).items[0].reasons
        ledger.append(events(("zoe", "new-kettle"), ("zoe", "b-roses")))
        for recommender in (one, two):
            answer = recommender.for_user("zoe", 5)
            assert answer.receipt.change == 2 == recommender.receipt.change
            assert "b-roses" not in answer.ids
            assert "zoe" in [m.user_id for m in recommender.audience(answer.ids[0], 100).members]
        put(ledger, {**KETTLE, "title": "Watering can of zinc", "description": "For the garden"})
        for recommender in (one, two):
            assert recommender.like("zinc watering can", 3).ids[0] == "new-kettle"
            assert recommender.like("titanium camping kettle", 3).ids[0] != "new-kettle"
        ledger.remove_items(["new-kettle"])
        for recommender in (one, two):
            assert "new-kettle" not in recommender.like("zinc watering can", 200).ids
            with pytest.raises(UnknownItem):
                recommender.similar("new-kettle")
            assert recommender.profile("zoe").history[0].item.item_id == "b-roses"


def test_what_another_process_writes_is_seen(index, recommender):
    before = recommender.for_user("u1", 3)
    code = (
        "import sys; from tests.test_moments import *\n"
        "with Ledger.open(Path(sys.argv[1]), write=True) as ledger:\n"
        "    put(ledger, KETTLE); ledger.append(events(('u1', 'new-kettle')))\n"
    )
    command = [sys.executable, "-c", f"from pathlib import Path; {code}"]
    subprocess.run([*command, str(index / "records.sqlite")], check=True)
    after = recommender.for_user("u1", 3)
    assert before.receipt.history != after.receipt.history
    assert recommender.profile("u1").history[-1].item.item_id == "new-kettle"


def test_a_published_generation_answers_and_the_old_one_is_let_go(
    index, shop_files, recommender, monkeypatch
):
    closed = []
    close = Generation.close
    monkeypatch.setattr(Generation, "close", lambda self: (closed.append(self.name), close(self)))
    old = recommender.for_user("u1", 5)
    encoder = recommender.encoder
    republish(shop_files, index, diversity=0.9)
    new = recommender.for_user("u1", 5)
    assert new.receipt.generation != old.receipt.generation
    assert new.query["diversity"] == 0.9
    assert closed == [old.receipt.generation]
    assert recommender.encoder is encoder
    with Recommender.open(index) as fresh:
        assert fresh.for_user("u1", 5) == new


def test_a_rollback_answers_and_what_came_since_is_laid_over(
    index, shop_files, ledger, recommender
):
    before = recommender.for_user("u1", 5)
    put(ledger, KETTLE)
    republish(shop_files, index, diversity=0.9)
    published = recommender.for_user("u1", 5).receipt.generation
    assert published != before.receipt.generation
    rollback(index)
    after = recommender.for_user("u1", 5)
    assert after.receipt.generation == before.receipt.generation
    assert after.receipt.change >= 1
    assert recommender.like("titanium camping kettle", 1).ids == ["new-kettle"]


def test_a_question_keeps_the_moment_that_it_began_with(
    index, shop_files, ledger, recommender, monkeypatch
):
    """The old generation is closed after the last question that is asked of it, not before."""
    began, go_on = threading.Event(), threading.Event()
    closed, to = [], Answers.to
    close = Generation.close
    monkeypatch.setattr(Generation, "close", lambda self: (closed.append(self.name), close(self)))

    def slowly(self, *given, **named):
        if threading.current_thread().name.startswith("slow"):
            began.set()
            assert go_on.wait(60)
        return to(self, *given, **named)

    monkeypatch.setattr(Answers, "to", slowly)
    old = recommender.for_user("u1", 5)
    with ThreadPoolExecutor(1, "slow") as pool:
        asked = pool.submit(recommender.for_user, "u1", 5)
        assert began.wait(60)
        ledger.remove_items(old.ids[:1])
        assert old.ids[0] not in recommender.for_user("u1", 5).ids
        assert closed == []
        go_on.set()
        assert asked.result() == old


def test_threads_ask_while_items_change_and_generations_are_published(
    index, shop_files, ledger, recommender
):
    done, answers, trouble = threading.Event(), defaultdict(set), []

    def ask(n):
        turn = 0
        while not done.is_set():
            turn += 1
            user = f"u{(n + turn) % 4}"
            try:
                answer = recommender.for_user(user, 5)
                if turn % 5 == 0:
                    recommender.like("camping kettle", 3)
            except Exception as error:
                trouble.append(error)
                return
            receipt = answer.receipt
            key = (user, receipt.generation, receipt.change, receipt.history)
            answers[key].add(tuple(answer.ids))

    askers = [threading.Thread(target=ask, args=(n,)) for n in range(4)]
    for asker in askers:
        asker.start()
    try:
        for n in range(12):
            put(ledger, {**KETTLE, "item_id": f"k{n}", "title": f"Camping kettle number {n}"})
            ledger.append(events((f"u{n % 4}", f"k{n}"), (f"v{n}", "b-roses")))
            if n % 3 == 2:
                ledger.remove_items([f"k{n - 1}"])
            time.sleep(0.05)
        republish(shop_files, index, diversity=0.7)
        ledger.append(events(("u0", "b-roses")))
        republish(shop_files, index, diversity=0.2)
        time.sleep(0.3)
    finally:
        done.set()
        for asker in askers:
            asker.join()
    assert not trouble
    assert all(len(lists) == 1 for lists in answers.values())
    assert len({key[1] for key in answers}) >= 2
    assert len({key[2] for key in answers}) >= 5
    with Recommender.open(index) as fresh:
        assert fresh.for_user("u0", 5).ids == recommender.for_user("u0", 5).ids


def test_a_generation_that_vanished_is_asked_again_as_it_is_now(
    index, shop_files, recommender, monkeypatch
):
    to, failed = Answers.to, []

    def vanishing(self, *given, **named):
        if not failed:
            failed.append(self)
            republish(shop_files, index, diversity=0.9)
            raise IndexDamaged("its folder is gone")
        return to(self, *given, **named)

    monkeypatch.setattr(Answers, "to", vanishing)
    assert recommender.for_user("u1").query["diversity"] == 0.9

    def broken(self, *given, **named):
        raise IndexDamaged("its folder is gone")

    monkeypatch.setattr(Answers, "to", broken)
    with pytest.raises(IndexDamaged):
        recommender.for_user("u1")


def test_what_gave_way_is_let_go_of_at_once(index, ledger, shop_files, recommender, monkeypatch):
    """And not when Python next looks for cycles: that is seldom, and arrays are large."""
    held = []
    made = Answers.__init__

    def make(self, generation):
        made(self, generation)
        held.append(weakref.ref(self))

    monkeypatch.setattr(Answers, "__init__", make)

    def ask():
        recommender.for_user("u1", 3)
        recommender.like("a present for a gardener", 3)
        recommender.similar("b-roses", 3)
        recommender.audience("b-roses", 3)

    def there():
        return sum(answers() is not None for answers in held)

    gc.collect()
    gc.disable()
    try:
        for pair in (("u1", "b-roses"), ("u1", "p-chess-set"), ("u2", "b-roses")):
            ledger.append(events(pair))
            ask()
            assert there() == 1
        generation = weakref.ref(recommender.generation)
        republish(shop_files, index, diversity=0.9)
        gc.collect()  # of what a build leaves behind
        gc.disable()
        ask()
        assert generation() is None
        assert there() == 1
    finally:
        gc.enable()


def test_an_index_opens_while_its_generation_is_replaced_and_removed(
    index, shop_files, monkeypatch
):
    load, failed = Generation.load, []

    def vanishing(stored):
        if not failed:
            failed.append(stored)
            republish(shop_files, index, diversity=0.9)
            shutil.rmtree(stored.folder)
        return load(stored)

    monkeypatch.setattr(Generation, "load", vanishing)
    with Recommender.open(index) as opened:
        assert opened.for_user("u1").query["diversity"] == 0.9
        folder = opened.generation.stored.folder
    shutil.rmtree(folder)
    with pytest.raises(IndexDamaged):
        Recommender.open(index)


def test_an_index_that_went_away_is_answered_from_what_is_open(index, recommender):
    before = recommender.for_user("u1", 5)
    (index / "manifest.json").rename(index / "manifest.away")
    assert recommender.for_user("u1", 5) == before
    (index / "manifest.away").rename(index / "manifest.json")
    assert recommender.for_user("u1", 5) == before
    (index / "manifest.json").write_text("{}")
    with pytest.raises(IndexDamaged):
        recommender.for_user("u1", 5)


def test_the_same_generation_is_not_opened_again(index, recommender):
    generation = recommender.generation
    (index / "manifest.copy").write_bytes((index / "manifest.json").read_bytes())
    (index / "manifest.copy").replace(index / "manifest.json")
    assert recommender.generation is generation


def test_the_vector_index_finds_new_and_changed_items(index, ledger, shop_files):
    """With Chroma in place of the scan: it holds only what was built."""
    default = Recipe.load("default")
    recipe = dataclasses.replace(
        default, search=dataclasses.replace(default.search, exact_below=0, overfetch=100_000)
    )
    build(shop_files / "items.csv", shop_files / "interactions.csv", index, recipe=recipe)
    with Recommender.open(index) as opened:
        gone, other = opened.like("espresso machine", 2).ids
        put(ledger, KETTLE, {**KETTLE, "item_id": other})
        ledger.remove_items([gone])
        found = opened.like("titanium camping kettle", 2).ids
        assert set(found) == {"new-kettle", other}
        assert gone not in opened.like("espresso machine", 200).ids
        assert opened.similar("new-kettle", 3).ids[0] == other
        assert opened.for_user("u1", 5).items
        assert not damage(opened.generation.stored)
        again = opened.like("titanium camping kettle", 2)
        assert again.ids == found


def test_a_replay_says_that_live_changes_explain_a_difference(ledger, recommender):
    before = recommender.for_user("u1", 5)
    assert comparing.replay(recommender, before).reproduced
    ledger.remove_items(before.ids[:1])
    found = comparing.replay(recommender, before)
    assert not found.reproduced
    assert "live changes: 0 then, 1 now" in found.causes
    assert any(before.ids[0] in cause for cause in found.causes)


def test_in_memory_nothing_is_followed(recommender):
    still = Recommender(recommender.generation)
    assert still.for_history(["b-roses"]).receipt.generation
    with pytest.raises(QueryError):
        still.for_user("u1")


def test_an_index_of_an_older_version_opens_and_follows(shop_index, tmp_path):
    """Without who took what: all but counts is seen."""
    index = shutil.copytree(shop_index, tmp_path / "old")
    for file in index.glob("generations/*/signals/taken.arrow"):
        file.unlink()
    with (
        Recommender.open(index) as recommender,
        Ledger.open(index / "records.sqlite", write=True) as ledger,
    ):
        put(ledger, KETTLE)
        ledger.append(events(("zoe", "new-kettle")))
        assert recommender.like("titanium camping kettle", 1).ids == ["new-kettle"]
        assert recommender.for_user("zoe", 3).items
