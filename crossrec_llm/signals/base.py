"""What a signal is: the two interfaces, and the arithmetic that several signals share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Generic, Protocol, TypeVar
from weakref import WeakMethod

import numpy as np

from crossrec_llm.records import Query
from crossrec_llm.store import top

T = TypeVar("T")


class LeftOut(Exception):
    """A signal cannot be fitted on what there is: the message says why, and what would help."""


NOBODY = "nobody took anything: it is learned from interactions (--interactions)"
NO_PAIRS = "nobody took two items: it is learned from people who did"


class Signal(Protocol):
    """Scores items for a query, and says which history items carried the score.

    `name` is its key in the recipe and in answers, `kind` the word its reasons go by (several
    signals may share one).
    """

    name: str
    kind: str

    def score(self, query: Query, rows: np.ndarray) -> np.ndarray:
        """(n,) float32, one score for each of `rows` ((n,) int64); NaN where it cannot score."""
        ...

    def carriers(self, query: Query, rows: np.ndarray) -> np.ndarray:
        """(n, h) float32, 0 or above: how much each history item carried each row's score.

        All 0 where no single history item did.
        """
        ...


class Source(Protocol):
    """Proposes items for a query."""

    name: str

    def propose(self, query: Query, n: int, allowed: np.ndarray) -> np.ndarray:
        """At most `n` distinct rows, best first, all True in `allowed` ((n_items,) bool)."""
        ...


class Scorer(Signal, Source, Protocol):
    """A Signal that is a Source too."""


class LastQuery(Generic[T]):
    """A method of a query that keeps its last answer: one question asks each signal often.

    Threads that ask different questions at once only make each other compute again. It is held by
    the signal itself, and does not hold it: signals go as soon as they are replaced, not when
    Python next looks for cycles.
    """

    def __init__(self, compute: Callable[[Query], T]) -> None:
        self._compute = WeakMethod(compute)
        self._kept: tuple[Query, T] | None = None

    def __call__(self, query: Query) -> T:
        kept = self._kept
        if kept is None or kept[0] is not query:
            compute = self._compute()
            assert compute is not None, "its signal is gone"
            kept = self._kept = (query, compute(query))
        return kept[1]


def weigh(query: Query, decay: float, last: int) -> np.ndarray:
    """(h,) float32, how much each item of the history counts: its weight times decay ** age.

    The newest item has age 0; items older than the `last` newest weigh 0.
    """
    age = np.arange(len(query.history) - 1, -1, -1, dtype=np.float32)
    recency = np.where(age < last, np.float32(decay) ** age, np.float32(0)).astype(np.float32)
    return query.weights * recency


def best(scores: np.ndarray, n: int) -> np.ndarray:
    """Positions of the `n` highest finite `scores` ((m,)), best first, ties by position."""
    usable = np.flatnonzero(np.isfinite(scores))
    return usable[top(scores[usable], n)]


def first_allowed(order: np.ndarray, allowed: np.ndarray, n: int) -> np.ndarray:
    """The first `n` of the rows in `order` ((n_items,) int64) that are `allowed`."""
    end = 2 * n
    while True:
        found = order[:end][allowed[order[:end]]]
        if len(found) >= n or end >= len(order):
            return found[:n]
        end *= 4


def write_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Named arrays in one file; equal arrays give equal bytes. A full disk is an OSError."""
    from safetensors.numpy import save

    path.write_bytes(save(dict(arrays)))


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """What `write_arrays` wrote.

    Raises
    ------
    OSError, ValueError : it cannot be read, or is something else.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(str(path))
    except SafetensorError as error:
        raise ValueError(f"{path}: {error}") from error
