"""Several interests, the profile and its corrections, the whole way."""

from __future__ import annotations

import json
import shutil
import statistics

import pytest
from typer.testing import CliRunner

from crossrec_llm import (
    Filter,
    Profile,
    Recipe,
    Recommender,
    build,
    pin,
    read_answer,
    replay,
    strike,
    strike_interest,
    undo,
)
from crossrec_llm.cli.main import app
from crossrec_llm.errors import QueryError, UnknownItem, UnknownUser
from tests import shop

THEME = {good.item_id: good.theme for theme in shop.THEMES for good in shop.of_theme(theme)}
GARDENING = ["g-trowel", "g-pruner", "g-soil", "b-roses"]
CHESS = ["p-chess-set", "p-chess-clock", "p-chess-wood", "b-chess-tactics"]

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def recommender(shop_index):
    with Recommender.open(shop_index) as opened:
        yield opened


@pytest.fixture
def writable(index):
    with Recommender.open(index) as opened:
        yield opened


def themes(answer):
    return [THEME[item_id] for item_id in answer.ids]


def ids(entries):
    return [entry.item.item_id for entry in entries]


# -- several interests ---------------------------------------------------------------------------


@pytest.mark.parametrize("k", [2, 5, 10])
def test_gardening_and_chess_give_both(recommender, k):
    """Chess was long ago: most of what is near to the newest items is for the garden."""
    answer = recommender.for_history([*CHESS, *GARDENING], k)
    told = answer.query["interests"]
    assert len(told) == 2
    assert [set(one["items"]) for one in told] == [set(GARDENING), set(CHESS)]
    assert sum(one["share"] for one in told) == pytest.approx(1)
    assert told[0]["share"] > told[1]["share"]
    assert "chess" in told[1]["name"].lower()
    assert {"gardening", "chess"} <= set(themes(answer))
    for number, theme in ((1, "gardening"), (2, "chess")):
        of_it = [r for r in answer if r.interest == number]
        assert THEME[of_it[0].item_id] == theme


def test_one_theme_is_one_interest_in_any_category(recommender):
    for theme in shop.THEMES:
        history = [good.item_id for good in shop.of_theme(theme) if not good.is_new][:4]
        answer = recommender.for_history(history)
        assert "interests" not in answer.query, theme
        assert {r.interest for r in answer} == {None}


def test_a_split_that_was_asked_for_comes_first(recommender):
    asked = {"cross_share": 0.5}
    answer = recommender.for_history([*CHESS, *GARDENING], 4, **asked)
    assert sum(r.cross for r in answer) == 2
    assert "interests" not in answer.query
    quota = Filter(quota={"Kitchen": 1.0})
    assert {r.item.category[0] for r in recommender.for_history(CHESS + GARDENING, 3, filter=quota)
            } == {"Kitchen"}  # fmt: skip


def test_the_recipe_can_leave_histories_whole(recommender):
    recipe = Recipe.from_dict({"interests": {"most": 1}})
    whole = Recommender(recommender.generation.asked_by(recipe))
    assert "interests" not in whole.for_history([*CHESS, *GARDENING]).query
    halves = Recipe.from_dict({"interests": {"places": 1.0, "decay": 1.0}})
    both = Recommender(recommender.generation.asked_by(halves))
    numbers = [r.interest for r in both.for_history([*CHESS, *GARDENING], 6)]
    assert min(numbers.count(1), numbers.count(2)) >= 3


def test_interests_and_numbers_are_shown(shop_index):
    with Recommender.open(shop_index) as opened:
        user_id = next(
            user_id
            for user_id in (f"u{n}" for n in range(shop.N_USERS))
            if len(opened.profile(user_id).interests) > 1
        )
    said = CliRunner().invoke(app, ["user", user_id, "--index", str(shop_index)]).stdout
    assert "Interest 1, " in said
    assert "[interest 2]" in said


# -- dislikes ------------------------------------------------------------------------------------


def test_a_dislike_holds_for_what_is_near(recommender):
    """The same history, with and without a dislike; by how far its theme falls."""
    chess = [good.item_id for good in shop.of_theme("chess")]

    def places(disliked):
        answer = recommender.like("a good present", 200, liked=GARDENING, disliked=disliked)
        return statistics.mean(r.rank for r in answer if THEME[r.item_id] == "chess")

    one, several = places(chess[:1]), places(chess[:3])
    assert one > places([])
    assert several > one + 3


