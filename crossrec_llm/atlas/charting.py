"""A generation -> its map, kept beside it: made when first asked for, and whenever it went."""

from __future__ import annotations

import io
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from crossrec_llm.atlas.layout import lay_out
from crossrec_llm.atlas.marks import among_strangers, far_from_category, found_by_nobody
from crossrec_llm.atlas.neighbours import nearest_neighbours
from crossrec_llm.errors import IndexDamaged, QueryError
from crossrec_llm.generation import Generation
from crossrec_llm.records import Progress
from crossrec_llm.resources import default_index
from crossrec_llm.store import Index
from crossrec_llm.store.files import disk_errors, write_atomically
from crossrec_llm.store.index import DERIVED, load_generation

FAR, ALONE, UNREACHED, NOWHERE = 1, 2, 4, 128
"""Bits of a mark; what is NOWHERE has no place on the map."""

MARKS = {
    FAR: "far from the middle of its category",
    ALONE: "among strangers: none of its neighbours is in its category",
    UNREACHED: "found by nobody: no neighbour of any item, and nobody took it",
}
"""In words."""

_FILE = "map.npz"
_NEIGHBOURS = 15
_LAST = 65_535


@dataclass(frozen=True, eq=False)
class CatalogueMap:
    """Where the items of a generation lie; what lies behind a wall is not on it.

    positions : (n_items, 2) uint16, each axis to the same scale.
    marks : (n_items,) uint8, bits of MARKS and NOWHERE.
    seconds : how long it took.
    """

    positions: np.ndarray
    marks: np.ndarray
    seconds: float

    @classmethod
    def of(cls, generation: Generation, *, seed: int = 0, progress: Progress | None = None) -> Self:
        """Lay out the vectors of a generation in the space; the same for the same seed."""
        started = time.perf_counter()
        catalogue, n = generation.catalogue, len(generation.catalogue)
        rows = np.flatnonzero(generation.visible)
        positions = np.zeros((n, 2), np.uint16)
        marks = np.full(n, NOWHERE, np.uint8)
        marks[rows] = 0
        if len(rows) > 3:
            vectors = generation.vectors
            vectors = vectors if len(rows) == n else np.asarray(vectors[rows])
            codes = catalogue.top_codes[rows]
            k = min(_NEIGHBOURS, len(rows) - 1)
            near = nearest_neighbours(vectors, k, seed=seed, progress=progress)
            positions[rows] = _scaled(lay_out(vectors, near, seed=seed, progress=progress))
            people = generation.signals.popularity.people[rows]
            marks[rows] |= FAR * far_from_category(vectors, codes).astype(np.uint8)
            marks[rows] |= ALONE * among_strangers(near, codes).astype(np.uint8)
            marks[rows] |= UNREACHED * found_by_nobody(near, people).astype(np.uint8)
        elif len(rows):
            positions[rows, 0] = np.linspace(0, _LAST, len(rows)).astype(np.uint16)
        return cls(positions, marks, time.perf_counter() - started)

    def save(self, path: Path) -> None:
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        buffer = io.BytesIO()
        np.savez(buffer, positions=self.positions, marks=self.marks, seconds=self.seconds)
        write_atomically(path, buffer.getvalue())

    @classmethod
    def load(cls, path: Path) -> Self:
        """What `save` wrote.

        Raises
        ------
        IndexDamaged : it cannot be read.
        """
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
                found = cls(kept["positions"], kept["marks"], float(kept["seconds"]))
            if found.positions.shape != (len(found.marks), 2):
                raise ValueError("its parts do not belong together")
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise IndexDamaged(f"{path}: the map cannot be read ({error})") from error
        return found


def map_file(index: Path, generation: str) -> Path:
    return index / DERIVED / generation / _FILE


def stored_map(index: Path, generation: Generation) -> CatalogueMap | None:
    """The map of a generation; None where there is none yet, or none that can be read."""
    path = map_file(index, generation.name)
    if not path.exists():
        return None
    try:
        found = CatalogueMap.load(path)
    except IndexDamaged:
        return None
    return found if len(found.marks) <= len(generation.catalogue) else None


def make_map(
    index: str | Path | None = None,
    generation: str | None = None,
    *,
    progress: Progress | None = None,
) -> CatalogueMap:
    """Make the map of a generation of an index, as it was built, and keep it.

    Parameters
    ----------
    generation : one that is kept; by default the one that answers.

    Raises
    ------
    QueryError : none is called that.
    IndexMissing, IndexMismatch, IndexDamaged : the index cannot be opened.
    StoreUnavailable : the map cannot be written.
    """
    path = Path(index) if index is not None else default_index()
    with Index.open(path) as opened:
        name = generation or opened.generation.name
        if name not in opened.manifest.generations:
            raise QueryError(f"no generation {name!r} is kept: another answers since")
        stored = load_generation(path, opened.manifest, name, opened.ledger.id)
        found = CatalogueMap.of(Generation.load(stored), progress=progress)
    found.save(map_file(path, name))
    return found


def _scaled(positions: np.ndarray) -> np.ndarray:
    """(n, 2) uint16, in the middle of the square."""
    low, high = positions.min(axis=0), positions.max(axis=0)
    span = max(float((high - low).max()), 1e-9)
    centred = (positions - (low + high) / 2) / span + 0.5
    return np.asarray(np.rint(centred * _LAST), np.uint16)
