"""How credible it is to cross from one category to another, from people who did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import permutations

import numpy as np

from crossrec_llm.answering import EVIDENCE, TOP, Bridge, Bridges, make_query, propose, score_all
from crossrec_llm.answering.bridges import Basis
from crossrec_llm.answering.jumps import JumpModel, jump_features
from crossrec_llm.recommender import Recommender
from crossrec_llm.records import Progress, Query
from crossrec_llm.tables import Histories
from crossrec_llm.training.holdout import HeldOut
from crossrec_llm.training.jumps import fit_jumps

LEAST_PEOPLE = 50
"""To judge a pair by their lists, or by the texts of what they took; and to judge any."""
BY_CHANCE = 0.05

_LISTED = 100
_HOMES = 3
_MOST_PEOPLE = 500
_MOST_SEEN = 10_000


def fit_bridges(
    recommender: Recommender,
    held: Sequence[HeldOut],
    histories: Histories,
    seed: int,
    progress: Progress | None = None,
) -> Bridges:
    """The credibility of every pair that people were seen in, and the probability of a jump.

    A list for people's items in a hidden category is made from their history, and from the part
    of it in each of their three largest home categories. It should find what they took there
    rather than what others took: the gain of each list for each person's items is compared by
    `_Tested`. Pairs with fewer than LEAST_PEOPLE people are judged by meaning: the ranks of the
    cosines between the mean vectors of what people took in either category. The first asks for
    what was hidden, and vectors know nothing of behaviour: neither has seen the answers.

    Parameters
    ----------
    recommender : fitted without what is hidden, answering by the blend that is to be served.
    held : people of whom everything in one top category is hidden.
    histories : of all people, with nothing hidden.
    """
    catalogue = recommender.catalogue
    tops, names = catalogue.top_codes, catalogue.top_names
    lister = Lister(recommender)
    lists: dict[tuple[int, int], list[_Listed]] = {}
    jumps, hits, owner = [], [], []
    for c, one in enumerate(held):
        target = int(tops[one.targets[0]])
        query = _asked(one.history)
        rows = lister.inside(query, target)
        if len(rows):
            jumps.append(lister.features(query, rows[:TOP]))
            hits.append(np.isin(rows[:TOP], one.targets))
            owner.append(np.full(len(jumps[-1]), c))
        for home in _largest(tops[one.history], catalogue.no_category):
            mine = one.history[tops[one.history] == home]
            found = rows if len(mine) == len(query.history) else lister.inside(_asked(mine), target)
            lists.setdefault((home, target), []).append(_Listed(found, one.targets))
        if progress is not None and c % 50 == 0:
            progress("crossing bridges", c, len(held))
    tested = {
        pair: _by_behaviour(listed[:_MOST_PEOPLE])
        for pair, listed in lists.items()
        if len(listed) >= LEAST_PEOPLE
    }
    seen = _Seen.of(histories, tops, recommender.generation.vectors, catalogue.no_category, seed)
    for pair in permutations(seen.codes, 2):
        people = seen.in_both(*pair)
        if pair not in tested and len(people) >= LEAST_PEOPLE:
            tested[pair] = seen.by_meaning(*pair, people[:_MOST_PEOPLE])
    opened = _more_than_chance({pair: one.p for pair, one in tested.items()}, BY_CHANCE)
    pairs = tuple(
        Bridge(
            names[home],
            names[target],
            round(one.credibility, 4),
            round(one.low, 4),
            round(one.high, 4),
            one.people,
            one.basis,
            (home, target) in opened,
        )
        for (home, target), one in sorted(tested.items())
    )
    untested = bool(opened) or not tested
    model = JumpModel()
    if len(jumps) >= LEAST_PEOPLE:
        model = fit_jumps(np.concatenate(jumps), np.concatenate(hits), np.concatenate(owner), seed)
    return Bridges(pairs, untested, replace(model, signals=lister.evidence))


def _asked(rows: np.ndarray) -> Query:
    return make_query("user", rows, np.ones(len(rows)))


def _largest(codes: np.ndarray, no_category: int) -> list[int]:
    """The home categories with most items, ties by code."""
    found, counts = np.unique(codes[codes != no_category], return_counts=True)
    return [int(code) for code in found[np.argsort(-counts, kind="stable")][:_HOMES]]


class Lister:
    """Lists inside one category, as the blend of `cross` orders them."""

    def __init__(self, recommender: Recommender) -> None:
        self.recommender, generation = recommender, recommender.generation
        there = recommender.signals
        sources = generation.situation("cross").sources
        self.sources = [there[name] for name in sources if name in there]
        self.blend = generation.blend("cross", there)
        self.signals = [there[name] for name in self.blend.names]
        self.evidence = tuple(name for name in EVIDENCE if name in there)
        self.size = min(recommender.recipe.answering.n_candidates, len(recommender.catalogue))

    def inside(self, query: Query, code: int) -> np.ndarray:
        """(at most 100,) int64 rows, best first."""
        allowed = self.recommender.catalogue.top_codes == code
        allowed[query.history] = False
        rows = propose(query, allowed, self.sources, self.size)
        parts = self.blend.parts(rows, score_all(query, rows, self.signals))
        totals = self.blend.total(query, rows, parts)
        return rows[np.argsort(-totals, kind="stable")[:_LISTED]]

    def features(self, query: Query, rows: np.ndarray) -> np.ndarray:
        tops, generation = self.recommender.catalogue.top_codes, self.recommender.generation
        evidence = [self.recommender.signals[name] for name in self.evidence]
        people = generation.signals.popularity.people
        return jump_features(query, rows, evidence, generation.vectors, people, tops)


@dataclass(frozen=True, eq=False)
class _Listed:
    """A list, best first, and the rows that the person took there."""

    rows: np.ndarray
    targets: np.ndarray


@dataclass(frozen=True)
class _Tested:
    """What speaks for one pair; `p` is that of a permutation test, one-sided."""

    credibility: float
    low: float
    high: float
    people: int
    basis: Basis
    p: float

    @classmethod
    def of(cls, values: np.ndarray, whole: float, basis: Basis) -> _Tested:
        """How far the diagonal of (n, n) `values`, of i's for j, is ahead, as a part of `whole`.

        Over random permutations the sum of n values is about normal, with this mean and spread
        (Hoeffding 1951, theorems 2 and 3). Where nothing varies, nothing is shown.
        """
        from scipy.stats import norm

        n, mean = len(values), values.mean()
        ahead = (np.trace(values) - n * mean) / (n - 1)
        centred = values - values.mean(axis=0) - values.mean(axis=1)[:, None] + mean
        error = np.sqrt(np.square(centred).sum() / (n - 1)) / (n - 1)
        if error <= 1e-9 * max(abs(mean), 1e-9):
            return cls(0.0, 0.0, 1.0, n, basis, 1.0)
        ends = (ahead, ahead - 1.96 * error, ahead + 1.96 * error)
        found, low, high = (float(np.clip(end / whole, 0, 1)) for end in ends)
        return cls(found, low, high, n, basis, float(norm.sf(ahead / error)))


def _by_behaviour(listed: Sequence[_Listed]) -> _Tested:
    """Of the gain sum_r 1 / log2(1 + r) over the ranks r of what somebody took."""
    import scipy.sparse as sp

    n = len(listed)
    width = 1 + max(int(np.concatenate([one.rows, one.targets]).max()) for one in listed)
    ranks = np.concatenate([np.arange(len(one.rows)) for one in listed])
    at = np.concatenate([one.rows for one in listed])
    of = np.repeat(np.arange(n), [len(one.rows) for one in listed])
    gains = sp.csr_matrix((1 / np.log2(2 + ranks), (of, at)), shape=(n, width))
    took = np.concatenate([one.targets for one in listed])
    whose = np.repeat(np.arange(n), [len(one.targets) for one in listed])
    taken = sp.csr_matrix((np.ones(len(took)), (took, whose)), shape=(width, n))
    gain = (gains @ taken).toarray()
    return _Tested.of(gain, max(np.diag(gain).mean(), 1e-12), "behaviour")


@dataclass(frozen=True, eq=False)
class _Seen:
    """People who were seen in several categories.

    codes : of the categories, sorted.
    place : (people, codes) int64 row in `vectors`, -1 where not seen.
    vectors : (m, dim) float32, the mean of what a person took in a category, of length 1.
    """

    codes: list[int]
    place: np.ndarray
    vectors: np.ndarray

    @classmethod
    def of(
        cls, histories: Histories, tops: np.ndarray, vectors: np.ndarray, none: int, seed: int
    ) -> _Seen:
        """At most 10,000 people, drawn by `seed`."""
        wanted = histories.weights > 0
        people = np.repeat(np.arange(len(histories)), np.diff(histories.indptr))[wanted]
        rows = histories.rows[wanted]
        named = tops[rows] != none
        people, rows = people[named], rows[named]
        width = int(tops.max(initial=0)) + 1
        cells = np.unique(people * width + tops[rows])
        several = np.flatnonzero(np.bincount(cells // width, minlength=1) > 1)
        drawn = np.sort(np.random.default_rng(seed).permutation(several)[:_MOST_SEEN])
        mine = np.isin(people, drawn)
        people, rows = people[mine], rows[mine]
        cells, of = np.unique(people * width + tops[rows], return_inverse=True)
        sums = np.zeros((len(cells), vectors.shape[1]), np.float32)
        np.add.at(sums, of, vectors[rows])
        sums /= np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
        codes, column = np.unique(cells % width, return_inverse=True)
        place = np.full((len(drawn), len(codes)), -1)
        place[np.searchsorted(drawn, cells // width), column] = np.arange(len(cells))
        return cls([int(code) for code in codes], place, sums)

    def in_both(self, home: int, target: int) -> np.ndarray:
        """(n,) int64 people."""
        columns = [self.codes.index(home), self.codes.index(target)]
        return np.flatnonzero((self.place[:, columns] >= 0).all(axis=1))

    def by_meaning(self, home: int, target: int, people: np.ndarray) -> _Tested:
        """Whether people's own items lie nearer to each other than to those of other people."""
        from scipy.stats import rankdata

        here, there = (
            self.vectors[self.place[people, self.codes.index(code)]] for code in (home, target)
        )
        ranks = rankdata(here @ there.T, axis=1) / (len(people) - 1)
        return _Tested.of(ranks, 0.5, "meaning")


def _more_than_chance(p_values: dict[tuple[int, int], float], share: float) -> set[tuple[int, int]]:
    """As many pairs as can be, with at most `share` of them expected to be there by chance.

    Where no pair is more than chance, none is found but in `share` of all logs (Benjamini and
    Hochberg 1995).
    """
    by_p = sorted(p_values.items(), key=lambda entry: entry[1])
    passed = [n for n, (_, p) in enumerate(by_p, 1) if p <= share * n / len(by_p)]
    return {pair for pair, _ in by_p[: max(passed, default=0)]}
