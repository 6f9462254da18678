"""One built version of an index: its parts in memory, and the files they are kept in."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa

from crossrec_llm.errors import IndexDamaged, IndexMismatch
from crossrec_llm.meaning import Space
from crossrec_llm.recipe import Recipe
from crossrec_llm.signals import FittedSignals
from crossrec_llm.store import ChromaStore, Draft, Search, StoredGeneration
from crossrec_llm.tables import Catalogue

Collection = Literal["items", "texts", "users"]


@dataclass(frozen=True, eq=False)
class Users:
    """The users that have a profile: ids and (n_users, dim) float32 unit vectors in the space."""

    ids: list[str]
    vectors: np.ndarray

    @cached_property
    def _row_of(self) -> dict[str, int]:
        return {user_id: row for row, user_id in enumerate(self.ids)}

    def rows(self, user_ids: list[str]) -> np.ndarray:
        """(m,) int64 rows of those ids that have a profile."""
        found = (self._row_of.get(user_id) for user_id in user_ids)
        return np.array([row for row in found if row is not None], np.int64)


class Generation:
    """The parts that answer questions.

    Attributes
    ----------
    name : as in the manifest.
    catalogue : row = item number in every array below.
    raw, vectors : (n_items, dim) float32 unit rows, as encoded and in the space.
    space : the transform from the one to the other.
    users : profiles.
    signals : what was learned from histories.
    """

    def __init__(
        self,
        recipe: Recipe,
        catalogue: Catalogue,
        raw: np.ndarray,
        vectors: np.ndarray,
        space: Space,
        users: Users,
        signals: FittedSignals,
        *,
        stored: StoredGeneration | None = None,
    ) -> None:
        self.recipe, self.catalogue = recipe, catalogue
        self.raw, self.vectors, self.space = raw, vectors, space
        self.users, self.signals = users, signals
        self.stored = stored

    @classmethod
    def load(cls, stored: StoredGeneration) -> Generation:
        """Memory-maps what is large.

        Raises
        ------
        IndexDamaged : a file is missing or cannot be read.
        """
        folder = stored.folder
        try:
            recipe = Recipe.from_json((folder / "recipe.json").read_text("utf-8"))
            with pa.memory_map(str(folder / "users.arrow")) as source:
                ids = pa.ipc.open_file(source).read_all()["user_id"].to_pylist()
            return cls(
                recipe,
                Catalogue.open(folder / "catalogue.arrow"),
                np.load(folder / "raw.npy", mmap_mode="r"),
                np.load(folder / "vectors.npy", mmap_mode="r"),
                Space.load(folder / "space.npz"),
                Users(ids, np.load(folder / "users.npy", mmap_mode="r")),
                FittedSignals.load(folder / "signals", recipe.signals),
                stored=stored,
            )
        except (OSError, ValueError, KeyError, pa.ArrowException) as error:
            raise IndexDamaged(
                f"{folder}: a part of this generation cannot be read ({error}); "
                "`crossrec build` makes a new one from the same files"
            ) from error

    def save(self, folder: Path) -> None:
        """Every part but Chroma's, one file each; the same parts give the same bytes."""
        (folder / "recipe.json").write_text(self.recipe.to_json(), "utf-8")
        self.catalogue.save(folder / "catalogue.arrow")
        np.save(folder / "raw.npy", self.raw)
        np.save(folder / "vectors.npy", self.vectors)
        self.space.save(folder / "space.npz")
        table = pa.table({"user_id": pa.array(self.users.ids, pa.string())})
        with pa.ipc.new_file(str(folder / "users.arrow"), table.schema) as writer:
            writer.write_table(table)
        np.save(folder / "users.npy", self.users.vectors)
        self.signals.save(folder / "signals")

    @property
    def name(self) -> str:
        return self.stored.name if self.stored else "in memory"

    @property
    def blend_fingerprint(self) -> str:
        """sha256 over the weights and sources of every situation."""
        blend = json.dumps(asdict(self.recipe.blend), sort_keys=True)
        return hashlib.sha256(blend.encode()).hexdigest()

    def require(self, **parts: str) -> None:
        """Refuse to work with parts that are not the ones this generation was built with.

        Raises
        ------
        IndexMismatch : names what differs and what to run.
        """
        if self.stored is None:
            return
        differing = [
            f"{name}: the index has {self.stored.parts[name]}, here is {here}"
            for name, here in parts.items()
            if self.stored.parts[name] != here
        ]
        if differing:
            raise IndexMismatch(
                f"this index was built with another {', '.join(parts)} ({'; '.join(differing)}); "
                "run `crossrec build` again, or set up what it was built with"
            )

    def chroma_search(self, collection: Collection) -> Search:
        """Nearest-neighbour search in Chroma; `items` and `users` in the space, `texts` raw."""
        assert self.stored is not None, "a generation in memory has no Chroma"
        ids = self.users.ids if collection == "users" else self.catalogue.ids
        return open_chroma(self.recipe, self.stored).search(collection, ids)


def open_chroma(recipe: Recipe, stored: StoredGeneration | Draft) -> ChromaStore:
    """The generation's own Chroma database, or its collections on the server of the recipe."""
    if recipe.store.url:
        return ChromaStore.server(recipe.store.url, prefix=stored.prefix, options=recipe.store)
    return ChromaStore.embedded(stored.folder / "chroma", recipe.store)
