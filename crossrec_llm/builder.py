"""SPINE: files -> tables -> text -> vectors -> space -> signals -> index."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from crossrec_llm import __version__
from crossrec_llm.answering import Policy, Standing, TunedBlend
from crossrec_llm.errors import DataError, StoreError
from crossrec_llm.generation import COLLECTIONS, CollectionName, Generation, open_chroma
from crossrec_llm.meaning import Encoder, TemplateOptions, Templates, VectorCache
from crossrec_llm.recipe import Recipe
from crossrec_llm.records import Item, Progress
from crossrec_llm.resources import default_folder, default_index
from crossrec_llm.signals import read_left_out
from crossrec_llm.store import (
    Collections,
    Index,
    IndexWriter,
    StoredGeneration,
    content_digest,
    damage,
    reachability,
)
from crossrec_llm.tables import (
    Histories,
    Inputs,
    Report,
    Tables,
    fingerprint_inputs,
    read_tables,
)
from crossrec_llm.training import THOROUGH, TuneOptions, fit_blend, taken_over

# A generation goes live only if its items find themselves: all of them up to this many, else a
# sample drawn with a fixed seed.
CHECK_ALL_BELOW = 50_000
CHECK_SAMPLE = 20_000
CHECK_USERS = 2_000
LEAST_RECALL = 0.98


@dataclass(frozen=True)
class BuildReport:
    """What a build did.

    `unchanged`: the same files, recipe, model and version as the active generation, so nothing
    was done. `seconds` holds the steps in order; `report` is None when nothing was read, because
    nothing changed or only settings that need no fit. `blend` says what was fitted about blends,
    `left_out` why some signals could not be, `notes` which walls, entries of the policy and
    standing rules the catalogue has nothing for.
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

    def to_dict(self) -> dict[str, Any]:
        out = asdict(self)
        out["blend"] = self.blend.summary()
        out["report"] = self.report.to_dict() if self.report else None
        return out


