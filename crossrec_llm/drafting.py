"""From items and events to a generation that is whole on disk, and proven to find what is in it."""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from crossrec_llm import __version__
from crossrec_llm.answering import TunedBlend
from crossrec_llm.errors import CrossrecError, IndexDamaged, IndexMismatch, StoreError
from crossrec_llm.generation import COLLECTIONS, CollectionName, Generation
from crossrec_llm.kept import open_chroma, recipe_of, templates_of
from crossrec_llm.meaning import Canaries, Encoder, Templates, VectorCache
from crossrec_llm.recipe import Recipe
from crossrec_llm.records import Item, Progress
from crossrec_llm.resources import default_folder
from crossrec_llm.store import (
    ChromaStore,
    Collections,
    Draft,
    IndexWriter,
    StoredGeneration,
    StoreOptions,
    reachability,
)
from crossrec_llm.store.chroma_errors import require_chroma
from crossrec_llm.store.files import disk_errors, write_atomically
from crossrec_llm.tables import Catalogue, Histories
from crossrec_llm.training import fit_blend, not_needed

_log = logging.getLogger(__name__)

# A generation goes live only if its items find themselves: all of them up to this many, else a
# sample drawn with a fixed seed.
CHECK_ALL_BELOW = 50_000
CHECK_SAMPLE = 20_000
CHECK_USERS = 2_000
LEAST_RECALL = 0.98
_AUDITS = "audits.json"


class Clock:
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


@dataclass(frozen=True, eq=False)
class Means:
    """What generations are made with: the settings, the model, the templates."""

    recipe: Recipe
    encoder: Encoder
    templates: Templates

    @classmethod
    def of(cls, recipe: Recipe) -> Means:
        """With the templates that the recipe names.

        Raises
        ------
        TemplateError, ModelError : what is wrong with them.
        """
        encoder = Encoder(recipe.encoder)
        prompts = default_folder("prompts")
        templates = Templates.load(prompts, recipe.templates, tokens=encoder.tokens)
        return cls(recipe, encoder, templates)

    @classmethod
    def kept(cls, stored: StoredGeneration) -> Means:
        """With the recipe and the very templates of a generation, whatever has become of the rest.

        Raises
        ------
        IndexDamaged : these two cannot be read.
        """
        recipe = recipe_of(stored)
        encoder = Encoder(recipe.encoder)
        return cls(recipe, encoder, templates_of(stored, recipe, encoder))

    def tuning(self, tune: bool | None) -> Means:
        """With the blend fitted, or not; None = as the recipe says."""
        if tune is None:
            return self
        blend = replace(self.recipe.blend, tune=tune)
        return replace(self, recipe=replace(self.recipe, blend=blend))

    @property
    def parts(self) -> dict[str, str]:
        """Their fingerprints, as a generation keeps them."""
        return {
            "recipe": self.recipe.fingerprint,
            "recipe's parts": self.recipe.parts_fingerprint,
            "templates": self.templates.fingerprint,
            "encoder": self.encoder.name,
            "version": __version__,
        }

    def encode(
        self, catalogue: Catalogue, cache: Path, progress: Progress | None = None
    ) -> tuple[np.ndarray, Canaries]:
        """(n_items, dim) float32 unit rows of the items' texts, and what was made of the canaries.

        Texts that the cache has are taken from it, unless the encoder no longer gives its
        vectors: then everything is encoded again, as two kinds of vectors must not be mixed.
        """
        texts = self.templates.item_texts(catalogue)
        with VectorCache.open(cache, self.encoder.dim) as vectors:
            try:
                canaries = self.encoder.canaries(vectors)
                return self.encoder.encode_documents(
                    texts, cache=vectors, progress=progress
                ), canaries
            except IndexMismatch as drift:
                _log.warning("%s", drift)
                self.encoder.expect(None)
                vectors.clear()
                canaries = self.encoder.canaries(vectors)
                return self.encoder.encode_documents(
                    texts, cache=vectors, progress=progress
                ), canaries