def test_dislikes_of_a_person_reach_their_list(recommender):
    gentle = Recipe.from_dict({"profile": {"dislike": 0.0}, "signals": {"text": {"dislike": 0.0}}})
    without = Recommender(recommender.generation.asked_by(gentle), recommender.ledger)
    rows = [row for row in shop.interactions().to_pylist() if row["event"] == "dislike"]
    falls = []
    for row in rows:
        theme = THEME[row["item_id"]]

        def mean(who, user_id=row["user_id"], theme=theme):
            answer = who.for_user(user_id, 200)
            return statistics.mean(r.rank for r in answer if THEME[r.item_id] == theme)

        falls.append(mean(recommender) - mean(without))
    assert statistics.mean(falls) > 3
    assert sum(fall > 0 for fall in falls) > 0.8 * len(falls)


# -- the profile ---------------------------------------------------------------------------------


def test_the_profile_shows_what_answers_use(recommender):
    found = recommender.profile("u2")
    assert isinstance(found, Profile)
    log = [row for row in shop.interactions().to_pylist() if row["user_id"] == "u2"]
    away = {row["item_id"] for row in log if row["event"] == "dislike"}
    assert set(ids(found.history)) == {row["item_id"] for row in log} - away
    assert set(ids(found.disliked)) == away
    assert all(entry.weight < 0 and entry.share == 0 for entry in found.disliked)
    assert max(entry.weight for entry in found.history) == 1
    assert sum(entry.share for entry in found.history) == pytest.approx(1)
    assert found.text == ". ".join(entry.item.title for entry in found.history)
    assert {i for one in found.interests for i in one.items} <= set(ids(found.history))
    assert found.corrections == found.struck == ()
    assert json.loads(json.dumps(found.to_dict()))["user_id"] == "u2"
    assert "u2: " in repr(found)


def test_what_is_pinned_is_in_effect_at_once(writable, index):
    gardener = next(
        u for u in map("u{}".format, range(60)) if shop.user_themes(u) == ("gardening",)
    )
    before = themes(writable.for_user(gardener)).count("astronomy")
    with Recommender.open(index) as other:
        found = pin(writable, gardener, "  I watch stars and planets\nthrough a telescope ")
        assert [str(one) for one in found.corrections] == [
            "pinned: “I watch stars and planets through a telescope”"
        ]
        answer = other.for_user(gardener)
        assert themes(answer).count("astronomy") > before
        said = [reason for r in answer for reason in r.reasons if reason.kind == "said"]
        assert said[0].text == "you said: “I watch stars and planets through a telescope”"
        assert said[0].item_id is None
        assert any("said" in r.signals for r in answer)
        bent = other.like("a good present", user=gardener)
        assert "astronomy" in themes(bent)
    undo(writable, gardener)
    assert themes(writable.for_user(gardener)).count("astronomy") == before


def test_what_is_struck_counts_no_more_and_does_not_come(writable):
    first = writable.profile("u1")
    gone = first.history[-1].item.item_id
    found = strike(writable, "u1", [gone])
    assert ids(found.history) == ids(first.history)[:-1]
    assert [item.item_id for item in found.struck] == [gone]
    for filter in (Filter(), Filter(include_seen=True)):
        answer = writable.for_user("u1", 200, filter=filter)
        assert gone not in answer.ids
        assert all(reason.item_id != gone for r in answer for reason in r.reasons)
    kept = ids(found.history)
    same = writable.for_history(kept, 5)
    weights = [entry.weight for entry in found.history]
    if set(weights) == {1.0}:
        assert writable.for_user("u1", 5, filter=Filter(exclude=[gone])).ids == same.ids


def test_an_audience_goes_by_the_history_that_counts(writable):
    """A gardener who also took chess, and struck it, is no longer one for chess."""
    item = "b-chess-openings"
    first = writable.audience(item, 60)
    user_id = first.ids[0]
    assert THEME[first[0].because.item_id] == "chess"
    chess = [i for i in ids(writable.profile(user_id).history) if THEME[i] == "chess"]
    strike(writable, user_id, chess)
    later = {member.user_id: member for member in writable.audience(item, 60)}
    if user_id in later:
        assert later[user_id].score < first[0].score
        assert later[user_id].because.item_id not in chess
    others = [member for member in first if member.user_id != user_id]
    assert [later[member.user_id].score for member in others] == [m.score for m in others]
    undo(writable, user_id)
    assert writable.audience(item, 60).ids == first.ids


def test_an_interest_is_struck_by_its_number(writable):
    user_id = next(
        u for u in map("u{}".format, range(60)) if len(writable.profile(u).interests) > 1
    )
    first = writable.profile(user_id)
    found = strike_interest(writable, user_id, 2)
    assert set(ids(found.history)) == set(ids(first.history)) - set(first.interests[1].items)
    assert undo(writable, user_id).to_dict() == first.to_dict()
    for number in (0, 9):
        with pytest.raises(QueryError, match=f"no interest {number}: .* has 1 to "):
            strike_interest(writable, user_id, number)