def build(
    items: Inputs,
    interactions: Inputs | None = None,
    index: str | Path | None = None,
    *,
    recipe: str | Path | Recipe = "default",
    rejects: str | Path | None = None,
    progress: Progress | None = None,
) -> BuildReport:
    """Read, clean, encode, fit and publish one generation of an index.

    A killed build is taken up again by calling it once more: no text is encoded twice beyond
    the last unfinished batch. Until the new generation is published, the old one answers.

    Parameters
    ----------
    items, interactions : paths, pyarrow tables, pandas or polars frames; one or a list.
    index : folder of the index, made if it is not there; by default $CROSSREC_INDEX, else
        index/store/default.
    recipe : a shipped recipe's name, a TOML file, or a Recipe.
    rejects : CSV file for the rows that were not used; by default in the index's folder.
    progress : called as progress(step, done, total).

    Raises
    ------
    DataError, RecipeError, TemplateError, ModelError : what is wrong with the input.
    IndexLocked, StoreUnavailable : the index cannot be written now.
    """
    index = Path(index) if index is not None else default_index()
    recipe = recipe if isinstance(recipe, Recipe) else Recipe.load(recipe)
    clock = _Clock()
    encoder = Encoder(recipe.encoder)
    prompts = default_folder("prompts")
    templates = Templates.load(prompts, recipe.templates, tokens=encoder.tokens)
    parts = {
        "inputs": fingerprint_inputs(items, interactions, options=recipe.tables),
        "recipe": recipe.fingerprint,
        "recipe's parts": recipe.parts_fingerprint,
        "templates": templates.fingerprint,
        "encoder": encoder.name,
        "version": __version__,
    }
    with IndexWriter.open(index) as writer:
        if writer.active is not None and _is_current(writer, writer.active, parts, recipe):
            return _done_already(index, writer.active, clock, unchanged=True)
        if writer.active is not None:
            changed = _answering_otherwise(writer, writer.active, parts, recipe)
            if changed is not None:
                clock.step("publish")
                published = _republish(writer, writer.active, changed, parts)
                return _done_already(index, published, clock, unchanged=False)
        clock.step("read")
        tables = read_tables(
            items,
            interactions,
            recipe.tables,
            rejects=Path(rejects) if rejects else index / "rejects.csv",
            progress=progress,
        )
        catalogue, events = tables.catalogue, tables.events
        _require_events(tables)

        clock.step("encode")
        texts = templates.item_texts(catalogue)
        with VectorCache.open(writer.cache_path, encoder.dim) as vectors:
            raw = encoder.encode_documents(texts, cache=vectors, progress=progress)

        clock.step("tune")
        tuned = TunedBlend()
        if recipe.blend.tune:
            tuned = fit_blend(recipe, catalogue, raw, events, progress=progress)

        clock.step("fit")
        fitted = Generation.fit(recipe, catalogue, raw, events, progress=progress)
        generation = fitted.blended_by(tuned)
        records = [catalogue.item(row) for row in range(len(catalogue))]
        told = told_by(generation, events, templates, records)

        clock.step("index")
        draft = writer.begin({**parts, "records": content_digest(catalogue.table, events)})
        generation.save(draft.folder, templates)
        with open_chroma(recipe, draft) as chroma:
            fill(chroma, generation, records, texts, told, progress)
            clock.step("verify")
            require_reachable(chroma, generation)

        clock.step("publish")
        counts = {
            "items": len(catalogue),
            "users": len(generation.users.ids),
            "events": len(events),
        }
        published = writer.publish(draft, counts, catalogue.table, events, progress=progress)
        if recipe.store.url:
            with open_chroma(recipe, published) as chroma:
                chroma.keep(writer.prefixes)
    return BuildReport(
        index=str(index),
        generation=published.name,
        unchanged=False,
        **counts,
        encoded=encoder.encoded,
        from_cache=encoder.from_cache,
        seconds=clock.done(),
        report=tables.report,
        blend=tuned,
        left_out=dict(generation.signals.left_out),
        notes=_passed_over(generation),
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
        recipe = replace(built.recipe, blend=replace(built.recipe.blend, tune=True))
        raw = np.asarray(built.raw)
        tuned = fit_blend(recipe, built.catalogue, raw, events, options=options, progress=progress)
        if tuned != built.tuned:
            parts = {**active.parts, "recipe": recipe.fingerprint}
            _republish(writer, active, built.asked_by(recipe).blended_by(tuned), parts)
        return tuned


class _Clock:
    """Seconds of each step, in order."""

    def __init__(self) -> None:
        self._name, self._start = "prepare", time.perf_counter()
        self._seconds: dict[str, float] = {}

    def step(self, name: str) -> None:
        self.done()
        self._name = name

    def done(self) -> dict[str, float]:
        now = time.perf_counter()
        self._seconds[self._name] = now - self._start
        self._start = now
        return self._seconds


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
    writer: IndexWriter, active: StoredGeneration, parts: dict[str, str], recipe: Recipe
) -> bool:
    """Whether the active generation was made from these parts, and all of it is still there."""
    if active.parts != {**parts, "records": writer.ledger.content} or damage(active):
        return False
    if not recipe.store.url:
        return True
    items, users = active.counts["items"], active.counts["users"]
    with open_chroma(recipe, active) as chroma:
        counts = [chroma.count(name) for name in ("items", "texts", "users")]
    return counts == [items, items, users]


def _answering_otherwise(
    writer: IndexWriter, active: StoredGeneration, parts: dict[str, str], recipe: Recipe
) -> Generation | None:
    """The active generation asked by another recipe; None where more than that has to be done.

    That is where other settings differ, a blend has to be fitted, or a file is damaged.
    """
    same = {**parts, "recipe": active.parts.get("recipe"), "records": writer.ledger.content}
    if active.parts != same or damage(active):
        return None
    built = Generation.load(active)
    tuned = taken_over(built.tuned, built.recipe, recipe)
    return None if tuned is None else built.asked_by(recipe).blended_by(tuned)


def _republish(
    writer: IndexWriter, old: StoredGeneration, changed: Generation, parts: dict[str, str]
) -> StoredGeneration:
    """The same parts as a new generation, with another recipe or blend.

    Chroma's folder is copied; a server's collections are filled again.
    """
    recipe = changed.recipe
    items, events = writer.ledger.items(), writer.ledger.events()
    # Not the old digest: tables of equal content need not have equal bytes (what lies under nulls).
    draft = writer.begin({**parts, "records": content_digest(items, events)})
    names = TemplateOptions(history_items=recipe.templates.history_items)
    # Only texts that are made anew need the model's tokens.
    tokens = Encoder(recipe.encoder).tokens if recipe.store.url else None
    templates = Templates.load(old.folder / "prompts", names, tokens=tokens)
    changed.save(draft.folder, templates)
    if recipe.store.url:
        texts = templates.item_texts(changed.catalogue)
        records = [changed.catalogue.item(row) for row in range(len(changed.catalogue))]
        told = told_by(changed, events, templates, records)
        with open_chroma(recipe, draft) as chroma:
            fill(chroma, changed, records, texts, told, None)
            require_reachable(chroma, changed)
    else:
        if (old.folder / "chroma").exists():
            shutil.copytree(old.folder / "chroma", draft.folder / "chroma")
    published = writer.publish(draft, old.counts, items, events)
    if recipe.store.url:
        with open_chroma(recipe, published) as chroma:
            chroma.keep(writer.prefixes)
    return published


