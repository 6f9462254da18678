"""What reading found: columns, repairs, lost values, rejects, doubts; every row accounted for."""

from __future__ import annotations

import csv
import errno
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from crossrec_llm.errors import CrossrecError, DataError, StoreUnavailable

EXAMPLES = 5


@dataclass(frozen=True)
class Reject:
    """One rejected row."""

    source: str
    line: int
    reason: str


@dataclass(frozen=True)
class Sample:
    """A cell, as it is in a source."""

    line: int
    text: str


@dataclass(frozen=True)
class Lost:
    """Cells of one of our columns that were not understood, so that nothing is known there."""

    column: str
    count: int
    examples: tuple[Sample, ...]


@dataclass(frozen=True)
class Suspicion:
    """A kind of suspicious text: how many rows, and the first ids."""

    kind: str
    count: int
    examples: tuple[str, ...]


@dataclass(frozen=True)
class SourceReport:
    """One source. rows_read == kept + merged + rejected, always.

    Attributes
    ----------
    columns : our name -> their columns; unused : the others (metadata, for items).
    repairs, rejects : kind or reason -> count.
    lost : what was not understood; these rows are kept.
    """

    source: str
    format: str
    encoding: str
    delimiter: str
    columns: Mapping[str, tuple[str, ...]]
    unused: tuple[str, ...]
    rows_read: int
    kept: int
    merged: int
    rejected: int
    repairs: Mapping[str, int]
    rejects: Mapping[str, int]
    examples: tuple[Reject, ...]
    lost: tuple[Lost, ...] = ()

    @property
    def not_understood(self) -> list[str]:
        """One line for each column with cells that were not."""
        lines = []
        for lost in self.lost:
            shown = ", ".join(f"{self.place} {cell.line} {cell.text!r}" for cell in lost.examples)
            lines.append(f"{lost.count:,}: {lost.column} ({shown})")
        return lines

    def places(self, reason: str) -> str:
        """The first lines or rows that were rejected for a reason."""
        at = [str(reject.line) for reject in self.examples if reject.reason == reason][:EXAMPLES]
        return f"{self.place} {', '.join(at)}"

    @property
    def place(self) -> str:
        """What the number of a row counts."""
        return "line" if self.encoding else "row"

    def __post_init__(self) -> None:
        total = self.kept + self.merged + self.rejected
        if self.rows_read != total or self.rejected != sum(self.rejects.values()):
            raise AssertionError(
                f"{self.source}: {self.rows_read} rows read, but {self.kept} kept + {self.merged}"
                f" merged + {self.rejected} rejected; this is a bug"
            )


@dataclass(frozen=True)
class TableReport:
    """All sources of one table ("items" or "interactions").

    Attributes
    ----------
    conflicts : merged rows that said something else than the row they were merged into; of
        interactions, other ratings of the same user, item and time.
    conflict_examples : ids of such items; users and items of such ratings.
    suspicious : texts to look at; they were kept as they are.
    facts : what the kept rows hold, in words: ranges and largest groups.
    notes : anything else worth knowing, in words.
    """

    name: str
    sources: tuple[SourceReport, ...]
    conflicts: int = 0
    conflict_examples: tuple[str, ...] = ()
    suspicious: tuple[Suspicion, ...] = ()
    facts: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def _sum(self, name: str) -> int:
        return sum(getattr(source, name) for source in self.sources)

    @property
    def rows_read(self) -> int:
        return self._sum("rows_read")

    @property
    def kept(self) -> int:
        return self._sum("kept")

    @property
    def merged(self) -> int:
        return self._sum("merged")

    @property
    def rejected(self) -> int:
        return self._sum("rejected")

    @property
    def reasons(self) -> str:
        """Why rows were rejected, with the first lines of each reason; "" where none was."""
        many = len(self.sources) > 1
        return ", ".join(
            f"{n:,} {reason} ({source.source + ', ' if many else ''}{source.places(reason)})"
            for source in self.sources
            for reason, n in source.rejects.items()
        )

    @property
    def repaired(self) -> int:
        """All repairs of all kinds."""
        return sum(sum(source.repairs.values()) for source in self.sources)


@dataclass(frozen=True)
class Report:
    """What `read_tables` found; `lines` is for people, `to_dict` for programs."""

    items: TableReport
    interactions: TableReport | None = None

    @property
    def tables(self) -> tuple[TableReport, ...]:
        return (self.items,) if self.interactions is None else (self.items, self.interactions)

    @property
    def rejected(self) -> int:
        return sum(table.rejected for table in self.tables)

    def to_dict(self) -> dict[str, Any]:
        return {
            table.name: {
                "rows_read": table.rows_read,
                "kept": table.kept,
                "merged": table.merged,
                "rejected": table.rejected,
                **asdict(table),
            }
            for table in self.tables
        }

    def lines(self) -> list[str]:
        """The report as lines of text, readable by a person."""
        return [line for table in self.tables for line in _table_lines(table)]


