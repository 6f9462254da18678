"""Means of people who were split by chance: how sure they are, and whether the split was kept."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import chdtrc, ndtri, stdtrit

from crossrec_llm.evaluation.measures import Interval

LEVEL = 0.95
POWER = 0.8
MISMATCH = 0.001
"""A split that is less likely than this is told of as broken."""


def mean(values: np.ndarray) -> Interval | None:
    """The mean of (n,) independent people with Student's interval; None of fewer than two."""
    if len(values) < 2:
        return None
    return _around(float(values.mean()), _of_mean(values), len(values) - 1)


def ratio(parts: np.ndarray, wholes: np.ndarray) -> Interval | None:
    """Sum of parts over sum of wholes, (n,) float64 of each person; None of fewer than two.

    A person's exposures are not independent, so the interval is that of the linearised ratio, by
    person: the delta method, Deng, Knoblich and Lu 2018 ("Applying the delta method in metric
    analytics"), eq. 3.
    """
    if len(parts) < 2 or not wholes.sum():
        return None
    value = float(parts.sum() / wholes.sum())
    return _around(value, _of_mean(_linear(parts, wholes, value)), len(parts) - 1)


def difference(one: np.ndarray, other: np.ndarray) -> Interval | None:
    """Mean of `other` less mean of `one`, by Welch's t (1947); None with fewer than two in one."""
    if min(len(one), len(other)) < 2:
        return None
    value = float(other.mean() - one.mean())
    return _welch(value, (_of_mean(one), len(one)), (_of_mean(other), len(other)))


def ratio_difference(
    one: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray]
) -> Interval | None:
    """Ratio of `other` less that of `one`, each (parts, wholes) as of `ratio`."""
    values = [ratio(*sides) for sides in (one, other)]
    if values[0] is None or values[1] is None:
        return None
    spreads = [
        (_of_mean(_linear(*sides, found.value)), len(sides[0]))
        for sides, found in zip((one, other), values, strict=True)
        if found is not None
    ]
    return _welch(values[1].value - values[0].value, *spreads)


def mismatch(counts: Sequence[int], shares: Sequence[float]) -> float:
    """How likely a split as uneven as this one is: Pearson's chi-square of goodness of fit.

    Fabijan et al. 2019 ("Diagnosing sample ratio mismatch"); 1 where nobody was split.

    Parameters
    ----------
    shares : what the counts should be like; they need not sum to 1.
    """
    total = sum(counts)
    if not total:
        return 1.0
    expected = np.array(shares) / sum(shares) * total
    statistic = float(((np.array(counts) - expected) ** 2 / expected).sum())
    return float(chdtrc(len(counts) - 1, statistic))


def needed(one: np.ndarray, other: np.ndarray, share: float, effect: float) -> int | None:
    """People in both arms, for a difference to be found with a power of 80 % at 95 %.

    n = (z_0.975 + z_0.8)^2 / d^2 (s1^2 / p + s2^2 / (1 - p)): Kohavi, Longbotham, Sommerfield and
    Henne 2009, section 3.1, with arms of unequal size. None where it cannot be told.

    Parameters
    ----------
    share : p, of the people in `one`.
    effect : d, in the unit of the values.
    """
    if min(len(one), len(other)) < 2 or not effect:
        return None
    spread = one.var(ddof=1) / share + other.var(ddof=1) / (1 - share)
    z = ndtri(0.5 + LEVEL / 2) + ndtri(POWER)
    return int(np.ceil(z**2 * spread / effect**2))


def clustered(values: np.ndarray, users: np.ndarray) -> Interval | None:
    """The mean of (n,) exposures, with the interval by person as of `ratio`.

    A few large weights make the variance itself unsure: t has the degrees of freedom of a
    chi-square with the same spread as the variance of n people with kurtosis K, 2 n / (K - 1)
    (Satterthwaite 1946).
    """
    parts, wholes = np.bincount(users, values), np.bincount(users).astype(np.float64)
    found = ratio(parts, wholes)
    if found is None:
        return None
    off = _linear(parts, wholes, found.value)
    spread = float((off**2).mean())
    kurtosis = float((off**4).mean()) / spread**2 if spread else 3.0
    freedom = min(len(off) - 1, 2 * len(off) / max(kurtosis - 1, 1e-9))
    return _around(found.value, _of_mean(off), freedom)


def _linear(parts: np.ndarray, wholes: np.ndarray, value: float) -> np.ndarray:
    return (parts - value * wholes) / wholes.mean()


def _of_mean(values: np.ndarray) -> float:
    """Variance of the mean."""
    return float(values.var(ddof=1) / len(values))


def _welch(value: float, one: tuple[float, int], other: tuple[float, int]) -> Interval:
    """Each side is the variance of its mean and its size; Welch and Satterthwaite's freedom."""
    (a, n), (b, m) = one, other
    below = a**2 / (n - 1) + b**2 / (m - 1)
    return _around(value, a + b, (a + b) ** 2 / below if below else n + m - 2)


def _around(value: float, variance: float, freedom: float) -> Interval:
    half = float(stdtrit(freedom, 0.5 + LEVEL / 2)) * float(np.sqrt(variance))
    return Interval(value, value - half, value + half)
