"""Files of items and interactions -> Tables: cleaned, joined, every row accounted for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa

from crossrec_llm.errors import DataError
from crossrec_llm.records import STRICT, Progress
from crossrec_llm.tables.catalogue import Catalogue
from crossrec_llm.tables.cleaning import CleaningOptions
from crossrec_llm.tables.columns import ColumnMap, EventColumns, ItemColumns, map_columns
from crossrec_llm.tables.events import (
    BotOptions,
    Known,
    SelectedEvents,
    clean_events,
    event_ids,
    select_events,
)
from crossrec_llm.tables.facts import event_facts, item_facts
from crossrec_llm.tables.formats import read_source
from crossrec_llm.tables.histories import EVENTS_SCHEMA
from crossrec_llm.tables.items import (
    check_ids,
    clean_items,
    find_suspicious,
    merge_items,
    no_items,
    reject_rows,
)
from crossrec_llm.tables.raw import FormatOptions, RawTable
from crossrec_llm.tables.report import EXAMPLES, RejectLog, Report, SourceReport, TableReport

Input = Any
"""A path, a pyarrow table, a pandas / polars frame, a list of dicts, or a stream of bytes."""
Inputs = Input | Sequence[Input]

_NEARLY_ALL = 0.9  # so many events on unknown items are a matter of how ids are written


@dataclass(frozen=True)
class TablesOptions:
    """How files become tables.

    Parameters
    ----------
    prefix_ids : whether ids become "source:id", so that equal ids of several sources stay apart:
        those of items, or of users too ("both").
    source_names : the prefixes, for the first, second ... file of each table; without them it is
        the name of the file up to its first dot.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    format: FormatOptions = field(default_factory=FormatOptions)
    item_columns: ItemColumns = field(default_factory=ItemColumns)
    event_columns: EventColumns = field(default_factory=EventColumns)
    cleaning: CleaningOptions = field(default_factory=CleaningOptions)
    bots: BotOptions = field(default_factory=BotOptions)
    prefix_ids: Literal["none", "items", "both"] = "none"
    source_names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tables:
    """What was read.

    Attributes
    ----------
    catalogue : every item once.
    events : EVENTS_SCHEMA, on items of the catalogue, by user, then time, then file order.
    report : what was found, repaired and rejected.
    """

    catalogue: Catalogue
    events: pa.Table
    report: Report


def read_tables(
    items: Inputs,
    interactions: Inputs | None,
    options: TablesOptions,
    *,
    rejects: Path | None = None,
    unsaid: Callable[[str], bool] | None = None,
    progress: Progress | None = None,
) -> Tables:
    """Reads, cleans and joins what users bring.

    Parameters
    ----------
    items, interactions : a path, a pyarrow table or a pandas / polars frame, or a list of them; or
        a list of dicts.
    rejects : CSV file to write with source, line, reason and content of each rejected row.
    unsaid : whether a content is not to be written into it.

    Raises
    ------
    DataError : an input cannot be read or understood, or holds no usable item.
    """
    item_sources = as_list(items)
    event_sources = None if interactions is None else as_list(interactions)
    _keep_inputs(rejects, [*item_sources, *(event_sources or [])])
    with RejectLog(rejects, unsaid) as log:
        catalogue, items_report = _read_items(item_sources, options, log, progress)
        if event_sources is None:
            return Tables(catalogue, EVENTS_SCHEMA.empty_table(), Report(items_report))
        log.clear()  # one file may well be both tables
        events, events_report = _read_events(event_sources, catalogue, options, log, progress)
    return Tables(catalogue, events, Report(items_report, events_report))


@dataclass(frozen=True)
class NewEvents:
    """A few events of a log.

    table : EVENTS_SCHEMA, about known items, by user, then time, then file order.
    ids : one for each event, None where it has none.
    """

    table: pa.Table
    ids: list[str | None]
    report: TableReport


def read_events(
    interactions: Inputs,
    known: Known,
    options: TablesOptions,
    *,
    example: str = "",
    rejects: Path | None = None,
    progress: Progress | None = None,
) -> NewEvents:
    """Reads and cleans events as `read_tables` does, but that nobody is told for a bot by them.

    Parameters
    ----------
    known : the items there are; example : the id of one of them, for messages.

    Raises
    ------
    DataError : an input cannot be read or understood.
    """
    sources = as_list(interactions)
    _keep_inputs(rejects, sources)
    with RejectLog(rejects) as log:
        opened = _open(sources, "interactions", options, progress)
        found, report = _select(opened, known, example, options, None, log)
        named = [event_ids(raw, columns, options.cleaning) for raw, columns in opened]
    ids = pa.chunked_array(named, pa.string()).take(pa.array(found.rows)).to_pylist()
    return NewEvents(found.table, ids, report)


