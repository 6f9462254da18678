"""What proposes and ranks the items of one question, until its list is full."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from crossrec_llm.answering.arranging import Arranged, Demands, arrange
from crossrec_llm.answering.blend import Blend
from crossrec_llm.answering.bridges import Gate
from crossrec_llm.answering.candidates import Views
from crossrec_llm.answering.interests import OwnLists
from crossrec_llm.answering.rules import Rules
from crossrec_llm.recording import step
from crossrec_llm.records import Query
from crossrec_llm.signals import Signal, Source


@dataclass(frozen=True, eq=False)
class Ranked:
    """A pool, and what is said of it.

    rows, totals : (n,) int64 and float32.
    scores, parts : (n, s) float32, what each signal says, and what of it the blend adds up.
    """

    rows: np.ndarray
    scores: np.ndarray
    parts: np.ndarray
    totals: np.ndarray


@dataclass(frozen=True, eq=False)
class Ranking:
    """How one question is ranked.

    views : what each item may see of the history.
    gate : what the history may not lead into.
    blend, signals : of the scores; the signals are in the blend's order.
    sources : of the candidates.
    size : of the pool, at first.
    raw : (n_items, dim) float32 unit rows as encoded; diversity is a matter of them.
    """

    query: Query
    views: Views
    gate: Gate
    blend: Blend
    signals: Sequence[Signal]
    sources: Sequence[Source]
    size: int
    raw: np.ndarray

    def pool(self, masks: Iterable[np.ndarray], size: int, given: np.ndarray) -> np.ndarray:
        """Sorted rows: those `given`, and candidates of each (n_items,) mask."""
        return self._pool(masks, [*self.sources, *self.gate.sources], size, given)

    def widened(self, masks: Iterable[np.ndarray], source: Source, rows: np.ndarray) -> np.ndarray:
        """The pool and twice as many from one source, for a list that is to differ in itself."""
        return self._pool(masks, [source], 2 * self.size, rows)

    @step("candidates")
    def _pool(
        self, masks: Iterable[np.ndarray], sources: Sequence[Source], size: int, given: np.ndarray
    ) -> np.ndarray:
        return self.views.pool(masks, sources, size, given)

    @step("signals")
    def rank(self, rows: np.ndarray) -> Ranked:
        """Every row by its view."""
        scores = self.views.score(rows, self.signals)
        parts = self.blend.parts(rows, scores)
        return Ranked(rows, scores, parts, self.blend.total(self.query, rows, parts))

    def alone(
        self, query: Query, views: Views, allowed: np.ndarray, rows: np.ndarray, k: int
    ) -> np.ndarray:
        """The first `k` (n,) rows for another question.

        Parameters
        ----------
        allowed : (n_items,) bool, what may come.
        rows : a pool; where too few of it may come, there are other candidates beside them.
        """
        other, open = replace(self, query=query, views=views), allowed & ~self.gate.closed
        rows = rows[open[rows]]
        if len(rows) < k:
            rows = other.pool([open], self.size, rows)
        return rows[np.argsort(-other.rank(rows).totals, kind="stable")[:k]]

    def fill(
        self, rules: Rules, own: OwnLists, rows: np.ndarray, k: int, diversity: float
    ) -> tuple[Ranked, Demands, Arranged]:
        """The pool, what the list must be like, and the list.

        Jumps that turn out to be too unlikely are closed first. While a rule leaves the list
        wanting, the pool grows.

        Parameters
        ----------
        rows : the pool to begin with.
        """
        size, rows = self.size, np.union1d(rows, own.any)
        while True:
            ranked = self.rank(rows)
            if self.gate.shuts(self.views, rows, ranked.totals):
                rows = self._pool(rules.pools(), self.gate.sources, size, rows)
                continue
            parts, totals = self.gate.exchange(rows, ranked.parts, ranked.totals)
            ranked = replace(ranked, parts=parts, totals=totals)
            near = self.raw[rows] if diversity else np.empty((len(rows), 0))
            demands = replace(rules.demands(rows), floors=own.floors(rows, self.gate.closed))
            with step("arranging"):
                arranged = arrange(totals, near, k, demands, diversity=diversity)
            size *= 2
            wanting = rules.wanting(rows, rows[arranged.positions])
            wider = self.pool([wanting], size, rows)
            if len(wider) == len(rows):
                return ranked, demands, arranged
            rows = wider