def make_draft(
    writer: IndexWriter,
    means: Means,
    catalogue: Catalogue,
    events: pa.Table,
    parts: dict[str, str],
    *,
    blend: TunedBlend | None = None,
    clock: Clock | None = None,
    progress: Progress | None = None,
) -> tuple[Draft, Generation]:
    """Everything of a generation, on disk, filled into Chroma and checked; not published.

    Nothing that answers is touched. What is left of a kill is removed by the next draft.

    Parameters
    ----------
    parts : what it is made from: `Means.parts`, and the fingerprints of the tables.
    blend : what was fitted about blends, to be taken over; None = it is fitted where the recipe
        says so.
    clock : told of the steps "encode", "tune", "fit", "index", "verify".

    Returns
    -------
    The draft, for `IndexWriter.seal` or `publish`, and its parts in memory.

    Raises
    ------
    StoreError : Chroma does not find what is in it.
    StoreUnavailable : the disk is full, the Chroma server does not answer.
    """
    clock = clock or Clock()
    recipe, templates = means.recipe, means.templates
    clock.step("encode")
    raw, canaries = means.encode(catalogue, writer.cache_path, progress)

    clock.step("tune")
    tuned = blend or TunedBlend()
    if blend is None and recipe.blend.tune:
        tuned = fit_blend(recipe, catalogue, raw, events, progress=progress)

    clock.step("fit")
    idle = not_needed(recipe, tuned)
    fitted = Generation.fit(recipe, catalogue, raw, events, without=idle, progress=progress)
    generation = fitted.blended_by(tuned)

    clock.step("index")
    draft = writer.begin(parts)
    generation.save(draft.folder, templates)
    canaries.save(draft.folder)
    with chroma_of(writer, recipe, draft) as chroma:
        fill(chroma, generation, events, templates, progress)
        clock.step("verify")
        audit(chroma, generation, draft.folder)
    return draft, generation


def copy_draft(
    writer: IndexWriter, old: StoredGeneration, changed: Generation, parts: dict[str, str]
) -> Draft:
    """A draft of the same parts with another recipe or blend.

    Chroma's folder is copied; a server's collections are filled again.
    """
    recipe = changed.recipe
    draft = writer.begin(parts)
    # Only texts that are made anew need the model's tokens.
    encoder = Encoder(recipe.encoder) if recipe.store.url else None
    templates = templates_of(old, recipe, encoder)
    changed.save(draft.folder, templates)
    if canaries := Canaries.load(old.folder):
        canaries.save(draft.folder)
    keep_audits(old.folder, draft.folder)
    if not recipe.store.url:
        if (old.folder / "chroma").exists():  # an erasure may have left it to be filled again
            with disk_errors(draft.folder):
                shutil.copytree(old.folder / "chroma", draft.folder / "chroma")
        return draft
    fill_draft(writer, draft, changed, writer.ledger.events(upto=old.change), templates)
    return draft


def require_server(recipe: Recipe) -> None:
    """Ask the Chroma server of a recipe once whether it is there, before hours go into vectors.

    Raises
    ------
    StoreUnavailable : it is not; nothing is asked where Chroma is embedded.
    """
    if recipe.store.url:
        require_chroma(recipe.store.url, recipe.store.timeout)


@contextmanager
def chroma_of(writer: IndexWriter, recipe: Recipe, draft: Draft) -> Iterator[Collections]:
    """The Chroma of a draft, to be filled; a server is remembered until it holds nothing."""
    if recipe.store.url:
        erasures = writer.ledger.erasures
        erasures.servers = {*erasures.servers, recipe.store.url}
    with open_chroma(recipe, draft) as chroma:
        yield chroma


def fill_draft(
    writer: IndexWriter,
    draft: Draft,
    generation: Generation,
    events: pa.Table,
    templates: Templates,
    progress: Progress | None = None,
    *,
    only: Sequence[CollectionName] = COLLECTIONS,
) -> None:
    """Fill the collections of a draft, and check that what is in them is found.

    Raises
    ------
    StoreError : as `audit`.
    """
    with chroma_of(writer, generation.recipe, draft) as chroma:
        fill(chroma, generation, events, templates, progress, only=only)
        audit(chroma, generation, draft.folder, only=only)


@contextmanager
def clearing(writer: IndexWriter) -> Iterator[dict[str, bool]]:
    """Generations may go within; then their collections go from all Chroma servers that had any.

    Yields
    ------
    For each server, by its address, whether it could be cleared: known once this ends. One that
    does not answer is asked again the next time.
    """
    cleared: dict[str, bool] = {}
    before = _servers(writer)
    yield cleared
    if writer.manifest is None:
        return
    erasures = writer.ledger.erasures
    active = writer.manifest.active
    for url in sorted(before | _servers(writer) | erasures.servers):
        try:
            require_chroma(url, StoreOptions().timeout)  # once: it is asked again the next time
            with ChromaStore.server(url, prefix=writer.stored(active).prefix) as chroma:
                chroma.keep(writer.prefixes)
            cleared[url] = True
        except CrossrecError as error:
            _log.warning("collections of former generations stay on a server: %s", error)
            cleared[url] = False
    erasures.servers = _servers(writer) | {url for url, done in cleared.items() if not done}


