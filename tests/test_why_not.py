from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from crossrec_llm import Filter, Recipe, Recommender, why_not
from crossrec_llm.answering import PolicyOptions, RulesOptions
from crossrec_llm.cli.main import app as commands
from crossrec_llm.errors import UnknownItem
from crossrec_llm.generation import Generation
from crossrec_llm.profiles import Correction
from crossrec_llm.records import Absence, Item
from tests import shop
from tests.small import catalogue_of, events_of, unit_rows
from tests.test_comparing import TAKEN
from tests.test_counterfactual import LogWithout

N = 12
CATALOGUE = catalogue_of(
    *(
        {"item_id": f"i{n}", "title": f"Item {n}", "category": ["AB"[n % 2]],
         "brand": "Acme" if n in (3, 5, 9) else f"b{n}", "price": float(n)}
        for n in range(N)
    )
)  # fmt: skip
HATED = "i11"


class Log(LogWithout):
    """With a dislike and a struck item of u0."""

    def events_of(self, user_id):
        import pyarrow as pa

        events = super().events_of(user_id)
        rows = [{**row, "event": "dislike", "item_id": HATED} for row in events.to_pylist()[:1]]
        return pa.concat_tables([events, pa.Table.from_pylist(rows, events.schema)])

    def corrections_of(self, user_id):
        return [Correction(1, "", ("i2",), 0.0)] if user_id == "u0" else []


def recommender_of(**recipe) -> Recommender:
    events = events_of(TAKEN)
    raw = unit_rows(N, 16, seed=1)
    return Recommender(Generation.fit(Recipe(**recipe), CATALOGUE, raw, events), Log())


@pytest.fixture(scope="module")
def recommender() -> Recommender:
    return recommender_of()


def causes(recommender, item_id, user="u0", **asked) -> tuple[str, ...]:
    return recommender.for_user(user, why_not=item_id, **asked).absence.causes


def test_what_is_known_of_it_already(recommender) -> None:
    assert causes(recommender, "i1") == ("it is in the history already",)
    assert causes(recommender, "i2") == ("it was struck from the profile",)
    assert causes(recommender, HATED) == ("it was disliked",)
    asked = recommender.similar("i4", why_not="i4").absence
    assert asked.causes == ("it is the item that was asked about",)


@pytest.mark.parametrize(
    ("filter", "words"),
    [
        ({"category": "A"}, "category A"),
        ({"not_category": "B"}, "not_category B"),
        ({"cross": "only"}, "cross only"),
        ({"price_min": 8, "price_max": 9.5}, "price_min 8"),
        ({"price_max": 3}, "price_max 3"),
        ({"brand": ["b6", "b8"]}, "brand b6, b8"),
        ({"exclude": ["i7", "i6", "i8", "i10"]}, "exclude i7, i6, i8 and 1 more"),
        ({"only": ["i6"]}, "only i6"),
    ],
)
def test_the_setting_that_keeps_it_out_is_named(filter, words, recommender) -> None:
    found = causes(recommender, "i7", filter=Filter(**filter))
    assert found == (f"the filter keeps it out: {words}",)


def test_two_settings_that_keep_it_out_are_both_named(recommender) -> None:
    found = causes(recommender, "i7", filter=Filter(category="A", price_max=3))
    assert [cause.partition(": ")[2] for cause in found] == ["category A", "price_max 3"]


def test_a_rule_of_the_recipe_is_told_from_the_question() -> None:
    standing = recommender_of(rules=RulesOptions(exclude=("i7",)))
    assert causes(standing, "i7") == ("a standing rule of the recipe keeps it out: exclude i7",)
    assert causes(standing, "i7", filter=Filter(standing=False), k=1) != causes(standing, "i7")


def test_a_policy_that_keeps_it_out_is_said() -> None:
    denying = recommender_of(policy=PolicyOptions(deny=("A -> B",)))
    assert causes(denying, "i7", user="u5") == ("it is kept out by the policy",)


def test_its_place_is_that_of_the_whole_list(recommender) -> None:
    whole = recommender.for_user("u0", k=N)
    for item in whole:
        found = recommender.for_user("u0", k=3, why_not=item.item_id).absence
        assert (found.place, found.of) == (item.rank, len(whole))
        assert found.score == pytest.approx(item.score)
        assert found.last == pytest.approx(whole[2].score)
        assert found.rank == (item.rank if item.rank <= 3 else None)
        if item.rank > 3:
            assert found.causes == (
                f"place {item.rank} of {len(whole)} by its score "
                f"({item.score:.3f}, the last of the list has {whole[2].score:.3f})",
            )


def test_what_had_no_room_beside_others_is_said(recommender) -> None:
    asked = {"k": 2, "filter": Filter(max_per_brand=1, only=("i3", "i5", "i9"))}
    there = recommender.for_user("u0", **asked).ids
    assert len(there) == 1
    for item_id in {"i3", "i5", "i9"} - set(there):
        assert causes(recommender, item_id, **asked)[0] == (
            "the list has at most 1 per brand already"
        )
    shared = {"k": 2, "user": "u5", "cross_share": 0.5}
    outside = [r.item_id for r in recommender.for_user("u5", k=N) if r.cross]
    found = causes(recommender, outside[-1], **shared)
    assert found[0] == "cross_share leaves 1 of 2 places for its part"
    buried = causes(recommender, "i7", k=2, filter=Filter(bury="brand:b7"))
    assert "it is buried: brand:b7" in buried


