"""Logistic regression of what jumps recommended on whether it was taken."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import expit

from crossrec_llm.answering import JumpModel

LEAST_HITS = 20
BINS = 10

_RIDGE = 1.0
_STEPS = 30


def fit_jumps(features: np.ndarray, hit: np.ndarray, owner: np.ndarray, seed: int) -> JumpModel:
    """Fitted on everybody; its figures are those of each half of the people by the other half.

    With fewer than LEAST_HITS items that were taken nothing is fitted.

    Parameters
    ----------
    features : (n, f) float64 of recommended items.
    hit : (n,) bool, whether each was taken.
    owner : (n,) int64, whose they are.
    """
    if hit.sum() < LEAST_HITS:
        return JumpModel()
    people = np.random.default_rng(seed).permutation(np.unique(owner))
    first = np.isin(owner, people[: len(people) // 2])
    judged = np.empty(len(hit))
    for half in (first, ~first):
        judged[~half] = _regress(features[half], hit[half]).probabilities(features[~half])
    model = _regress(features, hit)
    figures = {"jumps": len(people), **calibration(judged, hit)}
    return JumpModel((), model.mean, model.scale, model.weights, figures)


def calibration(probabilities: np.ndarray, hit: np.ndarray) -> dict[str, Any]:
    """How far (n,) probabilities can be believed, over ten bins of equally many items.

    precision : share that was taken of all, and of the half with the highest probability.
    ece : expected calibration error, the mean distance of the bins' means.
    reliability : of each bin the mean probability, the share that was taken, and how many.
    """
    order = np.argsort(probabilities, kind="stable")
    bins = [part for part in np.array_split(order, BINS) if len(part)]
    reliability = [
        [round(float(probabilities[b].mean()), 5), round(float(hit[b].mean()), 5), len(b)]
        for b in bins
    ]
    upper = order[len(order) // 2 :]
    return {
        "items": len(hit),
        "precision": round(float(hit.mean()), 5),
        "precision at half": round(float(hit[upper].mean()), 5),
        "ece": round(sum(abs(p - share) * n for p, share, n in reliability) / len(hit), 5),
        "reliability": reliability,
    }


def _regress(features: np.ndarray, hit: np.ndarray) -> JumpModel:
    """By Newton's method, with a ridge on all weights but the constant (le Cessie 1992)."""
    mean, scale = features.mean(axis=0), features.std(axis=0)
    scale[scale < 1e-9] = 1.0
    standard = np.column_stack([np.ones(len(hit)), (features - mean) / scale])
    ridge = np.diag([1e-6] + [_RIDGE] * features.shape[1])
    weights = np.zeros(standard.shape[1])
    for _ in range(_STEPS):
        p = expit(standard @ weights)
        slope = standard.T @ (p - hit) + ridge @ weights
        step = np.linalg.solve(standard.T @ (standard * (p * (1 - p))[:, None]) + ridge, slope)
        weights -= step
        if np.abs(step).max() < 1e-8:
            break
    found = [tuple(float(f"{v:.6g}") for v in values) for values in (mean, scale, weights)]
    return JumpModel((), found[0], found[1], found[2])