def _servers(writer: IndexWriter) -> set[str]:
    """The addresses of the Chroma servers that kept generations lie on."""
    urls = set()
    for name in writer.manifest.generations if writer.manifest else ():
        try:
            urls.add(recipe_of(writer.stored(name)).store.url)
        except IndexDamaged:
            continue
    return urls - {""}


def fill(
    chroma: Collections,
    generation: Generation,
    events: pa.Table,
    templates: Templates,
    progress: Progress | None = None,
    *,
    only: Sequence[CollectionName] = COLLECTIONS,
) -> None:
    """Items in the space, their texts as encoded, items in the graph, users' profiles."""
    catalogue, users = generation.catalogue, generation.users
    records = [catalogue.item(row) for row in range(len(catalogue))]
    texts = templates.item_texts(catalogue) if "items" in only else None
    told = _told(generation, events, templates, records) if "users" in only else None
    metadata = [_item_metadata(item) for item in records]
    for name in only:
        vectors = generation.rows_of(name)
        if vectors is None:
            continue
        if name == "users":
            chroma.write(name, users.ids, vectors, told, None, progress=progress)
        else:
            documents = texts if name == "items" else None
            chroma.write(name, catalogue.ids, vectors, documents, metadata, progress=progress)


def _told(
    generation: Generation, events: pa.Table, templates: Templates, records: list[Item]
) -> list[str]:
    """The history of each user that has a profile, as a text; `records` are all items by row.

    Empty for somebody of whom no event is left.
    """
    events = generation.walls.visible(events)
    histories = Histories.from_events(events, generation.catalogue, generation.histories)
    place = {user_id: u for u, user_id in enumerate(histories.user_ids)}
    texts = []
    for user_id in generation.users.ids:
        u = place.get(user_id)
        kept = []
        if u is not None:
            rows, weights, _ = histories.history(u)
            kept = [records[row] for row in rows[weights > 0]]
        texts.append(templates.history_text(kept) if kept else "")
    return texts


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


def audit(
    chroma: Collections,
    generation: Generation,
    folder: Path,
    *,
    only: Sequence[CollectionName] = COLLECTIONS,
) -> None:
    """Refuse a generation in which an item, or one of a sample of users, does not find itself.

    What was found is kept in its folder, for `audits_of`.

    Raises
    ------
    StoreError : how many do not, and the setting that helps.
    """
    sample = None if len(generation.catalogue) <= CHECK_ALL_BELOW else CHECK_SAMPLE
    audits = {name: one for name, one in audits_of(folder).items() if name not in only}
    for name in only:
        vectors = generation.rows_of(name)
        if vectors is None:
            continue
        size = CHECK_USERS if name == "users" else sample
        found = reachability(chroma.search(name, generation.ids_of(name)), vectors, sample=size)
        if found.unreachable or found.recall_at_10 < LEAST_RECALL:
            raise StoreError(
                f"the vector index was not published: of {found.checked:,} vectors checked "
                f"{len(found.unreachable):,} do not find themselves in {name!r}, recall@10 is "
                f"{found.recall_at_10:.3f}; raise ef_construction and max_neighbors under [store]"
            )
        audits[name] = Audit(found.checked, found.recall_at_10)
    _write_audits(folder, audits)


@dataclass(frozen=True)
class Audit:
    """What was found when a collection was published: all that were asked for found themselves.

    checked : how many vectors were asked for.
    recall_at_10 : share of the true 10 nearest that was found.
    """

    checked: int
    recall_at_10: float

    def __str__(self) -> str:
        return f"{self.checked:,} checked, recall@10 {self.recall_at_10:.3f}"


def audits_of(folder: Path) -> dict[str, Audit]:
    """By collection, as they are kept in a generation's folder; none in those of older versions."""
    try:
        kept = json.loads((folder / _AUDITS).read_bytes())
    except FileNotFoundError:
        return {}
    return {name: Audit(**one) for name, one in kept.items()}


def keep_audits(old: Path, new: Path, names: Container[str] = COLLECTIONS) -> None:
    """Take over the audits of collections that are taken over."""
    if audits := {name: one for name, one in audits_of(old).items() if name in names}:
        _write_audits(new, audits)


def _write_audits(folder: Path, audits: Mapping[str, Audit]) -> None:
    kept = {name: asdict(one) for name, one in sorted(audits.items())}
    write_atomically(folder / _AUDITS, json.dumps(kept, indent=1).encode())
