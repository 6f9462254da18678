"""What every Signal and every Source keeps, whatever it computes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from crossrec_llm.answering import make_query
from crossrec_llm.meaning import Space
from crossrec_llm.records import Query
from crossrec_llm.signals import (
    SIGNAL_NAMES,
    EaseOptions,
    FittedSignals,
    GraphOptions,
    Scorer,
    SequenceOptions,
    SignalsOptions,
    assemble,
)
from crossrec_llm.store import ExactSearch
from tests.small import N_ITEMS, histories_of, plain_catalogue, unit_rows

RAW = unit_rows(N_ITEMS, 16, seed=1)
VECTORS = unit_rows(N_ITEMS, 16, seed=2)
CATALOGUE = plain_catalogue()
# Items 4 and 11 were taken by nobody. The times are moments, so that something can be trending.
TAKEN = [[0, 1, 2], [1, 2, 3], [0, 2, 5, 6], [7, 8], [8, 9, 7], [10, 0]]
HISTORIES = histories_of(TAKEN)
HISTORIES.timestamps[:] = 1.7e9 + 86_400 * np.arange(len(HISTORIES.timestamps))
SEQUENCE = SequenceOptions(minutes=4, least_steps=1, width=8, passes=4)
OPTIONS = SignalsOptions(sequence=SEQUENCE)


def assembled(fitted: FittedSignals) -> dict[str, Scorer]:
    return assemble(
        fitted,
        OPTIONS,
        catalogue=CATALOGUE,
        raw=RAW,
        vectors=VECTORS,
        open_search=lambda _, vectors: ExactSearch(vectors),
    )


@pytest.fixture(scope="module")
def fitted() -> FittedSignals:
    return FittedSignals.fit(CATALOGUE, HISTORIES, RAW, VECTORS, OPTIONS)


@pytest.fixture(params=SIGNAL_NAMES)
def signal(request, fitted) -> Scorer:
    return assembled(fitted)[request.param]


QUERIES = {
    "user": make_query("user", [0, 1, 7], [1.0, 0.5, 1.0]),
    "dislikes": make_query("user", [0, 1, 7], [1.0, -1.0, 1.0]),
    "only dislikes": make_query("user", [3], [-1.0]),
    "nobody": make_query("user"),
    "text": make_query("like", text="i4", text_vector=RAW[4]),
    "text for a user": make_query("like", [2, 3], [1, 1], text="i4", text_vector=RAW[4]),
    "similar": make_query("similar", [5], [1.0]),
}


@pytest.fixture(params=QUERIES, ids=str)
def query(request) -> Query:
    return QUERIES[request.param]


def test_scores_are_aligned_with_the_rows_asked_for(signal, query):
    everything = signal.score(query, np.arange(N_ITEMS))
    some = np.array([9, 0, 4, 4])
    assert everything.shape == (N_ITEMS,)
    assert everything.dtype == np.float32
    np.testing.assert_allclose(signal.score(query, some), everything[some], atol=1e-6)


def test_no_rows_give_no_scores(signal, query):
    none = np.empty(0, np.int64)
    assert signal.score(query, none).shape == (0,)
    assert signal.carriers(query, none).shape == (0, len(query.history))


def test_a_signal_scores_everything_or_nothing(signal, query):
    finite = np.isfinite(signal.score(query, np.arange(N_ITEMS)))
    assert finite.all() or not finite.any()


def test_carriers_are_finite_and_not_negative(signal, query):
    carriers = signal.carriers(query, np.arange(N_ITEMS))
    assert carriers.shape == (N_ITEMS, len(query.history))
    assert np.isfinite(carriers).all()
    assert (carriers >= 0).all()


def test_proposals_are_distinct_and_allowed(signal, query):
    allowed = np.arange(N_ITEMS) % 2 == 0
    rows = signal.propose(query, 4, allowed)
    assert len(rows) <= 4
    assert len(set(rows.tolist())) == len(rows)
    assert allowed[rows].all()


def test_proposals_come_best_first(signal, query):
    rows = signal.propose(query, N_ITEMS, np.ones(N_ITEMS, bool))
    scores = signal.score(query, rows)
    if signal.name == "late_interaction":
        best_at_all = signal.score(query, np.arange(N_ITEMS)).max(initial=-np.inf)
        assert not len(rows) or scores.max() == pytest.approx(best_at_all)
    else:
        assert (np.diff(scores) <= 1e-6).all()


def test_nothing_allowed_proposes_nothing(signal, query):
    assert len(signal.propose(query, 5, np.zeros(N_ITEMS, bool))) == 0


def test_the_same_question_twice_gives_the_same_bytes(signal, query):
    rows = np.arange(N_ITEMS)
    assert signal.score(query, rows).tobytes() == signal.score(query, rows).tobytes()


def test_survives_being_saved(fitted, tmp_path, query):
    fitted.save(tmp_path / "signals")
    loaded = assembled(FittedSignals.load(tmp_path / "signals", OPTIONS))
    rows = np.arange(N_ITEMS)
    for name, signal in assembled(fitted).items():
        assert loaded[name].score(query, rows).tobytes() == signal.score(query, rows).tobytes()
    assert list(loaded) == list(assembled(fitted))


BEHAVIOUR = {"neighbours", "transitions", "ease", "graph", "als", "sequence", "trending"}


@pytest.mark.parametrize(
    ("taken", "options", "left_out"),
    [
        ([], OPTIONS, dict.fromkeys(BEHAVIOUR, "nobody took anything")),
        (
            [[0], [1], [1]],
            OPTIONS,
            {
                "neighbours": "two items",
                "transitions": "two items",
                "sequence": "two items",
                "trending": "need a time",
            },
        ),
        (TAKEN, OPTIONS, {"trending": "need a time"}),
        (
            TAKEN,
            SignalsOptions(ease=EaseOptions(max_items=3), sequence=SEQUENCE),
            {"trending": "need a time", "ease": "raise max_items"},
        ),
    ],
    ids=["nobody took anything", "nobody took two", "positions", "too many items"],
)
def test_what_cannot_be_fitted_is_absent_and_says_why(taken, options, left_out, tmp_path):
    fitted = FittedSignals.fit(CATALOGUE, histories_of(taken), RAW, VECTORS, options)
    assert set(SIGNAL_NAMES) - set(assembled(fitted)) == set(left_out) == set(fitted.left_out)
    for name, words in left_out.items():
        assert words in fitted.left_out[name]
    for folder in ("one", "two"):
        fitted.save(tmp_path / folder)
    loaded = FittedSignals.load(tmp_path / "one", options)
    assert loaded.left_out == fitted.left_out
    assert set(assembled(loaded)) == set(assembled(fitted))
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_what_is_all_there_leaves_nothing_out(fitted):
    assert fitted.left_out == {}
    assert set(assembled(fitted)) == set(SIGNAL_NAMES)


def test_without_behaviour_what_the_history_means_is_still_carried_over():
    nothing = FittedSignals.fit(CATALOGUE, histories_of([]), RAW, VECTORS, OPTIONS)
    query = make_query("user", [3], [1.0])
    scores = assembled(nothing)["transport"].score(query, np.arange(N_ITEMS))
    np.testing.assert_allclose(scores, np.maximum(VECTORS @ VECTORS[3], 0) ** 3, atol=1e-6)


def test_a_fit_says_which_signal_it_is_at():
    steps = []
    FittedSignals.fit(CATALOGUE, HISTORIES, RAW, VECTORS, OPTIONS, lambda *step: steps.append(step))
    learning = [step for step in steps if step[0] == "learning sequence"]
    steps = [step for step in steps if step not in learning]
    assert {step.removeprefix("fitting ") for step, *_ in steps} == {"lexical", *BEHAVIOUR}
    assert [done for _, done, _ in steps] == list(range(8))
    assert {total for *_, total in steps} == {8}
    assert [done for _, done, _ in learning] == list(range(1, learning[0][2] + 1))


def test_one_space_serves_all_signals_of_a_power(monkeypatch):
    powers = []
    fit = Space.fit
    monkeypatch.setattr(
        Space,
        "fit",
        lambda raw, codes, options: powers.append(options.power) or fit(raw, codes, options),
    )
    FittedSignals.fit(CATALOGUE, HISTORIES, RAW, VECTORS, OPTIONS)
    assert powers == [1.0]
    other = SignalsOptions(graph=GraphOptions(power=0.5))
    FittedSignals.fit(CATALOGUE, HISTORIES, RAW, VECTORS, other)
    assert powers == [1.0, 1.0, 0.5]


def test_many_threads_get_what_one_gets(signal):
    rows = np.arange(N_ITEMS)
    queries = list(QUERIES.values()) * 20
    alone = [signal.score(query, rows).tobytes() for query in queries]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda query: signal.score(query, rows).tobytes(), queries))
    assert together == alone
