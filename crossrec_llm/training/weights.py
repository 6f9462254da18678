"""The weights of a blend, from pools with known answers."""

from __future__ import annotations

import numpy as np

from crossrec_llm.training.examples import Examples

K = 10
_STEPS = (0.0, 0.5, 0.75, 1.33, 2.0)
_STARTS = (0.1, 0.3, 1.0)
_ROUNDS = 8
_LEAST_GAIN = 1e-4

_LIFTS = (0.0, 0.2, 0.4, 0.7, 1.0)
_LARGEST_SCALE = 3.0
_HALVINGS = 7


def fit_weights(examples: Examples, start: np.ndarray) -> np.ndarray:
    """(s,) float64 weights, the highest 1, that find what somebody took; cold items stay out.

    Parameters
    ----------
    start : (s,) weights to start from.
    """
    weights = _climb(examples, start)
    return np.round(weights / weights.max(), 3)


def fit_cold(
    known: Examples, new: Examples, weights: np.ndarray, proportions: np.ndarray, cost: float
) -> np.ndarray:
    """(s,) float64 weights on cold items that find most of them at no more than a given cost.

    The proportions stay: fitted to the few cold items that are hidden, they did worse on others
    (measured). Beside the other items they count as much as the cost allows: for each of some
    weights below 0 on popularity, by which all cold items rise alike, the scale is found by
    bisection, and the pair that finds most is taken.

    Parameters
    ----------
    known, new : questions after items that somebody took, and after cold ones.
    weights, proportions : (s,) on items that somebody took, and on cold ones but for their size.
    cost : share of the ndcg@10 of `known` that may be lost; where nothing costs so little, the
        cheapest is taken.
    """
    size = np.linalg.norm(weights)
    direction = proportions / np.linalg.norm(proportions) * size
    popular = np.array([name == "popularity" for name in known.names])
    alone = max(float(known.ndcg(known.totals(weights), K).mean()), 1e-12)

    def lost(cold: np.ndarray) -> float:
        return 1 - float(known.ndcg(known.totals(weights, cold), K).mean()) / alone

    tried = []
    for lift in _LIFTS:
        low, high = 0.0, _LARGEST_SCALE
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            if lost(middle * direction - lift * size * popular) <= cost:
                low = middle
            else:
                high = middle
        # A direction of 0 would order cold items by nothing.
        scale = max(low, _LARGEST_SCALE / 2**_HALVINGS)
        tried.append(np.round(scale * direction - lift * size * popular, 3))
    found = [(-max(lost(cold), cost), _found(new, new.totals(weights, cold))) for cold in tried]
    return tried[max(range(len(tried)), key=found.__getitem__)]


def _climb(examples: Examples, start: np.ndarray) -> np.ndarray:
    """Coordinate ascent over weights of 0 or more; what does not help to find becomes 0."""
    weights = start.astype(np.float64)
    best = _found(examples, examples.totals(weights))
    for _ in range(_ROUNDS):
        before = best
        for s in range(len(weights)):
            scale = weights.max()
            tried = [weights[s] * step for step in _STEPS] if weights[s] else []
            tried += [] if weights[s] else [scale * share for share in _STARTS]
            for value in tried:
                other = weights.copy()
                other[s] = value
                if not other.any():
                    continue
                found = _found(examples, examples.totals(other))
                # A signal goes when that costs nothing: each one takes time to ask.
                if found > best + (0 if value == 0 else _LEAST_GAIN):
                    best, weights = found, other
        if best - before < _LEAST_GAIN:
            break
    return weights


def _found(examples: Examples, totals: np.ndarray) -> float:
    """The mean of ndcg@10 and ndcg@100.

    The second keeps the first, which only a few questions decide, from being followed into its
    noise.
    """
    return float((examples.ndcg(totals, K) + examples.ndcg(totals, 100)).mean() / 2)
