"""What a person said outright: sentences pinned to the profile, and items that were disliked."""

from __future__ import annotations

import numpy as np

from crossrec_llm.records import Query
from crossrec_llm.store import Search


class Said:
    """Cosine of an item with the pinned sentence nearest to it, both as the encoder gives them.

    Parameters
    ----------
    raw : (n_items, dim) float32, unit rows as encoded.
    search : over the same rows.
    """

    name = "said"
    kind = "said"

    def __init__(self, raw: np.ndarray, search: Search) -> None:
        self.raw, self.search = raw, search

    def score(self, query: Query, rows: np.ndarray) -> np.ndarray:
        if query.said_vectors is None:
            return np.full(len(rows), np.nan, np.float32)
        found: np.ndarray = (self.raw[rows] @ query.said_vectors.T).max(axis=1)
        return found

    def carriers(self, query: Query, rows: np.ndarray) -> np.ndarray:
        return np.zeros((len(rows), len(query.history)), np.float32)

    def propose(self, query: Query, n: int, allowed: np.ndarray) -> np.ndarray:
        if query.said_vectors is None:
            return np.empty(0, np.int64)
        each = -(-n // len(query.said))
        rows, _ = self.search.nearest(query.said_vectors, each, allowed)
        # Rank by rank, so that the nearest of every sentence come first.
        flat = rows.T.reshape(-1)
        flat = flat[flat >= 0]
        _, first = np.unique(flat, return_index=True)
        return flat[np.sort(first)][:n]

    def sentence(self, query: Query, row: int) -> str:
        """The pinned sentence that is nearest to an item."""
        assert query.said_vectors is not None, "nothing is pinned"
        return query.said[int((query.said_vectors @ self.raw[row]).argmax())]


class Disliked:
    """-min(1, sqrt(sum over disliked items of max(cosine, 0)^2)): from 0, near to none, to -1.

    One dislike counts by its cosine. Several in one direction add up, so that they hold for the
    direction and not only for what is next to them; many that lie all over do not add up to much.

    Parameters
    ----------
    vectors : (n_items, dim) float32, unit rows in the space.
    """

    name = "disliked"
    kind = "disliked"

    def __init__(self, vectors: np.ndarray) -> None:
        self.vectors = vectors

    def score(self, query: Query, rows: np.ndarray) -> np.ndarray:
        cosines = self.vectors[rows] @ self.vectors[query.disliked].T
        near = np.linalg.norm(np.maximum(cosines, 0), axis=1)
        return np.asarray(0 - np.minimum(near, 1), np.float32)

    def carriers(self, query: Query, rows: np.ndarray) -> np.ndarray:
        return np.zeros((len(rows), len(query.history)), np.float32)
