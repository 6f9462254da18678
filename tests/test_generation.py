from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

from crossrec_llm import kept
from crossrec_llm.answering import LearnedBlend, Situation, Tuned, TunedBlend, WeightedBlend
from crossrec_llm.generation import Generation
from crossrec_llm.recipe import Recipe
from crossrec_llm.signals import SIGNAL_NAMES
from tests.small import N_ITEMS, events_of, plain_catalogue, unit_rows


@pytest.fixture
def generation():
    events = events_of([[0, 1, 2], [1, 2, 3], [0, 2, 5]])
    return Generation.fit(Recipe(), plain_catalogue(), unit_rows(N_ITEMS, 8, seed=1), events)


class Opened:
    """A Chroma that takes a while to open."""

    def __init__(self, opened):
        opened.append(self)
        time.sleep(0.05)
        self.closed = 0

    def search(self, collection, ids):
        return self

    def close(self):
        self.closed += 1


def test_threads_that_search_at_once_open_chroma_once(generation, monkeypatch):
    opened = []
    monkeypatch.setattr(kept, "open_chroma", lambda *_, **__: Opened(opened))
    stored = SimpleNamespace(counts={"items": N_ITEMS}, parts={})
    generation.stored = stored
    generation._chroma = kept.OpenChroma(generation.recipe, stored)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(generation.chroma_search, ["items", "users"] * 4))
    assert len(opened) == 1
    assert set(found) == set(opened)
    generation.close()
    generation.close()
    assert opened[0].closed == 1
    generation.chroma_search("items")
    assert len(opened) == 2


def test_trees_are_asked_only_with_all_signals_that_they_were_fitted_on(generation):
    weights = {"ease": 0.5, "text": 1.0}
    fitted = Tuned(Situation(weights, ("text",)), trees="a tree")
    tuned = generation.blended_by(TunedBlend({"user": fitted}))
    assert isinstance(tuned.blend("user", SIGNAL_NAMES), LearnedBlend)
    without = tuned.blend("user", [name for name in SIGNAL_NAMES if name != "ease"])
    assert isinstance(without, WeightedBlend)
    assert without.names == ("text",)


def test_the_receipt_tells_two_blends_apart(generation):
    other = generation.blended_by(TunedBlend({"user": Tuned(Situation({"text": 1.0}, ("text",)))}))
    one, two = generation.receipt, other.receipt
    assert (one.generation, one.recipe, one.version) == (two.generation, two.recipe, two.version)
    assert one.blend != two.blend
    assert one == generation.receipt


def test_a_fit_passes_progress_on():
    steps = []
    Generation.fit(
        Recipe(),
        plain_catalogue(),
        np.array(unit_rows(N_ITEMS, 8, seed=1)),
        events_of([[0, 1]]),
        progress=lambda *step: steps.append(step),
    )
    assert ("fitting ease", 3, 8) in steps


def test_cold_weights_of_signals_that_are_not_there_fall_back_to_the_others(generation):
    blend = {"user": {"weights": {"text": 1, "popularity": 1}, "cold": {"ease": 1}}}
    asked = generation.asked_by(Recipe.from_dict({"blend": blend}))
    found = asked.blend("user", {"text", "popularity"})
    assert found.cold_weights.tolist() == found.weights.tolist() == [1, 1]
    assert asked.blend("user", {"text", "ease"}).cold_weights.tolist() == [0, 1]
