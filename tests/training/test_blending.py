from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa
import pytest

from crossrec_llm.answering import (
    BlendOptions,
    LearnedBlend,
    Situation,
    Tuned,
    TunedBlend,
    WeightedBlend,
)
from crossrec_llm.evaluation.measuring import Data, Measuring, chosen_baselines
from crossrec_llm.evaluation.protocols import split
from crossrec_llm.generation import Generation
from crossrec_llm.meaning import Templates
from crossrec_llm.recipe import Recipe
from crossrec_llm.recommender import Recommender
from crossrec_llm.resources import default_folder
from crossrec_llm.tables import HistoryOptions
from crossrec_llm.training import (
    Examples,
    TuneOptions,
    blending,
    fit,
    fit_blend,
    hold_out,
    holdout,
    situations,
    taken_over,
)
from tests.small import events_of, plain_catalogue, unit_rows

N_ITEMS, PEOPLE, GROUPS = 150, 800, 10
CATALOGUE = plain_catalogue(N_ITEMS)
# Groups cross the two top categories: rows 0 and 1 are of the first, 2 and 3 of the second ...
GROUP = np.arange(N_ITEMS) // 2 % GROUPS
RAW = unit_rows(N_ITEMS, 16, seed=1)
SMALL = TuneOptions(n_user=120, n_cross=50)
NO_FIT = Recipe.from_dict({"blend": {"tune": False}})


def grouped(people=PEOPLE, seed=0):
    """Each person's 4 to 6 items of one group, and two of any."""
    rng = np.random.default_rng(seed)
    log = []
    for _ in range(people):
        inside = rng.permutation(np.flatnonzero(rng.integers(GROUPS) == GROUP))
        rows = np.concatenate([inside[: rng.integers(4, 7)], rng.permutation(N_ITEMS)[:2]])
        log.append(list(dict.fromkeys(rng.permutation(rows).tolist())))
    return log


def shuffled(people=PEOPLE, seed=10):
    """Nothing of one item says anything of another."""
    rng = np.random.default_rng(seed)
    return [rng.permutation(N_ITEMS)[: rng.integers(4, 8)].tolist() for _ in range(people)]


def blend_of(log, recipe=Recipe(), options=TuneOptions()):  # noqa: B008
    return fit_blend(recipe, CATALOGUE, RAW, events_of(log), options=options)


@pytest.fixture(scope="module")
def patch():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module", autouse=True)
def _few_people_are_enough(patch):
    patch.setattr(blending, "LEAST_CASES", 40)
    patch.setattr(situations, "LEAST_CASES", 40)


@pytest.fixture(scope="module")
def tuned():
    return blend_of(grouped())


@pytest.fixture(scope="module")
def generation(tuned):
    return Generation.fit(Recipe(), CATALOGUE, RAW, events_of(grouped())).blended_by(tuned)


# -- what is fitted ------------------------------------------------------------------------------


def test_both_situations_are_fitted_and_say_how_well(tuned):
    assert set(tuned.situations) == {"user", "cross"}
    assert not tuned.left_out
    for name, one in tuned.situations.items():
        figures = one.figures
        assert set(one.situation.weights) <= set(blending.CHOICES[name])
        assert all(weight > 0 for weight in one.situation.weights.values())
        assert figures["ndcg@10 kept"] > figures["ndcg@10 default"] + 0.02
        assert figures["trees kept"] == bool(one.trees)
    user, cross = (tuned.situations[name].figures for name in ("user", "cross"))
    # Of 400 people with one hidden item each, about a tenth is asked for a cold one.
    assert user["people"] + user["cold people"] == PEOPLE // 2
    assert 20 < user["cold people"] < 80
    several = sum(len({row % 2 for row in rows}) > 1 for rows in grouped())
    assert several // 5 < cross["people"] <= several // 4


