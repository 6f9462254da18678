"""Where a generation comes from: files with what came live, or the records."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from crossrec_llm.drafting import Means
from crossrec_llm.errors import DataError, QueryError
from crossrec_llm.recipe import Recipe
from crossrec_llm.records import Progress
from crossrec_llm.store import Index, IndexWriter, Ledger, Truth, content_digest
from crossrec_llm.tables import (
    Catalogue,
    Inputs,
    Report,
    Tables,
    fingerprint_inputs,
    read_tables,
)


@dataclass(frozen=True, eq=False)
class Made:
    """What a generation is made of.

    digest : `Ledger.content` of a ledger that holds this.
    change : the ledger's change number that it was read at.
    truth : what becomes true with it; None where it was read from the truth.
    report : of reading files.
    dropped : live changes of items and live events that are not in it.
    notes : what was left out of the files.
    """

    catalogue: Catalogue
    events: pa.Table
    digest: str
    change: int
    truth: Truth | None = None
    report: Report | None = None
    dropped: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Files:
    """The files of a build, and what came live over them."""

    items: Inputs
    interactions: Inputs | None
    rejects: str | Path | None
    replace: bool

    def means(self, index: Path, recipe: str | Path | Recipe | None) -> Means:
        return Means.of(as_recipe(recipe or "default"))

    def fingerprint(self, recipe: Recipe) -> str:
        return fingerprint_inputs(self.items, self.interactions, options=recipe.tables)

    def read(
        self, writer: IndexWriter, recipe: Recipe, index: Path, progress: Progress | None
    ) -> Made:
        rejects = Path(self.rejects) if self.rejects else index / "rejects.csv"
        ledger = writer.ledger
        tables = read_tables(
            self.items,
            self.interactions,
            recipe.tables,
            rejects=rejects,
            unsaid=ledger.erasures.namer(),
            progress=progress,
        )
        _require_events(tables)
        items, events, barred = ledger.erasures.barred(tables.catalogue.table, tables.events)
        if self.replace:
            digest, change = content_digest(items, events), ledger.change
            truth, dropped = Truth(items, events, change), ledger.unfiled()
        else:
            merged, dropped = ledger.merged(items, events), 0
            digest, change = content_digest(merged.items, merged.events), merged.change
            truth = Truth(items, events, change, digest)
            items, events = merged.items, merged.events
        catalogue = Catalogue.from_table(items)
        return Made(catalogue, events, digest, change, truth, tables.report, dropped, barred.notes)


def source_of(
    items: Inputs | None,
    interactions: Inputs | None,
    rejects: str | Path | None = None,
    replace: bool = False,
) -> Files | Records:
    """Where a generation's tables come from: files, or without them the records.

    Raises
    ------
    QueryError : something is given that only goes with items.
    """
    if items is not None:
        return Files(items, interactions, rejects, replace)
    if interactions is not None or replace:
        raise QueryError("interactions and replace go with items: give both, or neither")
    return Records()


class Records:
    """The truth as it is, with everything that came live."""

    def means(self, index: Path, recipe: str | Path | Recipe | None) -> Means:
        with Index.open(index) as opened:
            return Means.kept(opened.generation) if recipe is None else Means.of(as_recipe(recipe))

    def fingerprint(self, recipe: Recipe) -> str:
        """Empty: the files are the ones of the last build: nothing new is said about them."""
        return ""

    def read(
        self, writer: IndexWriter, recipe: Recipe, index: Path, progress: Progress | None
    ) -> Made:
        return recorded(writer.ledger)


def recorded(ledger: Ledger) -> Made:
    """What the truth holds at one moment, whatever is appended meanwhile."""
    with ledger.moment() as then:
        catalogue = Catalogue.from_table(then.items())
        return Made(catalogue, then.events(), then.content, then.change)


def as_recipe(recipe: str | Path | Recipe) -> Recipe:
    return recipe if isinstance(recipe, Recipe) else Recipe.load(recipe)


def _require_events(tables: Tables) -> None:
    """Refuse a log of which nothing is usable: it would replace an index that works."""
    log = tables.report.interactions
    if log is not None and log.rows_read and not len(tables.events):
        raise DataError(
            f"none of the {log.rows_read:,} rows of the interactions is usable, so nothing was "
            f"built: {'; '.join((log.reasons, *log.notes))}"
        )
