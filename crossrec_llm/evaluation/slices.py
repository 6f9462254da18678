"""Parts of what was measured: kinds of people, bridges between categories, the worst lists."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from crossrec_llm.evaluation.measures import Interval, measure, resampled, summarise
from crossrec_llm.evaluation.systems import CaseTable, Ranked, places

LEAST_PEOPLE = 20
WORST = 20

_SHOWN = ("recall", "ndcg")
_SHOWN_HISTORY = 5


@dataclass(frozen=True, eq=False)
class Asked:
    """The system's answers to the cases, and what they are cut up by.

    people : (n_items,) how many took an item in training.
    """

    table: CaseTable
    ranked: Ranked
    people: np.ndarray
    k: int
    seed: int

    def values(self) -> dict[str, np.ndarray]:
        """recall@k and ndcg@k of each case."""
        found = measure(self.ranked.ranks, self.table.gains, self.k)
        return {f"{name}@{self.k}": found[name] for name in _SHOWN}

    def part(self, inside: np.ndarray, **more: Any) -> dict[str, Any]:
        """Over the cases of a mask, after `more`: how many they are, and the measures."""
        columns = {name: values[inside] for name, values in self.values().items()}
        return {**more, "users": int(inside.sum()), **summarise(columns, seed=self.seed)}

    def slices(self) -> dict[str, dict[str, Any]]:
        """By how often the first target was taken in training, and by the length of the history.

        What nobody or everybody is in is left out.
        """
        first = self.table.targets[:, 0]
        seen = np.where(first >= 0, self.people[first], 0)
        length = np.diff(self.table.indptr)
        masks = {
            "target seen < 10 times": seen < 10,
            "target seen 10 times or more": seen >= 10,
            "history of 1 to 5": (length >= 1) & (length <= 5),
            "history of 6 to 20": (length >= 6) & (length <= 20),
            "history of more than 20": length > 20,
        }
        return {
            name: self.part(mask) for name, mask in masks.items() if mask.any() and not mask.all()
        }

    def bridges(self) -> list[dict[str, Any]]:
        """The measures of each pair of `crossings`."""
        return [self.part(there, home=a, target=b) for a, b, there in self.crossings()]

    def crossings(self) -> list[tuple[str, str, np.ndarray]]:
        """Each pair of categories that targets lie across, of at least 20 people, largest first.

        Returns
        -------
        home, the top category that most of the history is in; target, that of most targets; and
        (n,) bool, whose they are.
        """
        catalogue = self.table.catalogue
        owner = np.repeat(np.arange(len(self.table)), np.diff(self.table.indptr))
        home = self._most(owner, self.table.history)
        target = self._most(*self._known_targets())
        crossing = (home >= 0) & (target >= 0) & (home != target)
        pairs = np.stack([home, target], axis=1)[crossing]
        found, counts = np.unique(pairs, axis=0, return_counts=True)
        order = np.argsort(-counts, kind="stable")
        names = catalogue.top_names
        return [
            (names[a], names[b], (home == a) & (target == b))
            for a, b in found[order[counts[order] >= LEAST_PEOPLE]]
        ]

    def _known_targets(self) -> tuple[np.ndarray, np.ndarray]:
        owner, place = np.nonzero(self.table.targets >= 0)
        return owner, self.table.targets[owner, place]

    def _most(self, owner: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """(n,) code of the top category that most rows of each case are in; -1 = none."""
        catalogue = self.table.catalogue
        codes = catalogue.top_codes[rows].astype(np.int64)
        named = codes != catalogue.no_category
        width = len(catalogue.top_names)
        pairs, counts = np.unique(owner[named] * width + codes[named], return_counts=True)
        out = np.full(len(self.table), -1)
        order = np.argsort(counts, kind="stable")  # the largest is written last
        out[pairs[order] // width] = pairs[order] % width
        return out

    def worst(self) -> list[dict[str, Any]]:
        """People with the lowest NDCG, those with the longest histories first."""
        ndcg = self.values()[f"ndcg@{self.k}"]
        length = np.diff(self.table.indptr)
        titles = self.table.catalogue.table["title"]

        def named(rows: np.ndarray) -> list[str]:
            return [titles[int(row)].as_py() for row in rows if row >= 0]

        out = []
        for c in np.lexsort((-length, ndcg))[:WORST]:
            case, end = self.table.cases[c], self.table.indptr[c + 1]
            start = max(self.table.indptr[c], end - _SHOWN_HISTORY)
            out.append(
                {
                    "user_id": case.user_id,
                    "history": [case.text] if case.text else named(self.table.history[start:end]),
                    "targets": named(self.table.targets[c]),
                    "list": named(self.ranked.lists[c, : self.k]),
                    "ndcg": float(ndcg[c]),
                }
            )
        return out

    def controls(self) -> dict[str, float | None]:
        """Recall@k where it must fall: other people's targets, and candidates drawn at random."""
        rng = np.random.default_rng(self.seed)
        n = len(self.table)
        shift = rng.permutation(n)
        others = np.empty(n, np.int64)
        others[shift] = np.roll(shift, 1)  # one cycle: nobody gets their own
        drawn = rng.choice(np.flatnonzero(self.table.candidates()), self.table.targets.shape)
        lists = self.ranked.lists[:, : self.k]

        def recall(targets: np.ndarray, gains: np.ndarray) -> float:
            return float(np.nanmean(measure(places(lists, targets), gains, self.k)["recall"]))

        shuffled = recall(self.table.targets[others], self.table.gains[others]) if n > 1 else None
        return {"shuffled": shuffled, "random": recall(drawn, self.table.gains)}


def loss(
    with_it: Mapping[str, np.ndarray], without: Mapping[str, np.ndarray], *, seed: int
) -> dict[str, Interval | None]:
    """By measure, which part of `without` is lost (1 - ratio of the means), paired over cases."""
    out: dict[str, Interval | None] = {}
    for name, values in with_it.items():
        pair = np.stack([values, without[name]], axis=1)
        means = resampled(pair, seed=seed)
        if not pair[:, 1].any() or not means[:, 1].all():
            out[name] = None
            continue
        low, high = np.quantile(1 - means[:, 0] / means[:, 1], (0.025, 0.975))
        whole = pair.mean(axis=0)
        out[name] = Interval(float(1 - whole[0] / whole[1]), float(low), float(high))
    return out
