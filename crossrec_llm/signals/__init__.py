"""Scorers of items for a query; each file holds one family and its Options."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from crossrec_llm.meaning import Space, SpaceOptions
from crossrec_llm.records import STRICT, Progress
from crossrec_llm.signals.als import Als, AlsOptions
from crossrec_llm.signals.base import NO_PAIRS, NOBODY, LeftOut, Scorer, Signal, Source, weigh
from crossrec_llm.signals.category import Category
from crossrec_llm.signals.ease import EaseOptions, fit_ease
from crossrec_llm.signals.graph import GraphOptions, spread
from crossrec_llm.signals.imputed import ImputedOptions, impute
from crossrec_llm.signals.item_to_item import ItemToItem, Walk
from crossrec_llm.signals.lexical import Lexical, LexicalOptions
from crossrec_llm.signals.neighbours import NeighboursOptions, fit_neighbours
from crossrec_llm.signals.popularity import (
    TRENDING,
    Popularity,
    TrendingOptions,
    comparable_times,
)
from crossrec_llm.signals.sequence import Network, Sequence, SequenceOptions
from crossrec_llm.signals.sequence_fit import OFF, fit_sequence
from crossrec_llm.signals.stated import Disliked, Said
from crossrec_llm.signals.text import (
    Asked,
    LateInteraction,
    LateInteractionOptions,
    Text,
    TextOptions,
)
from crossrec_llm.signals.transitions import TransitionsOptions, fit_transitions, rather_before
from crossrec_llm.signals.transport import Transport, TransportOptions
from crossrec_llm.store import Search
from crossrec_llm.tables import Catalogue, Histories, Taken

__all__ = [
    "OFF",
    "SIGNAL_NAMES",
    "Als",
    "AlsOptions",
    "Asked",
    "Category",
    "Disliked",
    "EaseOptions",
    "FittedSignals",
    "GraphOptions",
    "ImputedOptions",
    "ItemToItem",
    "LateInteraction",
    "LateInteractionOptions",
    "LeftOut",
    "Lexical",
    "LexicalOptions",
    "NeighboursOptions",
    "Network",
    "Popularity",
    "Said",
    "Scorer",
    "Sequence",
    "SequenceOptions",
    "Signal",
    "SignalsOptions",
    "Source",
    "Text",
    "TextOptions",
    "TransitionsOptions",
    "Transport",
    "TransportOptions",
    "TrendingOptions",
    "Vectors",
    "Walk",
    "assemble",
    "comparable_times",
    "fit_ease",
    "fit_neighbours",
    "fit_sequence",
    "fit_transitions",
    "impute",
    "rather_before",
    "read_left_out",
    "spread",
    "weigh",
]

SIGNAL_NAMES = (
    "text",
    "late_interaction",
    "asked",
    "lexical",
    "neighbours",
    "transitions",
    "ease",
    "graph",
    "als",
    "sequence",
    "transport",
    "category",
    "popularity",
    "trending",
)

_LEFT_OUT, _TAKEN = "left_out.json", "taken.arrow"

Vectors = Literal["items", "texts", "graph"]
"""What a search is over: items in the space, their texts as encoded, items in the graph."""


@dataclass(frozen=True)
class SignalsOptions:
    """The options of every signal that has some."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    text: TextOptions = field(default_factory=TextOptions)
    late_interaction: LateInteractionOptions = field(default_factory=LateInteractionOptions)
    lexical: LexicalOptions = field(default_factory=LexicalOptions)
    neighbours: NeighboursOptions = field(default_factory=NeighboursOptions)
    transitions: TransitionsOptions = field(default_factory=TransitionsOptions)
    ease: EaseOptions = field(default_factory=EaseOptions)
    imputed: ImputedOptions = field(default_factory=ImputedOptions)
    graph: GraphOptions = field(default_factory=GraphOptions)
    als: AlsOptions = field(default_factory=AlsOptions)
    sequence: SequenceOptions = field(default_factory=SequenceOptions)
    transport: TransportOptions = field(default_factory=TransportOptions)
    trending: TrendingOptions = field(default_factory=TrendingOptions)

    @property
    def walks(self) -> list[Walk]:
        """Of the signals that are a matrix from items to items."""
        return [self.neighbours.walk, self.transitions.walk, self.ease.walk]


