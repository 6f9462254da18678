"""Live changes laid over a generation in memory: what is folded in is what a fresh fit has."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from crossrec_llm import Recommender, growing
from crossrec_llm.answering import Ask, make_query
from crossrec_llm.errors import ModelError
from crossrec_llm.generation import Generation, Users
from crossrec_llm.growing import Growth
from crossrec_llm.recipe import Recipe
from crossrec_llm.resting import Rest
from crossrec_llm.signals import (
    ImputedOptions,
    ItemToItem,
    NeighboursOptions,
    SignalsOptions,
    impute,
)
from crossrec_llm.store import Ledger
from crossrec_llm.tables import EVENTS_SCHEMA, Catalogue, Histories
from tests.small import N_ITEMS, catalogue_of, events_of, plain_catalogue

TAKEN = [[0, 1, 2], [1, 2, 3], [0, 2, 5, 6], [7, 8], [8, 9, 7], [10, 0], [3], [1, 0, 2, 6]]


class Reads:
    """A reader whose vectors follow from titles alone; it counts what it read."""

    def __init__(self):
        self.read, self.broken, self.tried = [], False, 0

    @property
    def columns(self):
        return {"title", "description"}

    def items(self, items):
        self.tried += 1
        if self.broken:
            raise ModelError("there is no model here")
        self.read += items["item_id"].to_pylist()
        return vectors_of(items["title"].to_pylist())


def vectors_of(titles):
    seeds = (int(hashlib.sha256(title.encode()).hexdigest()[:8], 16) for title in titles)
    rows = np.array([np.random.default_rng(seed).standard_normal(8) for seed in seeds], np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def recipe_of(rho=0.0, keep=300, **more):
    imputed, neighbours = ImputedOptions(rho=rho, neighbours=3), NeighboursOptions(keep=keep)
    return Recipe(signals=SignalsOptions(imputed=imputed, neighbours=neighbours), **more)


def fit(recipe, items, events):
    catalogue = Catalogue.from_table(items)
    return Generation.fit(recipe, catalogue, vectors_of(items["title"].to_pylist()), events)


def item(item_id, title=None, top="A", **more):
    return {"item_id": item_id, "title": title or item_id, "category": [top], **more}


def table_of(*items):
    return catalogue_of(*items).table


def taken(user_id, *item_ids, event=""):
    rows = [
        {"user_id": user_id, "item_id": i, "timestamp": 100.0 + t, "event": event, "value": None}
        for t, i in enumerate(item_ids)
    ]
    return pa.Table.from_pylist(rows, schema=EVENTS_SCHEMA)


class Shop:
    """A ledger, a generation of what it held first, and its growth."""

    def __init__(self, path, recipe, items=None, events=None):
        self.ledger = Ledger.open(path / "records.sqlite", write=True)
        self.recipe = recipe
        items = plain_catalogue().table if items is None else items
        events = events_of(TAKEN) if events is None else events
        self.ledger.replace(items, events)
        self.reads = Reads()
        self.seconds = 0.0
        self.growth = self.grown(fit(recipe, items, events))

    def grown(self, built):
        return Growth(built, self.reads, Rest(lambda: self.seconds))

    @property
    def now(self):
        return self.growth.take_in(self.ledger)

    @property
    def fresh(self):
        return fit(self.recipe, self.ledger.items(), self.ledger.events())


@pytest.fixture
def shop(tmp_path):
    return Shop(tmp_path, recipe_of())


def dense(generation, ids, name="neighbours"):
    """Entries between items, by id."""
    rows = generation.catalogue.rows(ids)
    return generation.signals.matrices[name].entries(rows, rows)


def people(generation, ids):
    return generation.signals.popularity.people[generation.catalogue.rows(ids)].tolist()


changes = st.lists(
    st.one_of(
        st.tuples(
            st.just("take"),
            st.sampled_from(["u0", "u1", "u4", "v0", "v1"]),
            st.sampled_from([f"i{n}" for n in range(N_ITEMS)] + ["n0", "n1", "n2"]),
            st.sampled_from(["", "view", "dislike"]),
        ),
        st.tuples(
            st.just("put"),
            st.sampled_from(["n0", "n1", "n2", "i1", "i4"]),
            st.text("ab", min_size=1, max_size=2),
        ),
        st.tuples(st.just("remove"), st.sampled_from(["i0", "i1", "i2", "n0", "n1"])),
        st.tuples(st.just("look")),
    ),
    max_size=25,
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes, st.sampled_from([2, 300]))
@example([("take", "u4", "i9", "dislike")], 2)  # the only one who had it
def test_counts_and_neighbours_are_those_of_a_fresh_fit(tmp_path_factory, made, keep):
    shop = Shop(tmp_path_factory.mktemp("shop"), recipe_of(keep=keep))
    for kind, *what in made:
        there = set(shop.ledger.items()["item_id"].to_pylist())
        if kind == "take" and what[1] in there:
            shop.ledger.append(taken(what[0], what[1], event=what[2]))
        elif kind == "put":
            shop.ledger.put_items(table_of(item(*what)))
        elif kind == "remove":
            shop.ledger.remove_items(what)
        elif kind == "look":
            assert shop.now.live.change == shop.ledger.change
    now, fresh = shop.now, shop.fresh
    ids = shop.ledger.items()["item_id"].to_pylist()
    assert [i for i in now.catalogue.ids if i in now.catalogue] == ids
    assert people(now, ids) == people(fresh, ids)
    if "neighbours" in fresh.signals.matrices:
        np.testing.assert_allclose(dense(now, ids), dense(fresh, ids), rtol=1e-6)
    rows = now.catalogue.rows(ids)
    np.testing.assert_array_equal(
        now.raw[rows], vectors_of(shop.ledger.items()["title"].to_pylist())
    )
    shop.ledger.close()


@settings(max_examples=20)
@given(changes)
def test_removed_items_never_come_and_new_ones_are_found(tmp_path_factory, made):
    shop = Shop(tmp_path_factory.mktemp("shop"), recipe_of(rho=0.3))
    for kind, *what in made:
        there = set(shop.ledger.items()["item_id"].to_pylist())
        if kind == "take" and what[1] in there:
            shop.ledger.append(taken(what[0], what[1], event=what[2]))
        elif kind == "put":
            shop.ledger.put_items(table_of(item(*what)))
        elif kind == "remove":
            shop.ledger.remove_items(what)
        elif kind == "look":
            _ = shop.now
    recommender = Recommender(shop.now, shop.ledger)
    there = shop.ledger.items()["item_id"].to_pylist()
    asked = [recommender.for_user(u, 50) for u in ("u0", "u1", "u4")]
    asked += [recommender.similar(i, 50) for i in there]
    for answer in asked:
        assert set(answer.ids) <= set(there)
        assert all(r.reasons for r in answer)
    for item_id in {"n0", "n1", "n2"} & set(there):
        assert any(item_id in recommender.similar(other, 50).ids for other in there)
        title = recommender.item(item_id).title
        assert item_id in [r.item_id for r in _by_text(recommender, title)]
    for item_id in {"i0", "i1", "i2", "n0", "n1"} - set(there):
        assert item_id not in recommender.catalogue
    shop.ledger.close()


def _by_text(recommender, title):
    """A text question whose vector is that of a title."""
    query = make_query("like", text=title, text_vector=vectors_of([title])[0])
    return recommender._moments.newest.answers.to(query, Ask(50), {"text": title})


def test_a_new_item_without_events_is_recommended_by_meaning_and_labelled(tmp_path):
    shop = Shop(tmp_path, recipe_of(rho=0.3))
    shop.ledger.put_items(table_of(item("twin", "i1", top="B")))
    recommender = Recommender(shop.now, shop.ledger)
    found = {r.item_id: r for r in recommender.for_user("u6", 20)}["twin"]
    assert found.cold
    assert found.reasons
    assert recommender.similar("i1", 3).ids[0] == "twin"
    assert set(shop.growth.now.signals.matrices) == {"neighbours", "transitions", "ease"}
    # What was filled in for it is not told as something that people did.
    shop.ledger.append(taken("zoe", "twin"))
    taken_now = Recommender(shop.now, shop.ledger)
    kinds = {x.kind for r in taken_now.for_user("zoe", 5) for x in r.reasons}
    assert not kinds & {"transitions", "graph"}
    assert not taken_now.similar("i1", 3).items[0].cold


def test_new_items_are_filled_in_as_impute_does_it(tmp_path):
    """Beside cold items of the build; and where the build had none."""
    for cold in (["i4", "i11"], []):
        there = [i for i in range(N_ITEMS) if f"i{i}" not in ("i4", "i11") or cold]
        items = plain_catalogue().table.take(there)
        folder = tmp_path / str(len(cold))
        folder.mkdir()
        shop = Shop(folder, recipe_of(rho=0.3), items=items)
        shop.ledger.put_items(table_of(item("n0"), item("n1", top="B")))
        now, ids = shop.now, [*items["item_id"].to_pylist(), "n0", "n1"]
        warm = [i for i in ids if i not in (*cold, "n0", "n1")]
        plain = fit(recipe_of(), items, events_of(TAKEN)).signals.matrices
        for name in ("neighbours", "transitions", "ease"):
            whole = imputed_over(plain[name], now, shop.recipe)
            ours = dense(now, ids, name)
            rows = now.catalogue.rows(ids)
            theirs = whole.entries(rows, rows)
            known = [ids.index(i) for i in warm]
            np.testing.assert_allclose(ours[np.ix_(known, known)], theirs[np.ix_(known, known)])
            new = np.ix_(known, [len(ids) - 2, len(ids) - 1])
            # The strength is that of the build; what it multiplies is the same.
            assert ((ours[new] > 0) == (theirs[new] > 0)).all()
            ratio = ours[new][ours[new] > 0] / theirs[new][ours[new] > 0]
            np.testing.assert_allclose(ratio, ratio[0], rtol=1e-3)
            assert 0.5 < ratio[0] < 2
            # Of the means of rows that are kept, ours are as many as the longest row, filled in.
            kept = theirs[-2:, known] > 0
            np.testing.assert_allclose(ours[-2:, known][kept], theirs[-2:, known][kept], rtol=1e-5)
        shop.ledger.close()


def imputed_over(matrix, now, recipe):
    """A matrix that nothing was filled in of, with room for new items, as a fit fills it in."""
    n = len(now.catalogue)
    indptr = np.pad(matrix.indptr, (0, n - len(matrix)), mode="edge")
    roomy = ItemToItem(indptr, matrix.columns, matrix.values, matrix.walk)
    return impute(roomy, now.signals.popularity.cold, now.vectors, recipe.signals.imputed)


def test_only_what_reads_otherwise_is_encoded(shop):
    shop.ledger.put_items(table_of(item("n0"), item("i0", price=3.0), item("i2", "other words")))
    before = shop.growth.now
    now = shop.now
    assert shop.reads.read == ["i2", "n0"]
    assert now.live.late.tolist() == [2, N_ITEMS]
    assert now.catalogue.prices[0] == 3.0
    np.testing.assert_array_equal(now.raw[2], vectors_of(["other words"])[0])
    np.testing.assert_array_equal(before.raw[2], vectors_of(["i2"])[0])
    assert len(before.catalogue) == N_ITEMS
    shop.ledger.put_items(table_of(item("n0", available=False)))
    assert not shop.now.catalogue.available[N_ITEMS]
    assert shop.reads.read == ["i2", "n0"]


def test_many_texts_are_read_step_by_step(shop, monkeypatch):
    monkeypatch.setattr(growing, "AT_ONCE", 2)
    shop.ledger.put_items(table_of(*(item(f"n{n}") for n in range(5)), item("i0", price=1.0)))
    shop.ledger.append(taken("zoe", "n4", "i3"))
    assert [len(shop.now.catalogue) for _ in range(1)] == [N_ITEMS + 2]
    now = shop.growth.now
    assert now.live.unread == 3
    assert now.catalogue.prices[0] == 1.0
    answer = Recommender(now, shop.ledger).for_user("zoe")
    assert answer.notes[0].startswith("new and changed items that are not read yet: 3")
    assert shop.growth.waiting
    shop.ledger.remove_items(["n3"])
    assert "n4" in shop.now.catalogue
    assert "n3" not in shop.growth.now.catalogue
    assert not shop.growth.waiting
    assert people(shop.growth.now, ["n4", "i3"]) == people(shop.fresh, ["n4", "i3"])


def test_without_a_model_new_items_wait_and_events_do_not(shop):
    shop.reads.broken = True
    shop.ledger.put_items(table_of(item("n0")))
    shop.ledger.append(taken("zoe", "i3", "n0"))
    now = shop.now
    assert len(now.catalogue) == N_ITEMS
    assert people(now, ["i3"]) == people(shop.fresh, ["i3"])
    assert "there is no model here" in Recommender(now, shop.ledger).for_user("zoe").notes[0]
    assert not shop.growth.waiting
    shop.ledger.append(taken("zoe", "i4"))
    assert shop.now.live.change == shop.ledger.change
    shop.reads.broken = False
    shop.seconds += 1.1
    assert shop.growth.waiting
    now = shop.now
    assert now.live.notes == ()
    assert people(now, ["n0"]) == [1]
    shop.ledger.put_items(table_of(item("n1")))
    assert "n1" in shop.now.catalogue


def test_what_fails_to_be_read_is_tried_again_ever_less_often(shop):
    shop.reads.broken = True
    shop.ledger.put_items(table_of(item("n0")))
    tried = []
    for shop.seconds in range(300):
        before = shop.reads.tried
        assert "n0" not in shop.now.catalogue
        tried += [shop.seconds] * (shop.reads.tried > before)
    assert tried == [0, 1, 3, 7, 15, 31, 63, 123, 183, 243]


def test_without_a_model_what_needs_none_is_there_at_once(shop):
    shop.reads.broken = True
    shop.ledger.put_items(table_of(item("n0")))
    assert shop.now.live.unread == 1
    shop.ledger.put_items(
        table_of(item("i0", price=3.0, available=False), item("i1", "other words", available=False))
    )
    shop.ledger.remove_items(["i2"])
    shop.ledger.put_items(table_of(item("i2", "again")))
    now = shop.now
    assert now.live.unread == 3
    assert now.catalogue.prices[0] == 3.0
    assert now.catalogue.available[:2].tolist() == [False, False]
    assert now.catalogue.item(1).title == "i1"
    assert now.live.late.tolist() == []
    shop.reads.broken = False
    shop.seconds += 1.1
    assert shop.now.catalogue.item(1).title == "other words"
    assert shop.reads.read == ["n0", "i1", "i2"]
    assert not shop.now.catalogue.available[1]


def test_the_centre_of_all_items_stays_that_of_the_build(shop):
    """Whoever asked for it before items came has the same as whoever asks later."""
    centre = shop.growth.now.raw.mean(axis=0)
    shop.ledger.put_items(table_of(*(item(f"n{n}") for n in range(5)), item("i0", "other words")))
    np.testing.assert_array_equal(shop.now.centre, centre)


def test_a_generation_of_an_older_version_takes_in_items_but_no_counts(shop):
    built = shop.growth.now
    built.signals = replace(built.signals, taken=None)
    shop.growth = shop.grown(built)
    shop.ledger.put_items(table_of(item("n0", "i1")))
    shop.ledger.append(taken("zoe", "i3", "n0"))
    now = shop.now
    assert people(now, ["i3", "n0"]) == [*people(built, ["i3"]), 0]
    recommender = Recommender(now, shop.ledger)
    assert recommender.similar("i1", 1).ids == ["n0"]
    assert recommender.for_user("zoe", 3).items
    shop.ledger.remove_items(["n0"])
    assert "n0" not in Recommender(shop.now, shop.ledger).for_user("u0", 20).ids


def test_the_audience_is_as_people_are_now(shop):
    shop.ledger.append(taken("zoe", "i1", "i2"))
    shop.ledger.append(taken("u3", "i0"))
    now = shop.now
    recommender = Recommender(now, shop.ledger)
    members = {m.user_id: m.score for m in recommender.audience("i4", 50).members}
    assert {"zoe", "u3", "u0"} <= set(members)
    pooled = dict(zip(shop.fresh.users.ids, pooled_by(now, shop.ledger), strict=True))
    row = now.catalogue.row("i4")
    for user_id, score in members.items():
        assert score == pytest.approx(float(pooled[user_id] @ now.vectors[row]), abs=1e-5)
    # A removed item, and one with another text, are others in all profiles that have them.
    shop.ledger.remove_items(["i0"])
    shop.ledger.put_items(table_of(item("i2", "other words")))
    now = shop.now
    members = {m.user_id: m.score for m in Recommender(now, shop.ledger).audience("i4", 50).members}
    pooled = dict(zip(shop.fresh.users.ids, pooled_by(now, shop.ledger), strict=True))
    assert set(members) == set(pooled)
    for user_id, score in members.items():
        assert score == pytest.approx(float(pooled[user_id] @ now.vectors[row]), abs=1e-5)


def pooled_by(now, ledger):
    """Profiles as a build makes them, in the space of this generation."""
    histories = Histories.from_events(ledger.events(), now.catalogue, now.histories)
    return Users.pool(histories, now.vectors, now.recipe.signals.text).vectors


def test_a_new_top_category_has_a_place(shop):
    shop.ledger.put_items(table_of(item("n0", "i1", top="0 first by name")))
    now = shop.now
    codes = now.catalogue.top_codes
    assert now.catalogue.top_names[codes[N_ITEMS]] == "0 first by name"
    assert now.catalogue.top_names[codes[1]] == "B"
    np.testing.assert_allclose(np.linalg.norm(now.vectors[N_ITEMS]), 1, rtol=1e-5)
    answer = Recommender(now, shop.ledger).for_user("u0", 20)
    assert "n0" in answer.ids
