"""What could be in an answer: the search planner, and the union of what the sources propose."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge

from crossrec_llm.records import STRICT, Query
from crossrec_llm.signals import Signal, Source
from crossrec_llm.store import ExactSearch, Search


@dataclass(frozen=True)
class SearchOptions:
    """When the vector index is asked, and when every passing row is scanned.

    exact_below : scan when no more rows than this pass the filter. A scan misses nothing, gives
        the same answer after every build (Chroma builds its graph in a random order), and up to
        about this size it is no slower.
    overfetch : ask the index for at most this many neighbours; beyond it a scan is cheaper.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    exact_below: Annotated[int, Ge(0)] = 100_000
    overfetch: Annotated[int, Ge(1)] = 2_000


class PlannedSearch:
    """A Search that picks, per question, between the vector index and the exact scan.

    Parameters
    ----------
    exact : over all rows.
    index : opens the vector index; called once, when it is first needed.
    """

    def __init__(
        self, exact: ExactSearch, index: Callable[[], Search], options: SearchOptions
    ) -> None:
        self.exact, self.options = exact, options
        self._open_index = index
        self._index: Search | None = None

    def __len__(self) -> int:
        return len(self.exact)

    def nearest(
        self, vectors: np.ndarray, k: int, allowed: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """As `Search.nearest`."""
        n, passing = len(self), len(self) if allowed is None else int(allowed.sum())
        if passing <= self.options.exact_below or k * n > self.options.overfetch * passing:
            return self.exact.nearest(vectors, k, allowed)
        if self._index is None:
            self._index = self._open_index()
        return self._index.nearest(vectors, k, allowed)


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
