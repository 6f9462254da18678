"""SPINE: files -> tables -> text -> vectors -> space -> signals -> index."""

from __future__ import annotations

import dataclasses
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from crossrec_llm.answering import Policy, Standing, TunedBlend
from crossrec_llm.drafting import Clock, Means, clear_server, copy_draft, make_draft
from crossrec_llm.errors import DataError, IndexMismatch, QueryError
from crossrec_llm.generation import Generation, open_chroma
from crossrec_llm.meaning import Canaries, environment
from crossrec_llm.recipe import Recipe
from crossrec_llm.records import Progress
from crossrec_llm.resources import default_index
from crossrec_llm.signals import read_left_out
from crossrec_llm.store import (
    Index,
    IndexWriter,
    Ledger,
    StoredGeneration,
    Truth,
    complete_receipts,
    content_digest,
    damage,
)
from crossrec_llm.tables import (
    Catalogue,
    Inputs,
    Report,
    Tables,
    fingerprint_inputs,
    read_tables,
)
from crossrec_llm.training import THOROUGH, TuneOptions, fit_blend, taken_over


@dataclass(frozen=True)
class BuildReport:
    """What a build did.

    `unchanged`: the same files, recipe, model and version as the active generation, so nothing
    was done. `seconds` holds the steps in order; `report` is None when nothing was read, because
    nothing changed or only settings that need no fit. `blend` says what was fitted about blends,
    `left_out` why some signals could not be, `notes` which walls, entries of the policy and
    standing rules the catalogue has nothing for, `change` up to which change of the records
    everything is in it, `refitted` whether more than settings is new.
    """

    index: str
    generation: str
    unchanged: bool
    items: int
    users: int
    events: int
    encoded: int
    from_cache: int
    seconds: dict[str, float]
    report: Report | None
    blend: TunedBlend = TunedBlend()
    left_out: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    change: int = 0
    refitted: bool = False

    def to_dict(self) -> dict[str, Any]:
        out = asdict(self)
        out["blend"] = self.blend.summary()
        out["report"] = self.report.to_dict() if self.report else None
        return out


def build(
    items: Inputs | None = None,
    interactions: Inputs | None = None,
    index: str | Path | None = None,
    *,
    recipe: str | Path | Recipe | None = None,
    rejects: str | Path | None = None,
    replace: bool = False,
    tune: bool | None = None,
    progress: Progress | None = None,
) -> BuildReport:
    """Read, clean, encode, fit and publish one generation of an index.

    Without `items` it is made from the records of the index: what came live is folded in. A killed
    build is taken up again by calling it once more: no text is encoded twice beyond the last
    unfinished batch. Until the new generation is published, the old one answers.

    Parameters
    ----------
    items, interactions : paths, pyarrow tables, pandas or polars frames; one or a list.
    index : folder of the index, made if it is not there; by default $CROSSREC_INDEX, else
        index/store/default.
    recipe : a shipped recipe's name, a TOML file, or a Recipe; None = "default" with items, else
        the recipe and templates that the index has.
    rejects : CSV file for the rows that were not used; by default in the index's folder.
    replace : the files are all there is; else what came live is merged into them, and stays where
        the files say nothing newer.
    tune : whether to fit how signals are blended; None = as the recipe says.
    progress : called as progress(step, done, total).

    Raises
    ------
    DataError, RecipeError, TemplateError, ModelError : what is wrong with the input.
    IndexMissing : there are no records to build from.
    IndexLocked, StoreUnavailable : the index cannot be written now.
    """
    index = Path(index) if index is not None else default_index()
    source = source_of(items, interactions, rejects, replace)
    clock = Clock()
    means = source.means(index, recipe).tuning(tune)
    with IndexWriter.open(index) as writer:
        active = writer.active
        parts = {"inputs": source.fingerprint(active, means.recipe), **means.parts}
        stays = active is not None and not (replace and _lives(writer.ledger))
        if active is not None and stays:
            if _is_current(writer, active, parts, means):
                return _done_already(index, active, clock, unchanged=True)
            changed = _answering_otherwise(writer, active, parts, means.recipe)
            if changed is not None:
                clock.step("publish")
                published = _republish(writer, active, changed, parts)
                return _done_already(index, published, clock, unchanged=False)
        clock.step("read")
        made = source.read(writer, means.recipe, index, progress)
        catalogue, events = made.catalogue, made.events
        parts["records"] = made.digest
        draft, generation = make_draft(
            writer, means, catalogue, events, parts, clock=clock, progress=progress
        )
        clock.step("publish")
        counts = counted(generation, events)
        published = writer.publish(draft, counts, made.truth, change=made.change, progress=progress)
        clear_server(writer, {means.recipe.store.url})
        complete_receipts(index, published.name)
    return BuildReport(
        index=str(index),
        generation=published.name,
        unchanged=False,
        **counts,
        encoded=means.encoder.encoded,
        from_cache=means.encoder.from_cache,
        seconds=clock.done(),
        report=made.report,
        blend=generation.tuned,
        left_out=dict(generation.signals.left_out),
        notes=(*made.notes, *_passed_over(generation)),
        change=made.change,
        refitted=True,
    )


