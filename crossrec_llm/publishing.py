"""Which generation of an index answers: publish, roll back, clear away, build when it is due."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from crossrec_llm.drafting import clearing
from crossrec_llm.errors import QueryError
from crossrec_llm.generation import Generation
from crossrec_llm.kept import recipe_of
from crossrec_llm.recommender import Recommender
from crossrec_llm.resources import default_index
from crossrec_llm.store import (
    Due,
    Index,
    IndexWriter,
    Manifest,
    number_of,
    read_manifest,
)
from crossrec_llm.store.files import disk_errors
from crossrec_llm.store.index import load_generation

State = Literal["live", "before", "waiting"]

_LOG = "build.log"


@dataclass(frozen=True)
class KeptGeneration:
    """One generation that an index keeps.

    state : "live" answers; "before" was live, `rollback` goes to the newest of them; "waiting"
        was rehearsed or rolled back from, `publish` makes it live.
    built : ISO 8601 in UTC; "" where it was not written down.
    change : up to which change of the records everything is in it; what came later is laid over.
    recipe : start of the fingerprint of its recipe.
    bytes : its size on disk.
    """

    name: str
    state: State
    built: str
    change: int
    counts: dict[str, int]
    recipe: str
    bytes: int

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Cleared:
    """What `gc` did.

    removed : names of generations, oldest first; freed : bytes; kept : the names of the rest;
    waiting : those of them that wait to be published.
    notes : what of them is left on a Chroma server that does not answer.
    """

    removed: tuple[str, ...]
    freed: int
    kept: tuple[str, ...]
    waiting: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def generations(index: str | Path | None = None) -> tuple[KeptGeneration, ...]:
    """All that are kept, oldest first.

    Raises
    ------
    IndexMissing, IndexMismatch, IndexDamaged : what is wrong with the manifest.
    """
    place = _place(index)
    manifest = read_manifest(place)
    names = sorted(manifest.generations, key=number_of)
    return tuple(_kept(place, manifest, name) for name in names)


@contextmanager
def open_kept(index: str | Path | None, name: str) -> Iterator[Recommender]:
    """A kept generation, answering beside the one that is live, over the records as they are now.

    What came live since it was built is not laid over it: it answers with what it was built from.

    Raises
    ------
    QueryError : none is called that.
    IndexMissing, IndexMismatch, IndexDamaged : it cannot be opened.
    """
    place = _place(index)
    with Index.open(place) as opened:
        names = opened.manifest.generations
        if name not in names:
            there = ", ".join(sorted(names, key=number_of))
            raise QueryError(f"no generation {name!r} is kept; there is {there}")
        stored = load_generation(place, opened.manifest, name, opened.ledger.id)
        with closing(Generation.load(stored)) as generation:
            yield Recommender(generation, opened.ledger)


def unfinished(index: str | Path | None = None) -> tuple[str, ...]:
    """What was cut off, or came back with a backup, and has to be erased yet; in words."""
    with Index.open(_place(index)) as opened:
        return opened.ledger.erasures.notes


def publish(index: str | Path | None = None, name: str | None = None) -> KeptGeneration:
    """Have a kept generation answer, by one rename; by default the newest that waits.

    It is checked against its checksums and loaded first. What came live since it was built is laid
    over it by whoever reads. Where it was rehearsed from files, these become the truth with it.

    Raises
    ------
    QueryError : none waits, or none is called that.
    IndexDamaged, IndexMismatch : it is not whole, or of a version that cannot be read.
    IndexLocked, StoreUnavailable : the index cannot be written now.
    """
    with _writer(index) as writer:
        manifest = _manifest(writer)
        if name is None and not manifest.waiting:
            raise QueryError(
                "no generation waits to be published; `crossrec rehearse` makes one, "
                "`crossrec generations` lists what there is"
            )
        return _activate(writer, name or manifest.waiting[-1])


def rollback(index: str | Path | None = None) -> KeptGeneration:
    """Have the generation answer that answered before the active one, by one rename.

    The one that is left waits: `publish` makes it live again. The records stay as they are.

    Raises
    ------
    QueryError : there is none before it.
    Others as for `publish`.
    """
    with _writer(index) as writer:
        manifest = _manifest(writer)
        if manifest.previous is None:
            raise QueryError(
                f"there is no generation before {manifest.active} to go back to; "
                "`crossrec generations` lists what there is"
            )
        return _activate(writer, manifest.previous)


def gc(index: str | Path | None = None, keep: int = 2, *, waiting: bool = False) -> Cleared:
    """Remove all generations that were live but the active one and those right before it.

    What is left of killed builds goes too.

    Parameters
    ----------
    keep : how many stay, the active one included; 1 or more.
    waiting : whether those that wait to be published go too; they are the way forward.

    Raises
    ------
    QueryError : `keep` is below 1.
    IndexLocked, StoreUnavailable : the index cannot be written now.
    """
    if keep < 1:
        raise QueryError(f"keep must be 1 or more, not {keep}: the active generation stays")
    size = _size(_place(index))  # opening removes what killed builds left
    with _writer(index) as writer:
        with clearing(writer) as cleared:
            removed = writer.collect(keep, keep_waiting=not waiting)
        left = _manifest(writer)
    return Cleared(
        removed=tuple(removed),
        freed=max(0, size - _size(_place(index))),
        kept=tuple(sorted(left.generations, key=number_of)),
        waiting=tuple(left.waiting),
        notes=tuple(
            f"what Chroma has of them at {url} stays until the next gc or build: no server "
            "answers there"
            for url, done in cleared.items()
            if not done
        ),
    )


def due(index: str | Path | None = None) -> Due:
    """How much came live since the active generation was built, and whether to build anew."""
    with Index.open(_place(index)) as opened:
        return Due.of(opened, recipe_of(opened.generation).live)


def start_build(index: str | Path | None = None) -> int | None:
    """Start `crossrec build` from the records in a process of its own, and leave it alone.

    What it says goes to build.log in the index's folder. Only the command line calls this; a
    library does not start processes.

    Returns
    -------
    Its process id; None where one that was started like this is still at work.
    """
    import fcntl
    import subprocess

    place = _place(index)
    with disk_errors(place), (place / _LOG).open("ab") as log:
        # The child inherits the lock with the file, and gives it back when it ends, however.
        try:
            fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return None
        log.truncate(0)
        command = [sys.executable, "-m", "crossrec_llm", "build", "--index", str(place)]
        process = subprocess.Popen(  # noqa: S603
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    process.returncode = 0  # nobody waits for it: no warning when this object goes
    return process.pid


def _place(index: str | Path | None) -> Path:
    return Path(index) if index is not None else default_index()


def _writer(index: str | Path | None) -> IndexWriter:
    return IndexWriter.open(_place(index), make=False)


def _manifest(writer: IndexWriter) -> Manifest:
    assert writer.manifest is not None, "an index without one is refused before"
    return writer.manifest


def _activate(writer: IndexWriter, name: str) -> KeptGeneration:
    manifest = _manifest(writer)
    if name == manifest.active:
        writer.complete_receipts()  # a kill may have come in between
        return _kept(writer.path, manifest, name)
    if name in manifest.generations:
        Generation.load(writer.stored(name))
    writer.activate(name)
    return _kept(writer.path, _manifest(writer), name)


def _kept(place: Path, manifest: Manifest, name: str) -> KeptGeneration:
    record = manifest.generations[name]
    before: State = "before" if name in manifest.published else "waiting"
    return KeptGeneration(
        name=name,
        state="live" if name == manifest.active else before,
        built=record.built,
        change=record.change,
        counts=dict(record.counts),
        recipe=record.parts.get("recipe", "")[:12],
        bytes=_size(place / "generations" / name),
    )


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