def test_two_fits_are_equal_and_the_seed_draws_the_people():
    log = grouped(240)
    one = blend_of(log, options=SMALL)
    assert one.situations
    assert one == blend_of(log, options=SMALL)
    assert one != blend_of(log, options=dataclasses.replace(SMALL, seed=1))


def test_what_does_not_help_is_left_out_with_its_figures(monkeypatch):
    monkeypatch.setattr(holdout, "COLD_SHARE", 0.0)
    found = blend_of(shuffled())
    assert not found.situations
    for name in ("user", "cross"):
        assert found.left_out[name].startswith("ndcg@10 0.0")
        assert "on people that they were not fitted on" in found.left_out[name]


def test_too_few_people_are_named():
    """Half of all 60 people, and a quarter of the 12 that are at home in both categories."""
    log = [[0, 2, 4], [1, 3, 5], [6, 8, 10, 12], [7, 9, 11], [0, 1, 2]] * 12
    assert blend_of(log) == TunedBlend(
        {},
        {
            "user": "30 people to fit it on, at least 40 needed",
            "cross": "3 people to fit it on, at least 40 needed",
        },
    )


def test_a_situation_of_the_recipe_is_left_alone():
    recipe = Recipe.from_dict({"blend": {"cross": {"weights": {"text": 1}}}})
    found = blend_of(grouped(240), recipe, SMALL)
    assert found.left_out == {"cross": "set by the recipe"}
    assert set(found.situations) == {"user"}


def test_nothing_is_fitted_where_nothing_is_asked(monkeypatch):
    """Both set, or nobody there: the signals are not fitted for it either."""
    monkeypatch.setattr(Generation, "fit", None)
    both = {"weights": {"text": 1}}
    recipe = Recipe.from_dict({"blend": {"user": both, "cross": both}})
    assert set(blend_of(grouped(240), recipe).left_out.values()) == {"set by the recipe"}
    assert set(blend_of([[0, 1]]).left_out) == {"user", "cross"}


@pytest.mark.parametrize("helps", [True, False])
def test_trees_stay_only_where_they_help(helps, monkeypatch):
    """Trees that put the hidden items first, and trees that put them last."""

    def reorder(examples, totals, heads, trees):
        hit = np.zeros(totals.shape, bool)
        hit[examples.case, examples.place] = True
        return np.where(hit, totals.max() + 1 if helps else totals.min() - 1, totals)

    monkeypatch.setattr(situations, "reorder", reorder)
    found = blend_of(grouped(240), options=SMALL).situations["user"]
    assert bool(found.trees) == found.figures["trees kept"] == helps
    trees, weighted = found.figures["ndcg@10 trees"], found.figures["ndcg@10 weighted"]
    assert found.figures["ndcg@10 kept"] == (trees if helps else weighted)


def test_trending_takes_part_only_where_all_that_is_later_is_hidden(monkeypatch):
    asked = []

    def spy(recommender, name, held, names, *rest):
        asked.append((name, "trending" in names))
        return collect(recommender, name, held, names, *rest)

    collect = Examples.collect
    monkeypatch.setattr(Examples, "collect", spy)
    clock = on_a_clock(grouped(240))
    for by in ("later", "last"):
        options = dataclasses.replace(SMALL, by=by)
        fit_blend(Recipe(), CATALOGUE, RAW, clock, options=options)
    assert asked == [("user", True), ("cross", False), ("user", False), ("cross", False)]


def test_a_cost_that_is_too_high_is_brought_down(monkeypatch):
    """However few people are after new items: what they cost is measured on all others."""
    monkeypatch.setattr(situations, "LEAST_CASES", 100)
    default = BlendOptions()
    loud = dataclasses.replace(default.user, cold={"text": 50.0})
    monkeypatch.setattr(situations, "BlendOptions", lambda: dataclasses.replace(default, user=loud))
    found = blend_of(grouped()).situations["user"]
    assert found.figures["cold people"] < 100
    assert found.figures["cost default"] > 0.02
    assert found.figures["cost weighted"] < 0.04
    assert found.situation.cold["text"] < 5