def tune(
    index: str | Path | None = None,
    *,
    options: TuneOptions = THOROUGH,
    progress: Progress | None = None,
) -> TunedBlend:
    """Fit the blend anew with more people than a build takes, and publish it.

    Everything else of the generation stays as it is. Nothing is published where the new blend is
    the one that answers already.

    Raises
    ------
    IndexMissing, IndexLocked, StoreUnavailable : the index is not there or cannot be written now.
    """
    index = Path(index) if index is not None else default_index()
    Index.open(index).close()
    with IndexWriter.open(index) as writer:
        active = writer.active
        assert active is not None, "an index that opens has a generation"
        built = Generation.load(active)
        events = writer.ledger.events()
        blend = dataclasses.replace(built.recipe.blend, tune=True)
        recipe = dataclasses.replace(built.recipe, blend=blend)
        raw = np.asarray(built.raw)
        tuned = fit_blend(recipe, built.catalogue, raw, events, options=options, progress=progress)
        if tuned != built.tuned:
            parts = {**active.parts, "recipe": recipe.fingerprint}
            _republish(writer, active, built.asked_by(recipe).blended_by(tuned), parts)
        return tuned


@dataclass(frozen=True, eq=False)
class Made:
    """What a generation is made of.

    digest : `Ledger.content` of a ledger that holds this.
    change : the ledger's change number that it was read at.
    truth : what becomes true with it; None where it was read from the truth.
    report : of reading files.
    notes : what was left out of them.
    """

    catalogue: Catalogue
    events: pa.Table
    digest: str
    change: int
    truth: Truth | None = None
    report: Report | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Files:
    """The files of a build, and what came live over them."""

    items: Inputs
    interactions: Inputs | None
    rejects: str | Path | None
    replace: bool

    def means(self, index: Path, recipe: str | Path | Recipe | None) -> Means:
        return Means.of(as_recipe(recipe or "default"))

    def fingerprint(self, active: StoredGeneration | None, recipe: Recipe) -> str:
        return fingerprint_inputs(self.items, self.interactions, options=recipe.tables)

    def read(
        self, writer: IndexWriter, recipe: Recipe, index: Path, progress: Progress | None
    ) -> Made:
        rejects = Path(self.rejects) if self.rejects else index / "rejects.csv"
        tables = read_tables(
            self.items, self.interactions, recipe.tables, rejects=rejects, progress=progress
        )
        _require_events(tables)
        items, events, barred = writer.ledger.erasures.barred(tables.catalogue.table, tables.events)
        change, notes = writer.ledger.change, barred.notes
        if self.replace:
            digest, truth = content_digest(items, events), Truth(items, events, change)
            catalogue = Catalogue.from_table(items)
            return Made(catalogue, events, digest, change, truth, tables.report, notes)
        merged = writer.ledger.merged(items, events)
        digest = content_digest(merged.items, merged.events)
        truth = Truth(items, events, merged.change, digest)
        catalogue = Catalogue.from_table(merged.items)
        return Made(catalogue, merged.events, digest, merged.change, truth, tables.report, notes)


def source_of(
    items: Inputs | None,
    interactions: Inputs | None,
    rejects: str | Path | None = None,
    replace: bool = False,
) -> _Files | _Records:
    """Where a generation's tables come from: files, or without them the records.

    Raises
    ------
    QueryError : something is given that only goes with items.
    """
    if items is not None:
        return _Files(items, interactions, rejects, replace)
    if interactions is not None or replace:
        raise QueryError("interactions and replace go with items: give both, or neither")
    return _Records()


class _Records:
    """The truth as it is, with everything that came live."""

    def means(self, index: Path, recipe: str | Path | Recipe | None) -> Means:
        with Index.open(index) as opened:
            return Means.kept(opened.generation) if recipe is None else Means.of(as_recipe(recipe))

    def fingerprint(self, active: StoredGeneration | None, recipe: Recipe) -> str:
        """The files are the ones of the last build: nothing new is said about them."""
        return active.parts.get("inputs", "") if active is not None else ""

    def read(
        self, writer: IndexWriter, recipe: Recipe, index: Path, progress: Progress | None
    ) -> Made:
        return recorded(writer.ledger)