def _table_lines(table: TableReport) -> list[str]:
    lines = [f"{table.name}: {_account(table)}"]
    for source in table.sources:
        lines += _source_lines(source, alone=len(table.sources) == 1)
    lines += [f"  {fact}" for fact in table.facts]
    if table.conflicts:
        which = (
            "merged rows contradict the first of their id"
            if table.name == "items"
            else "merged ratings contradict the last of the same user, item and time"
        )
        shown = ", ".join(table.conflict_examples)
        lines.append(f"  {table.conflicts:,} {which}, which was kept: {shown}")
    lines += [
        f"  suspicious, kept as they are: {s.count:,} with {s.kind} ({', '.join(s.examples)})"
        for s in table.suspicious
    ]
    return lines + [f"  note: {note}" for note in table.notes]


def _account(part: TableReport | SourceReport) -> str:
    return (
        f"{part.rows_read:,} rows read = {part.kept:,} kept + {part.merged:,} merged"
        f" + {part.rejected:,} rejected"
    )


def _source_lines(source: SourceReport, *, alone: bool) -> list[str]:
    how = [source.format]
    if source.encoding:
        how.append(source.encoding)
    if source.delimiter:
        how.append(f"delimiter {source.delimiter!r}")
    lines = [f"  {source.source} ({', '.join(how)})" + ("" if alone else f": {_account(source)}")]
    mapping = (f"{ours} <- {' + '.join(theirs)}" for ours, theirs in source.columns.items())
    lines.append(f"    columns: {', '.join(mapping)}")
    if source.unused:
        shown = ", ".join(source.unused[:10]) + (" ..." if len(source.unused) > 10 else "")
        lines.append(f"    other columns: {shown}")
    lines += [f"    repaired {n:,}: {kind}" for kind, n in source.repairs.items()]
    lines += [f"    not understood {line}" for line in source.not_understood]
    lines += [
        f"    rejected {n:,}: {reason} ({source.places(reason)})"
        for reason, n in source.rejects.items()
    ]
    return lines


class RejectLog:
    """Counts rejects, keeps the first of each reason, and writes all of them to a CSV file.

    The file has the columns source, line, reason, content. Used as a context manager.

    Parameters
    ----------
    path : the file; None = none is written.
    unsaid : whether a content is not to be written down; None = everything is.
    examples : rows of each reason that are kept as examples, at most.

    Raises
    ------
    DataError : the file cannot be written.
    StoreUnavailable : the disk is full.
    """

    def __init__(
        self,
        path: Path | None,
        unsaid: Callable[[str], bool] | None = None,
        examples: int = EXAMPLES,
    ) -> None:
        self._most = examples
        self._path = None if path is None else Path(path)
        self._unsaid = unsaid or (lambda content: False)
        self._file: TextIO | None = None
        self._written = False
        self.counts: dict[str, Counter[str]] = defaultdict(Counter)
        self.examples: dict[str, list[Reject]] = defaultdict(list)

    def __enter__(self) -> RejectLog:
        if self._path is not None:
            with _writing(self._path):
                # Characters that no encoding takes must not stop the report of a damaged row.
                self._file = self._path.open(
                    "w", encoding="utf-8", errors="backslashreplace", newline=""
                )
                csv.writer(self._file).writerow(("source", "line", "reason", "content"))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is None or self._path is None:
            return
        try:
            with _writing(self._path):
                self._file.close()
                if error is not None and not self._written:  # refused before any row was looked at
                    self._path.unlink()
        except CrossrecError:
            if error is None:  # else that one says what went wrong first
                raise

    def clear(self) -> None:
        """Forgets counts and examples; what is in the file stays."""
        self.counts.clear()
        self.examples.clear()

    def add(
        self,
        source: str,
        reason: str,
        lines: Sequence[int],
        contents: Callable[[], Sequence[str]],
    ) -> None:
        """Rejects the rows at `lines`; `contents` is only called when a file is written."""
        seen = self.counts[source][reason]
        self.counts[source][reason] += len(lines)
        self.examples[source] += [
            Reject(source, int(line), reason) for line in lines[: max(self._most - seen, 0)]
        ]
        if self._file is not None and self._path is not None:
            rows = [
                (source, int(line), reason, "" if self._unsaid(content) else content)
                for line, content in zip(lines, contents(), strict=True)
            ]
            with _writing(self._path):
                csv.writer(self._file).writerows(rows)
            self._written = True


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise StoreUnavailable(
                f"{path}: the disk is full, the rejects do not fit; free some space, or give"
                " another file for them"
            ) from error
        raise DataError(
            f"the rejects cannot be written there: {error.strerror or error}; give another file",
            source=str(path),
        ) from error
