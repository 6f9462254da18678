"""Pools of candidates with known answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from crossrec_llm.answering import (
    Ask,
    SituationName,
    allowed_rows,
    make_query,
    propose,
    score_all,
)
from crossrec_llm.answering.blend import standardise
from crossrec_llm.filter import Filter
from crossrec_llm.recommender import Recommender
from crossrec_llm.records import Progress, Query
from crossrec_llm.training.holdout import HeldOut


@dataclass(frozen=True, eq=False)
class Examples:
    """c questions with their pools of up to p candidates, each scored by s signals.

    names : the signals, in order.
    queries : the questions.
    rows : (c, p) int64 catalogue rows, -1 beyond a pool's end.
    cold : (c, p) bool, whether nobody took the row in what the signals were fitted on.
    z : (c, p, s) float32 z-scores over each pool, 0 beyond its end.
    case, place : (t,) int64, where the hidden items that were proposed are.
    asked : (c, 2) int64, how many items are hidden: of those that somebody took, and cold ones.
    """

    names: tuple[str, ...]
    queries: Sequence[Query]
    rows: np.ndarray
    cold: np.ndarray
    z: np.ndarray
    case: np.ndarray
    place: np.ndarray
    asked: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def part(self, cases: np.ndarray) -> Examples:
        """Those questions only; `cases` is (m,) int64, increasing."""
        new = np.full(len(self), -1)
        new[cases] = np.arange(len(cases))
        kept = new[self.case] >= 0
        return Examples(
            self.names,
            [self.queries[c] for c in cases],
            self.rows[cases],
            self.cold[cases],
            self.z[cases],
            new[self.case[kept]],
            self.place[kept],
            self.asked[cases],
        )

    def without(self, *names: str) -> Examples:
        """As if some signals did not score; what they proposed stays in the pools."""
        kept = [s for s, name in enumerate(self.names) if name not in names]
        left = tuple(self.names[s] for s in kept)
        return replace(self, names=left, z=self.z[:, :, kept])

    def after(self, *, cold: bool) -> Examples:
        """The questions that are after a cold item, or after another one, and only that of each."""
        aimed = self.cold[self.case, self.place] == cold
        asked = np.where([not cold, cold], self.asked, 0)
        only = Examples(
            self.names,
            self.queries,
            self.rows,
            self.cold,
            self.z,
            self.case[aimed],
            self.place[aimed],
            asked,
        )
        return only.part(np.flatnonzero(asked.any(axis=1)))

    def totals(self, weights: np.ndarray, cold: np.ndarray | None = None) -> np.ndarray:
        """(c, p) float32 scores by (s,) weights; -inf beyond a pool's end.

        Parameters
        ----------
        cold : weights on cold rows; None gives those -inf.
        """
        total = self.z @ weights.astype(np.float32)
        if cold is None:
            total[self.cold] = -np.inf
        else:
            np.copyto(total, self.z @ cold.astype(np.float32), where=self.cold)
        total[self.rows < 0] = -np.inf
        return total

    def ndcg(self, totals: np.ndarray, k: int) -> np.ndarray:
        """(c,) float64 ndcg@k of every question by (c, p) scores, ties at their average."""
        own = totals[self.case, self.place][:, None]
        pools = totals[self.case]
        ranks = 1 + (pools > own).sum(axis=1) + ((pools == own).sum(axis=1) - 1) / 2
        inside = (ranks <= k) & np.isfinite(own[:, 0])
        gains = np.where(inside, 1 / np.log2(1 + ranks), 0)
        found = np.bincount(self.case, weights=gains, minlength=len(self))
        ideal = np.concatenate([[0], np.cumsum(1 / np.log2(np.arange(2, k + 2)))])
        return found / ideal[np.minimum(self.asked.sum(axis=1), k)]

    @classmethod
    def collect(
        cls,
        recommender: Recommender,
        situation: SituationName,
        held: Sequence[HeldOut],
        names: Sequence[str],
        sources: Sequence[str],
        progress: Progress | None = None,
    ) -> Examples:
        """Ask for every held-out case as the situation does; `names` score, `sources` propose."""
        names = tuple(name for name in names if name in recommender.signals)
        signals = [recommender.signals[name] for name in names]
        proposing = [recommender.signals[name] for name in sources if name in recommender.signals]
        ask = Ask(filter=Filter(cross="only" if situation == "cross" else "any"))
        size = min(recommender.recipe.answering.n_candidates, len(recommender.catalogue))
        cold = recommender.generation.signals.popularity.cold
        rows = np.full((len(held), size), -1, np.int64)
        z = np.zeros((len(held), size, len(names)), np.float32)
        queries, places = [], []
        for c, one in enumerate(held):
            query = make_query("user", one.history, np.ones(len(one.history)))
            allowed = allowed_rows(recommender.catalogue, ask.filter, query)
            pool = propose(query, allowed, proposing, size)
            rows[c, : len(pool)] = pool
            z[c, : len(pool)] = standardise(score_all(query, pool, signals))
            queries.append(query)
            places.append(np.flatnonzero(np.isin(rows[c], one.targets)))
            if progress is not None and c % 50 == 0:
                progress(f"asking for {situation}", c, len(held))
        new = np.array([cold[one.targets].sum() for one in held], np.int64)
        hidden = np.array([len(one.targets) for one in held], np.int64)
        return cls(
            names,
            queries,
            rows,
            cold[rows] & (rows >= 0),
            z,
            np.repeat(np.arange(len(held)), [len(place) for place in places]),
            np.concatenate([*places, np.empty(0, np.int64)]).astype(np.int64),
            np.stack([hidden - new, new], axis=1),
        )
