"""An index of an older version -> the formats of this one, one step at a time."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from crossrec_llm import __version__
from crossrec_llm.errors import IndexDamaged, IndexMismatch
from crossrec_llm.generation import Generation
from crossrec_llm.resources import default_index
from crossrec_llm.store import (
    FORMAT,
    LAYOUT,
    IndexWriter,
    Ledger,
    load_generation,
    read_manifest,
)


@dataclass(frozen=True)
class Migration:
    """part : what is brought up to date; was, becomes : its format; words : what that means."""

    part: str
    was: str
    becomes: str
    words: str


@dataclass(frozen=True)
class Upgrade:
    """What an upgrade did, or would do.

    migrations : in the order in which they are done.
    notes : what they cannot do, and the command that does.
    done : whether they were carried out; False for a dry run, or where there was nothing to do.
    """

    index: str
    migrations: tuple[Migration, ...]
    notes: tuple[str, ...]
    done: bool

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def upgrade(index: str | Path | None = None, *, dry_run: bool = False) -> Upgrade:
    """Bring the files of an index to the formats of this version.

    An older index answers without it, and a build does the same by the way. Each step is one
    transaction or one rename: after a kill, the same call does what is left. What was upgraded is
    refused by older versions, in one line.

    Raises
    ------
    IndexMissing : there is none.
    IndexMismatch : a newer version wrote it.
    IndexDamaged : it cannot be read.
    IndexLocked, StoreUnavailable : it cannot be written now.
    """
    place = Path(index) if index is not None else default_index()
    migrations, notes = _migrations(place), _notes(place)
    if dry_run or not migrations:
        return Upgrade(str(place), migrations, notes, done=False)
    with IndexWriter.open(place, make=False) as writer:  # which brings the records up to date
        writer.rewrite_manifest()
    return Upgrade(str(place), migrations, notes, done=True)


def _migrations(place: Path) -> tuple[Migration, ...]:
    found, written = [], read_manifest(place).format
    with Ledger.open(place / "records.sqlite", write=False) as ledger:
        layout = ledger.layout
    if layout < LAYOUT:
        found.append(
            Migration(
                "records.sqlite",
                f"layout {layout}",
                f"layout {LAYOUT}",
                "takes what this version writes; nothing that is in it changes",
            )
        )
    if written < FORMAT:
        found.append(
            Migration(
                "manifest.json",
                f"format {written}",
                f"format {FORMAT}",
                "knows in which order generations went live, for `crossrec rollback`",
            )
        )
    return tuple(found)


def _notes(place: Path) -> tuple[str, ...]:
    """Kept generations of another version, and those that this one cannot load."""
    notes = []
    manifest = read_manifest(place)
    for name, record in manifest.generations.items():
        try:
            Generation.load(load_generation(place, manifest, name, ""))
        except (IndexDamaged, IndexMismatch) as error:
            notes.append(f"generation {name} cannot be loaded: {error}")
            continue
        if (made := record.parts.get("version", "")) != __version__:
            notes.append(
                f"generation {name} was built by crossrec-llm {made or 'of another version'}: it "
                "answers as it is, `crossrec build` makes one of this version"
            )
    return tuple(notes)
