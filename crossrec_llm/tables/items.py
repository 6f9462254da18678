"""Items sources -> one table of ITEMS_SCHEMA, each id once."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from crossrec_llm.errors import DataError
from crossrec_llm.tables.catalogue import ITEMS_SCHEMA
from crossrec_llm.tables.cleaning import (
    CleaningOptions,
    as_text,
    clean_ids,
    clean_texts,
    mapped,
    says_nothing,
    suspicious,
)
from crossrec_llm.tables.columns import MANY_CATEGORIES, ColumnMap, plain
from crossrec_llm.tables.raw import RawTable
from crossrec_llm.tables.report import EXAMPLES, Lost, RejectLog, Sample, Suspicion
from crossrec_llm.tables.values import (
    Paths,
    date_doubt,
    parse_available,
    parse_categories,
    parse_prices,
    parse_times,
    thousands_in_doubt,
)

_MORE_CATEGORIES = "more categories"
_DECIMAL_COMMA = r"^-?(\d+|\d{1,3}(\.\d{3})+),\d{1,2}$"
_SHOWN = 40


def clean_items(
    raw: RawTable, columns: ColumnMap, options: CleaningOptions, prefix: str
) -> pa.Table:
    """The rows of one source in ITEMS_SCHEMA, in order, nothing left out.

    An empty id or title is "", and `available` is null where the source does not say; repairs and
    what is not understood are noted in `raw`.
    """
    n, repairs = raw.table.num_rows, raw.repairs

    def text(name: str) -> pa.Array:
        theirs = columns.columns.get(name, ())
        # "Nan" is bread and "None" a film: a title is never taken for a missing one.
        words = name != "title"
        parts = [
            clean_texts(as_text(raw.table[c]), options.max_text, repairs, empty_words=words)
            for c in theirs
        ]
        if not parts:
            return pa.array([""] * n, pa.string())
        joined = parts[0]
        for part in parts[1:]:
            joined = pc.utf8_trim_whitespace(pc.binary_join_element_wise(joined, part, " "))
        return joined

    paths = _categories(raw, columns, options)
    ids = clean_ids(raw.table[columns.columns["item_id"][0]], repairs)
    if prefix:
        ids = pc.if_else(pc.equal(ids, ""), ids, pc.binary_join_element_wise(prefix, ids, ":"))
    return pa.table(
        [
            ids,
            text("title"),
            text("description"),
            pa.array([path[0] if path else () for path in paths], pa.list_(pa.string())),
            text("brand"),
            _prices(raw, columns.one("price")),
            text("image_url"),
            _available(raw, columns.one("available")),
            times(raw, "added", columns, options),
            _metadata(raw, columns.unused, paths, options),
        ],
        schema=ITEMS_SCHEMA,
    )


def _categories(raw: RawTable, columns: ColumnMap, options: CleaningOptions) -> list[Paths]:
    theirs = columns.columns.get("category", ())
    if not theirs:
        return [()] * raw.table.num_rows
    cells = [clean_texts(as_text(raw.table[c]), options.max_text, raw.repairs) for c in theirs]
    if len(cells) > 1:
        parts = zip(*(cell.to_pylist() for cell in cells), strict=True)
        return [(path,) if (path := tuple(p for p in row if p)) else () for row in parts]

    def parse(texts: list[str]) -> dict[str, Paths]:
        return parse_categories(
            texts,
            separator=options.category_separator,
            equals=plain(theirs[0]) in MANY_CATEGORIES,
        )

    return mapped(cells[0], parse)


def _prices(raw: RawTable, theirs: str | None) -> pa.Array:
    if theirs is None:
        return pa.nulls(raw.table.num_rows, pa.float64())
    column = raw.table[theirs].combine_chunks()
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        prices = column.cast(pa.float64())
        good = pc.and_(pc.is_finite(prices), pc.greater_equal(prices, 0.0))
        prices = pc.if_else(good, prices, None)
    else:
        texts = pc.utf8_trim_whitespace(as_text(column).fill_null(""))
        doubt = thousands_in_doubt(pc.unique(texts).to_pylist())
        commas = doubt and _has_decimal_commas(raw, theirs)
        if doubt and not commas:
            raw.notes.append(
                f"{raw.source}: prices like 1.234 were read as decimals; if the point parts"
                f" thousands, write them without it ({theirs})"
            )
        parsed = mapped(texts, lambda distinct: parse_prices(distinct, comma_decimals=commas))
        prices = pa.array(parsed, pa.float64())
    count_lost(raw, "price", theirs, prices)
    return prices


def _has_decimal_commas(raw: RawTable, but: str) -> bool:
    """Whether the numbers in the other columns are written with a decimal comma."""
    return any(
        pc.any(pc.match_substring_regex(raw.table[f.name], _DECIMAL_COMMA)).as_py()
        for f in raw.table.schema
        if f.name != but and pa.types.is_string(f.type)
    )


def _available(raw: RawTable, theirs: str | None) -> pa.Array:
    if theirs is None:
        return pa.nulls(raw.table.num_rows, pa.bool_())
    texts = pc.utf8_trim_whitespace(as_text(raw.table[theirs]).fill_null(""))
    values = mapped(texts, lambda distinct: {text: parse_available(text) for text in distinct})
    result = pa.array(values, pa.bool_())
    count_lost(raw, "available", theirs, result)
    return result


def times(raw: RawTable, ours: str, columns: ColumnMap, options: CleaningOptions) -> pa.Array:
    """(n,) float64 epoch seconds of a column, null = unknown; what is in doubt is noted."""
    theirs = columns.one(ours)
    if theirs is None:
        return pa.nulls(raw.table.num_rows, pa.float64())
    column = raw.table[theirs].combine_chunks()
    result = pa.array(parse_times(column, options.date_order), pa.float64(), from_pandas=True)
    auto = options.date_order == "auto" and pa.types.is_string(column.type)
    if auto and (doubt := date_doubt(column)):
        raw.notes.append(
            f'{raw.source}: {theirs} has {doubt}; say which it is with date_order = "dmy" or "mdy"'
            " under [tables.cleaning] in the recipe"
        )
    count_lost(raw, ours, theirs, result)
    return result


def count_lost(raw: RawTable, ours: str, theirs: str, result: pa.Array) -> None:
    """Notes the cells of their column that say something of which `result` has nothing."""
    unknown = np.flatnonzero(result.is_null().to_numpy(zero_copy_only=False))
    texts = as_text(raw.table[theirs].take(pa.array(unknown))).fill_null("")
    texts = pc.utf8_trim_whitespace(texts)
    said = pc.invert(pc.or_(pc.equal(texts, ""), says_nothing(texts)))
    rows, texts = unknown[said.to_numpy(zero_copy_only=False)], texts.filter(said)
    if len(rows):
        shown = zip(rows[:EXAMPLES], texts[:EXAMPLES].to_pylist(), strict=True)
        examples = tuple(Sample(int(raw.lines[row]), text[:_SHOWN]) for row, text in shown)
        raw.lost.append(Lost(ours, len(rows), examples))


def _metadata(
    raw: RawTable, unused: Sequence[str], paths: Sequence[Paths], options: CleaningOptions
) -> pa.Array:
    """JSON objects of the other columns and of the category paths after the first."""
    texts = [
        clean_texts(as_text(raw.table[name]), options.max_text, raw.repairs).to_pylist()
        for name in unused
    ]
    rows = zip(*texts, strict=True) if texts else [()] * len(paths)
    objects = []
    for row, path in zip(rows, paths, strict=True):
        values = {name: text for name, text in zip(unused, row, strict=True) if text}
        if len(path) > 1:
            values[_MORE_CATEGORIES] = " | ".join(" > ".join(p) for p in path[1:])
        objects.append(json.dumps(values, ensure_ascii=False) if values else "{}")
    return pa.array(objects, pa.string())


# ------------------------------------------------------------------ each id once


@dataclass(frozen=True)
class MergedItems:
    """Items, each id once.

    Attributes
    ----------
    table : ITEMS_SCHEMA, in the order of first rows.
    first : (n,) int64 the first row of every id.
    conflicts : ids of the rows that contradict what was there.
    foreign : how many of these are from another source than the first row of their id.
    """

    table: pa.Table
    first: np.ndarray
    conflicts: tuple[str, ...] = ()
    foreign: int = 0


def merge_items(table: pa.Table, source: np.ndarray) -> MergedItems:
    """Makes one row of the rows that share an id.

    The first row stands, its empty fields are filled from later ones.

    Parameters
    ----------
    source : (n,) int64 where each row is from.
    """
    encoded = table["item_id"].combine_chunks().dictionary_encode()
    codes = encoded.indices.to_numpy()
    _, first = np.unique(codes, return_index=True)
    repeated = np.bincount(codes, minlength=len(first)) > 1
    if not repeated.any():
        return MergedItems(table, first)
    rows = np.flatnonzero(repeated[codes])
    merged: dict[str, dict[str, Any]] = {}
    ids: list[str] = []
    foreign = 0
    for place, row in zip(rows, table.take(pa.array(rows)).to_pylist(), strict=True):
        row["metadata"] = json.loads(row["metadata"])
        kept = merged.setdefault(row["item_id"], row)
        if kept is not row and _fill(kept, row):
            ids.append(row["item_id"])
            foreign += bool(source[place] != source[first[codes[place]]])
    for row in merged.values():
        row["metadata"] = json.dumps(row["metadata"], ensure_ascii=False)
    alone = np.flatnonzero(~repeated[codes])
    joined = pa.concat_tables(
        [
            table.take(pa.array(alone)),
            pa.Table.from_pylist(list(merged.values()), schema=table.schema),
        ]
    )
    order = np.argsort(np.concatenate([alone, first[repeated]]), kind="stable")
    return MergedItems(joined.take(pa.array(order)), first, tuple(ids), foreign)


def _fill(kept: dict[str, Any], other: dict[str, Any]) -> bool:
    """Fills what is empty in `kept`; whether `other` contradicts the rest."""
    conflict = False
    for name, value in other.items():
        if name == "metadata":
            conflict |= _fill(kept[name], value) if value else False
        elif value is None or value == "" or value == []:
            continue
        elif kept.get(name) in (None, "", []):
            kept[name] = value
        else:
            conflict |= kept[name] != value
    return conflict


def check_ids(
    table: pa.Table, raw: RawTable, options: CleaningOptions, log: RejectLog
) -> np.ndarray:
    """(n,) bool rows with a usable id; the others are rejected."""
    ids = table["item_id"]
    empty = pc.equal(ids, "").to_numpy()
    long = pc.greater(pc.utf8_length(ids), options.max_id).to_numpy()
    reject_rows(raw, empty, "empty item id", log)
    reject_rows(raw, long, f"item id of more than {options.max_id:,} characters", log)
    return np.asarray(~(empty | long))


def reject_rows(raw: RawTable, mask: np.ndarray, reason: str, log: RejectLog) -> None:
    """Rejects rows of a source, with their raw values as content."""
    rows = np.flatnonzero(mask)
    if not len(rows):
        return

    def contents() -> list[str]:
        taken = raw.table.take(pa.array(rows)).to_pylist()
        return [json.dumps(row, ensure_ascii=False, default=str)[:10_000] for row in taken]

    log.add(raw.source, reason, raw.lines[rows].tolist(), contents)


def find_suspicious(table: pa.Table) -> tuple[Suspicion, ...]:
    """Kinds of suspicious titles and descriptions, with ids."""
    found: dict[str, set[int]] = {}
    for name in ("title", "description"):
        for kind, rows in suspicious(table[name].combine_chunks()).items():
            found.setdefault(kind, set()).update(rows.tolist())
    return tuple(
        Suspicion(
            kind,
            len(rows),
            tuple(table["item_id"][row].as_py() for row in sorted(rows)[:EXAMPLES]),
        )
        for kind, rows in sorted(found.items())
    )


def no_items(raws: Sequence[RawTable], log: RejectLog) -> DataError:
    """The error for sources of which nothing could be used."""
    reasons: Counter[str] = sum((log.counts[raw.source] for raw in raws), Counter())
    what = ", ".join(f"{n:,} {reason}" for reason, n in reasons.most_common(3)) or "no rows"
    return DataError(
        f"holds no usable item ({what}); expected rows with an id and a title",
        source=", ".join(raw.source for raw in raws),
    )
