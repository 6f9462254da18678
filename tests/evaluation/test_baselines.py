from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from crossrec_llm.evaluation import Case, measure, split
from crossrec_llm.evaluation import baselines as module
from crossrec_llm.evaluation.baselines import BASELINES, SEARCH_BASELINES, LeftOut, Training
from crossrec_llm.evaluation.systems import CaseTable, FullRanking
from crossrec_llm.signals import TextOptions
from crossrec_llm.tables import HistoryOptions
from tests.evaluation import clusters
from tests.small import catalogue_of, plain_catalogue, unit_rows


def training_of(catalogue, raw, events, embed=None):
    options = HistoryOptions()
    return Training(catalogue, raw, raw, events, options, TextOptions(), embed or (lambda text: 0))


@pytest.fixture(scope="module")
def parts():
    return split("warm", clusters.catalogue(), clusters.events(), HistoryOptions())


@pytest.fixture(scope="module")
def training(parts):
    return training_of(clusters.catalogue(), clusters.raw(), parts.events)


def recall(name, training, cases):
    table = CaseTable.of(training.catalogue, cases)
    ranks = FullRanking(name, BASELINES[name](training)).rank(table, 10).ranks
    return measure(ranks, table.gains, 10)["recall"].mean()


@pytest.mark.parametrize("name", [name for name in BASELINES if name != "popularity"])
def test_each_finds_the_group_of_a_person(name, training, parts):
    """Ten of sixty items by chance; nearly all but those who wander stay in their group of ten."""
    assert recall(name, training, parts.cases) > 0.75
    assert recall("popularity", training, parts.cases) < 0.35


def scores(name, training, *histories):
    cases = [
        Case(f"v{i}", tuple(f"i{row}" for row in rows), ()) for i, rows in enumerate(histories)
    ]
    table = CaseTable.of(training.catalogue, cases)
    return BASELINES[name](training).score(table, slice(0, len(cases)))


def test_popularity_counts_training_rows_only(training, parts):
    hidden = {(case.user_id, case.targets[0]) for case in parts.cases}
    counts = np.zeros(clusters.N_ITEMS)
    for event in clusters.events().to_pylist():
        if (event["user_id"], event["item_id"]) not in hidden:
            counts[int(event["item_id"][1:])] += 1
    assert scores("popularity", training, [0])[0].tolist() == counts.tolist()


def test_ease_is_its_formula(training, monkeypatch):
    monkeypatch.setattr(module, "EASE_TUNED_BELOW", 0)
    taken = training.taken.toarray()
    inverse = np.linalg.inv(taken.T @ taken + 100 * np.eye(clusters.N_ITEMS))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0)
    wanted = 0.8 * weights[3] + weights[7]
    assert scores("ease", training, [3, 7])[0] == pytest.approx(wanted, abs=1e-5)


def test_the_ridge_is_chosen_on_held_out_items(training, monkeypatch):
    monkeypatch.setattr(module, "EASE_RIDGES", (1e9, 100.0))
    asked = []
    monkeypatch.setattr(
        Training, "tuned", lambda self, choices, otherwise: asked.append(otherwise) or 0
    )
    flat = scores("ease", training, [3])
    assert asked == [1]
    assert np.abs(flat).max() < 1e-6


def test_tuning_takes_the_better_one_and_sees_no_test_item(training, parts):
    """A scorer that knows the items held out of the training part is taken for the better."""
    seen = []

    class Knowing:
        def __init__(self, inner, knows):
            self.inner, self.knows = inner, knows

        def score(self, table, part):
            seen.extend(table.cases[part])
            out = np.zeros((part.stop - part.start, clusters.N_ITEMS), np.float32)
            if self.knows:
                out[np.arange(len(out)), table.targets[part, 0]] = 1
            return out

    choices = [lambda inner, knows=knows: Knowing(inner, knows) for knows in (False, True, False)]
    assert training.tuned(choices, 0) == 1
    hidden = {(case.user_id, case.targets[0]) for case in parts.cases}
    for case in seen:
        assert not {(case.user_id, item) for item in (*case.history, *case.targets)} & hidden


def test_nothing_to_tune_on(training):
    short = replace(training, events=training.events.slice(0, 2))
    assert short.tuned([], 7) == 7


def test_ease_is_left_out_in_words_where_it_is_too_large(training, monkeypatch):
    monkeypatch.setattr(module, "EASE_MOST_ITEMS", 5)
    with pytest.raises(LeftOut, match="60 items were taken by somebody; above 5"):
        BASELINES["ease"](training)


def test_pooled_vectors():
    catalogue, raw = plain_catalogue(), unit_rows(12, 4, seed=0)
    training = training_of(catalogue, raw, clusters.noise(10, 12))
    wanted = (0.7 * raw[1] + raw[2]) @ raw.T
    assert scores("text", training, [1, 2])[0] == pytest.approx(wanted, abs=1e-6)
    found = scores("llmseqsim", training, [1, 2])[0]
    either = ((raw[1] + raw[2]) @ raw.T, raw[2] @ raw.T)
    assert any(np.allclose(found, one, atol=1e-6) for one in either)


def test_a_target_in_the_training_part_shows():
    """Tripwire: on a log without any pattern EASE finds nothing, unless it was fitted on it."""
    catalogue, events = plain_catalogue(300), clusters.noise()
    parts = split("warm", catalogue, events, HistoryOptions())
    raw = unit_rows(300, 4, seed=0)
    assert recall("ease", training_of(catalogue, raw, parts.events), parts.cases) < 0.15
    assert recall("ease", training_of(catalogue, raw, events), parts.cases) > 0.5


def test_searches():
    catalogue = catalogue_of(
        {"item_id": "i0", "title": "Garden hose", "brand": "Rain"},
        {"item_id": "i1", "title": "Running shoes", "description": "for wet gardens"},
        {"item_id": "i2", "title": "Novel", "category": ["Books"]},
    )
    raw = np.eye(3, dtype=np.float32)
    training = training_of(catalogue, raw, clusters.noise(3, 3), lambda text: raw[len(text) % 3])
    table = CaseTable.of(
        catalogue, [Case("q", (), ("i0",), text=text) for text in ("gardening", "books", "zzz")]
    )
    found = {
        name: fit(training).score(table, slice(0, 3)) for name, fit in SEARCH_BASELINES.items()
    }
    assert (found["bm25"] > 0).tolist() == [[True, True, False], [False, False, True], [False] * 3]
    assert found["text"].argmax(axis=1).tolist() == [0, 2, 0]


def test_crossing_is_tuned_on_crossing(training):
    """Held out again is what people have of the target category; nothing is, where none has it."""
    across = replace(training, events=clusters.events(wander=0.4), target_category="C1")
    asked = []

    class Noting:
        def score(self, table, part):
            asked.extend(table.cases[part])
            return np.zeros((part.stop - part.start, clusters.N_ITEMS), np.float32)

    across.tuned([lambda inner: Noting()], 0)
    assert asked
    assert {case.filter.category for case in asked} == {("C1",)}
    none = split(
        "cross-cold", training.catalogue, across.events, training.options, target_category="C1"
    )
    assert replace(across, events=none.events).tuned([], 5) == 5
