"""The weights of a blend, from pools with known answers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from crossrec_llm.training.examples import Examples

K = 10
_STEPS = (0.0, 0.5, 0.75, 1.33, 2.0)
_STARTS = (0.1, 0.3, 1.0)
_SHARES = (0.0, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0)
_ROUNDS = 8
_LEAST_GAIN = 1e-4

_LARGEST_SIZE = 3.0
_HALVINGS = 8


def fit_weights(examples: Examples, start: np.ndarray, fixed: Sequence[int] = ()) -> np.ndarray:
    """(s,) float64 weights, the highest 1, that find what somebody took; cold items stay out.

    Parameters
    ----------
    start : (s,) weights to start from.
    fixed : columns that keep theirs.
    """
    weights = _coordinate_ascent(examples, start, fixed)
    return np.round(weights / weights.max(), 3)


def fit_one(examples: Examples, weights: np.ndarray, column: int) -> np.ndarray:
    """(s,) float64, the same weights but for one, the best of several; cold items stay out.

    It may be 0.
    """
    tried = []
    for share in _SHARES:
        other = weights.astype(np.float64)
        other[column] = np.round(share * weights.max(), 3)
        tried.append((_objective(examples, examples.totals(other)), -share, other))
    return max(tried, key=lambda one: one[:2])[2]


def fit_cold(
    known: Examples, weights: np.ndarray, proportions: np.ndarray, cost: float
) -> np.ndarray:
    """(s,) float64 weights on cold items that find most of them at no more than a given cost.

    The proportions stay: fitted to the few cold items that are hidden, they did worse on others
    (measured). Their size is found by bisection: as large as the cost allows.

    Parameters
    ----------
    known : questions after items that somebody took.
    weights, proportions : (s,) on items that somebody took, and on cold ones but for their size.
    cost : share of the ndcg@10 of `known` that may be lost.
    """
    direction = proportions / np.linalg.norm(proportions) * np.linalg.norm(weights)
    least = (1 - cost) * known.ndcg(known.totals(weights), K).mean()
    low, high = 0.0, _LARGEST_SIZE
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if known.ndcg(known.totals(weights, middle * direction), K).mean() >= least:
            low = middle
        else:
            high = middle
    # Of size 0 they would order cold items by nothing.
    return np.round(max(low, _LARGEST_SIZE / 2**_HALVINGS) * direction, 3)


def _coordinate_ascent(examples: Examples, start: np.ndarray, fixed: Sequence[int]) -> np.ndarray:
    """Over weights of 0 or more; what does not add to the objective becomes 0."""
    weights = start.astype(np.float64)
    best = _objective(examples, examples.totals(weights))
    for _ in range(_ROUNDS):
        before = best
        for s in np.setdiff1d(np.arange(len(weights)), fixed):
            scale = weights.max()
            tried = [weights[s] * step for step in _STEPS] if weights[s] else []
            tried += [] if weights[s] else [scale * share for share in _STARTS]
            for value in tried:
                other = weights.copy()
                other[s] = value
                if not other.any():
                    continue
                found = _objective(examples, examples.totals(other))
                # A signal goes when that costs nothing: each one takes time to ask.
                if found > best + (0 if value == 0 else _LEAST_GAIN):
                    best, weights = found, other
        if best - before < _LEAST_GAIN:
            break
    return weights


def _objective(examples: Examples, totals: np.ndarray) -> float:
    """The mean of ndcg@10 and ndcg@100.

    The second keeps the first, which only a few questions decide, from being followed into its
    noise.
    """
    return float((examples.ndcg(totals, K) + examples.ndcg(totals, 100)).mean() / 2)
