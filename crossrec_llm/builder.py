"""SPINE: files -> tables -> text -> vectors -> space -> signals -> index."""

from __future__ import annotations

import dataclasses
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from crossrec_llm import __version__
from crossrec_llm.answering import Policy, Standing, TunedBlend
from crossrec_llm.drafting import Clock, Means, clearing, copy_draft, make_draft, require_server
from crossrec_llm.errors import IndexDamaged, IndexMismatch
from crossrec_llm.generation import Generation
from crossrec_llm.kept import open_chroma, recipe_of
from crossrec_llm.meaning import Canaries, environment
from crossrec_llm.origins import source_of
from crossrec_llm.recipe import Recipe
from crossrec_llm.records import Progress
from crossrec_llm.resources import default_index
from crossrec_llm.signals import read_left_out
from crossrec_llm.store import (
    ERASED,
    Index,
    IndexWriter,
    StoredGeneration,
    damage,
    marked,
    named,
)
from crossrec_llm.store.lock import require_free
from crossrec_llm.tables import (
    Inputs,
    Report,
)
from crossrec_llm.training import (
    ON_TRIAL,
    THOROUGH,
    TuneOptions,
    asked_enough,
    fit_blend,
    not_needed,
    taken_over,
)


@dataclass(frozen=True)
class BuildReport:
    """What a build did.

    `unchanged`: the same files, recipe, model and version as the active generation, so nothing
    was done. `seconds` holds the steps in order; `report` is None when nothing was read, because
    nothing changed or only settings that need no fit. `blend` says what was fitted about blends,
    `left_out` why some signals could not be, `notes` which walls, entries of the policy and
    standing rules the catalogue has nothing for, what is to be erased yet, and whether the default
    recipe took the place of another one, `change` up to which change of the records everything is
    in it, `refitted` whether more than settings is new, `dropped` how many items and events that
    came live are no more, as the files were to replace them.
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
    dropped: int = 0

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
    require_free(index)
    source = source_of(items, interactions, rejects, replace)
    clock = Clock()
    means = source.means(index, recipe).tuning(tune)
    require_server(means.recipe)
    inputs = source.fingerprint(means.recipe)
    with IndexWriter.open(index) as writer:
        active = writer.active
        known = active.parts.get("inputs", "") if active is not None else ""
        parts = {"inputs": inputs or known, **means.parts}
        defaults = items is not None and recipe is None
        notes = _other_recipe(active, means.recipe) if active and defaults else ()
        if (
            active is not None
            and not (replace and writer.ledger.unfiled())
            and not _drifted(active, means)
        ):
            if _is_current(writer, active, parts, means):
                writer.complete_receipts()  # a kill may have come in between
                return _done_already(writer, active, clock, unchanged=True)
            changed = _answering_otherwise(writer, active, parts, means.recipe)
            if changed is not None:
                clock.step("publish")
                published = _republish(writer, active, changed, parts)
                again = _done_already(writer, published, clock, unchanged=False)
                return dataclasses.replace(again, notes=(*notes, *again.notes))
        clock.step("read")
        made = source.read(writer, means.recipe, index, progress)
        catalogue, events = made.catalogue, made.events
        parts["records"] = made.digest
        draft, generation = make_draft(
            writer, means, catalogue, events, parts, clock=clock, progress=progress
        )
        clock.step("publish")
        counts = counted(generation, events)
        with clearing(writer):
            published = writer.publish(
                draft, counts, made.truth, change=made.change, progress=progress
            )
        unfinished = writer.ledger.erasures.notes
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
        notes=(*notes, *made.notes, *_passed_over(generation), *unfinished),
        change=made.change,
        refitted=True,
        dropped=made.dropped,
    )


def tune(
    index: str | Path | None = None,
    *,
    options: TuneOptions = THOROUGH,
    progress: Progress | None = None,
) -> TunedBlend:
    """Fit the blend anew with more people than a build takes, and publish it.

    Everything else of the generation stays as it is. Nothing is published where the new blend is
    the one that answers already, or too few people could be asked (`asked_enough`).

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
        require_server(built.recipe)
        events = writer.ledger.events()
        blend = dataclasses.replace(built.recipe.blend, tune=True)
        recipe = dataclasses.replace(built.recipe, blend=blend)
        raw = np.asarray(built.raw)
        tuned = fit_blend(
            recipe,
            built.catalogue,
            raw,
            events,
            options=options,
            without=_left_out_on_trial(built),
            progress=progress,
        )
        if tuned != built.tuned and asked_enough(tuned, built.tuned):
            waiting = set(named(active.parts, ERASED)) - {"blend", "bridges"}
            parts = marked(active.parts, ERASED, sorted(waiting))
            parts["recipe"] = recipe.fingerprint
            _republish(writer, active, built.asked_by(recipe).blended_by(tuned), parts)
        return tuned


