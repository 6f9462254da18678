"""What could be in an answer: the union of what the sources propose."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from crossrec_llm.answering.blend import Blend
from crossrec_llm.answering.learned import LearnedBlend
from crossrec_llm.records import Query
from crossrec_llm.signals import Signal, Source


def propose(
    query: Query, allowed: np.ndarray, sources: Sequence[Source], n_candidates: int
) -> np.ndarray:
    """Sorted distinct rows: the sources' proposals taken in turn, best first, up to a pool size.

    Parameters
    ----------
    allowed : (n_items,) bool.
    n_candidates : size of the pool; fewer come only when the sources have no more.
    """
    proposals = [source.propose(query, n_candidates, allowed) for source in sources]
    longest = max((len(rows) for rows in proposals), default=0)
    turns = np.full((longest, len(proposals)), -1, np.int64)
    for s, rows in enumerate(proposals):
        turns[: len(rows), s] = rows
    flat = turns.reshape(-1)
    flat = flat[flat >= 0]
    _, first = np.unique(flat, return_index=True)
    return np.sort(flat[np.sort(first)][:n_candidates])


def pool(
    query: Query,
    masks: Iterable[np.ndarray],
    sources: Sequence[Source],
    n_candidates: int,
    given: np.ndarray,
) -> np.ndarray:
    """Sorted distinct rows: those `given`, and what is proposed of each mask, as by `propose`."""
    proposed = [propose(query, mask, sources, n_candidates) for mask in masks if mask.any()]
    return np.unique(np.concatenate([given, *proposed]))


def score_all(query: Query, rows: np.ndarray, signals: Sequence[Signal]) -> np.ndarray:
    """(n, s) float32, what each signal says of each of `rows` ((n,) int64)."""
    columns = [signal.score(query, rows) for signal in signals]
    return np.stack(columns, axis=1) if columns else np.empty((len(rows), 0), np.float32)


def carry_all(query: Query, rows: np.ndarray, signals: Sequence[Signal]) -> list[np.ndarray]:
    """Of each signal (n, h) float32, how much each history item carried each row's score."""
    return [signal.carriers(query, rows) for signal in signals]


@dataclass(frozen=True, eq=False)
class Views:
    """One question as each item may see it: with all of the history, or with part of it.

    An item is proposed, scored and explained by its own view. Where there is one view it is the
    question itself.

    queries : of the views.
    seen : (g, h) bool, which items of the question's history each view has.
    of_row : (n_items,) int, the view of each item; None = there is one.
    """

    queries: tuple[Query, ...]
    seen: np.ndarray
    of_row: np.ndarray | None = None

    @classmethod
    def of(cls, query: Query) -> Views:
        """All items see all of it."""
        return cls((query,), np.ones((1, len(query.history)), bool))

    @classmethod
    def cut(
        cls, query: Query, history: np.ndarray, disliked: np.ndarray, of_row: np.ndarray
    ) -> Views:
        """A view as if the rest had not happened.

        Parameters
        ----------
        history, disliked : (g, h) and (g, d) bool, what each view sees.
        of_row : (n_items,) int, the view of each item.
        """
        queries = tuple(map(_cut, (query,) * len(history), history, disliked))
        return cls(queries, history, of_row)

    @property
    def single(self) -> bool:
        return self.of_row is None

    def _split(self, rows: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """(view, (m,) positions in `rows`) of each view that some of them have."""
        assert self.of_row is not None
        views = self.of_row[rows]
        for view in np.unique(views):
            yield int(view), np.flatnonzero(views == view)

    def pool(
        self,
        masks: Iterable[np.ndarray],
        sources: Sequence[Source],
        n_candidates: int,
        given: np.ndarray,
    ) -> np.ndarray:
        """As `pool`; each view has candidates of its own."""
        if self.of_row is None:
            return pool(self.queries[0], masks, sources, n_candidates, given)
        masks, rows = list(masks), given
        for view, query in enumerate(self.queries):
            mine = [mask & (self.of_row == view) for mask in masks]
            rows = pool(query, mine, sources, n_candidates, rows)
        return rows

    def score(self, rows: np.ndarray, signals: Sequence[Signal]) -> np.ndarray:
        """As `score_all`, in one matrix, so that all views are compared."""
        if self.single:
            return score_all(self.queries[0], rows, signals)
        scores = np.empty((len(rows), len(signals)), np.float32)
        for view, mine in self._split(rows):
            scores[mine] = score_all(self.queries[view], rows[mine], signals)
        return scores

    def carry(self, rows: np.ndarray, signals: Sequence[Signal]) -> list[np.ndarray]:
        """As `carry_all`, over the history of the question: 0 for what a view does not see."""
        if self.single:
            return carry_all(self.queries[0], rows, signals)
        carried = [np.zeros((len(rows), self.seen.shape[1]), np.float32) for _ in signals]
        for view, mine in self._split(rows):
            place = np.ix_(mine, np.flatnonzero(self.seen[view]))
            found = carry_all(self.queries[view], rows[mine], signals)
            for whole, part in zip(carried, found, strict=True):
                whole[place] = part
        return carried

    def query_of(self, row: int) -> Query:
        """The question as one item may see it."""
        return self.queries[0 if self.of_row is None else int(self.of_row[row])]

    def sees(self, rows: np.ndarray) -> np.ndarray:
        """(n, h) bool: which items of the question's history each row may see."""
        return self.seen[
            np.zeros(len(rows), np.int64) if self.of_row is None else self.of_row[rows]
        ]

    def ranked_by(self, blend: Blend) -> Blend:
        """Trees look at the whole history; where not all items may, the weights alone rank."""
        return blend.first if isinstance(blend, LearnedBlend) and not self.single else blend


def _cut(query: Query, history: np.ndarray, disliked: np.ndarray) -> Query:
    """A question with part of its history; the question itself where that is all of it."""
    if history.all() and disliked.all():
        return query
    weights = query.weights[history]
    return replace(
        query,
        history=query.history[history],
        weights=weights / weights.max() if len(weights) else weights,
        disliked=query.disliked[disliked],
    )
