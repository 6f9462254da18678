"""A signal that takes minutes to fit stays only where a blend is better with it."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from crossrec_llm.answering import BlendOptions, TunedBlend
from crossrec_llm.cli.show import blend
from crossrec_llm.generation import Generation
from crossrec_llm.recipe import Recipe
from crossrec_llm.recommender import Recommender
from crossrec_llm.signals import FittedSignals
from crossrec_llm.training import (
    Examples,
    TuneOptions,
    blending,
    fit,
    fit_blend,
    hold_out,
    not_needed,
    situations,
)
from crossrec_llm.training.situations import fit_situation
from tests.small import events_of, plain_catalogue, unit_rows

N_ITEMS, PEOPLE = 60, 240
CATALOGUE, RAW = plain_catalogue(N_ITEMS), unit_rows(N_ITEMS, 16, seed=1)
FEW = TuneOptions(n_user=120, n_cross=0)
NO_FIT = Recipe.from_dict({"blend": {"tune": False}})
NETWORK = {"minutes": 4, "least_steps": 1, "width": 8, "passes": 2}
TRIED = Recipe.from_dict({"signals": {"sequence": NETWORK}})
WHY = "the blend for user was not better by more than twice its error with it: ndcg@10 "


def random_log():
    """Nothing of one item says anything of another."""
    rng = np.random.default_rng(0)
    return [rng.permutation(N_ITEMS)[: rng.integers(4, 8)].tolist() for _ in range(PEOPLE)]


LOG = events_of(random_log())


@pytest.fixture(autouse=True)
def _few_people_are_enough(monkeypatch):
    monkeypatch.setattr(blending, "LEAST_CASES", 40)
    monkeypatch.setattr(situations, "LEAST_CASES", 40)


@pytest.fixture(scope="module")
def asked():
    """A recommender, and its examples with a column for one more signal."""
    held = hold_out(CATALOGUE, LOG, NO_FIT.histories.fitted(LOG), n_user=120, n_cross=0, seed=0)
    recommender = Recommender(Generation.fit(NO_FIT, CATALOGUE, RAW, held.events))
    names = ("text", "popularity")
    found = Examples.collect(recommender, "user", held.user, names, names)
    z = np.concatenate([found.z, np.zeros((*found.rows.shape, 1), np.float32)], axis=2)
    return recommender, dataclasses.replace(found, names=(*names, "sequence"), z=z)


def with_column(examples, knows):
    """The new signal knows what is hidden of some people, and guesses for the others."""
    z = examples.z.copy()
    z[..., 2] = np.random.default_rng(1).standard_normal(examples.rows.shape)
    here = np.isin(examples.case, np.flatnonzero(knows))
    z[examples.case[here], examples.place[here], 2] = 9
    return dataclasses.replace(examples, z=z)


def test_it_stays_where_the_blend_is_better_with_it(asked):
    recommender, examples = asked
    knowing = with_column(examples, np.ones(len(examples), bool))
    found = fit_situation(recommender, "user", knowing, 0, ["sequence"])
    assert found.refused == {}
    assert found.tuned.situation.weights["sequence"] > 0.1
    assert found.tuned.situation.sources == (*BlendOptions().user.sources, "sequence")
    assert found.values.mean() > 0.9
    figures = found.tuned.figures
    assert figures["ndcg@10 kept"] == pytest.approx(found.values.mean())
    without = fit_situation(recommender, "user", knowing.without("sequence"), 0).values
    assert figures["ndcg@10 without sequence"] == pytest.approx(without.mean())
    gained = found.values - without
    error = gained.std() / np.sqrt(len(gained))
    assert figures["error of the gain by sequence"] == pytest.approx(error)
    (line,) = (line for line in blend(TunedBlend({"user": found.tuned})) if "stays" in line)
    assert line.startswith("blend for user: sequence stays, ndcg@10 0.")


def test_it_goes_where_it_only_guesses_and_says_so(asked):
    recommender, examples = asked
    guessing = with_column(examples, np.zeros(len(examples), bool))
    found = fit_situation(recommender, "user", guessing, 0, ["sequence"])
    without = fit_situation(recommender, "user", guessing.without("sequence"), 0)
    assert found.refused["sequence"].startswith(WHY)
    assert f"{without.values.mean():.4f} without" in found.refused["sequence"]
    assert found.tuned == without.tuned
    assert found.why == without.why
    np.testing.assert_array_equal(found.values, without.values)


def test_one_that_is_not_on_trial_is_not_asked_for_more(asked):
    recommender, examples = asked
    knowing = with_column(examples, np.ones(len(examples), bool))
    found = fit_situation(recommender, "user", knowing, 0)
    assert "sequence" in found.tuned.situation.weights  # as any other
    assert found.tuned.situation.sources == BlendOptions().user.sources


def test_too_few_people_say_nothing_about_it(asked, monkeypatch):
    recommender, examples = asked
    monkeypatch.setattr(situations, "LEAST_CASES", 1_000)
    found = fit_situation(recommender, "user", examples, 0, ["sequence"])
    assert found.tuned is None
    assert "at least 1000 needed" in found.why
    assert not found.refused


@pytest.fixture(scope="module")
def refused():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blending, "LEAST_CASES", 40)
        patch.setattr(situations, "LEAST_CASES", 40)
        return fit_blend(TRIED, CATALOGUE, RAW, LOG, options=FEW)


def test_a_refusal_outlives_being_saved_and_older_ones_have_none(refused, tmp_path):
    assert refused.refused["sequence"].startswith(WHY)
    path = tmp_path / "blend.json"
    refused.save(path)
    assert TunedBlend.load(path) == refused
    older = json.loads(path.read_text())
    del older["refused"]
    path.write_text(json.dumps(older))
    assert TunedBlend.load(path).refused == {}


def test_a_log_that_is_too_small_for_it_says_so_in_the_end():
    recipe = Recipe.from_dict({"signals": {"sequence": {"minutes": 4}}})
    tuned = fit_blend(recipe, CATALOGUE, RAW, LOG, options=FEW)
    assert "steps from an item to the next" in tuned.refused["sequence"]
    assert not_needed(recipe, tuned) == tuned.refused


def test_what_was_refused_is_not_fitted_again(refused, monkeypatch):
    """On all of the log; the same words are in the generation as in the blend."""
    monkeypatch.setattr(blending, "fit_blend", lambda *_, **__: refused)
    fitted = fit(TRIED, CATALOGUE, RAW, LOG)
    assert fitted.signals.sequence is None
    assert fitted.signals.left_out["sequence"] == refused.refused["sequence"]
    assert "sequence" not in Recommender(fitted).signals


def test_without_a_fit_of_the_blend_it_is_not_fitted_either():
    untuned = dataclasses.replace(TRIED, blend=NO_FIT.blend)
    fitted = fit(untuned, CATALOGUE, RAW, LOG)
    assert fitted.signals.sequence is None
    assert "`build --tune`" in fitted.signals.left_out["sequence"]


@pytest.mark.parametrize(
    "table", [{"weights": {"sequence": 1}}, {"weights": {"text": 1}, "sources": ["sequence"]}]
)
def test_a_recipe_that_names_it_has_it(table, monkeypatch):
    recipe = Recipe.from_dict(
        {"signals": {"sequence": NETWORK}, "blend": {"tune": False, "like": table}}
    )
    assert not_needed(recipe, TunedBlend()) == {}
    fitted = fit(recipe, CATALOGUE, RAW, LOG)
    assert fitted.signals.sequence is not None
    assert fitted.signals.sequence.figures["passes"] <= 2


def test_it_is_not_tried_where_nobody_can_be_asked_about_it(monkeypatch):
    tried = []

    def spy(*_, without=None, **__):
        tried.append(without)
        return learned(*_, **{**__, "without": without})

    learned = FittedSignals.fit
    monkeypatch.setattr(FittedSignals, "fit", spy)
    recipe = Recipe.from_dict({"blend": {"user": {"weights": {"text": 1}}}})
    crossing = TuneOptions(n_user=0, n_cross=60)
    fit_blend(recipe, CATALOGUE, RAW, LOG, options=crossing)
    assert [without.get("sequence") for without in tried] == ["set by the recipe"]
    fit_blend(Recipe(), CATALOGUE, RAW, LOG, options=FEW, without={"sequence": "not there"})
    assert tried[1:] == [{"sequence": "not there"}]