def test_a_good_score_that_others_went_before_is_said(recommender) -> None:
    best = recommender.for_user("u0", k=N).ids
    found = causes(recommender, best[1], k=2, filter=Filter(pin=best[-2:]))
    assert found == (f"others came by pin {best[-2]}, {best[-1]}",)


def test_what_no_source_proposed_is_ranked_all_the_same() -> None:
    small = recommender_of()
    answering = replace(small.recipe.answering, n_candidates=1)
    small = recommender_of(answering=answering)
    pools = [small.for_user("u0", k=1, why_not=f"i{n}").absence for n in range(N)]
    left = [one for one in pools if one.causes and "no source" in one.causes[0]]
    assert left
    for one in left:
        assert one.of is not None
        assert one.causes[-1].startswith(f"place {one.place} of {one.of} by its score")


@given(
    user=st.sampled_from(["u0", "u1", "u2", "u3"]),
    item=st.integers(0, N - 1),
    k=st.integers(1, N),
    diversity=st.sampled_from([None, 0.5]),
    filter=st.builds(
        Filter,
        price_max=st.none() | st.integers(0, N).map(float),
        max_per_category=st.none() | st.integers(1, 3),
        include_seen=st.booleans(),
        cross=st.sampled_from(["any", "only", "none"]),
        new_share=st.sampled_from([None, 0.5]),
    ),
)
@settings(max_examples=60)
def test_there_is_a_cause_whenever_it_is_not_there(
    recommender, user, item, k, diversity, filter
) -> None:
    asked = {"k": k, "diversity": diversity, "filter": filter}
    plain = recommender.for_user(user, **asked)
    answer = recommender.for_user(user, why_not=f"i{item}", **asked)
    assert (answer.ids, answer.notes) == (plain.ids, plain.notes)
    absence = answer.absence
    assert absence.rank == (plain.ids.index(f"i{item}") + 1 if f"i{item}" in plain.ids else None)
    assert bool(absence.causes) == (absence.rank is None)


def test_it_is_asked_of_an_answer_of_any_kind(recommender) -> None:
    answer = recommender.for_user("u0", k=2)
    last = recommender.for_user("u0", k=N).ids[-1]
    found = why_not(recommender, answer, last)
    assert found == recommender.for_user("u0", k=2, why_not=last).absence
    assert str(found).startswith(f"“Item {last[1:]}” is not in the list: place ")
    assert found.to_dict()["causes"] == list(found.causes)
    assert why_not(recommender, recommender.for_history(["i0"]), "i0").causes
    assert why_not(recommender, recommender.similar("i0", k=1), "i0").causes
    assert str(why_not(recommender, answer, answer.ids[1])).endswith("is in the list, at 2")
    assert "absence" not in answer.to_dict()
    with pytest.raises(UnknownItem):
        why_not(recommender, answer, "nothing")


def test_an_absence_without_numbers_is_told_too() -> None:
    assert str(Absence(Item("a", "A"), ("x", "y"))) == "“A” is not in the list: x; y"


def test_behind_a_wall_all_that_is_told_is_the_wall(walled_index) -> None:
    games = [good.item_id for theme in shop.THEMES for good in shop.of_theme(theme)]
    games = [item_id for item_id in games if item_id.startswith("p-")]
    with Recommender.open(walled_index) as rec:
        users = rec.generation.users.ids
        taken = {user: set(rec.ledger.events_of(user)["item_id"].to_pylist()) for user in users}
        for item_id in games[::6]:
            told = {
                user: rec.for_user(user, why_not=item_id, filter=Filter(price_max=1e9)).absence
                for user in users[:30]
            }
            assert {one.causes for one in told.values()} == {("it is on the other side of a wall",)}
            assert all(one.place is one.score is None for one in told.values())
        seen = np.array([len(taken[user] & set(games)) for user in users[:30]])
        assert (seen > 0).any()
        assert (seen == 0).any()
        inside = rec.for_user(users[0], why_not="b-roses", filter=Filter(category="Games"))
        assert inside.absence.causes == ("it is on the other side of a wall",)


def test_the_command_line_says_it(walled_index, tmp_path) -> None:
    asked = ["why-not", "u0", "p-chess-set", "--index", str(walled_index)]
    ran = CliRunner().invoke(commands, asked)
    assert ran.exit_code == 0, ran.output
    assert "is not in the list: it is on the other side of a wall" in ran.stdout
    told = json.loads(CliRunner().invoke(commands, [*asked, "--json"]).stdout)
    assert told["causes"] == ["it is on the other side of a wall"]
    assert told["receipt"]["generation"]
    assert CliRunner().invoke(commands, [*asked[:2], "nothing", *asked[3:]]).exit_code == 2
