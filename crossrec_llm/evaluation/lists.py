"""What lists are like beyond hits: variety, novelty, balance, and who is ever shown."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from crossrec_llm.tables import Catalogue

CALIBRATION_SMOOTHING = 0.01

_STEP = 4096  # lists whose vectors are held at once


@dataclass(frozen=True, eq=False)
class Describer:
    """What lists are compared with.

    catalogue : row = item number below.
    raw : (n_items, dim) float32 unit rows as encoded.
    people : (n_items,) how many took an item in training.
    n_people : how many took anything.
    """

    catalogue: Catalogue
    raw: np.ndarray
    people: np.ndarray
    n_people: int

    def describe(
        self, lists: np.ndarray, indptr: np.ndarray, history: np.ndarray
    ) -> dict[str, np.ndarray]:
        """(n,) float64 each by name, of (n, k) rows, -1 = a place that is not filled.

        NaN where a list says nothing: one of a single item has no diversity, a history without a
        category no calibration and no cross share.

        Parameters
        ----------
        indptr, history : rows of the histories, of case c history[indptr[c]:indptr[c + 1]].
        """
        told = self.shares(lists)
        lived = self._history_shares(indptr, history)
        return {
            "diversity": self.diversity(lists),
            "novelty": self.novelty(lists),
            "calibration": calibration(lived, told),
            "cross_share": cross_share(lived, told),
        }

    def diversity(self, lists: np.ndarray) -> np.ndarray:
        """1 - mean cosine of the pairs of a list (Ziegler et al. 2005), from raw vectors."""
        filled = lists >= 0
        size = filled.sum(axis=1)
        total = np.empty(len(lists))
        own = np.empty(len(lists))
        for start in range(0, len(lists), _STEP):
            part = slice(start, start + _STEP)
            vectors = self.raw[np.maximum(lists[part], 0)] * filled[part, :, None]
            total[part] = (vectors.sum(axis=1, dtype=np.float64) ** 2).sum(axis=1)
            own[part] = (vectors.astype(np.float64) ** 2).sum(axis=(1, 2))
        pairs = size * (size - 1)
        return np.where(pairs > 0, 1 - (total - own) / np.maximum(pairs, 1), np.nan)

    def novelty(self, lists: np.ndarray) -> np.ndarray:
        """Mean of -log2((people of the item + 1) / (people + 1)) (Vargas and Castells 2011)."""
        bits = -np.log2((self.people + 1) / (self.n_people + 1))
        filled = lists >= 0
        size = filled.sum(axis=1)
        total = (bits[np.maximum(lists, 0)] * filled).sum(axis=1)
        return np.where(size > 0, total / np.maximum(size, 1), np.nan)

    def shares(self, lists: np.ndarray) -> np.ndarray:
        """(n, c) part of each list that falls on each top category; items without one count not."""
        lengths = (lists >= 0).sum(axis=1)
        return self._history_shares(np.concatenate([[0], np.cumsum(lengths)]), lists[lists >= 0])

    def _history_shares(self, indptr: np.ndarray, rows: np.ndarray) -> np.ndarray:
        n, width = len(indptr) - 1, len(self._labels)
        owner = np.repeat(np.arange(n), np.diff(indptr))
        label = self._codes[rows]
        known = label >= 0
        flat = np.bincount(owner[known] * width + label[known], minlength=n * width)
        counts = flat.reshape(n, width).astype(np.float64)
        return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)

    @cached_property
    def _labels(self) -> np.ndarray:
        codes = np.arange(len(self.catalogue.top_names))
        named: np.ndarray = codes[codes != self.catalogue.no_category]
        return named

    @cached_property
    def _codes(self) -> np.ndarray:
        """(n_items,) place in `_labels`; -1 for an item without a category."""
        place = np.full(len(self.catalogue.top_names), -1)
        place[self._labels] = np.arange(len(self._labels))
        return place[self.catalogue.top_codes]


def calibration(lived: np.ndarray, told: np.ndarray) -> np.ndarray:
    """KL(p || (1 - a) q + a p), a = 0.01, p of the history and q of the list (Steck 2018, eq. 5).

    0 = the list has the categories of the history in their proportion. NaN where either has none.
    """
    mixed = (1 - CALIBRATION_SMOOTHING) * told + CALIBRATION_SMOOTHING * lived
    ratio = np.where(lived > 0, lived / np.where(lived > 0, mixed, 1), 1)
    divergence = (lived * np.log(ratio)).sum(axis=1)
    return np.where((lived.sum(axis=1) > 0) & (told.sum(axis=1) > 0), divergence, np.nan)


def cross_share(lived: np.ndarray, told: np.ndarray) -> np.ndarray:
    """Part of the list that lies in categories the history has nothing of; NaN as above."""
    outside = (told * (lived == 0)).sum(axis=1)
    return np.where((lived.sum(axis=1) > 0) & (told.sum(axis=1) > 0), outside, np.nan)


def exposure(lists: np.ndarray, n_items: int) -> np.ndarray:
    """(n_items,) in how many lists each item is."""
    return np.bincount(lists[lists >= 0], minlength=n_items)


def coverage(shown: np.ndarray) -> float:
    """Share of the items that are in at least one list."""
    return float((shown > 0).mean())


def gini(shown: np.ndarray) -> float | None:
    """0 = every item is shown equally often, near 1 = one gets everything; None without a list.

    sum_i (2 i - n - 1) x_i / (n sum x), x in ascending order, i from 1 on (Gini 1912).
    """
    total, n = shown.sum(), len(shown)
    if not total:
        return None
    places = 2 * np.arange(1, n + 1) - n - 1
    return float((places * np.sort(shown)).sum() / (n * total))


def long_tail(shown: np.ndarray, people: np.ndarray) -> list[float]:
    """Part of all recommendations that falls on each tenth of the items, most popular first."""
    order = np.argsort(-people, kind="stable")
    tenths = [float(part.sum()) for part in np.array_split(shown[order], 10)]
    return [part / max(sum(tenths), 1.0) for part in tenths]
