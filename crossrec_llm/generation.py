"""One built version of an index: its parts in memory, and the files they are kept in."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from copy import copy
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pyarrow as pa

from crossrec_llm import __version__
from crossrec_llm.answering import (
    Blend,
    LearnedBlend,
    Situation,
    Standby,
    TunedBlend,
    WeightedBlend,
    Wording,
    make_query,
)
from crossrec_llm.answering.blend import SituationName
from crossrec_llm.errors import IndexDamaged, IndexMismatch
from crossrec_llm.kept import OpenChroma, templates_of
from crossrec_llm.meaning import Canaries, Encoder, Space, Templates
from crossrec_llm.recipe import Recipe
from crossrec_llm.records import Progress, Receipt
from crossrec_llm.signals import FittedSignals, Text, TextOptions
from crossrec_llm.store import (
    SCANNED,
    ExactSearch,
    Overlaid,
    Search,
    StoredGeneration,
    differences,
    named,
    require_whole,
)
from crossrec_llm.tables import OUTSIDE, Catalogue, Histories, HistoryOptions, Walls

# Looked at whenever a generation is opened: Arrow can end the process over a damaged file, and what
# is small sets how everything else is read. `verify` looks at all files.
_CHECKED = (
    "catalogue.arrow",
    "users.arrow",
    "recipe.json",
    "histories.json",
    "blend.json",
    "space.npz",
)

CollectionName = Literal["items", "texts", "graph", "users"]
COLLECTIONS: tuple[CollectionName, ...] = get_args(CollectionName)


@dataclass(frozen=True, eq=False)
class Users:
    """The users that have a profile: ids and (n_users, dim) float32 unit vectors in the space."""

    ids: list[str]
    vectors: np.ndarray

    @classmethod
    def pool(cls, histories: Histories, vectors: np.ndarray, options: TextOptions) -> Users:
        """Everybody whose history can be pooled, in the order of the histories."""
        pooling = Text(vectors, ExactSearch(vectors), options)
        ids, profiles = [], []
        for u, user_id in enumerate(histories.user_ids):
            rows, weights, _ = histories.history(u)
            profile = pooling.profile(make_query("user", rows, weights))
            if profile is not None:
                ids.append(user_id)
                profiles.append(profile)
        return cls(ids, np.array(profiles, np.float32).reshape(-1, vectors.shape[1]))

    @cached_property
    def _row_of(self) -> dict[str, int]:
        return {user_id: row for row, user_id in enumerate(self.ids)}

    @cached_property
    def in_order(self) -> list[str]:
        """The ids, sorted."""
        return sorted(self.ids)

    def rows(self, user_ids: list[str]) -> np.ndarray:
        """(m,) int64 rows of those ids that have a profile."""
        found = (self._row_of.get(user_id) for user_id in user_ids)
        return np.array([row for row in found if row is not None], np.int64)


@dataclass(frozen=True, eq=False)
class Live:
    """What came after a generation was built, and is laid over it (`growing`).

    change : the ledger's number of the last change in it.
    late : (m,) int64 rows, ascending, of items that are new, or read otherwise than at the build.
    histories : user id -> (rows, weights), oldest first, of those with events since.
    unread : how many new and changed items wait to be encoded; `unable` says why they will not be.
    """

    change: int
    late: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    histories: Mapping[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    unread: int = 0
    unable: str = ""

    @property
    def notes(self) -> tuple[str, ...]:
        """Of what is not in answers yet."""
        if not self.unread:
            return ()
        why = self.unable or "each question reads some of them"
        return (f"new and changed items that are not read yet: {self.unread:,} ({why})",)


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
    histories : how events become weights, with what was read off all of them.
    walls : what lies behind a wall, of which nothing here was learned.
    tuned : what was fitted about blends.
    live : what came since it was built.
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
        histories: HistoryOptions,
        *,
        tuned: TunedBlend = TunedBlend(),
        prompts: Templates | None = None,
        stored: StoredGeneration | None = None,
    ) -> None:
        self.recipe, self.catalogue = recipe, catalogue
        self.raw = self._built_raw = raw
        self.vectors, self.space = vectors, space
        self.users, self.signals = users, signals
        self.histories = histories
        self.walls = Walls.of(catalogue, histories.walls)
        self.tuned, self.stored = tuned, stored
        self.live = Live(stored.change if stored else 0)
        self._prompts = prompts
        self._overlaid = False
        self._chroma = OpenChroma(recipe, stored) if stored else None
        self.standby = Standby("the Chroma server" if recipe.store.url else "Chroma")

    @classmethod
    def fit(
        cls,
        recipe: Recipe,
        catalogue: Catalogue,
        raw: np.ndarray,
        events: pa.Table,
        prompts: Templates | None = None,
        *,
        without: Mapping[str, str] | None = None,
        progress: Progress | None = None,
    ) -> Generation:
        """All that is learned from (n_items, dim) encoded texts and events but blends, in memory.

        Nothing is learned from events behind a wall: it is as if they were not there.
        `prompts` are the templates that made the texts; without them free text has no answer.
        `without` has signals that are not to be fitted, and why.
        """
        codes = catalogue.top_codes
        space = Space.fit(raw, codes, recipe.space)
        vectors = space.apply(raw, codes)
        events = Walls.of(catalogue, recipe.histories.walls).visible(events)
        weighing = recipe.histories.fitted(events)
        histories = Histories.from_events(events, catalogue, weighing)
        signals = FittedSignals.fit(
            catalogue, histories, raw, vectors, recipe.signals, progress, without=without
        )
        users = Users.pool(histories, vectors, recipe.signals.text)
        return cls(
            recipe, catalogue, raw, vectors, space, users, signals, weighing, prompts=prompts
        )

    @classmethod
    def load(cls, stored: StoredGeneration) -> Generation:
        """Memory-maps what is large.

        Raises
        ------
        IndexDamaged : a file is missing or cannot be read.
        IndexMismatch : the same, and another version built it.
        """
        folder = stored.folder
        try:
            require_whole(stored, _CHECKED)
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
                HistoryOptions(**json.loads((folder / "histories.json").read_text("utf-8"))),
                tuned=TunedBlend.load(folder / "blend.json"),
                stored=stored,
            )
        except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
            why = " ".join(str(error).split())
            if (made := stored.parts.get("version", __version__)) != __version__:
                raise IndexMismatch(
                    f"{folder}: this generation was built by crossrec-llm {made}, and "
                    f"{__version__} cannot read it ({why}); run `crossrec build` with this "
                    "version, or install the other one"
                ) from error
            raise IndexDamaged(
                f"{folder}: a part of this generation cannot be read ({why}); `crossrec build` "
                "makes a new one from the same files"
            ) from error

    def asked_by(self, recipe: Recipe) -> Generation:
        """The same parts in memory, asked by a recipe that differs only in how it answers."""
        return self._with(recipe, self.tuned)

    def blended_by(self, tuned: TunedBlend) -> Generation:
        """The same parts in memory, with what was fitted about blends."""
        return self._with(self.recipe, tuned)

    def _with(self, recipe: Recipe, tuned: TunedBlend) -> Generation:
        return Generation(
            recipe,
            self.catalogue,
            self.raw,
            self.vectors,
            self.space,
            self.users,
            self.signals,
            self.histories,
            tuned=tuned,
            prompts=self._prompts,
        )

    def overlaid(self, recipe: Recipe) -> Generation:
        """The same generation on disk, with what came since, asked by such a recipe."""
        other = copy(self)
        for fitted_once in ("wording", "blend_fingerprint"):
            other.__dict__.pop(fitted_once, None)
        other.recipe, other._overlaid = recipe, recipe != self.recipe or self._overlaid
        return other

    def grown(
        self,
        live: Live,
        signals: FittedSignals,
        catalogue: Catalogue | None = None,
        raw: np.ndarray | None = None,
        vectors: np.ndarray | None = None,
    ) -> Generation:
        """The same generation with what came since laid over it; parts that are None stay."""
        grown = copy(self)
        grown.live, grown.signals = live, signals
        grown.raw = self.raw if raw is None else raw
        grown.vectors = self.vectors if vectors is None else vectors
        if catalogue is not None:
            grown.catalogue = catalogue
            grown.walls = Walls.of(catalogue, self.histories.walls)
        return grown

    def save(self, folder: Path, templates: Templates) -> None:
        """Every part but Chroma's, and the templates that made the texts.

        The same parts give the same bytes.
        """
        templates.save(folder / "prompts")
        histories = json.dumps(asdict(self.histories), sort_keys=True)
        (folder / "histories.json").write_text(histories, "utf-8")
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
        self.tuned.save(folder / "blend.json")

    @cached_property
    def centre(self) -> np.ndarray:
        """(dim,) float32, the mean of all items as encoded at the build."""
        built = self._built_raw
        mean: np.ndarray = built.mean(axis=0) if len(built) else np.zeros(built.shape[1])
        return mean.astype(np.float32)

    @property
    def visible(self) -> np.ndarray:
        """(n_items,) bool: the items that are there, and behind no wall."""
        return self.catalogue.present & (self.walls.behind == OUTSIDE)

    @cached_property
    def wording(self) -> Wording:
        """The sentences of reasons."""
        return Wording.load(self.recipe.answering.language)

    @property
    def name(self) -> str:
        return self.stored.name if self.stored else "in memory"

    @property
    def recipe_fingerprint(self) -> str:
        if self.stored is None or self._overlaid:
            return self.recipe.fingerprint
        return self.stored.parts["recipe"]

    @property
    def receipt(self) -> Receipt:
        """What makes its answers."""
        recipe, blend = self.recipe_fingerprint[:12], self.blend_fingerprint[:12]
        change = self.live.change if self.stored else None
        return Receipt(self.name, recipe, blend, __version__, change=change)

    @cached_property
    def blend_fingerprint(self) -> str:
        """sha256 over the weights and sources of every situation, and what was fitted of them."""
        blend = json.dumps(asdict(self.recipe.blend), sort_keys=True) + self.tuned.to_json()
        return hashlib.sha256(blend.encode()).hexdigest()

    def situation(self, name: SituationName) -> Situation:
        """What the recipe sets, else what was fitted, else the default."""
        given: Situation = getattr(self.recipe.blend, name)
        tuned = self.tuned.situations.get(name)
        return tuned.situation if tuned and not self.recipe.blend.sets(name) else given

    def blend(self, name: SituationName, there: Collection[str]) -> Blend:
        """The blend of a situation over the signals that are `there`."""
        situation, unknown = self.situation(name), self.signals.unknown
        weights = {n: w for n, w in situation.weights.items() if n in there}
        cold = {n: w for n, w in situation.cold.items() if n in there} or weights
        first = WeightedBlend(weights, cold, unknown)
        tuned = self.tuned.situations.get(name)
        if tuned is None or not tuned.trees or self.recipe.blend.sets(name):
            return first
        # Trees have features of every signal: of no use where one could not be fitted since.
        if not set(tuned.situation.weights) <= set(there):
            return first
        people = np.where(unknown, 0, self.signals.popularity.people)
        return LearnedBlend(first, tuned.trees, tuned.head, vectors=self.vectors, people=people)

    def require(self, **parts: str) -> None:
        """Refuse to work with parts that are not the ones this generation was built with.

        Raises
        ------
        IndexMismatch : names what differs and what to run.
        """
        if self.stored is None:
            return
        differing = differences({name: self.stored.parts.get(name, "") for name in parts}, parts)
        if differing:
            raise IndexMismatch(
                f"this index was built with something else ({'; '.join(differing)}); "
                "run `crossrec build` again, or set up what it was built with"
            )

    @property
    def canaries(self) -> Canaries | None:
        """What the encoder made of the canary texts; None in memory, and in older generations."""
        return Canaries.load(self.stored.folder) if self.stored else None

    def templates(self, encoder: Encoder | None = None) -> Templates:
        """The templates that the generation was built with.

        With an encoder, their texts are shortened to what it reads.
        """
        if self.stored is None:
            assert self._prompts is not None, "this generation was fitted without templates"
            return self._prompts
        return templates_of(self.stored, self.recipe, encoder)

    def chroma_search(self, collection: CollectionName) -> Search:
        """Nearest-neighbour search in Chroma, and exactly over what came since.

        `texts` are raw, the others in the space. Where Chroma has yet to be filled again after an
        erasure, everything is scanned.
        """
        assert self._chroma is not None, "a generation in memory has no Chroma"
        vectors = self.rows_of(collection)
        assert vectors is not None, f"there is no {collection} to search"
        if collection in self.scanned:
            return ExactSearch(vectors)
        if collection == "users":
            return self._chroma.search(collection, self.users.ids)
        built = self._chroma.search(collection, self.catalogue.ids[: self._chroma.n_items])
        return Overlaid(built, vectors, self.live.late) if len(self.live.late) else built

    @property
    def scanned(self) -> tuple[str, ...]:
        """The collections that Chroma lacks: an erasure emptied them, and did not fill them yet."""
        return named(self.stored.parts, SCANNED) if self.stored else ()

    def rows_of(self, collection: CollectionName) -> np.ndarray | None:
        """The vectors that a collection holds, in the order of its ids; None = it is not there."""
        return {
            "items": self.vectors,
            "texts": self.raw,
            "graph": self.signals.graph,
            "users": self.users.vectors,
        }[collection]

    def ids_of(self, collection: CollectionName) -> list[str]:
        """The ids of the rows of a collection."""
        return self.users.ids if collection == "users" else self.catalogue.ids

    def close(self) -> None:
        """Let go of Chroma; a later search opens it again."""
        if self._chroma is not None:
            self._chroma.close()
