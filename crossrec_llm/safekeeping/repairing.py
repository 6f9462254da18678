"""Whatever can be made from the truth is made anew; about the truth itself nothing is guessed."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from crossrec_llm.answering import TunedBlend
from crossrec_llm.builder import counted
from crossrec_llm.drafting import (
    Means,
    clearing,
    fill_draft,
    make_draft,
)
from crossrec_llm.errors import CrossrecError, IndexDamaged
from crossrec_llm.generation import Generation
from crossrec_llm.kept import recipe_of
from crossrec_llm.meaning import drop_damaged
from crossrec_llm.origins import Made, recorded
from crossrec_llm.recipe import Recipe
from crossrec_llm.records import Progress
from crossrec_llm.resources import default_index
from crossrec_llm.safekeeping.verifying import Problem, Verification, verify
from crossrec_llm.store import (
    ERASED,
    SCANNED,
    GenerationRecord,
    IndexWriter,
    Ledger,
    Manifest,
    StoredGeneration,
    checks,
    marked,
    named,
)
from crossrec_llm.store.files import disk_errors
from crossrec_llm.store.index import GENERATIONS, LEDGER, MANIFEST, SEAL, prefix_of
from crossrec_llm.store.lock import locked
from crossrec_llm.store.manifest import number_of
from crossrec_llm.store.receipts import damaged_receipts
from crossrec_llm.store.writer import CACHE
from crossrec_llm.tables import Catalogue


@dataclass(frozen=True)
class Repaired:
    """What was wrong and what was done about it.

    problems : as `verify` found them before.
    done : in words, in order; empty where nothing was wrong.
    after : `verify` of what is there now.
    """

    problems: tuple[Problem, ...]
    done: tuple[str, ...]
    after: Verification

    def to_dict(self) -> dict[str, Any]:
        return {
            "problems": [asdict(problem) for problem in self.problems],
            "done": list(self.done),
            "after": self.after.to_dict(),
        }


def repair(index: str | Path | None = None, *, progress: Progress | None = None) -> Repaired:
    """Make the parts of an index anew that are not as they were written.

    Where only Chroma is damaged it is filled again from the generation's vectors; else a
    generation is built from the records, with the same recipe, and texts that the cache has are not
    encoded again. Damaged generations that do not answer are removed.

    Raises
    ------
    IndexDamaged : the truth is damaged: what of it, and what can be done. Nothing was changed.
    IndexLocked, StoreUnavailable : the index cannot be written now.
    """
    path = Path(index) if index is not None else default_index()
    found = verify(path, progress=progress)
    if truth := [problem for problem in found.problems if problem.is_truth]:
        raise IndexDamaged(_refusal(path, truth))
    if found.ok:
        return Repaired((), (), found)
    with locked(path):
        done = [*_records(path, found.problems), *_cache(path, found.problems)]
        done += _manifest(path, found.problems)
        done += _receipts(path)
    with IndexWriter.open(path) as writer:
        done += _generations(writer, found.problems, progress)
    return Repaired(found.problems, tuple(done), verify(path, progress=progress))


def _refusal(path: Path, truth: Iterable[Problem]) -> str:
    what = "; ".join(f"{problem.file}: {problem.what}" for problem in truth)
    return (
        f"{path}: the truth is damaged, and nothing else has what is in it ({what}). Nothing was "
        f"changed. Either `crossrec restore BACKUP --index {path} --force`; or move {LEDGER}* away "
        "and run `crossrec build` with the files: what came live since they were made is lost then"
    )


def _records(path: Path, problems: Iterable[Problem]) -> list[str]:
    """Rows are whole here: the file is written anew around them."""
    file = path / LEDGER
    if not any(problem.file == LEDGER for problem in problems):
        return []
    try:
        with closing(sqlite3.connect(file, isolation_level=None)) as connection:
            connection.execute("PRAGMA secure_delete = ON")
            for statement in ("VACUUM", "REINDEX", "VACUUM"):  # which copies indexes as they are
                connection.execute(statement)
        with closing(checks.lenient(file)) as reading:
            wrong = [*checks.damaged_rows(reading), *checks.unsound(reading)]
    except checks.UNREADABLE as error:
        wrong = [str(error)]
    if wrong:
        truth = [Problem("the truth", LEDGER, what, is_truth=True) for what in wrong]
        raise IndexDamaged(_refusal(path, truth))
    checks.reseal(file)
    return [f"{LEDGER}: written anew around its rows, which are whole"]


def _cache(path: Path, problems: Iterable[Problem]) -> list[str]:
    file = path / CACHE
    if not any(problem.file.startswith(CACHE) for problem in problems):
        return []
    try:
        dropped = drop_damaged(file)
        done = f"{CACHE}: {dropped:,} damaged vectors taken out, they are encoded again when needed"
    except checks.UNREADABLE:
        for name in ("", "-wal", "-shm"):
            file.with_name(file.name + name).unlink(missing_ok=True)
        done = f"{CACHE}: removed, texts are encoded again when needed"
    checks.seal_path(file).unlink(missing_ok=True)
    checks.reseal(file)
    return [done]


def _manifest(path: Path, problems: Iterable[Problem]) -> list[str]:
    """From what each whole generation says of itself, and the records of which were live.

    The last of these that is whole answers; nothing is published that never was.
    """
    if not any(problem.file == MANIFEST for problem in problems):
        return []
    damaged = {problem.generation for problem in problems}
    records = {}
    for file in (path / GENERATIONS).glob(f"*/{SEAL}"):
        name = file.parent.name
        if name in damaged or file.parent.suffix:
            continue
        content = file.read_bytes()
        sealed = json.loads(content)
        records[name] = GenerationRecord(
            sealed["parts"],
            sealed["counts"],
            hashlib.sha256(content).hexdigest(),
            sealed.get("change", 0),
            truth=sealed.get("truth", ""),
        )
    with Ledger.open(path / LEDGER, write=False) as ledger:
        noted = ledger.published
    live = [name for name in noted or sorted(records, key=number_of) if name in records]
    if not live:
        raise IndexDamaged(
            f"{path}: the manifest is damaged, and no generation is whole that was live; the "
            "records are whole: delete it and run `crossrec build --recipe FILE`"
        )
    records |= {name: replace(records[name], truth="") for name in live}
    Manifest(live[-1], records, tuple(live)).write(path / MANIFEST)
    return [f"{MANIFEST}: made again from the generations; {live[-1]} answers now"]


def _receipts(path: Path) -> list[str]:
    """Nothing else has what they said: they are kept under another name."""
    damaged = damaged_receipts(path)
    for file in damaged:
        file.replace(file.with_name(file.name + ".damaged"))
    return [f"{file.relative_to(path)}: set aside, as nothing else has it" for file in damaged]


def _generations(
    writer: IndexWriter, problems: Iterable[Problem], progress: Progress | None
) -> list[str]:
    assert writer.manifest is not None, "there is a manifest by now"
    manifest, done = writer.manifest, []
    damaged: dict[str, list[str]] = {}
    for problem in problems:
        if problem.generation in manifest.generations:
            name = f"{GENERATIONS}/{problem.generation}/"
            damaged.setdefault(problem.generation, []).append(problem.file.removeprefix(name))
    if manifest.active in damaged:
        record, files = manifest.current, damaged[manifest.active]
        old = StoredGeneration(
            manifest.active,
            writer.path / GENERATIONS / manifest.active,
            record.parts,
            record.counts,
            prefix_of(writer.ledger.id, manifest.active),
            record.change,
        )
        place = f"{GENERATIONS}/{old.name}"  # of what is on a server
        if all(file.startswith("chroma/") or file == place for file in files):
            new = _refilled(writer, old, progress)
            done.append(f"Chroma: filled again from the vectors, as generation {new.name}")
        else:
            new = _rebuilt(writer, old, set(files), progress)
            done.append(f"generation {old.name}: built again from the records, as {new.name}")
    if dropped := sorted(damaged.keys() & writer.manifest.generations.keys()):
        writer.drop(dropped)
        done += [f"generation {name}: removed" for name in dropped]
    return done


def _refilled(
    writer: IndexWriter, old: StoredGeneration, progress: Progress | None
) -> StoredGeneration:
    """The same files, and a new Chroma."""
    generation = Generation.load(old)
    means = Means.kept(old)
    draft = writer.begin(marked(old.parts, SCANNED, ()))
    skip = shutil.ignore_patterns("chroma", SEAL)
    with disk_errors(draft.folder):
        shutil.copytree(old.folder, draft.folder, dirs_exist_ok=True, ignore=skip)
    events = writer.ledger.events(upto=old.change)
    fill_draft(writer, draft, generation, events, means.templates, progress)
    with clearing(writer):
        return writer.publish(draft, old.counts, change=old.change)


def _rebuilt(
    writer: IndexWriter, old: StoredGeneration, damaged: set[str], progress: Progress | None
) -> StoredGeneration:
    """From the records, with the recipe, the templates and the blend that made the old one."""
    means, made = _means(writer, old, damaged), _made(writer, old, damaged)
    blend = None
    if not damaged & {"blend.json", SEAL}:
        blend = TunedBlend.load(old.folder / "blend.json")
    parts = {"inputs": old.parts.get("inputs", ""), **means.parts, "records": made.digest}
    if blend is not None:  # which waits for a build still where an erasure left it
        waiting = named(old.parts, ERASED)
        parts = marked(parts, ERASED, (name for name in ("blend", "bridges") if name in waiting))
    draft, generation = make_draft(
        writer, means, made.catalogue, made.events, parts, blend=blend, progress=progress
    )
    counts = counted(generation, made.events)
    with clearing(writer):
        return writer.publish(draft, counts, change=made.change, progress=progress)


def _made(writer: IndexWriter, old: StoredGeneration, damaged: set[str]) -> Made:
    """What the old one was made of, so that what came live since stays live.

    Where that cannot be told any more (its catalogue is damaged, and items were changed or removed
    since) everything that came live is folded in.
    """
    items, events = writer.ledger.before(old.change)
    catalogue = None
    if not damaged & {"catalogue.arrow", SEAL}:
        catalogue = Catalogue.open(old.folder / "catalogue.arrow")
    elif len(items) == old.counts.get("items"):
        catalogue = Catalogue.from_table(items)
    if catalogue is None:
        return recorded(writer.ledger)
    events = events.filter(pc.is_in(events["item_id"], pa.array(catalogue.ids, pa.string())))
    return Made(catalogue, events, old.parts.get("records", ""), old.change)


def _means(writer: IndexWriter, old: StoredGeneration, damaged: set[str]) -> Means:
    """From the old generation where these parts are whole, else what has the same fingerprints."""
    assert writer.manifest is not None, "a generation is told of in it"
    if not any(file in (SEAL, "recipe.json") or file.startswith("prompts/") for file in damaged):
        return Means.kept(old)
    wanted = {name: old.parts.get(name) for name in ("recipe", "templates", "encoder")}
    others = sorted(writer.manifest.generations.keys() - {old.name}, reverse=True)
    ways: list[Callable[[], Means]] = [
        partial(Means.kept, old),
        lambda: Means.of(recipe_of(old)),
        *(partial(_means_of, writer, name) for name in others),
        lambda: Means.of(Recipe.load("default")),
    ]
    for make in ways:
        try:
            means = make()
        except CrossrecError:
            continue
        if wanted.items() <= means.parts.items():
            return means
    raise IndexDamaged(
        f"{old.folder}: its recipe or templates are damaged, and no other copy of them is there; "
        "`crossrec build --recipe FILE` builds from the records with another one"
    )


def _means_of(writer: IndexWriter, name: str) -> Means:
    return Means.kept(writer.stored(name))
