"""Every byte of an index against what was written."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from crossrec_llm.drafting import require_server
from crossrec_llm.errors import (
    CrossrecError,
    IndexDamaged,
    IndexMismatch,
    StoreUnavailable,
)
from crossrec_llm.generation import COLLECTIONS, Generation
from crossrec_llm.kept import open_chroma, recipe_of
from crossrec_llm.meaning import inspect_cache
from crossrec_llm.records import Progress
from crossrec_llm.resources import default_index
from crossrec_llm.store import Ledger, Manifest, StoredGeneration, checks, reachability
from crossrec_llm.store.files import differing, disk_full, is_disk_full
from crossrec_llm.store.index import (
    CHROMA,
    GENERATIONS,
    LEDGER,
    MANIFEST,
    SEAL,
    load_generation,
    missing,
)
from crossrec_llm.store.manifest import is_whole
from crossrec_llm.store.receipts import FOLDER as RECEIPTS
from crossrec_llm.store.receipts import damaged_receipts
from crossrec_llm.store.writer import ASIDE, CACHE, aside_damage

_TRIES = 5
_PARTS = {"raw": "vectors", "vectors": "vectors", "users": "profiles", "catalogue": "catalogue"}


@dataclass(frozen=True)
class Problem:
    """A part of an index that is not as it was written.

    part : what it is, in words.
    file : below the index's folder.
    what : what is wrong with it.
    generation : the generation it belongs to; "" = none.
    is_truth : whether nothing else has what is in it; `repair` makes all other parts anew.
    """

    part: str
    file: str
    what: str
    generation: str = ""
    is_truth: bool = False

    def __str__(self) -> str:
        return f"{self.part}: {self.file}: {self.what}"


@dataclass(frozen=True)
class Verification:
    """What was looked at, and what is wrong.

    active : the generation that answers; "" where the manifest cannot be read.
    notes : what could not be looked at.
    files, bytes : how much was read.
    """

    index: str
    active: str
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    files: int
    bytes: int
    seconds: float

    @property
    def ok(self) -> bool:
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        return {"ok": self.ok, **asdict(self)}


def verify(
    index: str | Path | None = None, *, server: bool = True, progress: Progress | None = None
) -> Verification:
    """Look at every byte of an index. Nothing is changed, nobody is kept waiting.

    Parameters
    ----------
    server : whether a Chroma server is asked too, where the index has one.

    Raises
    ------
    IndexMissing : there is none.
    IndexMismatch : a newer version of the software wrote it.
    StoreUnavailable : the disk is so full that SQLite cannot read.
    """
    path = Path(index) if index is not None else default_index()
    if not (path / LEDGER).exists() and not (path / MANIFEST).exists():
        raise missing(path)
    start = time.perf_counter()
    for _ in range(_TRIES):
        before = _bytes_of(path / MANIFEST)
        look = _Look(path, server, progress)
        look.at_everything()
        if _bytes_of(path / MANIFEST) == before:  # else generations came and went meanwhile
            break
    seconds = time.perf_counter() - start
    return Verification(
        str(path), look.active, tuple(look.problems), tuple(look.notes), *look.read(), seconds
    )


class _Look:
    """One look at everything; problems and notes are collected."""

    def __init__(self, path: Path, server: bool, progress: Progress | None) -> None:
        self.path, self.server, self.progress = path, server, progress
        self.problems: list[Problem] = []
        self.notes: list[str] = []
        self.active = ""
        self._seen: set[Path] = set()

    def at_everything(self) -> None:
        manifest = self._manifest()
        records = self._records()
        self._cache()
        names = self._generations(manifest)
        self._rehearsed(manifest)
        self._receipts()
        if manifest is not None:
            self.active = manifest.active
            whole = records and self.server
            if whole and not any(problem.generation == self.active for problem in self.problems):
                self._server(load_generation(self.path, manifest, self.active, records))
        self._others(names)

    def read(self) -> tuple[int, int]:
        there = [file for file in self._seen if file.exists()]
        return len(there), sum(file.stat().st_size for file in there)

    def _bad(self, file: Path, part: str, what: str, generation: str = "") -> None:
        name = file.relative_to(self.path).as_posix()
        self.problems.append(Problem(part, name, what, generation))

    def _manifest(self) -> Manifest | None:
        file = self.path / MANIFEST
        self._seen.add(file)
        content = _bytes_of(file)
        whole = is_whole(content)
        if not content:
            self._bad(file, "the manifest", "it is missing")
            return None
        if not whole:
            self._bad(file, "the manifest", "it is not as it was written")
        try:
            return Manifest.read(file)
        except IndexMismatch:
            if whole:
                raise
        except IndexDamaged:
            pass
        return None

    # -- databases -------------------------------------------------------------------------------

    def _records(self) -> str:
        """The index's id; "" where it cannot be read."""
        file, part = self.path / LEDGER, "the records"
        if not file.exists():
            self._truth(file, "it is missing")
            return ""
        self._database(file)
        if broken := _broken_log(file):
            self._truth(file.with_name(file.name + "-wal"), broken)
        id = ""
        try:
            with closing(checks.lenient(file)) as reading:
                if checks.has_sums(reading):
                    rows = checks.damaged_rows(reading)
                    for what in rows:
                        self._truth(file, what)
                    if not rows:
                        self._quiet(reading, file, part, "command that writes")
                else:
                    self.notes.append(
                        f"{file.name}: rows have no checksums yet (an earlier version wrote it); "
                        "the next command that writes adds them"
                    )
                    for what in checks.unsound(reading):
                        self._truth(file, what)
                found = reading.execute("SELECT value FROM about WHERE name = 'id'").fetchone()
                id = str(found[0]) if found else ""
        except checks.UNREADABLE as error:
            _require_room(file, error)
            self._truth(file, f"it cannot be read ({error})")
        if not any(problem.is_truth for problem in self.problems):
            with Ledger.open(file, write=False) as ledger:
                self.notes += ledger.erasures.notes
        return id

    def _truth(self, file: Path, what: str) -> None:
        name = file.relative_to(self.path).as_posix()
        self.problems.append(Problem("the truth", name, what, is_truth=True))

    def _cache(self) -> None:
        file, part = self.path / CACHE, "the cache of vectors"
        if not file.exists():
            return
        self._database(file)
        if broken := _broken_log(file):
            self._bad(file.with_name(file.name + "-wal"), part, broken)
        try:
            state = inspect_cache(file)
            if state.damaged:
                what = f"{state.damaged:,} of {state.vectors:,} vectors are not as they were"
                self._bad(file, part, what)
            if state.unchecked:
                self.notes.append(
                    f"{file.name}: {state.unchecked:,} vectors of an earlier version have no "
                    "checksum yet; they get theirs when a build reads them"
                )
            with closing(checks.lenient(file)) as reading:
                self._quiet(reading, file, part, "build")
        except checks.UNREADABLE as error:
            _require_room(file, error)
            self._bad(file, part, f"it cannot be read ({error})")

    def _quiet(self, reading: sqlite3.Connection, file: Path, part: str, sealing: str) -> None:
        """What holds no rows: the trees over them, and the bytes between."""
        unsound = checks.unsound(reading)
        for what in unsound:
            self._bad(file, f"{part}, whose rows are whole", what)
        state = checks.unsealed(file, reading)
        if state == "damaged" and not unsound:
            self._bad(file, f"{part}, whose rows are whole", "it, or its seal, was changed")
        elif state in ("missing", "out of date"):
            self.notes.append(
                f"{file.name}: its seal is {state}, so bytes that hold nothing were not looked "
                f"at; the next {sealing} renews it"
            )

    def _database(self, file: Path) -> None:
        self._seen |= {
            file.with_name(file.name + suffix) for suffix in ("", "-wal", "-shm", ".seal")
        }

    # -- generations -----------------------------------------------------------------------------

    def _generations(self, manifest: Manifest | None) -> set[str]:
        """The names of those that were looked at: all that are there, without a manifest."""
        folder = self.path / GENERATIONS
        if manifest is None:
            there = [file.parent for file in folder.glob(f"*/{SEAL}") if file.parent.suffix == ""]
            for generation in there:
                self._generation(generation, None)
            return {generation.name for generation in there}
        for done, (name, record) in enumerate(sorted(manifest.generations.items())):
            if self.progress:
                self.progress("verify", done, len(manifest.generations))
            self._generation(folder / name, record.seal)
        if self.progress:
            self.progress("verify", len(manifest.generations), len(manifest.generations))
        return set(manifest.generations)

    def _generation(self, folder: Path, seal: str | None) -> None:
        name, file = folder.name, folder / SEAL
        self._seen.add(file)
        content = _bytes_of(file)
        if not content or (seal and hashlib.sha256(content).hexdigest() != seal):
            what = "it is not as it was written" if content else "it is missing"
            self._bad(file, f"generation {name}", what, name)
            return
        try:
            sealed = dict(json.loads(content)["files"])
        except (ValueError, TypeError, LookupError) as error:
            self._bad(file, f"generation {name}", f"it cannot be read ({error})", name)
            return
        for wrong, what in differing(folder, sealed):
            part = f"generation {name}: {_part_of(wrong)}"
            self._bad(folder / wrong, part, what, name)
        self._seen |= {folder / part for part in sealed}
        chroma = folder / CHROMA
        of_chroma = [part for part in sealed if part.startswith("chroma/")]
        if of_chroma and not any(part.endswith(chroma.name) for part in of_chroma):
            self._seen |= {*chroma.parent.glob("*/*"), chroma}
            if not chroma.exists():
                self._bad(chroma, f"generation {name}: Chroma", "it is missing", name)
                return
            with closing(checks.lenient(chroma)) as reading:
                for what in checks.unsound(reading):
                    self._bad(chroma, f"generation {name}: Chroma", what, name)
            self.notes.append(
                f"generation {name}: Chroma's database has no checksum (an earlier version built "
                "it), only its structure was looked at; a build gives it one"
            )

    def _rehearsed(self, manifest: Manifest | None) -> None:
        """What becomes true with generations that wait; without a manifest nobody can say which."""
        for name, record in manifest.generations.items() if manifest else ():
            if record.truth:
                folder = self.path / ASIDE / name
                for wrong, what in aside_damage(folder, record.truth):
                    part = f"what generation {name} was rehearsed with"
                    self._bad(folder / wrong, part, what, name)
                self._seen |= set(folder.glob("*"))

    def _receipts(self) -> None:
        folder = self.path / RECEIPTS
        for file in sorted(folder.glob("*")):
            self._seen.add(file)
            if file.suffix != ".json":
                self.notes.append(f"{RECEIPTS}/{file.name}: a damaged receipt that was set aside")
        for file in damaged_receipts(self.path):
            self._bad(file, "a receipt of an erasure", "it is not as it was written")

    def _server(self, active: StoredGeneration) -> None:
        """Whether a Chroma server has the vectors; a sample of each collection is asked for."""
        url = recipe_of(active).store.url
        if not url:
            return
        part, generation = f"Chroma at {url}", Generation.load(active)
        try:
            require_server(generation.recipe)
            with open_chroma(generation.recipe, active) as chroma:
                for name in COLLECTIONS:
                    vectors = generation.rows_of(name)
                    if vectors is None or name in generation.scanned:
                        continue
                    search = chroma.search(name, generation.ids_of(name))
                    if lost := reachability(search, vectors, sample=500).unreachable:
                        what = f"{len(lost)} of 500 vectors of {name!r} do not find themselves"
                        self._bad(active.folder, part, what, active.name)
        except StoreUnavailable as error:
            self.notes.append(f"what Chroma has was not looked at: {error}")
        except CrossrecError as error:
            self._bad(active.folder, part, str(error), active.name)

    def _others(self, names: set[str]) -> None:
        """Files that nothing is answered from."""
        folders = {self.path / GENERATIONS / name for name in names}
        for entry in (self.path / GENERATIONS).glob("*"):
            if entry not in folders:
                self.notes.append(f"{GENERATIONS}/{entry.name}: left by an unfinished build")
        others = sorted(
            file.relative_to(self.path).as_posix()
            for file in self.path.rglob("*")
            if file.is_file()
            and file not in self._seen
            and (file.parent == self.path or any(file.is_relative_to(f) for f in folders))
        )
        if others:
            self.notes.append(f"not looked at, as nothing is answered from it: {', '.join(others)}")


def _require_room(file: Path, error: Exception) -> None:
    """Refuse to say anything of a file that cannot be read for want of room."""
    if is_disk_full(error):
        raise disk_full(file) from error


def _broken_log(file: Path) -> str | None:
    """As `checks.broken_log`, but not what a writer is just about to finish."""
    broken = None
    for _ in range(3):
        broken = checks.broken_log(file)
        if broken is None:
            break
        time.sleep(0.1)
    return broken


def _part_of(name: str) -> str:
    """What a file of a generation is."""
    place, _, file = name.rpartition("/")
    stem = file.partition(".")[0]
    if name.startswith("chroma/"):
        return "Chroma"
    if place == "signals":
        return f"signal {stem}"
    return "templates" if place == "prompts" else _PARTS.get(stem, stem)


def _bytes_of(file: Path) -> bytes:
    """Nothing where there is no file."""
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return b""
