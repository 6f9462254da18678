"""The same kind of thing: how much of its category path an item shares."""

from __future__ import annotations

import numpy as np

from crossrec_llm.records import Query
from crossrec_llm.signals.base import LastQuery, best
from crossrec_llm.tables import Catalogue


class Category:
    """Mean over the history of shared / own: the shared start of two paths over the item's own.

    1 for what lies at or below the path of every history item, 0 for what shares no top category
    with any. A history without categories cannot score.
    """

    name = "category"
    kind = "category"

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._by_path = LastQuery(self._shares)

    def score(self, query: Query, rows: np.ndarray) -> np.ndarray:
        shares, weights = self._by_path(query)
        if not weights.any():
            return np.full(len(rows), np.nan, np.float32)
        of_path = shares @ (weights / weights.sum())
        return of_path[self._catalogue.path_codes[rows]].astype(np.float32)

    def carriers(self, query: Query, rows: np.ndarray) -> np.ndarray:
        shares, weights = self._by_path(query)
        return shares[self._catalogue.path_codes[rows]] * weights

    def propose(self, query: Query, n: int, allowed: np.ndarray) -> np.ndarray:
        rows = np.flatnonzero(allowed)
        scores = self.score(query, rows)
        rows = rows[scores > 0]
        return rows[best(scores[scores > 0], n)]

    def _shares(self, query: Query) -> tuple[np.ndarray, np.ndarray]:
        """(n_paths, h) float32 shared part, and (h,) float32 weights, 0 without a category."""
        paths, codes = self._catalogue.paths, self._catalogue.path_codes[query.history]
        shares = np.zeros((len(paths), len(codes)), np.float32)
        for h, code in enumerate(codes):
            own = paths[code]
            shares[:, h] = [_shared(own, path) / max(len(own), 1) for path in paths]
        known = np.array([bool(paths[code]) for code in codes], bool)
        return shares, np.where(known, query.weights, 0).astype(np.float32)


def _shared(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    """How many parts two paths have in common before they part."""
    n = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        n += 1
    return n
