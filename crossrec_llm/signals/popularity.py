"""How many people took an item: ever, and lately."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Gt

from crossrec_llm.records import STRICT, Query
from crossrec_llm.signals.base import NOBODY, LeftOut, first_allowed, read_arrays, write_arrays
from crossrec_llm.tables import Histories
from crossrec_llm.tables.events import REAL_TIME

_DAY = 86_400

TRENDING = ("trending", "trending")
"""Name and kind of what people took lately."""


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


class Popularity:
    """log(1 + people who took the item); 0 for an item that nobody took.

    Parameters
    ----------
    people : (n_items,) int64; or float32, where each counts by how lately that was.
    name, kind : as of `Signal`.
    """

    def __init__(self, people: np.ndarray, name: str = "popularity", kind: str = "popular") -> None:
        self.people, self.name, self.kind = people, name, kind

    @classmethod
    def fit(cls, histories: Histories, n_items: int) -> Popularity:
        """People of all times."""
        return cls(histories.counts_per_item(n_items))

    @classmethod
    def lately(cls, histories: Histories, n_items: int, options: TrendingOptions) -> Popularity:
        """Of the people who took the item, the sum of 2^(-days ago / half-life).

        Days are counted back from the latest event of all; an unknown time counts nothing.

        Raises
        ------
        LeftOut : nobody took anything, or times say nothing between people.
        """
        if not (histories.weights > 0).any():
            raise LeftOut(NOBODY)
        if not comparable_times(histories):
            raise LeftOut(
                "the times of the interactions cannot be compared between people: at least half "
                "of them need a time after 1980, over more than a day"
            )
        counted = (histories.weights > 0) & np.isfinite(histories.timestamps)
        times = histories.timestamps[counted]
        days = (times.max(initial=0.0) - times) / _DAY
        sums = np.bincount(
            histories.rows[counted], weights=0.5 ** (days / options.half_life), minlength=n_items
        )
        return cls(sums.astype(np.float32), *TRENDING)

    def with_room(self, n_items: int) -> Popularity:
        """The same with further items, which nobody took."""
        more = (0, n_items - len(self.people))
        return Popularity(np.pad(self.people, more), self.name, self.kind)

    def save(self, path: Path) -> None:
        write_arrays(path, people=self.people)

    @classmethod
    def load(cls, path: Path, name: str = "popularity", kind: str = "popular") -> Popularity:
        (people,) = read_arrays(path).values()
        return cls(people, name, kind)

    @cached_property
    def cold(self) -> np.ndarray:
        """(n_items,) bool, nobody took it."""
        return self.people == 0

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
