"""How likely it is that what a jump into another category recommends is taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from crossrec_llm.records import Query
from crossrec_llm.signals import Signal

TOP = 10
"""So many items of a category are a jump: its probability is the mean of theirs."""

EVIDENCE = ("ease", "neighbours", "als", "graph")
"""Signals of behaviour that say how sure a jump is."""


@dataclass(frozen=True)
class JumpModel:
    """Logistic regression over `jump_features`; without weights it knows nothing.

    signals : whose scores are features, in order.
    mean, scale : of each feature; it is standardised by them.
    weights : of the constant, then of each feature.
    figures : how it did on people that it was not fitted on.
    """

    signals: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()
    weights: tuple[float, ...] = ()
    figures: Mapping[str, Any] = field(default_factory=dict)

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """(n,) float64 in 0..1, for (n, f) features."""
        standard = (features - np.array(self.mean)) / np.array(self.scale)
        weights = np.array(self.weights)
        odds = np.clip(weights[0] + standard @ weights[1:], -50, 50)
        return np.asarray(1 / (1 + np.exp(-odds)))


def jump_features(
    query: Query,
    rows: np.ndarray,
    signals: Sequence[Signal],
    vectors: np.ndarray,
    people: np.ndarray,
    tops: np.ndarray,
) -> np.ndarray:
    """(n, 7 + 2 s) float64, what is seen of each item of one jump, best item first.

    Its rank; how many took it, and which part of all that people took in its category; how many
    items that has; the length of the history; the largest cosine with it, and the mean of that
    over the jump; of every signal its score and the mean of the scores, as logarithms.

    Parameters
    ----------
    rows : (n,) int64, at most TOP, best first.
    signals : s of them.
    vectors, people : (n_items, dim) float32 unit rows in the space; (n_items,) int64, who took it.
    tops : (n_items,) codes of the top categories.
    """
    inside = tops == tops[rows[0]]
    taken, all_taken = people[rows], people[inside].sum()
    near = (vectors[rows] @ vectors[query.history[-50:]].T).max(axis=1)
    columns = [
        np.log(np.arange(1, len(rows) + 1)),
        np.log1p(taken),
        np.log((taken + 1) / (all_taken + 1)),
        np.full(len(rows), np.log(inside.sum())),
        np.full(len(rows), np.log(len(query.history))),
        near,
        np.full(len(rows), near.mean()),
    ]
    for signal in signals:
        scores = np.log(1e-3 + np.maximum(np.nan_to_num(signal.score(query, rows)), 0))
        columns += [scores, np.full(len(rows), scores.mean())]
    return np.column_stack(columns).astype(np.float64)
