"""What is measured: anything that ranks the catalogue for a case."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from crossrec_llm.answering import allowed_rows, crosses, make_query
from crossrec_llm.evaluation.protocols import Case
from crossrec_llm.filter import Filter
from crossrec_llm.recommender import Recommender
from crossrec_llm.records import Progress
from crossrec_llm.tables import Catalogue

_CELLS = 16_000_000  # scores of so many (case, item) pairs are held at once: 64 MB
_ALL = Filter()


@dataclass(frozen=True, eq=False)
class CaseTable:
    """Cases as numbers.

    indptr, history : rows of case c, oldest first: history[indptr[c]:indptr[c + 1]], each once,
        at its youngest age.
    targets : (n, t) int64 rows, -1 = no such item, or no more targets.
    gains : (n, t) float64, 0 = no more targets.
    """

    catalogue: Catalogue
    cases: Sequence[Case]
    indptr: np.ndarray
    history: np.ndarray
    targets: np.ndarray
    gains: np.ndarray

    @classmethod
    def of(cls, catalogue: Catalogue, cases: Sequence[Case]) -> CaseTable:
        """Items of a history that the catalogue lacks are left out of it."""
        known = []
        for case in cases:
            rows = catalogue.rows(list(dict.fromkeys(reversed(case.history)))[::-1])
            known.append(rows[rows >= 0])
        lengths = [len(rows) for rows in known]
        width = max((len(case.targets) for case in cases), default=0)
        targets = np.full((len(cases), width), -1, np.int64)
        gains = np.zeros((len(cases), width))
        for c, case in enumerate(cases):
            targets[c, : len(case.targets)] = catalogue.rows(case.targets)
            gains[c, : len(case.targets)] = case.grades or 1.0
        indptr = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64)
        rows = np.concatenate([np.empty(0, np.int64), *known])
        return cls(catalogue, cases, indptr, rows, targets, gains)

    def __len__(self) -> int:
        return len(self.cases)

    def blocks(self) -> Iterator[slice]:
        """Parts of the cases whose scores fit into memory."""
        step = max(1, _CELLS // max(len(self.catalogue), 1))
        for start in range(0, len(self), step):
            yield slice(start, min(start + step, len(self)))

    def histories(self, part: slice, *, decay: float = 1.0, last: int | None = None) -> Any:
        """(b, n_items) scipy CSR float32: decay ** age of the `last` newest items; None = all."""
        import scipy.sparse as sp

        start, stop = self.indptr[part.start], self.indptr[part.stop]
        lengths = np.diff(self.indptr[part.start : part.stop + 1])
        ends = np.repeat(self.indptr[part.start + 1 : part.stop + 1], lengths)
        age = ends - 1 - np.arange(start, stop)
        weights = np.power(decay, age).astype(np.float32)
        if last is not None:
            weights[age >= last] = 0
        indptr = self.indptr[part.start : part.stop + 1] - start
        shape = (len(lengths), len(self.catalogue))
        return sp.csr_matrix((weights, self.history[start:stop], indptr), shape=shape)

    def candidates(self) -> np.ndarray:
        """(n_items,) bool: what some case's filter lets in, whatever its history."""
        inside = np.zeros(len(self.catalogue), bool)
        for filter in {replace(case.filter, cross="any") for case in self.cases}:
            inside |= allowed_rows(self.catalogue, filter, make_query("user"))
        return inside

    def forbid(self, part: slice, scores: np.ndarray) -> None:
        """Set what may not be in a list to -inf, in place, as the served path does."""
        masks: dict[int, np.ndarray] = {}
        for c in range(part.start, part.stop):
            filter, row = self.cases[c].filter, scores[c - part.start]
            history = self.history[self.indptr[c] : self.indptr[c + 1]]
            if filter != _ALL:
                anywhere = replace(filter, cross="any")
                if id(filter) not in masks:
                    masks[id(filter)] = allowed_rows(self.catalogue, anywhere, make_query("user"))
                row[~masks[id(filter)]] = -np.inf
                home = np.unique(self.catalogue.top_codes[history])
                home = home[home != self.catalogue.no_category]
                if filter.cross != "any" and len(home):
                    inside = np.isin(self.catalogue.top_codes, home)
                    only = filter.cross == "only"
                    row[~crosses(self.catalogue, home) if only else ~inside] = -np.inf
            if not filter.include_seen:
                row[history] = -np.inf


@dataclass(frozen=True, eq=False)
class Ranked:
    """What a system said.

    lists : (n, depth) int64 rows, best first; -1 = not filled.
    ranks : (n, t) float64 rank of each target from 1 on, inf = not ranked; targets of equal score
        stand at their average place.
    """

    lists: np.ndarray
    ranks: np.ndarray


