"""Measures of a list against what was hidden, and how sure they are."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

MEASURES = ("recall", "ndcg", "hit", "mrr")


def measure(run: Sequence[str], targets: Collection[str], k: int) -> dict[str, float]:
    """Recall, NDCG (gains 0 and 1), hit rate and reciprocal rank of the first hit, all at k.

    As ir-measures has them: NDCG discounts rank r by 1 / log2(r + 1) and divides by the best
    possible list (Järvelin and Kekäläinen 2002).
    """
    hits = np.array([item_id in targets for item_id in run[:k]], float)
    discounts = 1 / np.log2(np.arange(2, k + 2))
    ideal = discounts[: min(len(targets), k)].sum()
    places = np.flatnonzero(hits)
    return {
        "recall": float(hits.sum() / len(targets)),
        "ndcg": float((hits * discounts[: len(hits)]).sum() / ideal),
        "hit": float(len(places) > 0),
        "mrr": float(1 / (places[0] + 1)) if len(places) else 0.0,
    }


@dataclass(frozen=True)
class Interval:
    """A mean over people with its 95 % interval."""

    value: float
    low: float
    high: float


def bootstrap(values: np.ndarray, *, seed: int, draws: int = 1000) -> Interval:
    """Percentile bootstrap over the people ((n,) float64, n > 0); of differences it is paired."""
    rng = np.random.default_rng(seed)
    n = len(values)
    means = np.array([values[rng.integers(0, n, n)].mean() for _ in range(draws)])
    low, high = np.quantile(means, (0.025, 0.975))
    return Interval(float(values.mean()), float(low), float(high))


def coverage(runs: Sequence[Sequence[str]], n_items: int) -> float:
    """Share of the catalogue that is in at least one list."""
    return len({item_id for run in runs for item_id in run}) / n_items


def summarise(rows: Sequence[Mapping[str, float]], k: int, seed: int) -> dict[str, Interval]:
    """Each measure ("ndcg@10") over people, in the order of MEASURES."""
    return {
        f"{name}@{k}": bootstrap(np.array([row[name] for row in rows]), seed=seed)
        for name in MEASURES
    }
