"""Interactions sources -> one table of EVENTS_SCHEMA: known items, no bots, no repetition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from annotated_types import Ge

from crossrec_llm.records import STRICT
from crossrec_llm.tables.cleaning import CleaningOptions, as_text, clean_ids
from crossrec_llm.tables.columns import QUANTITIES, RATINGS, ColumnMap, plain
from crossrec_llm.tables.histories import (
    EVENTS_SCHEMA,
    RATING,
    HistoryOptions,
    are_ratings,
    encoded,
    ranked,
)
from crossrec_llm.tables.items import count_lost, reject_rows, times
from crossrec_llm.tables.raw import RawTable
from crossrec_llm.tables.report import EXAMPLES, RejectLog
from crossrec_llm.tables.values import parse_available

_DAY = 86_400
REAL_TIME = 315_532_800  # 1980: smaller timestamps are positions in a history, not times


@dataclass(frozen=True)
class BotOptions:
    """Which users count as bots; all their events are rejected.

    Parameters
    ----------
    per_day : more events than this on any one day (UTC).
    in_all : more events than this altogether.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    per_day: Annotated[int, Ge(1)] = 2_000
    in_all: Annotated[int, Ge(1)] = 100_000


def clean_events(
    raw: RawTable, columns: ColumnMap, options: CleaningOptions, prefixes: tuple[str, str]
) -> pa.Table:
    """The rows of one source in EVENTS_SCHEMA, in order, nothing left out.

    Without an event column, a column of ratings makes every event a "rating".
    """
    n = raw.table.num_rows
    ids = []
    for name, prefix in zip(("user_id", "item_id"), prefixes, strict=True):
        column = clean_ids(raw.table[columns.columns[name][0]], raw.repairs)
        if prefix:
            named = pc.binary_join_element_wise(prefix, column, ":")
            column = pc.if_else(pc.equal(column, ""), column, named)
        ids.append(column)
    value, event = columns.one("value"), columns.one("event")
    if event is not None:
        events = pc.utf8_trim_whitespace(as_text(raw.table[event]).fill_null(""))
    else:
        rated = value is not None and plain(value) in RATINGS
        events = pa.repeat(RATING if rated else "", n)
    columns_ = [
        *ids,
        times(raw, "timestamp", columns, options),
        events,
        _values(raw, value),
    ]
    return pa.table(columns_, schema=EVENTS_SCHEMA)


def _values(raw: RawTable, theirs: str | None) -> pa.Array:
    if theirs is None:
        return pa.nulls(raw.table.num_rows, pa.float64())
    column = raw.table[theirs].combine_chunks()
    kind = column.type
    if pa.types.is_boolean(kind):
        column = column.cast(pa.int8())
    if not (pa.types.is_string(kind) or pa.types.is_nested(kind)):
        numbers = column.cast(pa.float64(), safe=False)
        numbers = pc.if_else(pc.is_finite(numbers), numbers, None)
        count_lost(raw, "value", theirs, numbers)
        return numbers
    texts = pc.utf8_trim_whitespace(as_text(column).fill_null(""))
    distinct = texts.dictionary_encode()
    parsed = pa.array([_value(text) for text in distinct.dictionary.to_pylist()], pa.float64())
    numbers = parsed.take(distinct.indices)
    count_lost(raw, "value", theirs, numbers)
    return numbers


def _value(text: str) -> float | None:
    try:
        number = float(text.replace(",", ".") if text.count(",") == 1 else text)
        return number if np.isfinite(number) else None
    except ValueError:
        answer = None if any(map(str.isdigit, text)) else parse_available(text)
        return None if answer is None else float(answer)


def event_ids(raw: RawTable, columns: ColumnMap, options: CleaningOptions) -> pa.Array:
    """The ids of the events of one source; null where there is none, or one that is too long."""
    theirs = columns.one("event_id")
    if theirs is None:
        return pa.nulls(raw.table.num_rows, pa.string())
    ids = clean_ids(raw.table[theirs], raw.repairs)
    usable = pc.less_equal(pc.utf8_length(ids), options.max_id)
    return pc.if_else(pc.and_(usable, pc.not_equal(ids, "")), ids, None)


class Known(Protocol):
    """The items that events may be about: a Catalogue, or the records."""

    def rows(self, item_ids: pa.ChunkedArray) -> np.ndarray:
        """(n,) int64 a number of each item, -1 for unknown ids."""


@dataclass(frozen=True)
class SelectedEvents:
    """The events that can be used.

    Attributes
    ----------
    table : EVENTS_SCHEMA, by user, then time (unknown first), then file order.
    rows : (n,) int64 the row of each among those of all sources.
    kept, merged : (sources,) int64 rows of each source.
    conflicts : merged ratings that differ from the one that was kept.
    conflict_examples : user and item of the first of them.
    unknown : events on items that are not in the catalogue.
    unknown_example : the id of such an item; "" = none.
    """

    table: pa.Table
    rows: np.ndarray
    kept: np.ndarray
    merged: np.ndarray
    conflicts: int
    conflict_examples: tuple[str, ...]
    unknown: int
    unknown_example: str


