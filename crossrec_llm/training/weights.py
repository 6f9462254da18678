"""The weights of a blend, from pools with known answers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from crossrec_llm.training.examples import Examples

K = 10
_STEPS = (0.0, 0.5, 0.75, 1.33, 2.0)
_STARTS = (0.1, 0.3, 1.0)
_ROUNDS = 8
_LEAST_GAIN = 1e-4


def fit_weights(examples: Examples, start: Mapping[str, float]) -> dict[str, float]:
    """Coordinate ascent from the given weights; what does not add to the objective becomes 0.

    The objective is the mean of ndcg@10 and ndcg@100: the second keeps the first, which only a
    few questions decide, from being followed into its noise.
    """
    weights = np.array([start.get(name, 0.0) for name in examples.names])
    best = _objective(examples, weights)
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
                found = _objective(examples, other)
                # A signal goes when that costs nothing: each one takes time to ask.
                if found > best + (0 if value == 0 else _LEAST_GAIN):
                    best, weights = found, other
        if best - before < _LEAST_GAIN:
            break
    weights = weights / weights.max()
    return {name: round(float(w), 3) for name, w in zip(examples.names, weights, strict=True) if w}


def _objective(examples: Examples, weights: np.ndarray) -> float:
    totals = examples.totals(weights)
    return float((examples.ndcg(totals, K) + examples.ndcg(totals, 100)).mean() / 2)
