"""SPINE: people and items out of an index for good, and a receipt of it."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache as memoised
from pathlib import Path

import numpy as np
import pyarrow as pa

from crossrec_llm.builder import build, counted
from crossrec_llm.drafting import clearing, fill_draft, keep_audits
from crossrec_llm.erasing.places import named_in_leftovers, places, remove_leftovers
from crossrec_llm.erasing.proving import traces_of
from crossrec_llm.erasing.scanning import Found, Scanner
from crossrec_llm.erasing.scrubbing import Scrubbed, scrub
from crossrec_llm.errors import QueryError, StoreError, UnknownItem, UnknownUser
from crossrec_llm.generation import COLLECTIONS, Generation
from crossrec_llm.judging import forget_judgements
from crossrec_llm.meaning import Canaries, Encoder, Templates, VectorCache
from crossrec_llm.records import Progress
from crossrec_llm.resources import default_index
from crossrec_llm.store import (
    ERASED,
    SCANNED,
    ErasureReceipt,
    Index,
    IndexWriter,
    Kind,
    Ledger,
    Removed,
    StoredGeneration,
    Unfinished,
    marked,
    named,
    next_number,
    read_receipt,
)
from crossrec_llm.store.files import disk_errors
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
    path = Path(index) if index is not None else default_index()
    ids = [ids] if isinstance(ids, str) else list(dict.fromkeys(map(str, ids)))
    with Index.open(path) as opened:
        unfinished = list(opened.ledger.erasures.unfinished)
    if unfinished and not ids and kind not in unfinished:
        kind = unfinished[0]
    for other in unfinished:
        if other != kind:
            _erase_one(path, other, [], refill, prove, progress)
    started = time.perf_counter()
    receipt = _erase_one(path, kind, ids, refill and not refit, prove, progress)
    if refit:
        build(index=path, progress=progress)
        receipt = _done(path, receipt.number, started)
    return receipt


def _erase_one(
    path: Path,
    kind: Kind,
    ids: list[str],
    refill: bool,
    prove: bool,
    progress: Progress | None,
) -> ErasureReceipt:
    started, moment = time.perf_counter(), time.time()
    with IndexWriter.open(path) as writer:
        assert writer.active is not None, "an index that opens has a generation"
        erasures, old = writer.ledger.erasures, Generation.load(writer.active)
        resumed = kind in erasures.unfinished
        _require_known(writer, kind, ids)
        ids = list(dict.fromkeys([*ids, *erasures.returned(kind)]))
        scanner = traces_of(old, writer.ledger, kind, ids) if prove else None
        lost = None if resumed else _taken(old, writer.ledger, kind, ids)

        kept = tuple(writer.manifest.generations if writer.manifest else ())
        this = Unfinished(moment=moment, number=next_number(path), generations=kept)
        this = erasures.erase(kind, ids, this)
        subjects = set(this.subjects)  # of an erasure that was cut off, too
        judged = forget_judgements(
            path, kind, memoised(lambda id: erasures.hash(kind, id) in subjects)
        )
        cleared = {**remove_leftovers(path), "judgements": judged}
        events = writer.ledger.events(upto=writer.active.change)
        new = scrub(old, set(erasures.ids("item")), events, lost, progress=progress)
        counts = _counts(this.removed, old, new)
        with clearing(writer) as servers:
            published = _publish(writer, old, new, events, progress)
            writer.collect(keep=1)
        if resumed or kind == "item":
            with VectorCache.open(writer.cache_path, old.raw.shape[1]) as cache:
                counts["encoded texts"] = cache.keep(_in_use(writer.active, new.generation))
        erasures.scour()

        receipt = ErasureReceipt(
            number=this.number,
            kind=kind,
            subjects=this.subjects,
            moment=datetime.fromtimestamp(this.moment, UTC).isoformat(timespec="seconds"),
            removed={place: n for place, n in {**counts, **cleared}.items() if n},
            generation=published.name,
            generations_removed=tuple(sorted({*this.generations, *kept} - {published.name})),
            learned=new.learned,
            out_of_reach=_out_of_reach(path, servers),
            to_fill=named(published.parts, SCANNED),
            scan=scanner.scan(path).to_dict() if scanner else None,
            seconds={"erased": time.perf_counter() - started},
            resumed=resumed,
        )
        receipt.save(path)
        erasures.done(kind)
        writer.complete_receipts()
        if refill and receipt.to_fill:
            _refill(writer, published, progress)
        return _done(path, receipt.number, started)


def _done(path: Path, number: int, started: float) -> ErasureReceipt:
    """A receipt as later generations completed it, with the seconds that all of it took."""
    receipt = read_receipt(path, number)
    seconds = {**receipt.seconds, "done": time.perf_counter() - started}
    receipt = replace(receipt, seconds=seconds)
    receipt.save(path)
    return receipt


def _require_known(writer: IndexWriter, kind: Kind, ids: Sequence[str]) -> None:
    """Refuse ids of which nothing is there, before anything is erased."""
    erasures = writer.ledger.erasures
    unfinished = erasures.unfinished.get(kind)
    if not ids and unfinished is None:
        raise QueryError(f"no {kind} to erase: give an id")
    cut_off = unfinished.subjects if unfinished else ()
    missing = [
        id for id in ids if not erasures.has(kind, id) and erasures.hash(kind, id) not in cut_off
    ]
    missing = [id for id in missing if not named_in_leftovers(writer.path, id)]
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
    parts = marked(active.parts, ERASED, new.waiting(named(active.parts, ERASED)))
    parts = {**marked(parts, SCANNED, to_fill), "records": writer.ledger.content}
    if recipe != old.recipe:
        parts["recipe"] = recipe.fingerprint
    draft = writer.begin(parts)
    generation.save(draft.folder, _templates(old, encoded=False))
    if canaries := Canaries.load(active.folder):
        canaries.save(draft.folder)
    keep_audits(active.folder, draft.folder, linked)
    for name in linked:
        _link(folder / name, draft.folder / "chroma" / name)
    if recipe.store.url:
        fill_draft(writer, draft, generation, events, _templates(old), progress)
    return writer.publish(draft, counted(generation, events), change=active.change)


def _refill(writer: IndexWriter, scrubbed: StoredGeneration, progress: Progress | None) -> None:
    """Have the same generation answer with all of its collections.

    Where they cannot be filled it goes on being scanned, which gives the same answers.
    """
    generation = Generation.load(scrubbed)
    only = [name for name in COLLECTIONS if name in generation.scanned]
    events = writer.ledger.events(upto=scrubbed.change)
    draft = writer.begin(marked(scrubbed.parts, SCANNED, ()))
    _link(scrubbed.folder, draft.folder)
    try:
        fill_draft(writer, draft, generation, events, _templates(generation), progress, only=only)
    except StoreError as error:
        _log.warning("Chroma was not filled again: %s", error)
        return
    writer.publish(draft, scrubbed.counts, change=scrubbed.change)
    writer.collect(keep=1)


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
    with disk_errors(target):
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
        "exposures": removed.exposures,
        "outcomes": removed.outcomes,
        "places in lists that were shown": removed.offers,
        "profiles": len(set(old.users.ids) - set(left.users.ids)),
        "items in the catalogue": len(old.catalogue) - len(left.catalogue),
        "words": len(old.signals.lexical.postings.words) - len(left.signals.lexical.postings.words),
    }


def _out_of_reach(index: Path, servers: Mapping[str, bool]) -> tuple[str, ...]:
    """In words; `servers` are the addresses of Chroma servers, and whether each was cleared."""
    found = [
        "backups, copies and exports of this index, the files that it was built from, and lists "
        "of rejected rows that lie elsewhere",
        "what a disk or file system keeps of blocks that were given back",
        "answers that were given before, and processes that have the index open, until they ask "
        "again",
    ]
    if any(servers.values()):
        found.append(
            "what the Chroma server leaves in its own files of collections that it dropped"
        )
    found += [
        f"collections on the Chroma server at {url}, which could not be cleared; builds and "
        "erasures try again"
        for url, cleared in servers.items()
        if not cleared
    ]
    others = [place.path.name for place in places(index) if place.holds == "unknown"]
    if others:
        found.append(f"files in the folder that are not the index's: {', '.join(others)}")
    return tuple(found)
