"""What every Signal and every Source keeps, whatever it computes."""

from __future__ import annotations

import numpy as np
import pytest

from crossrec_llm.answering import make_query
from crossrec_llm.records import Query
from crossrec_llm.signals import SIGNAL_NAMES, FittedSignals, SignalsOptions, assemble
from crossrec_llm.store import ExactSearch
from tests.small import N_ITEMS, histories_of, unit_rows

RAW = unit_rows(N_ITEMS, 16, seed=1)
VECTORS = unit_rows(N_ITEMS, 16, seed=2)
HISTORIES = histories_of([[0, 1, 2], [1, 2, 3], [0, 2, 5, 6], [7, 8], [8, 9, 7], [10, 0]])


@pytest.fixture(params=SIGNAL_NAMES)
def signal(request):
    options = SignalsOptions()
    fitted = FittedSignals.fit(HISTORIES, RAW, np.arange(N_ITEMS) % 2, options)
    signals = assemble(
        fitted,
        options,
        vectors=VECTORS,
        search=ExactSearch(VECTORS),
        raw=RAW,
        raw_search=ExactSearch(RAW),
    )
    return signals[request.param]


QUERIES = {
    "user": make_query("user", [0, 1, 7], [1.0, 0.5, 1.0]),
    "dislikes": make_query("user", [0, 1, 7], [1.0, -1.0, 1.0]),
    "only dislikes": make_query("user", [3], [-1.0]),
    "nobody": make_query("user"),
    "text": make_query("like", text_vector=RAW[4]),
    "text for a user": make_query("like", [2, 3], [1, 1], text_vector=RAW[4]),
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
