"""Items by column; the only place where ids become row numbers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from crossrec_llm.errors import DataError, QueryError, UnknownItem
from crossrec_llm.records import CATEGORY_SEPARATOR, Item
from crossrec_llm.tables.near import near_matches

ITEMS_SCHEMA = pa.schema(
    [
        ("item_id", pa.string()),
        ("title", pa.string()),
        ("description", pa.string()),
        ("category", pa.list_(pa.string())),
        ("brand", pa.string()),
        ("price", pa.float64()),
        ("image_url", pa.string()),
        ("available", pa.bool_()),
        ("added", pa.float64()),
        ("metadata", pa.string()),
    ]
)
"""One row an item. Strings are never null ("" = none); price and added (epoch seconds, UTC) are
null when unknown; metadata is a JSON object of the other columns, values as text."""

_PART = "\x1f"  # joins the parts of a category path; control characters are cleaned out of them
_BATCH = 65_536
_DAY = 86_400


class Catalogue:
    """All items, column by column; an item's row number is its position.

    Everything derived (the id index, category masks ...) is computed at its first use and kept.

    Parameters
    ----------
    table : ITEMS_SCHEMA, each id once.
    gone : (n_items,) bool, rows of items that were removed: no id leads to them, and they are in
        no answer; None = all are there.
    """

    def __init__(self, table: pa.Table, gone: np.ndarray | None = None) -> None:
        self.table = table
        self._gone = gone if gone is not None and gone.any() else None

    @classmethod
    def from_table(cls, table: pa.Table) -> Catalogue:
        """A catalogue over a table of ITEMS_SCHEMA.

        Raises
        ------
        DataError : the columns differ, or an id occurs twice.
        """
        try:
            table = table.select(ITEMS_SCHEMA.names).cast(ITEMS_SCHEMA)
        except (KeyError, pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise DataError(f"not a table of ITEMS_SCHEMA: {error}") from error
        if pc.count_distinct(table["item_id"]).as_py() != len(table):
            raise DataError("an item_id occurs twice")
        return cls(table)

    @classmethod
    def open(cls, path: str | Path) -> Catalogue:
        """Memory-maps what `save` wrote; reads only what is used.

        Raises
        ------
        DataError : the file is missing or is not one that `save` wrote.
        """
        try:
            # The buffers keep the mapping alive; nothing is copied here.
            table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        except (OSError, pa.ArrowInvalid) as error:
            raise DataError(f"cannot be opened: {error}", source=str(path)) from error
        if not table.schema.equals(ITEMS_SCHEMA):
            raise DataError("not a saved catalogue", source=str(path))
        return cls(table)

    def save(self, path: str | Path) -> None:
        """Writes an Arrow file; equal catalogues give equal bytes."""
        table = self.table.combine_chunks()
        with pa.ipc.new_file(str(path), ITEMS_SCHEMA) as writer:
            for batch in table.to_batches(max_chunksize=_BATCH):
                writer.write_batch(batch)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def grown(self, items: pa.Table, gone: np.ndarray) -> Catalogue:
        """With items (ITEMS_SCHEMA, each id once) in their rows, those that are new at the end.

        Parameters
        ----------
        gone : (n_items + n_new,) bool, as of `Catalogue`.
        """
        known = pc.index_in(items["item_id"], value_set=self.table["item_id"].combine_chunks())
        places = known.combine_chunks().fill_null(-1).to_numpy(zero_copy_only=False)
        order, n = np.arange(len(self)), len(self)
        order[places[places >= 0]] = n + np.flatnonzero(places >= 0)
        new = n + np.flatnonzero(places < 0)
        table = pa.concat_tables([self.table, items.cast(ITEMS_SCHEMA)])
        if len(new) < len(items):
            table = table.take(pa.array(np.concatenate([order, new])))
        return Catalogue(table, gone)

    @cached_property
    def present(self) -> np.ndarray:
        """(n,) bool: the items that are there, not to be written to."""
        there = np.ones(len(self), bool) if self._gone is None else ~self._gone
        there.setflags(write=False)
        return there

    @cached_property
    def ids(self) -> list[str]:
        """Item ids in row order."""
        return list(self.table["item_id"].to_pylist())

    @cached_property
    def _row_of(self) -> dict[str, int]:
        found = dict(zip(self.ids, range(len(self)), strict=True))
        for row in [] if self._gone is None else np.flatnonzero(self._gone).tolist():
            del found[self.ids[row]]
        return found

    def __contains__(self, item_id: object) -> bool:
        return isinstance(item_id, str) and self._find(item_id) >= 0

    def _find(self, item_id: str) -> int:
        # One scan is cheaper than the dict, which a single look-up would build for nothing.
        if "_row_of" in self.__dict__:
            return self._row_of.get(item_id, -1)
        row = int(pc.index(self.table["item_id"], pa.scalar(item_id, pa.string())).as_py())
        return -1 if self._gone is not None and self._gone[row] else row

    def row(self, item_id: str) -> int:
        """The row number of an id.

        Raises
        ------
        UnknownItem : with ids that look like it.
        """
        row = self._find(item_id)
        if row < 0:
            ids = self.table["item_id"]
            there = ids if self._gone is None else ids.filter(pa.array(self.present))
            raise UnknownItem(item_id, near_matches(item_id, there))
        return row

    def rows(self, item_ids: Sequence[str] | pa.Array | pa.ChunkedArray) -> np.ndarray:
        """(n,) int64 row numbers, -1 for unknown ids (and nulls)."""
        if isinstance(item_ids, pa.ChunkedArray):
            item_ids = item_ids.combine_chunks()
        if isinstance(item_ids, pa.DictionaryArray):
            codes = item_ids.indices.fill_null(-1).to_numpy(zero_copy_only=False)
            # The one more at the end is for the code -1 of a null.
            known = np.append(self.rows(item_ids.dictionary.to_pylist()), -1)
            return np.asarray(known[codes])
        if isinstance(item_ids, pa.Array):
            if len(item_ids) > 10_000:
                return self.rows(item_ids.dictionary_encode())
            item_ids = item_ids.to_pylist()
        if not len(item_ids):
            return np.empty(0, np.int64)
        get = self._row_of.get
        return np.fromiter((get(i, -1) for i in item_ids), np.int64, len(item_ids))

    def item(self, row: int) -> Item:
        """The item of a row.

        Raises
        ------
        IndexError : there is no such row.
        """
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of {len(self)} items")
        fields = {name: column[row].as_py() for name, column in self._columns.items()}
        fields["category"] = tuple(fields["category"])
        fields["metadata"] = json.loads(fields["metadata"])
        return Item(**fields)

    @cached_property
    def _columns(self) -> dict[str, pa.ChunkedArray]:
        """By name: to look one up in the table takes longer than to read a value of it."""
        return {name: self.table[name] for name in ITEMS_SCHEMA.names}

    @cached_property
    def prices(self) -> np.ndarray:
        """(n,) float64, NaN = unknown."""
        return _floats(self.table["price"])

    @cached_property
    def added(self) -> np.ndarray:
        """(n,) float64 epoch seconds (UTC), NaN = unknown."""
        return _floats(self.table["added"])

    def added_within(self, days: float) -> np.ndarray:
        """(n,) bool: added within so many days of the item that was added last.

        Raises
        ------
        QueryError : no item has a date.
        """
        if np.isnan(self.added).all():
            raise QueryError("no item of this catalogue has a date it was added, so none can pass")
        # Comparisons with NaN are False, so an item without a date is not recent.
        return np.asarray(self.added >= np.nanmax(self.added) - days * _DAY)

    @cached_property
    def available(self) -> np.ndarray:
        """(n,) bool."""
        return np.asarray(self.table["available"].to_numpy(), bool)

    @cached_property
    def _paths(self) -> tuple[list[tuple[str, ...]], np.ndarray]:
        """The distinct category paths, and (n,) int32 which of them an item has."""
        joined = pc.binary_join(self.table["category"], _PART).combine_chunks()
        encoded = joined.dictionary_encode()
        paths = [
            tuple(path.split(_PART)) if path else () for path in encoded.dictionary.to_pylist()
        ]
        return paths, encoded.indices.to_numpy(zero_copy_only=False).astype(np.int32)

    @property
    def paths(self) -> list[tuple[str, ...]]:
        """The distinct category paths; () is that of items without a category."""
        return self._paths[0]

    @property
    def path_codes(self) -> np.ndarray:
        """(n,) int32 index into `paths`."""
        return self._paths[1]

    @cached_property
    def _tops(self) -> tuple[list[str], np.ndarray]:
        paths, codes = self._paths
        tops = [path[0] if path else "" for path in paths]
        names = sorted(set(tops))
        place = {name: i for i, name in enumerate(names)}
        return names, np.array([place[top] for top in tops], np.int32)[codes]

    @property
    def top_names(self) -> list[str]:
        """Top categories, sorted; items without a category are in one named ""."""
        return self._tops[0]

    @property
    def top_codes(self) -> np.ndarray:
        """(n,) int32 index into `top_names`."""
        return self._tops[1]

    @cached_property
    def no_category(self) -> int:
        """The code of items without a category; -1 where every item has one."""
        return self.top_names.index("") if "" in self.top_names else -1

    @cached_property
    def category_codes(self) -> np.ndarray:
        """(n,) int32, the same for items with the same category path; -1 without a category."""
        paths, codes = self._paths
        return np.array([n if path else -1 for n, path in enumerate(paths)], np.int32)[codes]

    @cached_property
    def _folded_paths(self) -> list[tuple[str, ...]]:
        return [tuple(part.casefold() for part in path) for path in self._paths[0]]

    def under(self, path: str) -> np.ndarray:
        """(n,) bool: items at or below a category path, compared without case.

        Raises
        ------
        QueryError : no item is there; names categories that look like it.
        """
        return np.asarray(self.paths_under(path)[0][self._paths[1]])

    def paths_under(self, path: str) -> tuple[np.ndarray, int]:
        """(n_paths,) bool, which of `paths` lie at or below a path; and how many parts it has.

        "A > B" and "A/B" are both read; a name that itself holds ">" or "/" is found too.

        Raises
        ------
        QueryError : as of `under`.
        """
        for wanted in _readings(path):
            n = len(wanted)
            hit = np.array([p[:n] == wanted for p in self._folded_paths], bool)
            if hit.any():
                return hit, n
        known = {
            CATEGORY_SEPARATOR.join(p[:n]) for p in self._paths[0] for n in range(1, len(p) + 1)
        }
        asked = path.strip().casefold()
        near = [name for name in sorted(known) if name.casefold().endswith(f"> {asked}")][:3]
        near = near or near_matches(path, sorted(known))
        hint = near or [name for name in self.top_names if name][:8]
        raise QueryError(
            f"no item is in a category {path!r}"
            + (f"; there is {', '.join(map(repr, hint))}" if hint else "; no item has a category")
        )

    @cached_property
    def _brands(self) -> tuple[dict[str, int], np.ndarray]:
        encoded = self.table["brand"].combine_chunks().dictionary_encode()
        place: dict[str, int] = {}
        folded = [
            place.setdefault(b.casefold(), len(place)) for b in encoded.dictionary.to_pylist()
        ]
        codes = encoded.indices.to_numpy(zero_copy_only=False)
        return place, np.array(folded, np.int32)[codes]

    @cached_property
    def brand_codes(self) -> np.ndarray:
        """(n,) int32, the same for items of the same brand in any case; -1 without a brand."""
        place, codes = self._brands
        return np.where(codes == place.get("", -1), -1, codes).astype(np.int32)

    def brand_mask(self, brands: Sequence[str]) -> np.ndarray:
        """(n,) bool: items of any of the brands, compared without case.

        Raises
        ------
        QueryError : no item has any of them; names brands that look like it.
        """
        place, codes = self._brands
        wanted = [place[b.strip().casefold()] for b in brands if b.strip().casefold() in place]
        if brands and not wanted:
            near = near_matches(brands[0], self.table["brand"].unique())
            hint = f"; did you mean {', '.join(map(repr, near))}?" if near else ""
            raise QueryError(f"no item has the brand {brands[0]!r}{hint}")
        return np.isin(codes, np.array(wanted, np.int32))


def _floats(column: pa.ChunkedArray) -> np.ndarray:
    return np.asarray(column.to_numpy(), np.float64)


def _readings(path: str) -> list[tuple[str, ...]]:
    """The ways to read a written path: by ">", by "/", as one name."""
    ways = [path.split(sep) for sep in (">", "/") if sep in path] + [[path]]
    cleaned = (tuple(part.strip().casefold() for part in way if part.strip()) for way in ways)
    return [way for way in cleaned if way]
