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
    "verbosity": -1,
}
_TREES = 200


@dataclass(frozen=True, eq=False)
class Heads:
    """The best rows of each question by a weighted blend, as the trees see them.

    places : (c, m) int64 places in the pool, best first.
    seen : (c, m, f) float32 features.
    hit : (c, m) bool, whether each is a hidden item.
    """

    places: np.ndarray
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
        seen = []
        for c, query in enumerate(examples.queries):
            parts = examples.z[c][:, used] * scaled
            rows = np.maximum(examples.rows[c], 0)
            seen.append(features(query, rows, parts, totals[c], places[c], vectors, people))
        hits = np.zeros(examples.rows.shape, bool)
        hits[examples.case, examples.place] = True
        return cls(places, np.stack(seen), np.take_along_axis(hits, places, axis=1))


def fit_trees(heads: Heads, seed: int) -> str:
    """The text of a LightGBM model that ranks each head's hidden items first.

    Burges 2010 (LambdaMART). Heads without a hidden item say nothing and are left out.
    """
    import lightgbm

    useful = heads.hit.any(axis=1)
    seen, hit = heads.seen[useful], heads.hit[useful]
    data = lightgbm.Dataset(
        seen.reshape(-1, seen.shape[2]),
        hit.reshape(-1).astype(int),
        group=np.full(len(seen), seen.shape[1]),
    )
    trees = lightgbm.train({**_PARAMETERS, "seed": seed}, data, _TREES)
    return str(trees.model_to_string())


def reorder(examples: Examples, totals: np.ndarray, heads: Heads, trees: str) -> np.ndarray:
    """(c, p) totals with each head's scores shared out in the order of the trees."""
    import lightgbm

    booster = lightgbm.Booster(model_str=trees)
    c, m, f = heads.seen.shape
    predicted = booster.predict(heads.seen.reshape(-1, f)).reshape(c, m)
    order = np.argsort(-predicted, axis=1, kind="stable")
    out = totals.copy()
    scores = np.take_along_axis(totals, heads.places, axis=1)
    np.put_along_axis(out, np.take_along_axis(heads.places, order, axis=1), scores, axis=1)
    return out