def counted(generation: Generation, events: pa.Table) -> dict[str, int]:
    """What the manifest says of how much there is."""
    return {
        "items": len(generation.catalogue),
        "users": len(generation.users.ids),
        "events": len(events),
    }


def _is_current(
    writer: IndexWriter, active: StoredGeneration, parts: dict[str, str], means: Means
) -> bool:
    """Whether the active generation was made from these parts, and all of it is still there."""
    if not _is_made_of(writer, active, parts):
        return False
    if not means.recipe.store.url:
        return True
    items, users = active.counts["items"], active.counts["users"]
    try:
        with open_chroma(means.recipe, active) as chroma:
            counts = [chroma.count(name) for name in ("items", "texts", "users")]
    except IndexDamaged:  # a server that was emptied
        return False
    return counts == [items, items, users]


def _is_made_of(writer: IndexWriter, active: StoredGeneration, parts: dict[str, str]) -> bool:
    """Whether the active generation has these parts, nothing came live since, and it is whole."""
    same = active.parts == {**parts, "records": writer.ledger.content}
    return same and active.change == writer.ledger.change and not damage(active)


def _other_recipe(active: StoredGeneration, recipe: Recipe) -> tuple[str, ...]:
    """A note where files are built by the default recipe, and the index had settings of its own.

    Defaults of another version may be others, which no file of the index tells; and whether a
    blend is fitted, a build or `tune` may have been asked beside the recipe.
    """
    if active.parts.get("version") != __version__:
        return ()
    had = recipe_of(active)
    tune = dataclasses.replace(had.blend, tune=recipe.blend.tune)
    if dataclasses.replace(had, blend=tune) == recipe:
        return ()
    return (
        f"built by the default recipe; generation {active.name} has another one: with --recipe "
        "FILE the files are built by yours",
    )


def _drifted(active: StoredGeneration, means: Means) -> bool:
    """Whether the encoder no longer gives the vectors of the active generation.

    It is only asked where libraries or the machine have changed since.
    """
    kept = Canaries.load(active.folder)
    same = active.parts.get("encoder") == means.encoder.name
    if kept is None or not same or kept.environment == environment():
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
    if tuned is None:
        return None
    if _left_out_on_trial(built).keys() - not_needed(recipe, tuned).keys():
        return None
    return built.asked_by(recipe).blended_by(tuned)


def _left_out_on_trial(built: Generation) -> dict[str, str]:
    """Signals that a blend cannot weigh before a build fits them, and why."""
    return {name: why for name, why in built.signals.left_out.items() if name in ON_TRIAL}


def _republish(
    writer: IndexWriter, old: StoredGeneration, changed: Generation, parts: dict[str, str]
) -> StoredGeneration:
    """The same parts as a new generation, with another recipe or blend; the truth stays."""
    draft = copy_draft(writer, old, changed, {**parts, "records": old.parts["records"]})
    with clearing(writer):
        return writer.publish(draft, old.counts, change=old.change)


def _done_already(
    writer: IndexWriter, active: StoredGeneration, clock: Clock, *, unchanged: bool
) -> BuildReport:
    return BuildReport(
        index=str(writer.path),
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
        notes=(*_passed_over(Generation.load(active)), *writer.ledger.erasures.notes),
        change=active.change,
    )


def _passed_over(generation: Generation) -> tuple[str, ...]:
    """Walls, entries of the policy and standing rules that the catalogue has nothing for."""
    recipe, catalogue = generation.recipe, generation.catalogue
    policy = Policy.of(recipe.policy, catalogue)
    standing = Standing.of(recipe.rules, catalogue, generation.signals.popularity.cold)
    return (*generation.walls.notes, *policy.notes, *standing.notes)
