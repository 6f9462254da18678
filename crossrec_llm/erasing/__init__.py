"""SPINE: people and items out of an index for good, and a receipt of it."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from crossrec_llm.builder import build, counted
from crossrec_llm.drafting import clear_server, fill, require_reachable
from crossrec_llm.erasing.places import clear_texts, places
from crossrec_llm.erasing.proving import traces_of
from crossrec_llm.erasing.scanning import Found, Scanner
from crossrec_llm.erasing.scrubbing import Scrubbed, fitted_at_once, scrub
from crossrec_llm.errors import QueryError, StoreError, UnknownItem, UnknownUser
from crossrec_llm.generation import COLLECTIONS, SCANNED, CollectionName, Generation
from crossrec_llm.kept import open_chroma
from crossrec_llm.meaning import Canaries, Encoder, Templates, VectorCache
from crossrec_llm.records import Progress
from crossrec_llm.resources import default_index
from crossrec_llm.store import (
    Draft,
    ErasureReceipt,
    Erasures,
    Index,
    IndexWriter,
    Kind,
    Ledger,
    Removed,
    StoredGeneration,
    next_number,
    read_receipts,
)
from crossrec_llm.store.index import SEAL
from crossrec_llm.tables import near_matches

__all__ = [
    "ErasureReceipt",
    "Found",
    "Scanner",
    "erase_items",
    "forget_user",
    "places",
    "traces_of",
]

_log = logging.getLogger(__name__)

ERASED = "to be fitted anew"
"""The part of a stored generation that names what still holds sums over what was erased."""


def forget_user(
    index: str | Path | None,
    user_ids: str | Sequence[str],
    *,
    refill: bool = True,
    refit: bool = False,
    prove: bool = False,
    progress: Progress | None = None,
) -> ErasureReceipt:
    """Erase people: their events, corrections and profiles, and what was learned from them alone.

    Afterwards no file of the index holds their ids, sentences or vectors. Rows of theirs in files
    that are built from or appended later are left out, unless they are dated after the erasure.
    What was cut off is finished by calling it again, with the same ids or none.

    Parameters
    ----------
    refill : fill Chroma again at once; else the next build does, and searches scan until then.
    refit : build a generation from the records at once, so that nothing is left that was fitted
        before; else the next build does.
    prove : look through every byte of the index for ids, texts and vectors that only they had;
        the receipt's `scan` says what was found, which should be nothing.

    Raises
    ------
    UnknownUser : nothing of an id is there; nothing was erased.
    IndexMissing, IndexLocked, StoreUnavailable : the index cannot be written now.
    """
    return _erase(index, "user", user_ids, refill, refit, prove, progress)


def erase_items(
    index: str | Path | None,
    item_ids: str | Sequence[str],
    *,
    refill: bool = True,
    refit: bool = False,
    prove: bool = False,
    progress: Progress | None = None,
) -> ErasureReceipt:
    """Erase items with all that people did with them. As `forget_user`.

    A file that still lists them does not bring them back; adding one by name does.

    Raises
    ------
    UnknownItem : an id is not there; nothing was erased. Others as for `forget_user`.
    """
    return _erase(index, "item", item_ids, refill, refit, prove, progress)


def _erase(
    index: str | Path | None,
    kind: Kind,
    ids: str | Sequence[str],
    refill: bool,
    refit: bool,
    prove: bool,
    progress: Progress | None,
) -> ErasureReceipt:
    started = time.perf_counter()
    path = Path(index) if index is not None else default_index()
    ids = [ids] if isinstance(ids, str) else list(dict.fromkeys(map(str, ids)))
    Index.open(path).close()
    with IndexWriter.open(path) as writer:
        assert writer.active is not None, "an index that opens has a generation"
        erasures, old = writer.ledger.erasures, Generation.load(writer.active)
        _require_known(writer, erasures, kind, ids)
        kept = writer.manifest.generations if writer.manifest else {}
        resumed, moment = erasures.pending, time.time()
        scanner = traces_of(old, writer.ledger, kind, ids) if prove else None
        lost = None if resumed else _taken(old, writer.ledger, kind, ids)

        cleared = clear_texts(path, ids)
        removed = erasures.erase(kind, ids, moment)
        events = erasures.events(writer.active.change)
        new = scrub(old, set(erasures.ids("item")), events, lost, progress=progress)
        counts = _counts(removed, old, new)
        published = _publish(writer, old, new, events, progress)
        writer.collect(keep=1)
        clear_server(writer, {old.recipe.store.url})
        if resumed or kind == "item":
            with VectorCache.open(writer.cache_path, old.raw.shape[1]) as cache:
                counts["encoded texts"] = cache.keep(_in_use(writer.active, new.generation))
        erasures.scour()
        erasures.done()

        receipt = ErasureReceipt(
            number=next_number(path),
            kind=kind,
            subjects=tuple(erasures.hash(kind, id) for id in ids),
            moment=datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds"),
            removed={place: n for place, n in {**counts, **cleared}.items() if n},
            generation=published.name,
            generations_removed=tuple(sorted(kept)),
            learned=fitted_at_once(new.learned, published.name),
            out_of_reach=_out_of_reach(path, bool(old.recipe.store.url)),
            to_fill=_named(published.parts.get(SCANNED, "")),
            scan=scanner.scan(path).to_dict() if scanner else None,
            seconds={"erased": time.perf_counter() - started},
            resumed=resumed,
        )
        receipt.save(path)
        if refill and not refit and receipt.to_fill and _refill(writer, published, progress):
            receipt = replace(receipt, to_fill=())
        receipt = _done(path, receipt, started)
    if refit:
        build(index=path, progress=progress)
        (receipt,) = (one for one in read_receipts(path) if one.number == receipt.number)
        receipt = _done(path, receipt, started)
    return receipt


def _done(path: Path, receipt: ErasureReceipt, started: float) -> ErasureReceipt:
    seconds = {**receipt.seconds, "done": time.perf_counter() - started}
    receipt = replace(receipt, seconds=seconds)
    receipt.save(path)
    return receipt


def _require_known(writer: IndexWriter, erasures: Erasures, kind: Kind, ids: Sequence[str]) -> None:
    """Refuse ids of which nothing is there, before anything is erased."""
    if not ids and not erasures.pending:
        raise QueryError(f"no {kind} to erase: give an id")
    cut_off = erasures.moments(kind) if erasures.pending else {}
    missing = [
        id for id in ids if not erasures.has(kind, id) and erasures.hash(kind, id) not in cut_off
    ]
    if missing and writer.manifest:  # who is in no records any more may be in an older generation
        for name in writer.manifest.generations:
            built = Generation.load(writer.stored(name))
            there = set(built.users.ids if kind == "user" else built.catalogue.ids)
            missing = [id for id in missing if id not in there]
    if missing:
        error = UnknownUser if kind == "user" else UnknownItem
        raise error(missing[0], near_matches(missing[0], erasures.ids(kind)))


def _taken(
    old: Generation, ledger: Ledger, kind: Kind, ids: Sequence[str]
) -> dict[str, np.ndarray]:
    """The rows that each person took; empty where items are erased."""
    if kind == "item":
        return {}
    known = [id for id in ids if ledger.has_user(id)]
    found = {id: old.catalogue.rows(ledger.events_of(id)["item_id"]) for id in known}
    return {id: rows[rows >= 0] for id, rows in found.items()}


def _publish(
    writer: IndexWriter,
    old: Generation,
    new: Scrubbed,
    events: pa.Table,
    progress: Progress | None,
) -> StoredGeneration:
    """Have it answer. What changed in Chroma is left to `_refill`, but on a server."""
    active, generation = writer.active, new.generation
    assert active is not None
    recipe, folder = generation.recipe, active.folder / "chroma"
    alike = () if new.fewer or recipe.store.url else ("items", "texts")
    linked = [name for name in alike if (folder / name).exists()]
    there = [
        name for name in COLLECTIONS if name != "graph" or generation.signals.graph is not None
    ]
    to_fill = [] if recipe.store.url else [name for name in there if name not in linked]
    waiting = {*_named(active.parts.get(ERASED, "")), *new.waiting}
    parts = {
        **active.parts,
        "records": writer.ledger.content,
        ERASED: ", ".join(sorted(waiting)),
        SCANNED: ", ".join(to_fill),
    }
    if recipe != old.recipe:
        parts["recipe"] = recipe.fingerprint
    draft = writer.begin({name: part for name, part in parts.items() if part})
    generation.save(draft.folder, _templates(old, encoded=False))
    if canaries := Canaries.load(active.folder):
        canaries.save(draft.folder)
    for name in linked:
        _link(folder / name, draft.folder / "chroma" / name)
    if recipe.store.url:
        _fill(draft, generation, _templates(old), events, COLLECTIONS, progress)
    return writer.publish(draft, counted(generation, events), change=active.change)


def _refill(
    writer: IndexWriter, scrubbed: StoredGeneration, progress: Progress | None
) -> StoredGeneration | None:
    """The same generation with all of its collections; None where they could not be filled.

    Then it goes on being scanned, which gives the same answers.
    """
    generation = Generation.load(scrubbed)
    only = [name for name in COLLECTIONS if name in generation.scanned]
    parts = {name: part for name, part in scrubbed.parts.items() if name != SCANNED}
    events = writer.ledger.erasures.events(scrubbed.change)
    draft = writer.begin(parts)
    _link(scrubbed.folder, draft.folder)
    try:
        _fill(draft, generation, _templates(generation), events, only, progress)
    except StoreError as error:
        _log.warning("Chroma was not filled again: %s", error)
        return None
    published = writer.publish(draft, scrubbed.counts, change=scrubbed.change)
    writer.collect(keep=1)
    return published


def _fill(
    draft: Draft,
    generation: Generation,
    templates: Templates,
    events: pa.Table,
    only: Sequence[CollectionName],
    progress: Progress | None,
) -> None:
    with open_chroma(generation.recipe, draft) as chroma:
        fill(chroma, generation, events, templates, progress, only=only)
        require_reachable(chroma, generation, only=only)


def _templates(generation: Generation, *, encoded: bool = True) -> Templates:
    """Those of a stored generation; with `encoded`, texts are shortened to what the model reads."""
    return generation.templates(Encoder(generation.recipe.encoder) if encoded else None)


def _in_use(stored: StoredGeneration, generation: Generation) -> np.ndarray:
    """(n, dim) float32, the encoded texts of its items, and those that watch over the encoder."""
    canaries = Canaries.load(stored.folder)
    return np.concatenate([generation.raw, *([canaries.vectors] if canaries else [])])


def _link(source: Path, target: Path) -> None:
    """The same files under another name; copied where the file system has no links.

    A published file is never written to again, so that nobody notices that it is one.
    """

    def link(one: str, other: str) -> None:
        try:
            os.link(one, other)
        except OSError:
            shutil.copyfile(one, other)

    skip = shutil.ignore_patterns(SEAL)
    shutil.copytree(source, target, copy_function=link, ignore=skip, dirs_exist_ok=True)


def _counts(removed: Removed, old: Generation, new: Scrubbed) -> dict[str, int]:
    """How much went, by place."""
    left = new.generation
    return {
        "people in the records": removed.users,
        "items in the records": removed.items,
        "events": removed.events,
        "corrections of profiles": removed.corrections,
        "corrections of others that named it": removed.struck,
        "profiles": len(set(old.users.ids) - set(left.users.ids)),
        "items in the catalogue": len(old.catalogue) - len(left.catalogue),
        "words": len(old.signals.lexical.postings.words) - len(left.signals.lexical.postings.words),
    }


def _out_of_reach(index: Path, server: bool) -> tuple[str, ...]:
    found = [
        "backups, copies and exports of this index, and the files that it was built from",
        "what a disk or file system keeps of blocks that were given back",
        "answers that were given before, and processes that have the index open, until they ask "
        "again",
    ]
    if server:
        found.append(
            "what the Chroma server leaves in its own files of collections that it dropped"
        )
    others = [place.path.name for place in places(index) if place.holds == "unknown"]
    if others:
        found.append(f"files in the folder that are not the index's: {', '.join(others)}")
    return tuple(found)


def _named(part: str) -> tuple[str, ...]:
    return tuple(part.split(", ")) if part else ()
