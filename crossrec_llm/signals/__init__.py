"""Scorers of items for a query; each file holds one family and its Options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from crossrec_llm.records import STRICT
from crossrec_llm.signals.base import Signal, Source
from crossrec_llm.signals.ease import EaseOptions, fit_ease
from crossrec_llm.signals.item_to_item import ItemToItem, Walk
from crossrec_llm.signals.neighbours import NeighboursOptions, fit_neighbours
from crossrec_llm.signals.popularity import Popularity
from crossrec_llm.signals.text import (
    Asked,
    LateInteraction,
    LateInteractionOptions,
    Text,
    TextOptions,
)
from crossrec_llm.signals.transitions import TransitionsOptions, fit_transitions
from crossrec_llm.store import Search
from crossrec_llm.tables import Histories

__all__ = [
    "SIGNAL_NAMES",
    "Asked",
    "EaseOptions",
    "FittedSignals",
    "ItemToItem",
    "LateInteraction",
    "LateInteractionOptions",
    "NeighboursOptions",
    "Popularity",
    "Signal",
    "SignalsOptions",
    "Source",
    "Text",
    "TextOptions",
    "TransitionsOptions",
    "Walk",
    "assemble",
    "fit_ease",
    "fit_neighbours",
    "fit_transitions",
]

SIGNAL_NAMES = (
    "text",
    "late_interaction",
    "asked",
    "neighbours",
    "transitions",
    "ease",
    "popularity",
)


@dataclass(frozen=True)
class SignalsOptions:
    """The options of every signal that has some."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    text: TextOptions = field(default_factory=TextOptions)
    late_interaction: LateInteractionOptions = field(default_factory=LateInteractionOptions)
    neighbours: NeighboursOptions = field(default_factory=NeighboursOptions)
    transitions: TransitionsOptions = field(default_factory=TransitionsOptions)
    ease: EaseOptions = field(default_factory=EaseOptions)

    @property
    def walks(self) -> list[Walk]:
        """Of the signals that are a matrix from items to items."""
        return [self.neighbours.walk, self.transitions.walk, self.ease.walk]


@dataclass(frozen=True, eq=False)
class FittedSignals:
    """What was learned from histories; one file a signal in a generation.

    `matrices` lacks the ones that could not be fitted.
    """

    matrices: Mapping[str, ItemToItem]
    popularity: Popularity

    @classmethod
    def fit(
        cls, histories: Histories, raw: np.ndarray, codes: np.ndarray, options: SignalsOptions
    ) -> FittedSignals:
        """From histories and the items' texts.

        Parameters
        ----------
        raw : (n_items, dim) float32 unit rows as encoded; `codes` their top categories.
        """
        n_items = len(raw)
        fitted = (
            fit_neighbours(histories, n_items, options.neighbours),
            fit_transitions(histories, n_items, options.transitions),
            fit_ease(histories, raw, codes, options.ease),
        )
        return cls(
            {signal.name: signal for signal in fitted if signal is not None},
            Popularity.fit(histories, n_items),
        )

    def save(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        for name, matrix in self.matrices.items():
            matrix.save(folder / f"{name}.safetensors")
        self.popularity.save(folder / "popularity.safetensors")

    @classmethod
    def load(cls, folder: Path, options: SignalsOptions) -> FittedSignals:
        paths = {walk: folder / f"{walk.name}.safetensors" for walk in options.walks}
        return cls(
            {w.name: ItemToItem.load(path, w) for w, path in paths.items() if path.exists()},
            Popularity.load(folder / "popularity.safetensors"),
        )


def assemble(
    fitted: FittedSignals,
    options: SignalsOptions,
    *,
    vectors: np.ndarray,
    search: Search,
    raw: np.ndarray,
    raw_search: Search,
) -> dict[str, Text | LateInteraction | Asked | ItemToItem | Popularity]:
    """Every signal that there is, by name; each of them is a Signal and a Source.

    `vectors` and `raw` are (n_items, dim) float32 unit rows, in the space and as encoded;
    `search` and `raw_search` answer over them.
    """
    signals: tuple[Text | LateInteraction | Asked | ItemToItem | Popularity, ...] = (
        Text(vectors, search, options.text),
        LateInteraction(vectors, search, options.late_interaction),
        Asked(raw, raw_search),
        *fitted.matrices.values(),
        fitted.popularity,
    )
    return {signal.name: signal for signal in signals}
