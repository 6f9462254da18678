"""Walls around categories: what lies behind one neither causes nor explains anything outside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from crossrec_llm.errors import QueryError
from crossrec_llm.filter import Filter
from crossrec_llm.tables.catalogue import Catalogue

OUTSIDE = -1


@dataclass(frozen=True, eq=False)
class Walls:
    """Which wall each item lies behind.

    A question stands on one side: outside of all walls, or inside one. Only what lies on its side
    may be its history and its answer. Of a wall within a wall the inner one holds.

    paths : of the walls, as the recipe has them.
    behind : (n_items,) int32 place in `paths`; OUTSIDE for what lies behind none.
    notes : one for each path that no item has.
    """

    catalogue: Catalogue
    paths: tuple[str, ...]
    behind: np.ndarray
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, catalogue: Catalogue, paths: Sequence[str]) -> Walls:
        """The walls of a recipe in a catalogue; one that no item is behind has a note."""
        behind = np.full(len(catalogue), OUTSIDE, np.int32)
        masks, notes = dict[int, np.ndarray](), list[str]()
        for wall, path in enumerate(paths):
            try:
                masks[wall] = catalogue.under(path)
            except QueryError as error:
                notes.append(f"wall {path!r} has nothing behind it: {error}")
        # The widest first, so that what is within it stands last.
        for wall in sorted(masks, key=lambda w: -int(masks[w].sum())):
            behind[masks[wall]] = wall
        return cls(catalogue, tuple(paths), behind, tuple(notes))

    def side(self, filter: Filter, asked: int | None = None) -> int:
        """Where a question stands: inside a wall if all its categories lie there, else outside.

        Parameters
        ----------
        asked : row of the item that it is about; then it stands where that item is.

        Raises
        ------
        QueryError : it asks for categories on several sides.
        """
        if not self.paths:
            return OUTSIDE
        sides = {path: self._of(path) for path in filter.category}
        if asked is not None:
            sides[self.catalogue.ids[asked]] = int(self.behind[asked])
        if len(set(sides.values())) > 1:
            said = [
                f"{name!r} {'lies outside' if at == OUTSIDE else f'behind {self.paths[at]!r}'}"
                for name, at in sides.items()
            ]
            raise QueryError(f"there is a wall between these, ask for one: {', '.join(said)}")
        return next(iter(sides.values()), OUTSIDE)

    def _of(self, path: str) -> int:
        """The innermost wall that all of a category lies behind."""
        under = self.catalogue.under(path)
        around = [wall for wall in np.unique(self.behind[under]) if wall != OUTSIDE]
        for wall in sorted(around, key=lambda w: int((self.behind == w).sum())):
            if not (under & ~self.catalogue.under(self.paths[wall])).any():
                return int(wall)
        return OUTSIDE

    def closed(self, side: int) -> np.ndarray:
        """(n_items,) bool: what does not lie on this side."""
        return self.behind != side

    def visible(self, events: pa.Table, side: int = OUTSIDE) -> pa.Table:
        """The events (EVENTS_SCHEMA) on items of this side; the table itself where that is all.

        An item that the catalogue does not have lies outside.
        """
        if not self.paths:
            return events
        # The one more at the end is for the row -1 of an unknown item.
        there = np.append(self.behind, OUTSIDE)[self.catalogue.rows(events["item_id"])] == side
        return events if there.all() else events.filter(pa.array(there))
