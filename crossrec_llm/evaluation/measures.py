"""Measures of ranks against what was hidden, and how sure they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

MEASURES = ("recall", "ndcg", "hit", "mrr")
DRAWS = 1000

_BLOCK = 8_000_000  # weights of so many (draw, case) pairs are held at once


@dataclass(frozen=True)
class Interval:
    """A mean over cases with its 95 % interval."""

    value: float
    low: float
    high: float


def measure(ranks: np.ndarray, gains: np.ndarray, k: int) -> dict[str, np.ndarray]:
    """Recall, NDCG, hit rate and reciprocal rank of the first hit of each case, all at k.

    NDCG has linear gains, discounts rank r by 1 / log2(r + 1) and divides by the best possible
    list (Järvelin and Kekäläinen 2002); the others take every gain above 0 for 1. A rank may lie
    between two places: that is where several items of equal score stand on average.

    Parameters
    ----------
    ranks : (n, t) float64 rank of each target from 1 on; inf = not in the list.
    gains : (n, t) float, 0 = no target.

    Returns
    -------
    (n,) float64 by name; NaN for a case without a target.
    """
    wanted = gains > 0
    hits = wanted & (ranks <= k)
    count = wanted.sum(axis=1)
    discounts = 1 / np.log2(np.arange(2, k + 2))
    best = -np.sort(-gains, axis=1)[:, :k]
    ideal = best @ discounts[: best.shape[1]]
    gained = np.where(hits, gains / np.log2(np.where(hits, ranks, 1) + 1), 0).sum(axis=1)
    first = np.where(hits, ranks, np.inf).min(axis=1, initial=np.inf)
    nothing = count == 0
    values = {
        "recall": hits.sum(axis=1) / np.maximum(count, 1),
        "ndcg": gained / np.where(nothing, 1, ideal),
        "hit": hits.any(axis=1).astype(np.float64),
        "mrr": np.where(np.isfinite(first), 1 / first, 0.0),
    }
    return {name: np.where(nothing, np.nan, value) for name, value in values.items()}


def resampled(values: np.ndarray, *, seed: int, draws: int = DRAWS) -> np.ndarray:
    """(draws, m) float64 means of (n, m) values over resampled cases; NaN values are left out.

    The bootstrap of Efron 1979: each draw takes n cases with replacement, the same ones for all
    columns, so that the difference of two columns is paired.
    """
    rng = np.random.default_rng(seed)
    n = len(values)
    known = np.isfinite(values)
    filled = np.where(known, values, 0).astype(np.float64)
    step = max(1, _BLOCK // max(n, 1))
    means = np.empty((draws, values.shape[1]))
    for start in range(0, draws, step):
        part = slice(start, min(start + step, draws))
        taken = (rng.integers(0, n, n) for _ in range(start, part.stop))
        weights = np.array([np.bincount(rows, minlength=n) for rows in taken], np.float64)
        size = weights @ known if not known.all() else np.full((len(weights), 1), n)
        with np.errstate(invalid="ignore"):  # a draw without any known value is NaN
            means[part] = (weights @ filled) / size
    return means


def interval(values: np.ndarray, means: np.ndarray) -> Interval | None:
    """Of (n,) values and the (draws,) means of their resamples; None where all values are NaN."""
    if not np.isfinite(values).any():
        return None
    low, high = np.nanquantile(means, (0.025, 0.975))
    return Interval(float(np.nanmean(values)), float(low), float(high))


def bootstrap(values: np.ndarray, *, seed: int, draws: int = DRAWS) -> Interval:
    """Percentile interval of the mean of (n,) numbers, n > 0; of differences it is paired."""
    found = interval(values, resampled(values[:, None], seed=seed, draws=draws)[:, 0])
    assert found is not None, "no value to take the mean of"
    return found


def summarise(columns: Mapping[str, np.ndarray], *, seed: int) -> dict[str, Interval | None]:
    """The mean of each (n,) column with its interval, n > 0."""
    values = np.stack(list(columns.values()), axis=1)
    means = resampled(values, seed=seed)
    return {name: interval(values[:, c], means[:, c]) for c, name in enumerate(columns)}


def measured(ranks: np.ndarray, gains: np.ndarray, cutoffs: Sequence[int]) -> dict[str, np.ndarray]:
    """Every measure at every cutoff ("ndcg@10"), (n,) float64 each; parameters of `measure`."""
    at = {k: measure(ranks, gains, k) for k in cutoffs}
    return {f"{name}@{k}": at[k][name] for k in cutoffs for name in MEASURES}
