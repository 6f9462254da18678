"""Live changes of an index: in the truth when the call returns, and so in the next answer."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from crossrec_llm.errors import DataError, IndexLocked, UnknownItem
from crossrec_llm.kept import recipe_of
from crossrec_llm.recipe import Recipe
from crossrec_llm.records import Progress
from crossrec_llm.resources import default_index
from crossrec_llm.store import Barred, Due, Index, Ledger
from crossrec_llm.store.lock import is_held
from crossrec_llm.tables import EXAMPLES, Inputs, TableReport, TablesOptions, near_matches
from crossrec_llm.tables import read_events as _read_events
from crossrec_llm.tables import read_items as _read_items

BATCH = 10_000
"""Rows of a transaction, at most: a larger input is acknowledged batch by batch."""

PATIENCE = 60.0
"""Seconds that a live change waits, at most, while who holds the index writes to the records."""

STDIN = "-"
_T = TypeVar("_T")


@dataclass(frozen=True)
class LiveReport:
    """What a live change did.

    change : the number of the last change of the records.
    added, changed, unchanged, repeated, removed : items, or events.
    erased : events of erased people that are older than the erasure: they are left out.
    rejected : rows that cannot be used; `report` says which and why.
    due : how much came live since the generation that answers, and whether to build a new one.
    """

    index: str
    change: int
    due: Due
    added: int = 0
    changed: int = 0
    unchanged: int = 0
    repeated: int = 0
    removed: int = 0
    erased: int = 0
    rejected: int = 0
    report: TableReport | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """On the input, and on what was left out of it or not understood."""
        found = self.report.notes if self.report else ()
        sources = self.report.sources if self.report else ()
        lost = (
            f"{source.source}: not understood {line}"
            for source in sources
            for line in source.not_understood
        )
        return (*found, *lost, *Barred(user_rows=self.erased).notes)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def add_events(
    index: str | Path | None,
    interactions: Inputs,
    *,
    rejects: str | Path | None = None,
    examples: int = EXAMPLES,
    progress: Progress | None = None,
) -> LiveReport:
    """Add events to an index; they are durable, and count in the next answer, when this returns.

    Adding the same again adds nothing: an event with an id is there once for each id, one without
    if the user has one of the same item, time, name and value. Users may be new. An input of more
    than `BATCH` rows is acknowledged batch by batch; after a failure give all of it again.

    Parameters
    ----------
    index : folder of the index; by default $CROSSREC_INDEX, else index/store/default.
    interactions : as for `build`, "-" is standard input. Columns are found as the recipe of the
        index says, or by our own names; one that is not needed may be missing. Ids are the ones
        that the index has, with their prefix if it gives them one.
    rejects : CSV file for the rows that are not used.
    examples : so many of them for each reason are named in the report, at most.
    progress : called as progress(step, done, total).

    Raises
    ------
    IndexMissing : there is no index to add to.
    DataError : an input cannot be read, or no row of it is usable.
    IndexLocked : the records are written to, for a minute by who holds the index, or by another.
    StoreUnavailable : the records cannot be written.
    """
    with _changing(index) as change:
        found = _read_events(
            _sources(interactions),
            change.ledger,
            change.options,
            example=change.ledger.example,
            rejects=Path(rejects) if rejects else None,
            examples=examples,
            progress=progress,
        )
        _require_some(found.report)
        added = repeated = erased = 0
        for part in _batches(len(found.table), progress):
            done = change.write(partial(change.ledger.append, found.table[part], found.ids[part]))
            added, repeated = added + done.added, repeated + done.repeated
            erased += done.erased
        told = change.report(found.report)
        return replace(told, added=added, repeated=repeated, erased=erased)


def add_items(
    index: str | Path | None,
    items: Inputs,
    *,
    rejects: str | Path | None = None,
    examples: int = EXAMPLES,
    progress: Progress | None = None,
) -> LiveReport:
    """Add items to an index, or change those it has; they are in the next answer.

    A row is the whole item: what it does not say, the item has not. Items that are as they were
    are not touched. One that was removed is back, with its events. Parameters and errors are
    those of `add_events`.
    """
    with _changing(index) as change:
        where = Path(rejects) if rejects else None
        found, report = _read_items(
            _sources(items), change.options, rejects=where, examples=examples, progress=progress
        )
        added = changed = unchanged = 0
        for part in _batches(len(found), progress):
            done = change.write(partial(change.ledger.put_items, found.table[part]))
            added, changed = added + done.added, changed + done.changed
            unchanged += done.unchanged
        told = change.report(report)
        return replace(told, added=added, changed=changed, unchanged=unchanged)


def remove_items(index: str | Path | None, item_ids: str | Sequence[str]) -> LiveReport:
    """Take items out of an index: they are in no answer, and count in no history, from now on.

    They stay in the records with their events, and come back when they are added again. Items that
    were removed already are counted as unchanged.

    Raises
    ------
    UnknownItem : one that the index never had; nothing is removed. Others as of `add_events`.
    """
    ids = list(dict.fromkeys([item_ids] if isinstance(item_ids, str) else item_ids))
    with _changing(index) as change:
        for unknown in change.ledger.never_heard_of(ids):
            raise UnknownItem(unknown, near_matches(unknown, change.ledger.items()["item_id"]))
        removed = change.write(partial(change.ledger.remove_items, ids))
        told = change.report(None)
        return replace(told, removed=removed, unchanged=len(ids) - removed)


@dataclass(frozen=True)
class _Change:
    """An index that is being changed: as it answers, its recipe, and its records to be written."""

    index: Index
    recipe: Recipe
    ledger: Ledger

    @property
    def options(self) -> TablesOptions:
        """How rows are read. Prefixes are of a build's files; these rows come from anywhere."""
        return replace(self.recipe.tables, prefix_ids="none")

    def write(self, change: Callable[[], _T]) -> _T:
        """Do it, again while the end of a build keeps others from writing."""
        until = time.monotonic() + PATIENCE
        while True:
            try:
                return change()
            except IndexLocked:
                if time.monotonic() > until or not is_held(self.index.path):
                    raise

    def report(self, report: TableReport | None) -> LiveReport:
        return LiveReport(
            index=str(self.index.path),
            change=self.ledger.change,
            due=Due.of(self.index, self.recipe.live),
            rejected=report.rejected if report else 0,
            report=report,
        )


@contextmanager
def _changing(index: str | Path | None) -> Iterator[_Change]:
    path = Path(index) if index is not None else default_index()
    with Index.open(path) as opened:
        recipe = recipe_of(opened.generation)
        # The reader is closed last: a writer that is would copy all into the main file each time.
        with Ledger.open(opened.ledger.path, write=True) as ledger:
            yield _Change(opened, recipe, ledger)


def _sources(inputs: Inputs) -> Inputs:
    """Standard input in place of its name."""
    if isinstance(inputs, list | tuple):
        return [_sources(one) for one in inputs]
    return sys.stdin.buffer if isinstance(inputs, str | Path) and str(inputs) == STDIN else inputs


def _require_some(report: TableReport) -> None:
    if report.rows_read and report.rejected == report.rows_read:
        raise DataError(
            f"none of the {report.rows_read:,} rows is usable, so nothing was added: "
            f"{'; '.join((report.reasons, *report.notes))}",
            source=", ".join(source.source for source in report.sources),
        )


def _batches(n: int, progress: Progress | None) -> Iterator[slice]:
    for start in range(0, n, BATCH):
        yield slice(start, start + BATCH)
        if progress:
            progress("add", min(start + BATCH, n), n)