@dataclass(frozen=True, eq=False)
class FittedSignals:
    """What was learned; one file a signal in a generation.

    What could not be fitted is None, and missing among the `matrices`.

    matrices : with what `impute` filled in.
    graph : (n_items, dim) float32 unit rows.
    left_out : signal that could not be fitted -> why, and what would help.
    taken : who took what, to fold in what comes later; None in what an older version built.
    since_unknown : (n_items,) bool, where people were folded in since: `unknown` as it was.
    """

    matrices: Mapping[str, ItemToItem]
    popularity: Popularity
    lexical: Lexical
    trending: Popularity | None = None
    als: Als | None = None
    sequence: Network | None = None
    graph: np.ndarray | None = None
    left_out: Mapping[str, str] = field(default_factory=dict)
    taken: Taken | None = None
    since_unknown: np.ndarray | None = None

    @property
    def unknown(self) -> np.ndarray:
        """(n_items,) bool: nobody had taken it when all this was learned.

        What signals of behaviour say of it was filled in by its meaning; but for popularity and
        neighbours, into which later events are folded.
        """
        return self.popularity.cold if self.since_unknown is None else self.since_unknown

    @classmethod
    def fit(
        cls,
        catalogue: Catalogue,
        histories: Histories,
        raw: np.ndarray,
        vectors: np.ndarray,
        options: SignalsOptions,
        progress: Progress | None = None,
        *,
        ease: ItemToItem | None = None,
        without: Mapping[str, str] | None = None,
    ) -> FittedSignals:
        """From histories and the items' texts.

        Parameters
        ----------
        raw, vectors : (n_items, dim) float32 unit rows, as encoded and in the space.
        ease : the matrix of EASE where it is not to be fitted anew, without what `impute` filled.
        without : signal that is not to be fitted -> why.
        """
        n_items, codes = len(catalogue), catalogue.top_codes
        left_out = dict(without or {})
        popularity = Popularity.fit(histories, n_items)

        @cache
        def texts(power: float) -> np.ndarray:
            return Space.fit(raw, codes, SpaceOptions(power=power)).apply(raw, codes)

        def matrix(fitted: ItemToItem) -> ItemToItem:
            if not len(fitted.values):
                raise LeftOut(NO_PAIRS if popularity.people.any() else NOBODY)
            return impute(fitted, popularity.cold, vectors, options.imputed)

        def fitted_ease() -> ItemToItem:
            if ease is not None:
                return ease
            return fit_ease(histories, texts(options.ease.power), options.ease)

        fits: dict[str, Callable[[], Any]] = {
            "lexical": lambda: Lexical.fit(catalogue, options.lexical),
            "neighbours": lambda: matrix(fit_neighbours(histories, n_items, options.neighbours)),
            "transitions": lambda: matrix(fit_transitions(histories, n_items, options.transitions)),
            "ease": lambda: matrix(fitted_ease()),
            "graph": lambda: spread(histories, texts(options.graph.power), options.graph),
            "als": lambda: Als.fit(histories, n_items, options.als),
            "sequence": lambda: fit_sequence(histories, vectors, options.sequence, progress),
            "trending": lambda: Popularity.lately(histories, n_items, options.trending),
        }
        found: dict[str, Any] = {}
        for i, (name, fit) in enumerate(fits.items()):
            if progress is not None:
                progress(f"fitting {name}", i, len(fits))
            if name in left_out:
                continue
            try:
                found[name] = fit()
            except LeftOut as why:
                left_out[name] = str(why)
        return cls(
            {walk.name: found[walk.name] for walk in options.walks if walk.name in found},
            popularity,
            found["lexical"],
            found.get("trending"),
            found.get("als"),
            found.get("sequence"),
            found.get("graph"),
            left_out,
            Taken.of(histories, n_items),
        )

    def save(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        for name, matrix in self.matrices.items():
            matrix.save(folder / f"{name}.safetensors")
        for signal in (self.popularity, self.lexical, self.trending, self.als):
            if signal is not None:
                signal.save(folder / f"{signal.name}.safetensors")
        if self.sequence is not None:
            self.sequence.save(folder)
        if self.graph is not None:
            np.save(folder / "graph.npy", self.graph)
        if self.taken is not None:
            self.taken.save(folder / _TAKEN)
        if self.left_out:
            (folder / _LEFT_OUT).write_text(json.dumps(dict(self.left_out)), "utf-8")

    @classmethod
    def load(cls, folder: Path, options: SignalsOptions) -> FittedSignals:
        def stored(name: str, ending: str = "safetensors") -> Path | None:
            path = folder / f"{name}.{ending}"
            return path if path.exists() else None

        trending, als, graph = stored("trending"), stored("als"), stored("graph", "npy")
        popularity = Popularity.load(folder / "popularity.safetensors")
        taken = folder / _TAKEN
        return cls(
            {w.name: ItemToItem.load(path, w) for w in options.walks if (path := stored(w.name))},
            popularity,
            Lexical.load(folder / "lexical.safetensors", options.lexical),
            Popularity.load(trending, *TRENDING) if trending else None,
            Als.load(als, options.als) if als else None,
            Network.load(folder),
            np.load(graph, mmap_mode="r") if graph else None,
            read_left_out(folder),
            Taken.open(taken, len(popularity.people)) if taken.exists() else None,
        )


def read_left_out(folder: Path) -> dict[str, str]:
    """Which signals the ones saved in a folder lack, and why."""
    path = folder / _LEFT_OUT
    return dict(json.loads(path.read_text("utf-8"))) if path.exists() else {}


def assemble(
    fitted: FittedSignals,
    options: SignalsOptions,
    *,
    catalogue: Catalogue,
    raw: np.ndarray,
    vectors: np.ndarray,
    open_search: Callable[[Vectors, np.ndarray], Search],
) -> dict[str, Scorer]:
    """Every signal that there is, by name.

    Parameters
    ----------
    raw, vectors : (n_items, dim) float32 unit rows, as encoded and in the space.
    open_search : makes a search over such rows.
    """
    items = open_search("items", vectors)
    signals: list[Scorer] = [
        Text(vectors, items, options.text),
        LateInteraction(vectors, items, options.late_interaction),
        Asked(raw, open_search("texts", raw)),
        fitted.lexical,
        *fitted.matrices.values(),
        Category(catalogue),
        fitted.popularity,
    ]
    if fitted.graph is not None:
        graph = open_search("graph", fitted.graph)
        signals.append(Text(fitted.graph, graph, options.graph.pooling, "graph", "graph"))
    behaviour = fitted.matrices.get("neighbours")
    if behaviour is None:  # what the history means is carried over all the same
        behaviour = ItemToItem.empty(len(catalogue), options.neighbours.walk)
    signals.append(Transport(vectors, items, catalogue.top_codes, behaviour, options.transport))
    signals += [signal for signal in (fitted.als, fitted.trending) if signal is not None]
    if fitted.sequence is not None:
        signals.append(Sequence(fitted.sequence, vectors))
    return {signal.name: signal for signal in signals}
