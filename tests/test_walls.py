"""Walls, the whole way: what lies behind one leaves no trace outside."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossrec_llm import Filter, Recipe, Recommender, build
from crossrec_llm.errors import QueryError, UnknownUser
from crossrec_llm.evaluation import evaluate
from crossrec_llm.kept import open_chroma
from crossrec_llm.store import Index, Ledger
from crossrec_llm.tables import EVENTS_SCHEMA
from tests import shop

WALLED = ("Games", "Books > Biography")
RECIPE = Recipe.from_dict({"histories": {"walls": list(WALLED)}, "blend": {"tune": False}})
IDS = sorted(good.item_id for theme in shop.THEMES for good in shop.of_theme(theme))
BEHIND = {
    good.item_id
    for theme in shop.THEMES
    for good in shop.of_theme(theme)
    if good.category[0] == "Games" or good.category == ("Books", "Biography")
}

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def indexes(tmp_path_factory):
    """The shop with a wall, from all events and from those outside of it."""
    folder, events = tmp_path_factory.mktemp("walls"), shop.interactions()
    walled = pc.is_in(events["item_id"], value_set=pa.array(sorted(BEHIND)))
    assert pc.sum(walled).as_py() > 30
    for name, log in (("with", events), ("without", events.filter(pc.invert(walled)))):
        build(shop.items(), log, folder / name, recipe=RECIPE)
    return folder / "with", folder / "without"


@pytest.fixture(scope="module")
def both(indexes):
    one, two = map(Recommender.open, indexes)
    with one, two:
        yield one, two


def told(answer):
    """All of an answer but the name of the generation, which tells of all records."""
    document = answer.to_dict()
    document["receipt"].pop("generation")
    return json.dumps(document)


def told_to(recommender, user, filter, text=""):
    """What a person is told by list and for a text; who did nothing outside is unknown."""
    with contextlib.suppress(UnknownUser):
        answer = recommender.for_user(user, 15, filter=filter)
        assert not set(answer.ids) & BEHIND
        if text:
            return told(answer) + told(recommender.like(text, user=user, filter=filter))
        return told(answer)
    return "unknown"


def test_what_is_fitted_has_no_trace_of_it(indexes):
    def files(index: Path):
        with Index.open(index) as opened:
            folder = opened.generation.folder
            found = {
                str(path.relative_to(folder)): path.read_bytes()
                for path in sorted(folder.rglob("*"))
                if path.is_file() and path.relative_to(folder).parts[0] != "chroma"
            }
            with open_chroma(RECIPE, opened.generation) as chroma:
                users = (
                    chroma._store("users")
                    ._collection("users")
                    .get(include=["documents", "embeddings"])
                )
        found.pop("generation.json")  # the digests of all records
        users["embeddings"] = users["embeddings"].tolist()
        return found, users

    (one, told_one), (two, told_two) = map(files, indexes)
    assert list(one) == list(two)
    assert [name for name in one if one[name] != two[name]] == []
    assert {"users.npy", "users.arrow", "histories.json", "signals/ease.safetensors"} <= set(one)
    assert told_one == told_two
    titles = [good.title for theme in shop.THEMES for good in shop.of_theme(theme)
              if good.item_id in BEHIND]  # fmt: skip
    assert not any(title in text for title in titles for text in told_one["documents"])


def test_every_answer_outside_is_the_same_byte_for_byte(both):
    one, two = both
    filters = (Filter(), Filter(cross="only"), Filter(category="Books"), Filter(include_seen=True))
    for user in (f"u{n}" for n in range(shop.N_USERS)):
        for filter in filters:
            assert len({told_to(who, user, filter, "a present") for who in both}) == 1
    for item_id in set(IDS) - BEHIND:
        assert told(one.similar(item_id, 15)) == told(two.similar(item_id, 15))
        ones, twos = (who.audience(item_id).to_dict() for who in both)
        assert ones["users"] == twos["users"]
    answer = one.like("chess set for a tournament", 30)
    assert told(answer) == told(two.like("chess set for a tournament", 30))
    assert not set(answer.ids) & BEHIND


taken = st.lists(
    st.tuples(st.sampled_from(IDS), st.sampled_from(["purchase", "view", "dislike"])),
    min_size=1,
    max_size=8,
)


@settings(max_examples=40)
@given(
    st.lists(taken, min_size=1, max_size=3),
    st.sampled_from([Filter(), Filter(cross="none"), Filter(cross="only", new_share=0.3)]),
)
def test_whatever_people_did_behind_it(both, histories, filter):
    """One fitted index; the truth with everything, and with what was done outside."""
    generation = both[0].generation
    rows = [
        dict(zip(EVENTS_SCHEMA.names, (f"p{p}", item_id, float(t), event, None), strict=True))
        for p, history in enumerate(histories)
        for t, (item_id, event) in enumerate(history)
    ]
    found = []
    for kept in (rows, [row for row in rows if row["item_id"] not in BEHIND]):
        with (
            tempfile.TemporaryDirectory() as folder,
            Ledger.open(Path(folder) / "records.sqlite", write=True) as ledger,
        ):
            events = pa.Table.from_pylist(kept, schema=EVENTS_SCHEMA)
            ledger.replace(generation.catalogue.table, events)
            recommender = Recommender(generation, ledger)
            found.append([told_to(recommender, f"p{p}", filter) for p in range(len(histories))])
    assert found[0] == found[1]


def test_inside_a_wall_only_what_was_done_there_counts(both):
    one, two = both
    games = Filter(category="Games")
    answer = one.for_user("u17", filter=games, k=20)  # follows chess
    assert answer.ids
    assert {r.item.category[0] for r in answer} == {"Games"}
    because = {reason.item_id for r in answer for reason in r.reasons} - {None}
    assert because
    assert because <= BEHIND
    assert answer.query["home"] == ["Games"]
    assert not any(r.cold for r in answer)  # what was taken there is not looked at
    assert answer.receipt.history != one.for_user("u17").receipt.history
    assert two.for_user("u17", filter=games).query["home"] == []
    biography = one.for_user("u17", filter=Filter(category="Books > Biography"))
    assert set(biography.ids) <= {"b-chess-biography"}


def test_a_walled_item_is_like_what_lies_beside_it(both):
    one, _ = both
    answer = one.similar("p-chess-set", 20)
    assert {r.item.category[0] for r in answer} == {"Games"}
    together = one.similar("p-chess-set", 20, mode="together")
    assert together.ids == one.similar("p-chess-set", 20, mode="alike").ids
    assert together.notes == (
        "behind a wall it is not looked at what is taken with an item: these are alike",
    )
    with pytest.raises(QueryError, match="there is a wall between these"):
        one.similar("p-chess-set", filter=Filter(category="Books"))
    with pytest.raises(QueryError, match="'p-chess-set' lies behind a wall"):
        one.audience("p-chess-set")


def test_ids_on_the_other_side_are_left_out_and_named(both):
    one, _ = both
    note = "on the other side of a wall, and left out: 'p-chess-set'"
    answer = one.for_history(["p-chess-set", "g-trowel"])
    assert note in answer.notes
    assert answer.ids == one.for_history(["g-trowel"]).ids
    for examples in ({"liked": ["p-chess-set"]}, {"disliked": ["p-chess-set"]}):
        answer = one.like("garden", **examples)
        assert note in answer.notes
        assert answer.ids == one.like("garden").ids
    answer = one.for_history(["p-chess-set", "g-trowel"], filter=Filter(category="Games"))
    assert "on the other side of a wall, and left out: 'g-trowel'" in answer.notes
    assert answer.ids
    pinned = one.for_history(["g-trowel"], filter=Filter(pin="p-chess-set"))
    assert "pinned: 0 of 1, 'p-chess-set' is on the other side of a wall" in pinned.notes
    assert not set(pinned.ids) & BEHIND


def test_who_did_nothing_outside_is_unknown_there(both, tmp_path):
    generation = both[0].generation
    events = pa.Table.from_pylist(
        [dict(zip(EVENTS_SCHEMA.names, ("p1", "p-chess-set", 1.0, "", None), strict=True))],
        schema=EVENTS_SCHEMA,
    )
    with Ledger.open(tmp_path / "records.sqlite", write=True) as ledger:
        ledger.replace(generation.catalogue.table, events)
        with pytest.raises(UnknownUser, match=r"no user 'p1' in this index$"):
            Recommender(generation, ledger).for_user("p1")
        inside = Recommender(generation, ledger).for_user("p1", filter=Filter(category="Games"))
        assert inside.query["home"] == ["Games"]


def test_a_wall_around_nothing_is_said_by_build_and_answers(tmp_path):
    recipe = Recipe.from_dict({"histories": {"walls": ["Gmaes"]}, "blend": {"tune": False}})
    report = build(shop.items(), shop.interactions(), tmp_path / "index", recipe=recipe)
    assert report.notes[0].startswith("wall 'Gmaes' has nothing behind it")
    with Recommender.open(tmp_path / "index") as opened:
        assert opened.for_user("u1").notes == report.notes


def test_nothing_behind_it_is_evaluated(indexes):
    ones, twos = (evaluate(index, "warm", only=("popularity",)) for index in indexes)
    assert ones.system == twos.system
    assert ones.baselines == twos.baselines
    assert ones.data == twos.data


def test_a_correction_shows_only_what_lies_on_the_side_that_is_asked(indexes, both, tmp_path):
    user = "u17"
    taken = {
        name: set(one.ledger.events_of(user)["item_id"].to_pylist())
        for name, one in zip(("with", "without"), both, strict=True)
    }
    walled, outside = min(taken["with"] - taken["without"]), min(taken["without"])
    receipts = []
    for name, items in (("with", [walled, outside]), ("without", [outside])):
        index = shutil.copytree(indexes[name == "without"], tmp_path / name)
        with Ledger.open(index / "records.sqlite", write=True) as ledger:
            ledger.add_correction(user, items=items)
        with Recommender.open(index) as recommender:
            profile = recommender.profile(user)
            assert [item.item_id for item in profile.struck] == [outside]
            assert [one.items for one in profile.corrections] == [(outside,)]
            receipts.append(recommender.for_user(user).receipt.history)
    assert receipts[0] == receipts[1]


def test_nobody_is_suggested_who_did_nothing_outside(tmp_path):
    walled, events = sorted(BEHIND)[0], shop.interactions()
    secret = pa.table([["zz-secret"], [walled], [None], [""], [None]], schema=events.schema)
    build(shop.items(), pa.concat_tables([events, secret]), tmp_path / "index", recipe=RECIPE)
    with Recommender.open(tmp_path / "index") as recommender:
        for name in ("zz-secret", "zz-secre"):
            with pytest.raises(UnknownUser) as error:
                recommender.for_user(name)
            assert "'zz-secret'" not in str(error.value).replace(f"no user '{name}'", "")


def test_inside_a_wall_nothing_is_new_and_nothing_popular(both):
    answer = both[0].for_user("u3", filter=Filter(category="Games", new_share=0.5))
    assert not any(r.cold for r in answer)
    if not answer.query["home"]:
        assert any("nothing is known of what is popular" in note for note in answer.notes)
    assert "are new" in (answer.shortfall or "")