def read_items(
    items: Inputs,
    options: TablesOptions,
    *,
    rejects: Path | None = None,
    progress: Progress | None = None,
) -> tuple[Catalogue, TableReport]:
    """Reads and cleans items as `read_tables` does."""
    sources = as_list(items)
    _keep_inputs(rejects, sources)
    with RejectLog(rejects) as log:
        return _read_items(sources, options, log, progress)


def _keep_inputs(rejects: Path | None, sources: list[Input]) -> None:
    """Refuses to write the rejects over what is to be read."""
    paths = (Path(source) for source in sources if isinstance(source, str | Path))
    if rejects is not None and Path(rejects).resolve() in {path.resolve() for path in paths}:
        raise DataError("is an input; give another file for the rejects", source=str(rejects))


def as_list(inputs: Inputs) -> list[Input]:
    if isinstance(inputs, Mapping):
        return [[inputs]]
    if not isinstance(inputs, list | tuple):
        return [inputs]
    rows = inputs and all(isinstance(one, Mapping) for one in inputs)
    return [list(inputs)] if rows else list(inputs)


def _read_items(
    inputs: list[Input], options: TablesOptions, log: RejectLog, progress: Progress | None
) -> tuple[Catalogue, TableReport]:
    opened = _open(inputs, "items", options, progress)
    if not opened:
        raise DataError("no items were given; name at least one file or table")
    tables, source_of, row_of = [], [], []
    for i, (raw, columns) in enumerate(opened):
        _reject_bad(raw, log)
        prefix = id_prefix(raw.source, i, options)
        table = clean_items(raw, columns, options.cleaning, prefix)
        good = np.flatnonzero(check_ids(table, raw, options.cleaning, log))
        tables.append(table.take(pa.array(good)))
        source_of.append(np.full(len(good), i))
        row_of.append(good)
    raws = [raw for raw, _ in opened]
    everything = pa.concat_tables(tables).combine_chunks()
    source, row = np.concatenate(source_of), np.concatenate(row_of)
    found = merge_items(everything, source)
    merged = found.table

    untitled = np.array([not title for title in merged["title"].to_pylist()], bool)
    codes = everything["item_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    lost = untitled[codes] if len(codes) else np.zeros(0, bool)
    for i, raw in enumerate(raws):
        mask = np.zeros(raw.table.num_rows, bool)
        mask[row[lost & (source == i)]] = True
        reject_rows(raw, mask, "empty title", log)
    merged = merged.filter(pa.array(~untitled))
    if len(merged) == 0:
        raise no_items(raws, log)
    available = merged["available"].fill_null(True)
    merged = merged.set_column(merged.column_names.index("available"), "available", available)

    kept = np.bincount(source[found.first[~untitled]], minlength=len(raws))
    used = np.bincount(source[~lost], minlength=len(raws))
    report = TableReport(
        "items",
        _source_reports(opened, kept, used - kept, log),
        len(found.conflicts),
        tuple(dict.fromkeys(found.conflicts))[:EXAMPLES],
        find_suspicious(merged),
        item_facts(merged),
        (*_source_notes(raws), *_foreign(found.foreign, options)),
    )
    return Catalogue.from_table(merged), report


def _read_events(
    inputs: list[Input],
    catalogue: Catalogue,
    options: TablesOptions,
    log: RejectLog,
    progress: Progress | None,
) -> tuple[pa.Table, TableReport]:
    opened = _open(inputs, "interactions", options, progress)
    if not opened:
        return EVENTS_SCHEMA.empty_table(), TableReport("interactions", ())
    example = catalogue.ids[0]
    found, report = _select(opened, catalogue, example, options, options.bots, log)
    return found.table, report


def _select(
    opened: list[tuple[RawTable, ColumnMap]],
    known: Known,
    example: str,
    options: TablesOptions,
    bots: BotOptions | None,
    log: RejectLog,
) -> tuple[SelectedEvents, TableReport]:
    parts = []
    for i, (raw, columns) in enumerate(opened):
        _reject_bad(raw, log)
        prefix = id_prefix(raw.source, i, options)
        prefixes = (prefix if options.prefix_ids == "both" else "", prefix)
        parts.append(clean_events(raw, columns, options.cleaning, prefixes))
    raws = [raw for raw, _ in opened]
    maps = [columns for _, columns in opened]
    found = select_events(parts, raws, maps, known, options.cleaning, bots, log)
    report = TableReport(
        "interactions",
        _source_reports(opened, found.kept, found.merged, log),
        found.conflicts,
        found.conflict_examples,
        facts=event_facts(found.table),
        notes=_event_notes(opened, found, example, options),
    )
    return found, report


def _open(
    inputs: list[Input], table: str, options: TablesOptions, progress: Progress | None
) -> list[tuple[RawTable, ColumnMap]]:
    wanted = options.item_columns if table == "items" else options.event_columns
    opened: list[tuple[RawTable, ColumnMap]] = []
    seen: set[str] = set()
    for i, source in enumerate(inputs):
        if progress is not None:
            progress(f"reading {table}", i, len(inputs))
        name = str(source) if isinstance(source, str | Path) else f"{table} table {i + 1}"
        if hasattr(source, "readinto"):
            name = str(getattr(source, "name", name))
        if name in seen:
            raise DataError("is given twice; name each file once", source=name)
        seen.add(name)
        found: list[ColumnMap] = []

        def choose(names: list[str], name: str = name, found: list[ColumnMap] = found) -> list[str]:
            found.append(map_columns(names, wanted, name))
            if table == "items":
                return names
            used = {theirs for mapped in found[0].columns.values() for theirs in mapped}
            return [theirs for theirs in names if theirs in used]

        raw = read_source(source, name, options.format, choose)
        opened.append((raw, found[0]))
    if progress is not None:
        progress(f"reading {table}", len(inputs), len(inputs))
    return opened


def _reject_bad(raw: RawTable, log: RejectLog) -> None:
    """Rejects the rows that could not even be read."""
    by_reason: dict[str, list[int]] = {}
    for i, bad in enumerate(raw.bad):
        by_reason.setdefault(bad.reason, []).append(i)
    for reason, places in by_reason.items():
        lines = [raw.bad[i].line for i in places]

        def contents(places: list[int] = places) -> list[str]:
            return [raw.bad[i].content for i in places]

        log.add(raw.source, reason, lines, contents)


def id_prefix(source: str, place: int, options: TablesOptions) -> str:
    """What the ids of the source at `place` (0-based) get in front; "" = nothing.

    Raises
    ------
    DataError : `options.source_names` has no name for it.
    """
    if options.prefix_ids == "none":
        return ""
    if not options.source_names:
        return Path(source).name.split(".", 1)[0]
    if place >= len(options.source_names):
        raise DataError(
            f"source_names has {len(options.source_names)}"
            f" name{'s' if len(options.source_names) > 1 else ''}, and this is source {place + 1};"
            " add its name in the recipe",
            source=source,
        )
    return options.source_names[place]


def _source_reports(
    opened: list[tuple[RawTable, ColumnMap]],
    kept: np.ndarray,
    merged: np.ndarray,
    log: RejectLog,
) -> tuple[SourceReport, ...]:
    return tuple(
        SourceReport(
            source=raw.source,
            format=raw.format,
            encoding=raw.encoding,
            delimiter=raw.delimiter,
            columns=columns.columns,
            unused=columns.unused,
            rows_read=raw.rows_read,
            kept=int(kept[i]),
            merged=int(merged[i]),
            rejected=log.counts[raw.source].total(),
            repairs=dict(sorted(raw.repairs.items())),
            rejects=dict(log.counts[raw.source]),
            examples=tuple(log.examples[raw.source]),
            lost=tuple(raw.lost),
        )
        for i, (raw, columns) in enumerate(opened)
    )


def _source_notes(raws: list[RawTable]) -> tuple[str, ...]:
    """What had to be assumed of each file, and which have an encoding nothing tells for sure."""
    guesses = (
        f"{raw.source} is not UTF-8, and was taken for {raw.encoding}; if letters look wrong, name"
        " its encoding in the recipe, as in [tables.format] encoding ="
        f' "{"cp1252" if raw.encoding == "cp1250" else "cp1250"}"'
        for raw in raws
        if raw.guessed
    )
    return (*guesses, *(note for raw in raws for note in raw.notes))


def _foreign(conflicts: int, options: TablesOptions) -> list[str]:
    if not conflicts or options.prefix_ids != "none":
        return []
    return [
        f"{conflicts:,} of the contradicting rows are from another file than the first of their"
        ' id; if these are other items, keep them apart with [tables] prefix_ids = "items" in the'
        " recipe"
    ]


def _event_notes(
    opened: list[tuple[RawTable, ColumnMap]],
    found: SelectedEvents,
    example: str,
    options: TablesOptions,
) -> tuple[str, ...]:
    notes = [
        *_source_notes([raw for raw, _ in opened]),
        *(
            f"{raw.source} has no timestamps: its order is taken for the order in time"
            for raw, columns in opened
            if "timestamp" not in columns.columns
        ),
    ]
    rows = sum(raw.rows_read for raw, _ in opened)
    if found.unknown and found.unknown >= _NEARLY_ALL * rows:
        advice = (
            "do the item ids of both tables match?"
            if options.prefix_ids == "none"
            else "the prefixes differ: [tables] source_names names the first, second ... file of"
            " each table, so that a log gets the prefix of the catalogue at its place"
        )
        notes.append(
            f"{found.unknown:,} of {rows:,} events are on unknown items, as"
            f" {found.unknown_example[:60]!r} in the log, {example[:60]!r} in the"
            f" catalogue; {advice}"
        )
    elif rows and len(found.table) == 0:
        notes.append("no event is usable; see above why they were rejected")
    return tuple(notes)
