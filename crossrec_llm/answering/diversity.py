"""From a ranked pool to a list: quota across categories, and MMR."""

from __future__ import annotations

import numpy as np


def quota(k: int, share: float) -> int:
    """How many of `k` items lie outside the home categories at this share; halves go up."""
    return int(np.floor(k * share + 0.5))


def arrange(
    scores: np.ndarray,
    vectors: np.ndarray,
    outside: np.ndarray,
    k: int,
    *,
    diversity: float = 0.0,
    cross_share: float | None = None,
) -> np.ndarray:
    """Positions of the list's items, first to last, chosen greedily.

    Each step takes the best of (1 - d) relevance - d max cosine to what is chosen (maximal
    marginal relevance, Carbonell and Goldstein 1998), relevance being the score scaled to 0..1
    over the pool. With a share, items of one side stop when that side's quota is full; a side
    that has too few is filled up from the other.

    Parameters
    ----------
    scores : (n,) float32, the pool's scores.
    vectors : (n, dim) float32 unit rows.
    outside : (n,) bool, outside the home categories.
    diversity : d, 0 (relevance only) to 1.
    cross_share : share of the list outside the home categories; None leaves it to the scores.
    """
    k = min(k, len(scores))
    order = np.argsort(-scores, kind="stable")
    if cross_share is None:
        room = np.array([k, k])
    else:
        wanted = quota(k, cross_share)
        there = np.array([(~outside).sum(), outside.sum()])
        cross = int(np.clip(wanted, k - there[0], there[1]))
        room = np.array([k - cross, cross])
    if diversity == 0:
        return _take(order, outside[order].astype(int), k, room)
    return _mmr(scores, vectors, outside.astype(int), k, diversity, room)


def _take(order: np.ndarray, side: np.ndarray, k: int, room: np.ndarray) -> np.ndarray:
    """The first rows of each side in order, as many as it has room for."""
    nth = np.where(side == 1, np.cumsum(side == 1), np.cumsum(side == 0))
    return order[nth <= room[side]][:k]


def _mmr(
    scores: np.ndarray,
    vectors: np.ndarray,
    side: np.ndarray,
    k: int,
    diversity: float,
    room: np.ndarray,
) -> np.ndarray:
    span = float(scores.max() - scores.min()) if len(scores) else 0.0
    relevance = (scores - scores.min()) / span if span > 0 else np.ones(len(scores))
    room = room.copy()
    nearest = np.full(len(scores), -1, np.float32)
    free = np.ones(len(scores), bool)
    chosen: list[int] = []
    for _ in range(k):
        value = (1 - diversity) * relevance - diversity * (nearest if chosen else 0)
        value[~free | (room[side] == 0)] = -np.inf
        best = int(np.argmax(value))
        chosen.append(best)
        free[best] = False
        room[side[best]] -= 1
        nearest = np.maximum(nearest, vectors @ vectors[best])
    return np.array(chosen, np.int64)