def recorded(ledger: Ledger) -> Made:
    """What the truth holds at one moment, whatever is appended meanwhile."""
    with ledger.moment() as then:
        catalogue = Catalogue.from_table(then.items())
        return Made(catalogue, then.events(), then.content, then.change)


def _lives(ledger: Ledger) -> bool:
    """Whether anything that came live is in it."""
    items = ledger.items_since(0)
    return bool(len(items.items) or items.removed or ledger.users_since(0))


def as_recipe(recipe: str | Path | Recipe) -> Recipe:
    return recipe if isinstance(recipe, Recipe) else Recipe.load(recipe)


def counted(generation: Generation, events: pa.Table) -> dict[str, int]:
    """What the manifest says of how much there is."""
    return {
        "items": len(generation.catalogue),
        "users": len(generation.users.ids),
        "events": len(events),
    }


def _require_events(tables: Tables) -> None:
    """Refuse a log of which nothing is usable: it would replace an index that works."""
    log = tables.report.interactions
    if log is not None and log.rows_read and not len(tables.events):
        notes = " ".join(log.notes)
        raise DataError(
            f"none of the {log.rows_read:,} rows of the interactions is usable, so nothing was "
            f"built; {notes or '`crossrec check` says why'}"
        )


def _is_current(
    writer: IndexWriter, active: StoredGeneration, parts: dict[str, str], means: Means
) -> bool:
    """Whether the active generation was made from these parts, and all of it is still there.

    Where libraries or the machine have changed since, the encoder is asked whether it still gives
    the same vectors.
    """
    if not _is_made_of(writer, active, parts) or _drifted(active, means):
        return False
    if not means.recipe.store.url:
        return True
    items, users = active.counts["items"], active.counts["users"]
    with open_chroma(means.recipe, active) as chroma:
        counts = [chroma.count(name) for name in ("items", "texts", "users")]
    return counts == [items, items, users]


def _is_made_of(writer: IndexWriter, active: StoredGeneration, parts: dict[str, str]) -> bool:
    """Whether the active generation has these parts, nothing came live since, and it is whole."""
    same = active.parts == {**parts, "records": writer.ledger.content}
    return same and active.change == writer.ledger.change and not damage(active)


def _drifted(active: StoredGeneration, means: Means) -> bool:
    kept = Canaries.load(active.folder)
    if kept is None or kept.environment == environment():
        return False
    try:
        means.encoder.expect(kept)
        means.encoder.encode_query("")
    except IndexMismatch:
        means.encoder.expect(None)
        return True
    return False


def _answering_otherwise(
    writer: IndexWriter, active: StoredGeneration, parts: dict[str, str], recipe: Recipe
) -> Generation | None:
    """The active generation asked by another recipe; None where more than that has to be done.

    That is where other settings differ, a blend has to be fitted, or a file is damaged.
    """
    if not _is_made_of(writer, active, {**parts, "recipe": active.parts.get("recipe", "")}):
        return None
    built = Generation.load(active)
    tuned = taken_over(built.tuned, built.recipe, recipe)
    return None if tuned is None else built.asked_by(recipe).blended_by(tuned)


def _republish(
    writer: IndexWriter, old: StoredGeneration, changed: Generation, parts: dict[str, str]
) -> StoredGeneration:
    """The same parts as a new generation, with another recipe or blend; the truth stays."""
    draft = copy_draft(writer, old, changed, {**parts, "records": old.parts["records"]})
    published = writer.publish(draft, old.counts, change=old.change)
    clear_server(writer, {changed.recipe.store.url})
    return published


def _done_already(
    index: str | Path, active: StoredGeneration, clock: Clock, *, unchanged: bool
) -> BuildReport:
    return BuildReport(
        index=str(index),
        generation=active.name,
        unchanged=unchanged,
        items=active.counts["items"],
        users=active.counts["users"],
        events=active.counts["events"],
        encoded=0,
        from_cache=0,
        seconds=clock.done(),
        report=None,
        blend=TunedBlend.load(active.folder / "blend.json"),
        left_out=read_left_out(active.folder / "signals"),
        notes=_passed_over(Generation.load(active)),
        change=active.change,
    )


def _passed_over(generation: Generation) -> tuple[str, ...]:
    """Walls, entries of the policy and standing rules that the catalogue has nothing for."""
    recipe, catalogue = generation.recipe, generation.catalogue
    policy = Policy.of(recipe.policy, catalogue)
    standing = Standing.of(recipe.rules, catalogue, generation.signals.popularity.cold)
    return (*generation.walls.notes, *policy.notes, *standing.notes)