def test_a_gain_is_more_than_its_error_by_hand():
    """Differences 1, 0, 0, 0: mean 1/4, error sqrt(3/16) / 2 = 0.217; 1, -1, 0, 0: mean 0."""
    before = np.zeros(4)
    assert situations._gain(np.array([1.0, 0, 0, 0]), before)
    assert not situations._gain(np.array([1.0, -1, 0, 0]), before)
    assert not situations._gain(before, before)
    # One person in nine: mean 1/9, error sqrt(8/81) / 3 = 0.105; in the same mean, twice as wide.
    assert situations._gain(np.eye(9)[0], np.zeros(9))
    assert not situations._gain(2 * np.eye(9)[0] - np.eye(9)[1], np.zeros(9))


def on_a_clock(log):
    """The same log, a day an event, and each person a minute after the one before."""
    events = events_of(log)
    users = [int(user[1:]) for user in events["user_id"].to_pylist()]
    days = events["timestamp"].to_numpy()
    times = pa.array(1.6e9 + 86_400 * days + 60.0 * np.array(users), pa.float64())
    return events.set_column(events.column_names.index("timestamp"), "timestamp", times)


def test_where_there_is_a_clock_a_cut_in_time_decides(monkeypatch):
    drawn = []

    def spy(*args, by, **more):
        drawn.append(by)
        return hold_out(*args, by=by, **more)

    monkeypatch.setattr(blending, "hold_out", spy)
    clock = on_a_clock(grouped(240))
    found = fit_blend(Recipe(), CATALOGUE, RAW, clock, options=SMALL)
    assert drawn == ["later"]
    assert found.situations["user"].figures["people"] > 40
    fit_blend(Recipe(), CATALOGUE, RAW, events_of(grouped(240)), options=SMALL)
    fit_blend(Recipe(), CATALOGUE, RAW, clock, options=dataclasses.replace(SMALL, by="last"))
    assert drawn[1:] == ["last", "last"]
    # Too few people after the cut: their last items, then.
    monkeypatch.setattr(blending, "LEAST_CASES", 500)
    fit_blend(Recipe(), CATALOGUE, RAW, clock, options=SMALL)
    assert drawn[3:] == ["later", "last"]


# -- what becomes of it --------------------------------------------------------------------------


def test_it_is_the_same_after_saving(tuned, tmp_path):
    both = TunedBlend(tuned.situations, {"like": "a reason"})
    both.save(tmp_path / "blend.json")
    again = TunedBlend.load(tmp_path / "blend.json")
    assert again == both
    # The trees know their features by the order of the weights.
    for name, one in both.situations.items():
        assert list(again.situations[name].situation.weights) == list(one.situation.weights)
    assert again.summary() == both.summary()
    (tmp_path / "blend.json").write_text("[]")
    with pytest.raises(TypeError):
        TunedBlend.load(tmp_path / "blend.json")


def test_the_recipe_comes_before_the_fit_and_the_fit_before_the_default(generation, tuned):
    default = generation.blended_by(TunedBlend())
    given = Recipe.from_dict({"blend": {"user": {"weights": {"text": 2}, "sources": ["text"]}}})
    asked = generation.asked_by(given)
    assert generation.situation("user") == tuned.situations["user"].situation
    assert default.situation("user") == Recipe().blend.user
    assert asked.situation("user") == Situation({"text": 2.0}, ("text",))
    assert asked.situation("cross") == tuned.situations["cross"].situation
    assert asked.blend("user", {"text", "ease"}).names == ("text",)
    assert isinstance(asked.blend("user", {"text"}), WeightedBlend)
    assert len({g.blend_fingerprint for g in (generation, default, asked)}) == 3


def test_a_signal_that_is_not_there_is_no_part_of_the_blend(generation, tuned):
    weights = dict(tuned.situations["cross"].situation.weights)
    some = next(iter(weights))
    assert generation.blend("cross", {some, "lexical"}).names == (some,)