def test_who_struck_everything_is_as_new(writable):
    strike(writable, "u2", ids([*writable.profile("u2").history]))
    strike(writable, "u2", ids(writable.profile("u2").disliked))
    answer = writable.for_user("u2", 3)
    assert answer.notes == (
        "no history to go by: these are the most popular items that pass the filter",
    )
    assert {r.reasons[0].kind for r in answer} == {"popular"}
    assert writable.profile("u2").interests == ()
    pin(writable, "u2", "chess openings and endgames")
    answer = writable.for_user("u2", 5)
    assert answer.notes == (
        "no history to go by: these are what was pinned, and what is popular that pass the filter",
    )
    assert "chess" in themes(answer)
    with pytest.raises(QueryError, match="no interest 1: 'u2' has none"):
        strike_interest(writable, "u2", 1)


def test_corrections_outlive_a_build(writable, index, shop_files):
    before = pin(writable, "u1", "jigsaw puzzles")
    log = (shop_files / "interactions.csv").read_text()
    shutil.copytree(shop_files, index.parent / "more")
    (index.parent / "more" / "interactions.csv").write_text(
        log + '"u1","b-roses",1.74e9,"purchase",1\n'
    )
    more = index.parent / "more"
    report = build(more / "items.csv", more / "interactions.csv", index)
    assert not report.unchanged
    with Recommender.open(index) as again:
        assert again.profile("u1").corrections == before.corrections


def test_a_receipt_tells_of_corrections(writable, tmp_path):
    path = tmp_path / "answer.json"
    path.write_text(json.dumps(writable.for_user("u1", 5).to_dict()))
    strike(writable, "u1", [writable.profile("u1").history[0].item.item_id])
    found = replay(writable, read_answer(path))
    assert any(cause.startswith("history of the person") for cause in found.causes)
    undo(writable, "u1")
    assert replay(writable, read_answer(path)).reproduced


def test_what_makes_no_sense_is_said(writable):
    with pytest.raises(UnknownUser, match="did you mean"):
        pin(writable, "u1x", "roses")
    with pytest.raises(UnknownUser):
        writable.profile("nobody at all")
    with pytest.raises(UnknownItem, match="did you mean 'g-trowel'"):
        strike(writable, "u1", ["g-trowell"])
    mine = ids(writable.profile("u1").history)
    other = next(item_id for item_id in THEME if item_id not in mine)
    with pytest.raises(QueryError, match="is not in the history of 'u1'"):
        strike(writable, "u1", [other])
    with pytest.raises(QueryError, match="no item to strike"):
        strike(writable, "u1", [])
    for text, words in ((" \n", "is empty"), ("x" * 1001, "1,001 characters")):
        with pytest.raises(QueryError, match=words):
            pin(writable, "u1", text)
    with pytest.raises(QueryError, match="no correction to undo"):
        undo(writable, "u1")
    pin(writable, "u1", "roses")
    with pytest.raises(QueryError, match="is pinned already"):
        pin(writable, "u1", "roses")
    with pytest.raises(QueryError, match="there is no correction 77; there is "):
        undo(writable, "u1", 77)
    strike(writable, "u1", mine[:1])
    with pytest.raises(QueryError, match="is struck already"):
        strike(writable, "u1", mine[:1])
    assert len(writable.profile("u1").corrections) == 2


def test_the_command(index):
    def run(*words):
        done = CliRunner().invoke(app, ["profile", *words, "--index", str(index)])
        return done.exit_code, done.stdout, done.stderr

    code, out, _ = run("u2")
    assert code == 0
    assert out.startswith("u2: ")
    assert "[disliked]" in out
    document = json.loads(run("u2", "--json")[1])
    first, second = (entry["item_id"] for entry in document["history"][:2])
    assert "1. pinned: “roses”" in run("u2", "--pin", "roses")[1]
    code, out, _ = run("u2", "--strike", first, "--strike", second)
    assert f"2. struck: {first}, {second}" in out
    assert out.count("[struck]") == 2
    assert "struck" not in run("u2", "--undo")[1]
    code, out, _ = run("u2", "--strike-interest", "1", "--json")
    kinds = [one["kind"] for one in json.loads(out)["corrections"]]
    assert (code, kinds) == (0, ["pin", "strike"])
    code, _, err = run("u2", "--undo", "--pin", "x")
    assert (code, "one correction at a time" in err) == (2, True)
    assert run("u999")[0] == 2
