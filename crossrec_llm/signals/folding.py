"""What was learned, with what came since: counts and neighbours exactly, new items filled in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from crossrec_llm.signals import FittedSignals, SignalsOptions
from crossrec_llm.signals.imputed import Filling
from crossrec_llm.signals.item_to_item import ItemToItem, Rows
from crossrec_llm.signals.neighbours import NeighboursOptions, neighbours_since
from crossrec_llm.signals.popularity import Popularity
from crossrec_llm.tables import TakenSince

_KEPT = 4_096  # rows that are kept once they are worked out

Row = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False)
class NewItems:
    """Items that came after a build, as the matrices of the build see them.

    rows : (k,) int64, ascending, all behind those of the build.
    means : as of `means_of`.
    scales : of each matrix, as of `filled_scale`.
    """

    rows: np.ndarray
    means: Any
    scales: Mapping[str, float]


def fold(
    built: FittedSignals,
    now: FittedSignals,
    options: SignalsOptions,
    n_items: int,
    since: TakenSince | None,
    new: NewItems,
) -> FittedSignals:
    """Popularity and neighbours of all events, and every signal with a place for new items.

    What is learned as a whole (EASE, ALS, transitions, what is trending) stays as it was built;
    what nobody had taken then is in it as `impute` puts it there, or as nothing.

    Parameters
    ----------
    now : what was folded before; of that what only needs a place for new items is taken over.
    since : who took what; None = as at the build.
    """
    people = built.popularity.with_room(n_items).people if since is None else since.people
    warm, cold = built.popularity.people > 0, people == 0
    matrices = dict(built.matrices)
    for name, matrix in built.matrices.items():
        counted = since if name == options.neighbours.walk.name else None
        if counted is None and not len(new.rows):
            continue
        filling = Filling(
            matrix, warm, new.rows, new.means, new.scales.get(name, 0.0), options.imputed
        )
        # Nothing else folds in who took them since: there they stay filled in.
        unknown = cold if counted is not None else np.ones(n_items, bool)
        left = np.pad(warm, (0, n_items - len(warm))) & cold
        rows = _RowsNow(matrix, filling, unknown, left, counted, options.neighbours)
        matrices[name] = matrix.over(rows, n_items)
    more = n_items > len(now.popularity.people)
    return replace(
        now,
        matrices=matrices,
        popularity=Popularity(people),
        trending=now.trending and (now.trending.with_room(n_items) if more else now.trending),
        als=now.als and (now.als.with_room(n_items) if more else now.als),
        since_unknown=np.pad(~warm, (0, n_items - len(warm)), constant_values=True),
    )


class _RowsNow:
    """The rows of a matrix as they are now, worked out when they are asked for, and kept.

    Parameters
    ----------
    cold : (n_items,) bool, items of which the matrix has only what was filled in.
    left : (n_items,) bool, items that somebody took at the build and nobody has now.
    since : who took what, for a matrix of neighbours; None for any other.
    """

    def __init__(
        self,
        built: ItemToItem,
        filling: Filling,
        cold: np.ndarray,
        left: np.ndarray,
        since: TakenSince | None,
        options: NeighboursOptions,
    ) -> None:
        self._built, self._filling, self._cold, self._left = built, filling, cold, left
        self._since, self._options = since, options
        self._kept: dict[int, Row] = {}

    def __call__(self, items: np.ndarray) -> Rows:
        kept, asked = self._kept, items.tolist()
        missing = list(dict.fromkeys(item for item in asked if item not in kept))
        if missing:
            # A dict of its own for what is asked here: another thread may start the kept one anew.
            kept = {item: kept[item] for item in asked if item in kept}
            found = dict(zip(missing, self._worked_out(np.array(missing, np.int64)), strict=True))
            kept |= found
            if len(self._kept) + len(found) > _KEPT:
                self._kept = {}
            self._kept.update(found)
        return Rows.joined([kept[item] for item in asked])

    def _worked_out(self, items: np.ndarray) -> list[Row]:
        rows = [self._before(int(item)) for item in items]
        if self._since is not None:
            taken = np.flatnonzero(~self._cold[items])
            exact = neighbours_since(self._since, items[taken], self._options)
            for at, row in zip(taken, exact, strict=True):
                rows[at] = self._with_filled(row, rows[at])
            for at in np.flatnonzero(self._left[items]):  # what was learned of it holds no more
                rows[at] = rows[at][0][:0], rows[at][1][:0]
        return self._filling.fill(items, rows, self._cold)

    def _before(self, item: int) -> Row:
        """As built; a new item's is filled in."""
        if item >= len(self._built):
            return self._filling.row(item)
        return self._built.rows(np.array([item])).parts()[0]

    def _with_filled(self, row: Row, before: Row) -> Row:
        """What was filled in at the build for items that still nobody took stays."""
        still = self._cold[before[0]] & ~self._left[before[0]]
        columns = np.concatenate([row[0], before[0][still]])
        order = np.argsort(columns, kind="stable")
        return columns[order], np.concatenate([row[1], before[1][still]])[order]