def test_trees_change_the_order_of_the_head_and_nothing_else(generation, tuned):
    user = tuned.situations["user"]
    assert user.trees
    plain = TunedBlend({"user": Tuned(user.situation)})
    with_trees = Recommender(generation)
    without = Recommender(generation.blended_by(plain))
    assert isinstance(generation.blend("user", with_trees.signals), LearnedBlend)
    moved = 0
    for history in grouped(5, seed=3):
        ids = [f"i{row}" for row in history]
        ours, theirs = (r.for_history(ids, k=user.head) for r in (with_trees, without))
        assert {r.item_id for r in ours} == {r.item_id for r in theirs}
        scores = [r.score for r in ours]
        assert scores == sorted(scores, reverse=True)
        assert scores == [r.score for r in theirs]
        assert all(r.reasons for r in ours)
        assert {r.item_id: r.reasons for r in ours} == {r.item_id: r.reasons for r in theirs}
        moved += [r.item_id for r in ours] != [r.item_id for r in theirs]
    assert moved


def test_behind_the_head_the_weights_decide(generation, tuned):
    user = tuned.situations["user"]
    short = TunedBlend({"user": dataclasses.replace(user, head=5)})
    plain = TunedBlend({"user": Tuned(user.situation)})
    ids = [f"i{row}" for row in grouped(1, seed=3)[0]]
    ours, theirs = (
        [r.item_id for r in Recommender(generation.blended_by(t)).for_history(ids, k=40)]
        for t in (short, plain)
    )
    assert sorted(ours[:5]) == sorted(theirs[:5])
    assert ours[5:] == theirs[5:]


# -- what a fit on the same parts gives by another recipe ----------------------------------------

USER, CROSS = Tuned(Situation({"text": 1.0}, ("text",))), "no better"
FITTED = TunedBlend({"user": USER}, {"cross": CROSS})
SET = {"weights": {"ease": 1}}


@pytest.mark.parametrize(
    ("blend", "expected"),
    [
        ({}, FITTED),
        ({"like": {"weights": {"asked": 1}}}, FITTED),
        ({"tune": False}, TunedBlend()),
        ({"user": SET}, TunedBlend({}, {"user": "set by the recipe", "cross": CROSS})),
        ({"cross": SET}, TunedBlend({"user": USER}, {"cross": "set by the recipe"})),
    ],
    ids=["the same", "another situation", "no fit", "the fitted one is set", "the other is set"],
)
def test_what_a_new_recipe_takes_over(blend, expected):
    assert taken_over(FITTED, Recipe(), Recipe.from_dict({"blend": blend})) == expected


def test_another_cost_of_new_items_has_to_be_fitted():
    costs = Recipe.from_dict({"blend": {"cold_cost": 0.1}})
    assert taken_over(FITTED, Recipe(), costs) is None
    left_out = TunedBlend({}, {"user": "no better", "cross": "no better"})
    assert taken_over(left_out, Recipe(), costs) is None
    both = Recipe.from_dict({"blend": {"cold_cost": 0.1, "user": SET, "cross": SET}})
    assert taken_over(left_out, Recipe(), both) is not None


@pytest.mark.parametrize(
    "before",
    [TunedBlend(), TunedBlend({"user": USER}, {"cross": "set by the recipe"})],
    ids=["nothing was fitted", "one was set"],
)
def test_what_was_never_looked_at_has_to_be_fitted(before):
    assert taken_over(before, Recipe(), Recipe()) is None
    both = Recipe.from_dict({"blend": {"user": SET, "cross": SET}})
    assert taken_over(before, Recipe(), both) == TunedBlend(
        {}, {"user": "set by the recipe", "cross": "set by the recipe"}
    )


# -- nothing of what is hidden is learned from ---------------------------------------------------


