"""Files of items and interactions -> Tables: cleaned, joined, every row accounted for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from crossrec_llm.errors import DataError
from crossrec_llm.records import Progress
from crossrec_llm.tables.catalogue import ITEMS_SCHEMA, Catalogue
from crossrec_llm.tables.events import (
    BotOptions,
    Known,
    SelectedEvents,
    clean_events,
    event_ids,
    select_events,
)
from crossrec_llm.tables.facts import event_facts, item_facts
from crossrec_llm.tables.histories import EVENTS_SCHEMA
from crossrec_llm.tables.items import (
    check_ids,
    clean_items,
    find_suspicious,
    merge_items,
    no_items,
    reject_rows,
)
from crossrec_llm.tables.report import EXAMPLES, RejectLog, Report, SourceReport, TableReport
from crossrec_llm.tables.sources import (
    Input,
    Inputs,
    Opened,
    TablesOptions,
    as_list,
    id_prefix,
    keep_inputs,
    open_sources,
    reject_bad,
    source_notes,
)

_NEARLY_ALL = 0.9  # so many events on unknown items are a matter of how ids are written


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
    keep_inputs(rejects, [*item_sources, *(event_sources or [])])
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
    examples: int = EXAMPLES,
    progress: Progress | None = None,
) -> NewEvents:
    """Reads and cleans live events as `read_tables` does, but nobody is told for a bot by them.

    A mapped column may have our own name as well, or be missing where it is not needed; there
    may be no events at all.

    Parameters
    ----------
    known : the items there are; example : the id of one of them, for messages.
    examples : rejected rows of each reason that the report has, at most.

    Raises
    ------
    DataError : an input cannot be read or understood.
    """
    sources = as_list(interactions)
    keep_inputs(rejects, sources)
    with RejectLog(rejects, examples=examples) as log:
        opened = open_sources(sources, "interactions", options, progress, live=True)
        if not opened:
            return NewEvents(EVENTS_SCHEMA.empty_table(), [], TableReport("interactions", ()))
        found, report = _select(opened, known, example, options, None, log)
        named = [event_ids(raw, columns, options.cleaning) for raw, columns in opened]
    ids = pa.chunked_array(named, pa.string()).take(pa.array(found.rows)).to_pylist()
    return NewEvents(found.table, ids, report)


def read_items(
    items: Inputs,
    options: TablesOptions,
    *,
    rejects: Path | None = None,
    examples: int = EXAMPLES,
    progress: Progress | None = None,
) -> tuple[Catalogue, TableReport]:
    """Reads and cleans live items as `read_tables` does; parameters as for `read_events`.

    There may be none; where there are rows, one at least has to be usable.
    """
    sources = as_list(items)
    keep_inputs(rejects, sources)
    with RejectLog(rejects, examples=examples) as log:
        opened = open_sources(sources, "items", options, progress, live=True)
        if any(raw.rows_read for raw, _ in opened):
            return _clean_items(opened, options, log)
        none = np.zeros(len(opened), np.int64)
        counted = _source_reports(opened, none, none, log)
        report = TableReport("items", counted, notes=source_notes(opened))
        return Catalogue.from_table(ITEMS_SCHEMA.empty_table()), report


def _read_items(
    inputs: list[Input], options: TablesOptions, log: RejectLog, progress: Progress | None
) -> tuple[Catalogue, TableReport]:
    opened = open_sources(inputs, "items", options, progress)
    if not opened:
        raise DataError("no items were given; name at least one file or table")
    return _clean_items(opened, options, log)


def _clean_items(
    opened: list[Opened], options: TablesOptions, log: RejectLog
) -> tuple[Catalogue, TableReport]:
    tables, source_of, row_of = [], [], []
    for i, (raw, columns) in enumerate(opened):
        reject_bad(raw, log)
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
        (*source_notes(opened), *_foreign(found.foreign, options)),
    )
    return Catalogue.from_table(merged), report


def _read_events(
    inputs: list[Input],
    catalogue: Catalogue,
    options: TablesOptions,
    log: RejectLog,
    progress: Progress | None,
) -> tuple[pa.Table, TableReport]:
    opened = open_sources(inputs, "interactions", options, progress)
    if not opened:
        return EVENTS_SCHEMA.empty_table(), TableReport("interactions", ())
    example = catalogue.ids[0]
    found, report = _select(opened, catalogue, example, options, options.bots, log)
    return found.table, report


def _select(
    opened: list[Opened],
    known: Known,
    example: str,
    options: TablesOptions,
    bots: BotOptions | None,
    log: RejectLog,
) -> tuple[SelectedEvents, TableReport]:
    parts = []
    for i, (raw, columns) in enumerate(opened):
        reject_bad(raw, log)
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


def _source_reports(
    opened: list[Opened],
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


def _foreign(conflicts: int, options: TablesOptions) -> list[str]:
    if not conflicts or options.prefix_ids != "none":
        return []
    return [
        f"{conflicts:,} of the contradicting rows are from another file than the first of their"
        ' id; if these are other items, keep them apart with [tables] prefix_ids = "items" in the'
        " recipe"
    ]


def _event_notes(
    opened: list[Opened],
    found: SelectedEvents,
    example: str,
    options: TablesOptions,
) -> tuple[str, ...]:
    notes = [
        *source_notes(opened),
        *(
            f"{raw.source} has no timestamps: its order is taken for the order in time"
            for raw, columns in opened
            if "timestamp" not in columns.columns and raw.rows_read
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
    return tuple(notes)
