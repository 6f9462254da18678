"""Trees over the head of a weighted blend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from crossrec_llm.answering import features
from crossrec_llm.training.examples import Examples

_PARAMETERS: dict[str, Any] = {
    "objective": "lambdarank",
    "lambdarank_truncation_level": 20,
    "num_leaves": 7,
    "learning_rate": 0.04,
    "min_data_in_leaf": 50,
    "feature_fraction": 0.7,
    "deterministic": True,
    "force_row_wise": True,
    # A second thread saves a fifth of the time on idle cores, and multiplies it on busy ones.
    "num_threads": 1,
    "verbosity": -1,
}
_TREES = 200


@dataclass(frozen=True, eq=False)
class Heads:
    """The best rows of each question by a weighted blend, as the trees see them; no cold ones.

    places : (c, m) int64 places in the pool, best first.
    real : (c, m) bool, False where a pool has fewer.
    seen : (c, m, f) float32 features, 0 where not real.
    hit : (c, m) bool, whether each is a hidden item.
    """

    places: np.ndarray
    real: np.ndarray
    seen: np.ndarray
    hit: np.ndarray

    @classmethod
    def of(
        cls,
        examples: Examples,
        weights: np.ndarray,
        head: int,
        *,
        vectors: np.ndarray,
        people: np.ndarray,
    ) -> Heads:
        """Heads of `head` rows by (s,) weights; those of weight 0 are no features."""
        used = np.flatnonzero(weights)
        scaled = weights[used].astype(np.float32)
        totals = examples.totals(weights)
        places = np.argsort(-totals, axis=1, kind="stable")[:, :head]
        real = np.take_along_axis(np.isfinite(totals), places, axis=1)
        seen = np.zeros((*places.shape, 2 * len(used) + 6), np.float32)
        for c, query in enumerate(examples.queries):
            parts = examples.z[c][:, used] * scaled
            there = places[c][real[c]]
            seen[c, : len(there)] = features(
                query, examples.rows[c], parts, totals[c], there, vectors, people
            )
        hits = np.zeros(examples.rows.shape, bool)
        hits[examples.case, examples.place] = True
        return cls(places, real, seen, np.take_along_axis(hits, places, axis=1))


def fit_trees(heads: Heads, seed: int) -> str:
    """The text of a LightGBM model that ranks each head's hidden items first.

    Burges 2010 (LambdaMART). Heads without a hidden item say nothing and are left out; where all
    are, the text is empty.
    """
    import lightgbm

    useful = heads.hit.any(axis=1)
    if not useful.any():
        return ""
    real = heads.real[useful]
    data = lightgbm.Dataset(
        heads.seen[useful][real], heads.hit[useful][real].astype(int), group=real.sum(axis=1)
    )
    trees = lightgbm.train({**_PARAMETERS, "seed": seed}, data, _TREES)
    return str(trees.model_to_string())


def reorder(examples: Examples, totals: np.ndarray, heads: Heads, trees: str) -> np.ndarray:
    """(c, p) totals with each head's scores shared out in the order of the trees."""
    import lightgbm

    if not trees:
        return totals
    booster = lightgbm.Booster(model_str=trees)
    c, m, f = heads.seen.shape
    predicted = booster.predict(heads.seen.reshape(-1, f)).reshape(c, m)
    predicted[~heads.real] = -np.inf
    order = np.argsort(-predicted, axis=1, kind="stable")
    out = totals.copy()
    scores = np.take_along_axis(totals, heads.places, axis=1)
    np.put_along_axis(out, np.take_along_axis(heads.places, order, axis=1), scores, axis=1)
    return out
