"""Scorers of items for a query; each file holds one family and its Options."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np

from crossrec_llm.signals.base import Signal, Source
from crossrec_llm.signals.neighbours import Neighbours, NeighboursOptions
from crossrec_llm.signals.popularity import Popularity
from crossrec_llm.signals.text import (
    Asked,
    LateInteraction,
    LateInteractionOptions,
    Text,
    TextOptions,
)
from crossrec_llm.store import Search
from crossrec_llm.tables import Histories

__all__ = [
    "SIGNAL_NAMES",
    "Asked",
    "FittedSignals",
    "LateInteraction",
    "LateInteractionOptions",
    "Neighbours",
    "NeighboursOptions",
    "Popularity",
    "Signal",
    "SignalsOptions",
    "Source",
    "Text",
    "TextOptions",
    "assemble",
]

SIGNAL_NAMES = tuple(s.name for s in (Text, LateInteraction, Asked, Neighbours, Popularity))


@dataclass(frozen=True)
class SignalsOptions:
    """The options of every signal that has some."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    text: TextOptions = field(default_factory=TextOptions)
    late_interaction: LateInteractionOptions = field(default_factory=LateInteractionOptions)
    neighbours: NeighboursOptions = field(default_factory=NeighboursOptions)


@dataclass(frozen=True, eq=False)
class FittedSignals:
    """The signals that learn from histories; one file each in a generation."""

    neighbours: Neighbours
    popularity: Popularity

    @classmethod
    def fit(cls, histories: Histories, n_items: int, options: SignalsOptions) -> FittedSignals:
        return cls(
            Neighbours.fit(histories, n_items, options.neighbours),
            Popularity.fit(histories, n_items),
        )

    def save(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.neighbours.save(folder / "neighbours.safetensors")
        self.popularity.save(folder / "popularity.safetensors")

    @classmethod
    def load(cls, folder: Path, options: SignalsOptions) -> FittedSignals:
        return cls(
            Neighbours.load(folder / "neighbours.safetensors", options.neighbours),
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
) -> dict[str, Text | LateInteraction | Asked | Neighbours | Popularity]:
    """Every signal by name; each of them is a Signal and a Source.

    `vectors` and `raw` are (n_items, dim) float32 unit rows, in the space and as encoded;
    `search` and `raw_search` answer over them.
    """
    signals = (
        Text(vectors, search, options.text),
        LateInteraction(vectors, search, options.late_interaction),
        Asked(raw, raw_search),
        fitted.neighbours,
        fitted.popularity,
    )
    return {signal.name: signal for signal in signals}