class System(Protocol):
    """Something that answers cases."""

    name: str

    def rank(self, table: CaseTable, depth: int, progress: Progress | None = None) -> Ranked:
        """The first `depth` of each case."""
        ...


class FullScorer(Protocol):
    """Something that scores the whole catalogue."""

    def score(self, table: CaseTable, part: slice) -> np.ndarray:
        """(b, n_items) float32, finite, for the cases of a part; the caller may write to it."""
        ...


class FullRanking:
    """Ranks the whole catalogue by a scorer; never a sample of it."""

    def __init__(self, name: str, scorer: FullScorer) -> None:
        self.name, self.scorer = name, scorer

    def rank(self, table: CaseTable, depth: int, progress: Progress | None = None) -> Ranked:
        """As `System.rank`.

        Of items that tie for more places than are left in the list, none is in the list; so it is
        empty where the best of them are too many.
        """
        depth = min(depth, len(table.catalogue))
        lists = np.full((len(table), depth), -1, np.int64)
        ranks = np.full(table.targets.shape, np.inf)
        for part in table.blocks():
            scores = self.scorer.score(table, part)
            table.forbid(part, scores)
            lists[part] = _highest(scores, depth)
            ranks[part] = _average_ranks(scores, table.targets[part])
            if progress is not None:
                progress(f"asking {self.name}", part.stop, len(table))
        return Ranked(lists, ranks)


def _highest(scores: np.ndarray, depth: int) -> np.ndarray:
    """(b, depth) columns of the highest finite scores, equal ones by column."""
    n = scores.shape[1]
    if depth < n:
        found = np.argpartition(scores, n - depth, axis=1)[:, n - depth :]
    else:
        found = np.tile(np.arange(n), (len(scores), 1))
    found.sort(axis=1)
    values = np.take_along_axis(scores, found, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    found = np.take_along_axis(found, order, axis=1)
    values = np.take_along_axis(values, order, axis=1)
    border = values[:, -1:]
    crowded = (scores >= border).sum(axis=1, keepdims=True) > depth
    out: np.ndarray = np.where((crowded & (values == border)) | ~np.isfinite(values), -1, found)
    return out


def _average_ranks(scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """(b, t) float64 1 + items above + half of the others that tie; inf for what is forbidden."""
    ranks = np.full(targets.shape, np.inf)
    for t in range(targets.shape[1]):
        column = targets[:, t]
        here = np.flatnonzero(column >= 0)
        if not len(here):
            continue
        inside = scores if len(here) == len(scores) else scores[here]
        own = scores[here, column[here]][:, None]
        above = np.count_nonzero(inside > own, axis=1)
        ties = np.count_nonzero(inside == own, axis=1) - 1
        ranks[here, t] = np.where(np.isfinite(own[:, 0]), 1 + above + ties / 2, np.inf)
    return ranks


class Served:
    """The recommender as it answers people: the same path, its parts in memory."""

    name = "system"

    def __init__(self, recommender: Recommender) -> None:
        self.recommender = recommender

    def rank(self, table: CaseTable, depth: int, progress: Progress | None = None) -> Ranked:
        """As `System.rank`; a list has one order, so a rank is a place in it."""
        depth = min(depth, len(table.catalogue))
        lists = np.full((len(table), depth), -1, np.int64)
        for c, case in enumerate(table.cases):
            ids = self._ids(table, c, case, depth)
            lists[c, : len(ids)] = table.catalogue.rows(ids)
            if progress is not None and (c + 1) % 100 == 0:
                progress(f"asking {self.name}", c + 1, len(table))
        return Ranked(lists, places(lists, table.targets))

    def _ids(self, table: CaseTable, c: int, case: Case, depth: int) -> list[str]:
        ask = self.recommender
        if case.text:
            return ask.like(case.text, depth, filter=case.filter, explain=False).ids
        rows = table.history[table.indptr[c] : table.indptr[c + 1]]
        known = [table.catalogue.ids[row] for row in rows]
        return ask.for_history(known, depth, filter=case.filter, explain=False).ids


def places(lists: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """(n, t) float64 place of each target in its (n, depth) list from 1 on; inf = not there."""
    ranks = np.full(targets.shape, np.inf)
    for t in range(targets.shape[1]):
        column = targets[:, t : t + 1]
        found = (lists == column) & (column >= 0)
        ranks[:, t] = np.where(found.any(axis=1), found.argmax(axis=1) + 1, np.inf)
    return ranks
