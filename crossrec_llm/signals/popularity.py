"""How many people took an item."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from crossrec_llm.records import Query
from crossrec_llm.signals.base import best, read_arrays, write_arrays
from crossrec_llm.tables import Histories


class Popularity:
    """log(1 + people who took the item); 0 for an item that nobody took.

    Parameters
    ----------
    people : (n_items,) int64.
    """

    name = "popularity"
    kind = "popular"

    def __init__(self, people: np.ndarray) -> None:
        self.people = people

    @classmethod
    def fit(cls, histories: Histories, n_items: int) -> Popularity:
        return cls(histories.counts_per_item(n_items))

    def save(self, path: Path) -> None:
        write_arrays(path, people=self.people)

    @classmethod
    def load(cls, path: Path) -> Popularity:
        return cls(**read_arrays(path))

    def score(self, query: Query, rows: np.ndarray) -> np.ndarray:
        return np.log1p(self.people[rows]).astype(np.float32)

    def carriers(self, query: Query, rows: np.ndarray) -> np.ndarray:
        return np.zeros((len(rows), len(query.history)), np.float32)

    def propose(self, query: Query, n: int, allowed: np.ndarray) -> np.ndarray:
        rows = np.flatnonzero(allowed)
        return rows[best(self.people[rows].astype(np.float32), n)]
