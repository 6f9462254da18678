"""How many people took an item: ever, and lately."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Gt

from crossrec_llm.records import STRICT, Query
from crossrec_llm.signals.base import first_allowed, read_arrays, write_arrays
from crossrec_llm.tables import Histories
from crossrec_llm.tables.events import REAL_TIME

_DAY = 86_400


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

    @cached_property
    def _order(self) -> np.ndarray:
        """(n_items,) int64 rows, most people first, ties by row."""
        return np.argsort(-self.people, kind="stable")

    def score(self, query: Query, rows: np.ndarray) -> np.ndarray:
        return np.log1p(self.people[rows]).astype(np.float32)

    def carriers(self, query: Query, rows: np.ndarray) -> np.ndarray:
        return np.zeros((len(rows), len(query.history)), np.float32)

    def propose(self, query: Query, n: int, allowed: np.ndarray) -> np.ndarray:
        return first_allowed(self._order, allowed, n)


def comparable_times(histories: Histories) -> bool:
    """Whether timestamps are moments that can be compared between people.

    They are where at least half of the entries have one, those lie after 1980 (smaller numbers
    are positions in a person's own history: 0, 1, 2 ...), and they span more than a day (an
    export stamps everything with the moment it ran).
    """
    known = histories.timestamps[np.isfinite(histories.timestamps)]
    if not len(known) or 2 * len(known) < len(histories.timestamps):
        return False
    low, high = np.quantile(known, (0.01, 0.99))
    return bool(low >= REAL_TIME and high - low > _DAY)


@dataclass(frozen=True)
class TrendingOptions:
    """What counts as lately.

    half_life : days after which somebody's taking an item counts half.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    half_life: Annotated[float, Gt(0)] = 30.0


class Trending:
    """log(1 + sum over the people who took the item of 2^(-days ago / half-life)).

    Days are counted back from the latest event of all.

    Parameters
    ----------
    recent : (n_items,) float32, those sums.
    """

    name = "trending"
    kind = "trending"

    def __init__(self, recent: np.ndarray) -> None:
        self.recent = recent

    @classmethod
    def fit(cls, histories: Histories, n_items: int, options: TrendingOptions) -> Trending | None:
        """None where timestamps say nothing between people; an unknown one counts nothing."""
        if not comparable_times(histories):
            return None
        counted = (histories.weights > 0) & np.isfinite(histories.timestamps)
        times = histories.timestamps[counted]
        days = (times.max(initial=0.0) - times) / _DAY
        sums = np.bincount(
            histories.rows[counted], weights=0.5 ** (days / options.half_life), minlength=n_items
        )
        return cls(sums.astype(np.float32))

    def save(self, path: Path) -> None:
        write_arrays(path, recent=self.recent)

    @classmethod
    def load(cls, path: Path) -> Trending:
        return cls(**read_arrays(path))

    @cached_property
    def _order(self) -> np.ndarray:
        """(n_items,) int64 rows, most recent people first, ties by row."""
        return np.argsort(-self.recent, kind="stable")

    def score(self, query: Query, rows: np.ndarray) -> np.ndarray:
        return np.log1p(self.recent[rows]).astype(np.float32)

    def carriers(self, query: Query, rows: np.ndarray) -> np.ndarray:
        return np.zeros((len(rows), len(query.history)), np.float32)

    def propose(self, query: Query, n: int, allowed: np.ndarray) -> np.ndarray:
        return first_allowed(self._order, allowed, n)