def files_of(generation, folder):
    folder.mkdir()
    generation.save(folder, Templates.load(default_folder("prompts")))
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def exchanged(log, people):
    """The same log, with last items exchanged among those people, inside a top category."""
    out = [list(rows) for rows in log]
    for top in (0, 1):
        there = [u for u in people if log[u][-1] % 2 == top]
        for u, v in zip(there[::2], there[1::2], strict=False):
            if log[u][-1] not in log[v] and log[v][-1] not in log[u]:
                out[u][-1], out[v][-1] = log[v][-1], log[u][-1]
    assert sum(a != b for a, b in zip(out, log, strict=True)) > len(people) / 2
    return out


def test_an_evaluation_fits_as_if_what_is_hidden_never_was(tmp_path):
    log = grouped(240)
    parts = split("warm", CATALOGUE, events_of(log), HistoryOptions())
    assert [case.targets for case in parts.cases] == [
        (f"i{log[int(case.user_id[1:])][-1]}",) for case in parts.cases
    ]
    without = [rows[:-1] for rows in log]
    ours = fit(Recipe(), CATALOGUE, RAW, parts.events, options=SMALL)
    theirs = fit(Recipe(), CATALOGUE, RAW, events_of(without), options=SMALL)
    assert ours.tuned == theirs.tuned
    assert ours.tuned.situations
    mine = files_of(ours, tmp_path / "ours")
    assert {"blend.json", "users.npy", "signals/als.safetensors", "signals/graph.npy"} <= set(mine)
    assert mine == files_of(theirs, tmp_path / "theirs")


def test_answers_of_an_evaluation_do_not_depend_on_what_is_hidden():
    """The served system and a baseline, fitted and asked by the evaluation itself."""
    answers = []
    for log in (grouped(240), exchanged(grouped(240), range(240))):
        events = events_of(log)
        parts = split("warm", CATALOGUE, events, HistoryOptions())
        measuring = Measuring(Data(Recipe(), CATALOGUE, RAW, events), parts, 10, 0, None)
        measuring.run(chosen_baselines("warm", ["neighbours"]))
        answers.append(measuring.answers)
    one, other = answers
    assert set(one) == {"system", "neighbours"}
    for name, ranked in one.items():
        np.testing.assert_array_equal(ranked.lists, other[name].lists)


def test_a_fit_of_a_blend_learns_its_signals_without_what_it_hides(tmp_path, monkeypatch):
    monkeypatch.setattr(holdout, "COLD_SHARE", 0.0)
    log = grouped(240)
    options = TuneOptions(n_user=120, n_cross=0)
    held = hold_out(
        CATALOGUE, events_of(log), HistoryOptions(), n_user=120, n_cross=0, seed=options.seed
    )
    asked = {tuple(one.history.tolist()) for one in held.user}
    hidden = [u for u, rows in enumerate(log) if tuple(rows[:-1]) in asked]
    assert len(hidden) == 120
    never = [rows[:-1] if u in hidden else rows for u, rows in enumerate(log)]

    learned_from = []
    fitted = Generation.fit

    def spy(recipe, catalogue, raw, events, **_):
        learned_from.append(events)
        return fitted(recipe, catalogue, raw, events)

    monkeypatch.setattr(Generation, "fit", spy)
    blend_of(log, options=options)
    blend_of(exchanged(log, hidden), options=options)
    one, other, without = (
        files_of(fitted(NO_FIT, CATALOGUE, RAW, events), tmp_path / str(n))
        for n, events in enumerate((*learned_from, events_of(never)))
    )
    assert one == other == without


def test_nothing_behind_a_wall_is_fitted_on():
    recipe = Recipe.from_dict({"histories": {"walls": ["B"]}})
    events = events_of(grouped(300))
    behind = np.array([int(item_id[1:]) % 2 == 1 for item_id in events["item_id"].to_pylist()])
    outside = events.filter(pa.array(~behind))
    found, same = (fit_blend(recipe, CATALOGUE, RAW, e, options=SMALL) for e in (events, outside))
    assert found == same
    assert found != fit_blend(Recipe(), CATALOGUE, RAW, events, options=SMALL)
