"""What users bring -> raw tables, each with the columns of ours that it has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa

from crossrec_llm.errors import DataError
from crossrec_llm.records import STRICT, Progress
from crossrec_llm.tables.cleaning import CleaningOptions
from crossrec_llm.tables.columns import ColumnMap, EventColumns, ItemColumns, map_columns, needed
from crossrec_llm.tables.events import BotOptions
from crossrec_llm.tables.formats import read_source
from crossrec_llm.tables.raw import EmptySource, FormatOptions, RawTable
from crossrec_llm.tables.report import RejectLog

Input = Any
"""A path, a pyarrow table, a pandas / polars frame, a list of dicts, or a stream of bytes."""
Inputs = Input | Sequence[Input]


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


def as_list(inputs: Inputs) -> list[Input]:
    if isinstance(inputs, Mapping):
        return [[inputs]]
    if not isinstance(inputs, list | tuple):
        return [inputs]
    rows = inputs and all(isinstance(one, Mapping) for one in inputs)
    return [list(inputs)] if rows else list(inputs)


def keep_inputs(rejects: Path | None, sources: list[Input]) -> None:
    """Refuses to write the rejects over what is to be read."""
    paths = (Path(source) for source in sources if isinstance(source, str | Path))
    if rejects is not None and Path(rejects).resolve() in {path.resolve() for path in paths}:
        raise DataError("is an input; give another file for the rejects", source=str(rejects))


Opened = tuple[RawTable, ColumnMap]


def open_sources(
    inputs: list[Input],
    table: str,
    options: TablesOptions,
    progress: Progress | None,
    *,
    live: bool = False,
) -> list[Opened]:
    """Read each source of a table ("items" or "interactions") and find its columns.

    Parameters
    ----------
    live : as of `map_columns`; and a source may be empty.

    Raises
    ------
    DataError : one cannot be read or understood, or is given twice.
    """
    wanted = options.item_columns if table == "items" else options.event_columns
    opened: list[Opened] = []
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
            found.append(map_columns(names, wanted, name, live=live))
            if table == "items":
                return names
            used = {theirs for mapped in found[0].columns.values() for theirs in mapped}
            return [theirs for theirs in names if theirs in used]

        try:
            raw = read_source(source, name, options.format, choose)
        except EmptySource:
            if not live:
                raise
            opened.append(_nothing(name, wanted))
        else:
            opened.append((raw, found[0]))
    if progress is not None:
        progress(f"reading {table}", len(inputs), len(inputs))
    return opened


def _nothing(source: str, wanted: ItemColumns | EventColumns) -> Opened:
    """A source without rows."""
    columns = {name: (name,) for name in needed(wanted)}
    table = pa.table({name: pa.array([], pa.string()) for name in columns})
    lines = np.empty(0, np.int64)
    return RawTable(source, "empty", table, lines, notes=[f"{source} is empty"]), ColumnMap(columns)


def reject_bad(raw: RawTable, log: RejectLog) -> None:
    """Rejects the rows that could not even be read."""
    by_reason: dict[str, list[int]] = {}
    for i, bad in enumerate(raw.bad):
        by_reason.setdefault(bad.reason, []).append(i)
    for reason, places in by_reason.items():
        lines = [raw.bad[i].line for i in places]

        def contents(places: list[int] = places) -> list[str]:
            return [raw.bad[i].content for i in places]

        log.add(raw.source, reason, lines, contents)


def source_notes(opened: list[Opened]) -> tuple[str, ...]:
    """What had to be assumed of each file, and which have an encoding nothing tells for sure."""
    raws = [raw for raw, _ in opened]
    absent = (
        f"{raw.source} has no column {' and '.join(map(repr, theirs))}, which the recipe maps to "
        f"{ours}: nothing is known there"
        for raw, columns in opened
        for ours, theirs in columns.absent.items()
    )
    guesses = (
        f"{raw.source} is not UTF-8, and was taken for {raw.encoding}; if letters look wrong, name"
        " its encoding in the recipe, as in [tables.format] encoding ="
        f' "{"cp1252" if raw.encoding == "cp1250" else "cp1250"}"'
        for raw in raws
        if raw.guessed
    )
    return (*guesses, *absent, *(note for raw in raws for note in raw.notes))


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