def select_events(
    parts: Sequence[pa.Table],
    raws: Sequence[RawTable],
    columns: Sequence[ColumnMap],
    known_items: Known,
    options: CleaningOptions,
    bots: BotOptions | None,
    log: RejectLog,
) -> SelectedEvents:
    """Rejects what cannot be used, and merges what is said twice.

    Events with the same user, item, timestamp and name are one; their values are added up, but of
    ratings the last counts. Without `bots` these are a few events of a log: nobody can be told for
    a bot by them, and nothing is merged, as its other part may be elsewhere.
    """
    table = pa.concat_tables(parts).combine_chunks()
    source = np.repeat(np.arange(len(parts)), [part.num_rows for part in parts])
    starts = np.cumsum([0, *(part.num_rows for part in parts)])
    users, user_names = ranked(table["user_id"])
    rows = known_items.rows(table["item_id"])
    clock = np.asarray(table["timestamp"].to_numpy(), np.float64)
    open_ = np.ones(table.num_rows, bool)

    def reject(mask: np.ndarray, reason: str) -> None:
        mask = mask & open_
        if mask.any():
            for i, raw in enumerate(raws):
                reject_rows(raw, mask[starts[i] : starts[i + 1]], reason, log)
            open_[mask] = False

    for name in ("user", "item"):
        ids = table[f"{name}_id"]
        reject(pc.equal(ids, "").to_numpy(), f"empty {name} id")
        long = pc.greater(pc.utf8_length(ids), options.max_id).to_numpy()
        reject(long, f"{name} id of more than {options.max_id:,} characters")
    if bots is not None:
        reject(_bots(users, clock, open_, len(user_names), bots), "bot")
    unknown = np.flatnonzero((rows < 0) & open_)
    reject(rows < 0, "unknown item")
    counted = np.array([plain(c.one("value") or "") in QUANTITIES for c in columns], bool)
    reject(counted[source] & _takes_nothing(table), "quantity not above 0")

    kept = np.flatnonzero(open_)
    values = np.asarray(table["value"].to_numpy(), np.float64)[kept]
    merged = differing = np.empty(0, np.int64)
    if bots is not None:
        kept, values, merged, differing = _merged(table, users, rows, clock, kept)
    order = np.lexsort((kept, np.nan_to_num(clock[kept], nan=-np.inf), users[kept]))
    kept = kept[order]
    events = table.take(pa.array(kept))
    at = EVENTS_SCHEMA.get_field_index("value")
    known = pa.array(values[order], pa.float64(), from_pandas=True)
    n = len(parts)
    shown = table.select(["user_id", "item_id"]).take(pa.array(differing[:EXAMPLES])).to_pylist()
    return SelectedEvents(
        events.set_column(at, EVENTS_SCHEMA.field(at), known),
        kept,
        np.bincount(source[kept], minlength=n),
        np.bincount(source[merged], minlength=n),
        conflicts=len(differing),
        conflict_examples=tuple(f"user {e['user_id']} on {e['item_id']}" for e in shown),
        unknown=len(unknown),
        unknown_example=table["item_id"][unknown[0]].as_py() if len(unknown) else "",
    )


def _takes_nothing(table: pa.Table) -> np.ndarray:
    """(n,) bool events that would count as a take, with a value of 0 or below.

    Ratings are no amounts, and an event such as "return" is no take: it may well be below 0.
    """
    codes, names = encoded(table["event"])
    usual = HistoryOptions()
    takes = [not name or usual.weight(name) > 0 for name in names.to_pylist()]
    amounts = np.asarray(table["value"].to_numpy(), np.float64)
    none = (np.array(takes, bool) & ~are_ratings(names))[codes] & (amounts <= 0)
    return np.asarray(none)


def _bots(
    users: np.ndarray, clock: np.ndarray, open_: np.ndarray, n_users: int, options: BotOptions
) -> np.ndarray:
    """(n,) bool events of users that behave like bots."""
    counted = users[open_]
    bot = np.bincount(counted, minlength=n_users) > options.in_all
    times_ = clock[open_]
    real = times_ >= REAL_TIME
    if real.any():
        days = (times_[real] // _DAY).astype(np.int64)
        first, span = days.min(), np.int64(days.max() - days.min() + 1)
        day_of_user, sizes = np.unique(counted[real] * span + days - first, return_counts=True)
        bot[day_of_user[sizes > options.per_day] // span] = True
    return np.asarray(bot[users])


def _merged(
    table: pa.Table, users: np.ndarray, rows: np.ndarray, clock: np.ndarray, open_: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The row that stands for each distinct event, its value, and the rows merged into them.

    The last are the rows of ratings that differ from the one that counts.
    """
    names_of, names = encoded(table["event"])
    values = np.asarray(table["value"].to_numpy(), np.float64)
    thing = rows[open_] * len(names) + names_of[open_]
    when = np.nan_to_num(clock[open_], nan=-np.inf)
    who = users[open_]
    order = np.lexsort((thing, when, who))  # stable: file order within equal events
    new = np.ones(len(order), bool)
    for key in (thing, when, who):
        key = key[order]
        new[1:] &= key[1:] == key[:-1]
    new[1:] = ~new[1:]
    begin = np.flatnonzero(new)
    ordered = open_[order]
    kept, merged = ordered[begin], ordered[~new]
    if not len(merged):
        return kept, values[kept], merged, merged
    last = ordered[np.append(begin[1:], len(ordered)) - 1]
    amounts = values[ordered]
    summed = np.add.reduceat(np.nan_to_num(amounts), begin)
    some = np.logical_or.reduceat(~np.isnan(amounts), begin)
    rated = are_ratings(names)[names_of[kept]]
    results = np.where(rated, values[last], np.where(some, summed, np.nan))
    event = np.cumsum(new) - 1
    differing = ordered[rated[event] & (np.abs(amounts - results[event]) > 0)]
    return kept, results, merged, differing
