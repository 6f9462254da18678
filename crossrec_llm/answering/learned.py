"""Trees over the head of a weighted blend."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from crossrec_llm.answering.blend import WeightedBlend
from crossrec_llm.records import Query


class LearnedBlend:
    """A weighted blend whose `head` best rows are put in a new order by gradient-boosted trees.

    The rows of the head share out its scores anew, the highest to the one that the trees put
    first: order changes, the scale does not. Rows that nobody took keep their places: the trees
    have learned nothing of them. Reasons stay those of the weighted blend; what the place in
    the order adds to the weighted sum is a contribution of its own (`Account.order`).

    Parameters
    ----------
    first : the weighted blend.
    trees : the text of a LightGBM model over `features` of the signals that weigh something.
    head : how many of the best rows are ordered anew.
    vectors : (n_items, dim) float32 unit rows in the space.
    people : (n_items,) int64, how many took each item.
    """

    def __init__(
        self,
        first: WeightedBlend,
        trees: str,
        head: int,
        *,
        vectors: np.ndarray,
        people: np.ndarray,
    ) -> None:
        self.first, self.names, self.head = first, first.names, head
        self._trees, self._vectors, self._people = trees, vectors, people

    def parts(self, rows: np.ndarray, scores: np.ndarray) -> np.ndarray:
        return self.first.parts(rows, scores)

    def weighing(self, rows: np.ndarray) -> np.ndarray:
        return self.first.weighing(rows)

    def total(self, query: Query, rows: np.ndarray, parts: np.ndarray) -> np.ndarray:
        total = self.first.total(query, rows, parts)
        best = np.argsort(-total, kind="stable")
        head = best[self._people[rows[best]] > 0][: self.head]
        if not len(head):
            return total
        used = parts[:, self.first.weights != 0]
        seen = features(query, rows, used, total, head, self._vectors, self._people)
        order = np.argsort(-_booster(self._trees).predict(seen, num_threads=1), kind="stable")
        out = total.copy()
        out[head[order]] = total[head]
        return out


@lru_cache(maxsize=8)
def _booster(trees: str) -> Any:
    """Loaded once for all blends with these trees: each live change makes new ones."""
    import lightgbm

    return lightgbm.Booster(model_str=trees)


def features(
    query: Query,
    rows: np.ndarray,
    parts: np.ndarray,
    total: np.ndarray,
    head: np.ndarray,
    vectors: np.ndarray,
    people: np.ndarray,
) -> np.ndarray:
    """(len(head), 2 s + 6) float32, what the trees see of each row of the head.

    Of every signal its part of the score and its rank within the head; the score and its rank;
    the largest cosine with an item of the history and the mean of the three largest; log(1 +
    people); the length of the history.

    Parameters
    ----------
    rows, parts, total : (n,) int64, (n, s) and (n,) float32 of the pool.
    head : (m,) int64 positions in the pool, best first.
    vectors, people : as for `LearnedBlend`.
    """
    here = parts[head]
    ranks = np.argsort(np.argsort(-here, axis=0, kind="stable"), axis=0)
    nearest = np.zeros((len(head), 3), np.float32)
    if len(query.history):
        recent = query.history[-50:]
        cosines = vectors[rows[head]] @ vectors[recent].T
        n = min(3, len(recent))
        nearest[:, :n] = -np.partition(-cosines, n - 1, axis=1)[:, :n]
        nearest[:, n:] = nearest[:, :n].mean(axis=1, keepdims=True)
    return np.column_stack(
        [
            here,
            ranks,
            total[head],
            np.arange(len(head)),
            nearest.max(axis=1),
            nearest.mean(axis=1),
            np.log1p(people[rows[head]]),
            np.full(len(head), len(query.history)),
        ]
    ).astype(np.float32)