def _done_already(
    index: str | Path, active: StoredGeneration, clock: _Clock, *, unchanged: bool
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
    )


def _passed_over(generation: Generation) -> tuple[str, ...]:
    """Walls, entries of the policy and standing rules that the catalogue has nothing for."""
    recipe, catalogue = generation.recipe, generation.catalogue
    policy = Policy.of(recipe.policy, catalogue)
    standing = Standing.of(recipe.rules, catalogue, generation.signals.popularity.cold)
    return (*generation.walls.notes, *policy.notes, *standing.notes)


def told_by(
    generation: Generation, events: pa.Table, templates: Templates, records: list[Item]
) -> list[str]:
    """The history of each user that has a profile, as a text; `records` are all items by row."""
    events = generation.walls.visible(events)
    histories = Histories.from_events(events, generation.catalogue, generation.histories)
    place = {user_id: u for u, user_id in enumerate(histories.user_ids)}
    texts = []
    for user_id in generation.users.ids:
        rows, weights, _ = histories.history(place[user_id])
        texts.append(templates.history_text([records[row] for row in rows[weights > 0]]))
    return texts


def fill(
    chroma: Collections,
    generation: Generation,
    records: list[Item],
    texts: list[str],
    told: list[str],
    progress: Progress | None,
    only: Sequence[CollectionName] = COLLECTIONS,
) -> None:
    """Items in the space, their texts as encoded, items in the graph, users' profiles."""
    item_ids, users = generation.catalogue.ids, generation.users
    metadata = [_item_metadata(item) for item in records]
    held: dict[CollectionName, tuple[Any, ...]] = {
        "items": (item_ids, generation.vectors, texts, metadata),
        "texts": (item_ids, generation.raw, None, metadata),
        "graph": (item_ids, generation.signals.graph, None, metadata),
        "users": (users.ids, users.vectors, told, None),
    }
    for name in only:
        if held[name][1] is not None:
            chroma.write(name, *held[name], progress=progress)


def _item_metadata(item: Item) -> dict[str, str | float | bool | None]:
    """What people who open the collection can filter by; None is left out by the store."""
    return {
        "title": item.title,
        "category": item.category_path or None,
        "top_category": item.category[0] if item.category else None,
        "brand": item.brand or None,
        "price": item.price,
        "available": item.available,
        "added": item.added,
    }


def require_reachable(
    chroma: Collections, generation: Generation, only: Sequence[CollectionName] = COLLECTIONS
) -> None:
    """Refuse a generation in which an item, or one of a sample of users, does not find itself.

    Raises
    ------
    StoreError : how many do not, and the setting that helps.
    """
    n, ids = len(generation.catalogue), generation.catalogue.ids
    sample = None if n <= CHECK_ALL_BELOW else CHECK_SAMPLE
    users = generation.users
    looked_at: dict[CollectionName, tuple[list[str], np.ndarray | None, int | None]] = {
        "items": (ids, generation.vectors, sample),
        "texts": (ids, generation.raw, sample),
        "graph": (ids, generation.signals.graph, sample),
        "users": (users.ids, users.vectors, CHECK_USERS),
    }
    for name in only:
        named, vectors, size = looked_at[name]
        if vectors is None:
            continue
        found = reachability(chroma.search(name, named), vectors, sample=size)
        if found.unreachable or found.recall_at_10 < LEAST_RECALL:
            raise StoreError(
                f"the vector index was not published: of {found.checked:,} vectors checked "
                f"{len(found.unreachable):,} do not find themselves in {name!r}, recall@10 is "
                f"{found.recall_at_10:.3f}; raise ef_construction and max_neighbors under [store]"
            )
