from __future__ import annotations

import numpy as np
import pytest

from crossrec_llm.answering import make_query
from crossrec_llm.signals import LeftOut, Popularity, TrendingOptions, comparable_times
from crossrec_llm.tables import Histories
from tests.small import N_ITEMS, histories_of

NOBODY = make_query("user")
DAY = 86_400.0
NOW = 1.7e9


def timed(rows: list[list[int]], times: list[float]) -> Histories:
    """Histories with one time for each entry, in order."""
    histories = histories_of(rows)
    histories.timestamps[:] = times
    return histories


def test_popularity_counts_people():
    score = Popularity.fit(histories_of([[0, 1], [1], [1, 2]]), N_ITEMS).score(NOBODY, np.arange(4))
    np.testing.assert_allclose(score, np.log1p([1, 3, 1, 0]), rtol=1e-6)


def test_the_most_popular_of_what_is_allowed_come_first():
    fitted = Popularity.fit(histories_of([[0, 1], [1, 5], [1, 5, 9]]), N_ITEMS)
    allowed = np.ones(N_ITEMS, bool)
    allowed[1] = False
    assert fitted.propose(NOBODY, 4, allowed).tolist() == [5, 0, 9, 2]


def test_a_take_counts_half_after_its_half_life():
    histories = timed([[0, 1], [1]], [NOW - 20 * DAY, NOW, NOW - 10 * DAY])
    fitted = Popularity.lately(histories, N_ITEMS, TrendingOptions(half_life=10))
    score = fitted.score(NOBODY, np.arange(3))
    np.testing.assert_allclose(score, np.log1p([0.25, 1.5, 0]), rtol=1e-5)


def test_what_is_taken_lately_passes_what_was_taken_often():
    histories = timed([[0], [0], [0], [1], [1]], [NOW - 400 * DAY] * 3 + [NOW - DAY, NOW])
    everything = np.ones(N_ITEMS, bool)
    trending = Popularity.lately(histories, N_ITEMS, TrendingOptions())
    assert trending.propose(NOBODY, 2, everything).tolist() == [1, 0]
    assert Popularity.fit(histories, N_ITEMS).propose(NOBODY, 2, everything).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([NOW, NOW - 9 * DAY, NOW - 3 * DAY, NOW], True),
        ([NOW, NOW - 9 * DAY, np.nan, np.nan], True),
        ([NOW, np.nan, np.nan, np.nan], False),
        ([0, 1, 0, 1], False),
        ([NOW] * 4, False),
        ([np.nan] * 4, False),
    ],
    ids=["moments", "half are known", "few are known", "positions", "one export", "unknown"],
)
def test_which_times_can_be_compared_between_people(times, expected):
    histories = timed([[0, 1], [2, 3]], times)
    assert comparable_times(histories) is expected
    if expected:
        lately = Popularity.lately(histories, N_ITEMS, TrendingOptions())
        assert (lately.name, lately.kind) == ("trending", "trending")
    else:
        with pytest.raises(LeftOut, match="need a time"):
            Popularity.lately(histories, N_ITEMS, TrendingOptions())


def test_no_events_have_no_times():
    assert not comparable_times(histories_of([]))
    with pytest.raises(LeftOut, match="nobody took anything"):
        Popularity.lately(histories_of([]), N_ITEMS, TrendingOptions())


def test_cold_is_what_nobody_took():
    fitted = Popularity.fit(histories_of([[0, 1], [1, 5]]), 7)
    assert np.flatnonzero(fitted.cold).tolist() == [2, 3, 4, 6]
    assert fitted.cold is fitted.cold
