"""What comes next: a small transformer over the history, begun from the items' texts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge, Gt, Lt

from crossrec_llm.records import STRICT, Query
from crossrec_llm.signals.base import LastQuery, best, read_arrays, write_arrays

_EPSILON = 1e-5
_ASKED_WITHOUT = 20
_GONE = -1e9
_MOST_BATCHES = 250


@dataclass(frozen=True)
class SequenceOptions:
    """A causal transformer that learns which item follows, and how much work goes into it.

    A build fits it, compares the blend with it and without it on people that neither was fitted
    on, and keeps it only where it helps.

    minutes : of processor time that one fit may take, as far as can be told from the size of the
        log; it sets the number of passes, so that one log always gives one model. A build takes
        at most two fits. 0 = it is not tried, so that a build stays quick.
    least_steps : steps from an item to the next that the log needs at least; with fewer, the
        simpler signals know all that there is to know.
    width : numbers per item.
    layers, heads : of the transformer.
    last : how many of the newest items count; a longer history is learned from in parts.
    passes : over all histories, at most.
    batch : steps that are learned from at once; more where a pass would have over 250 batches.
    negatives : so many items are drawn for a batch where the time does not allow to learn from
        all that somebody took.
    dropout : share of what the layers pass on that is left out in training.
    item_dropout : the same, of the items themselves.
    rate : largest step of the optimiser.
    decay : pulls what an item learns beyond its text towards 0.
    seed : of all that is drawn.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    minutes: Annotated[float, Ge(0)] = 0.0
    least_steps: Annotated[int, Ge(1)] = 10_000
    width: Annotated[int, Ge(2)] = 64
    layers: Annotated[int, Ge(1)] = 2
    heads: Annotated[int, Ge(1)] = 2
    last: Annotated[int, Ge(1)] = 50
    passes: Annotated[int, Ge(1)] = 14
    batch: Annotated[int, Ge(1)] = 512
    negatives: Annotated[int, Ge(1)] = 512
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.3
    item_dropout: Annotated[float, Ge(0), Lt(1)] = 0.5
    rate: Annotated[float, Gt(0)] = 0.003
    decay: Annotated[float, Ge(0)] = 0.1
    seed: int = 0

    def batch_of(self, steps: int) -> int:
        """How many steps of a log are learned from at once."""
        return max(self.batch, steps // _MOST_BATCHES)

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(f"{self.heads} heads cannot share a width of {self.width}")


@dataclass(frozen=True, eq=False)
class Network:
    """What was learned, as arrays; answers need no more than numpy.

    items : (n_built, width) float32, E: of each item its text's part and what was learned beyond
        it; the text's part alone for an item that nobody took.
    weights : the others by name, as `Layer` and `apply` read them.
    figures : how the fit went.
    """

    items: np.ndarray
    weights: Mapping[str, np.ndarray]
    figures: Mapping[str, Any] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        np.save(folder / "sequence.npy", self.items)
        write_arrays(folder / "sequence.safetensors", **self.weights)
        figures = json.dumps(dict(self.figures), sort_keys=True)
        (folder / "sequence.json").write_text(figures, "utf-8")

    @classmethod
    def load(cls, folder: Path) -> Network | None:
        """Memory-maps the items; None where none was saved.

        Raises
        ------
        OSError, ValueError, KeyError : it cannot be read, or its parts do not fit each other.
        """
        if not (folder / "sequence.npy").exists():
            return None
        items = np.load(folder / "sequence.npy", mmap_mode="r", allow_pickle=False)
        weights = read_arrays(folder / "sequence.safetensors")
        figures = json.loads((folder / "sequence.json").read_text("utf-8"))
        if items.ndim != 2 or items.dtype != np.float32:
            raise ValueError(f"{folder / 'sequence.npy'}: not (n_items, width) float32")
        if weights["text"].shape[1] != items.shape[1]:
            raise ValueError(f"{folder / 'sequence.safetensors'}: not of the items' width")
        return cls(items, weights, figures)

    @property
    def last(self) -> int:
        """How many of the newest items it looks at."""
        return self.weights["0.distance"].shape[1]

    def of_texts(self, vectors: np.ndarray) -> np.ndarray:
        """(n, width) float32, what (n, dim) vectors of the space are to it without behaviour."""
        texts: np.ndarray = (vectors - self.weights["centre"]) @ self.weights["text"]
        return texts

    def states(self, x: np.ndarray) -> np.ndarray:
        """(b, width) float32 after (b, l, width) items, oldest first: what is wanted next.

        Kang and McAuley 2018 (Self-attentive sequential recommendation), with layer norms before
        the sublayers (Xiong et al. 2020), and, in place of places in the sequence, a number for
        each distance that attention adds (Raffel et al. 2020).
        """
        layers = sum(name.endswith(".distance") for name in self.weights)
        for layer in range(layers):
            x = self._layer(layer, x, only_last=layer == layers - 1)
        return _normed(x[:, -1], self.weights["scale"], self.weights["shift"])

    def _layer(self, layer: int, x: np.ndarray, *, only_last: bool) -> np.ndarray:
        """Of the last layer, only what the newest item gives is needed."""
        w = {
            name.split(".", 1)[1]: array
            for name, array in self.weights.items()
            if name.startswith(f"{layer}.")
        }
        b, n, width = x.shape
        heads, last = w["distance"].shape
        normed = _normed(x, w["scale_in"], w["shift_in"])
        start = n - 1 if only_last else 0
        here = x[:, start:]

        def of_heads(rows: np.ndarray, part: int) -> np.ndarray:
            columns = slice(part * width, (part + 1) * width)
            found = rows @ w["attend"][:, columns] + w["attend_bias"][columns]
            return found.reshape(b, -1, heads, width // heads).transpose(0, 2, 1, 3)

        query = of_heads(normed[:, start:], 0)
        key, value = of_heads(normed, 1), of_heads(normed, 2)
        distance = np.arange(start, n)[:, None] - np.arange(n)[None]
        added = np.where(
            distance < 0, np.float32(_GONE), w["distance"][:, np.clip(distance, 0, last - 1)]
        )
        attention = query @ key.transpose(0, 1, 3, 2) / np.float32(np.sqrt(width // heads)) + added
        attention = np.exp(attention - attention.max(axis=-1, keepdims=True))
        attention /= attention.sum(axis=-1, keepdims=True)
        mixed = (attention @ value).transpose(0, 2, 1, 3).reshape(b, -1, width)
        here = here + mixed @ w["mix"] + w["mix_bias"]
        inner = _normed(here, w["scale_out"], w["shift_out"]) @ w["widen"] + w["widen_bias"]
        out: np.ndarray = here + np.maximum(inner, 0) @ w["narrow"] + w["narrow_bias"]
        return out


def _normed(x: np.ndarray, scale: np.ndarray, shift: np.ndarray) -> np.ndarray:
    centred = x - x.mean(axis=-1, keepdims=True)
    spread = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + np.float32(_EPSILON))
    normed: np.ndarray = centred / spread * scale + shift
    return normed


class Sequence:
    """y_i . s, with s the state of the network after the history.

    Dislikes are left out, and how strongly an item was wanted makes no difference.

    Parameters
    ----------
    vectors : (n_items, dim) float32 unit rows in the space; of rows behind those of the network,
        which came after the build, the text alone counts.
    """

    name = "sequence"
    kind = "sequence"

    def __init__(self, network: Network, vectors: np.ndarray) -> None:
        self.network, self.vectors = network, vectors
        self._state = LastQuery(self._after)
        self._lost = LastQuery(self._after_less)

    def score(self, query: Query, rows: np.ndarray) -> np.ndarray:
        if not len(query.history):
            return np.full(len(rows), np.nan, np.float32)
        return self._items(rows) @ self._state(query)

    def carriers(self, query: Query, rows: np.ndarray) -> np.ndarray:
        """What the score loses without the item, for each of the 20 newest; 0 for older ones."""
        carried = np.zeros((len(rows), len(query.history)), np.float32)
        lost = self._lost(query)
        if len(rows) and lost.size:
            carried[:, len(query.history) - len(lost) :] = self._items(rows) @ lost.T
        return np.maximum(carried, 0)

    def propose(self, query: Query, n: int, allowed: np.ndarray) -> np.ndarray:
        if not len(query.history):
            return np.empty(0, np.int64)
        state = self._state(query)
        scores = np.concatenate([self.network.items @ state, self._new @ state])
        rows = np.flatnonzero(allowed)
        return rows[best(scores[rows], n)]

    @cached_property
    def _new(self) -> np.ndarray:
        """(m, width) float32 of the items that came after the build."""
        return self.network.of_texts(self.vectors[len(self.network.items) :])

    def _items(self, rows: np.ndarray) -> np.ndarray:
        built = len(self.network.items)
        if not len(self._new):
            return np.asarray(self.network.items[rows])
        found = np.empty((len(rows), self.network.items.shape[1]), np.float32)
        new = rows >= built
        found[~new] = self.network.items[rows[~new]]
        found[new] = self._new[rows[new] - built]
        return found

    def _after(self, query: Query) -> np.ndarray:
        """(width,) float32."""
        newest = query.history[-self.network.last :]
        state: np.ndarray = self.network.states(self._items(newest)[None])[0]
        return state

    def _after_less(self, query: Query) -> np.ndarray:
        """(m, width) float32, the state less the one without each of the m newest items."""
        newest = query.history[-self.network.last :]
        m = min(len(newest), _ASKED_WITHOUT)
        if not m:
            return np.empty((0, self.network.items.shape[1]), np.float32)
        state = self._state(query)
        if len(newest) == 1:
            return state[None]
        kept = np.array([np.delete(newest, at) for at in range(len(newest) - m, len(newest))])
        without = self.network.states(self._items(kept.ravel()).reshape(*kept.shape, -1))
        lost: np.ndarray = state - without
        return lost
