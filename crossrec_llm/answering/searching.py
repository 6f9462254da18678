"""The search planner: the vector index where it is quicker, the exact scan where it is away."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock, local
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge

from crossrec_llm.errors import IndexDamaged, StoreError, StoreUnavailable
from crossrec_llm.recording import recorded
from crossrec_llm.records import STRICT
from crossrec_llm.resting import Rest
from crossrec_llm.store import ExactSearch, Search

logger = logging.getLogger(__name__)

Found = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class SearchOptions:
    """When the vector index is asked, and when every passing row is scanned.

    exact_below : scan when no more rows than this pass the filter. A scan misses nothing, gives
        the same answer after every build (Chroma builds its graph in a random order), and up to
        about this size it is no slower.
    overfetch : ask the index for at most this many neighbours; beyond it a scan is cheaper.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    exact_below: Annotated[int, Ge(0)] = 100_000
    overfetch: Annotated[int, Ge(1)] = 2_000


class Standby:
    """Stands in for a vector index that is away; one for all the searches of a generation.

    An index that fails is left alone for a while. Then one question tries it while the others go
    on without it: nobody waits for what is known to be away, and it is back by itself.

    Parameters
    ----------
    name : of the index, for the notes.
    rest : what it is left alone for.
    """

    def __init__(self, name: str, rest: Rest | None = None) -> None:
        self._name, self._rest = name, rest or Rest()
        self._lock, self._here = Lock(), local()
        self._why = ""

    def begin(self) -> None:
        """Forget what was noted; a question is answered by one thread from here on."""
        self._here.notes = {}

    @property
    def notes(self) -> tuple[str, ...]:
        """What the answers of this thread have to say since `begin`."""
        return tuple(getattr(self._here, "notes", ()))

    def ask(self, index: Callable[[], Found], instead: Callable[[], Found]) -> Found:
        """What the index finds, else what is found instead, with a note."""
        if self._may_try():
            try:
                found = index()
            except (StoreUnavailable, IndexDamaged) as error:
                self._away(error)
            else:
                self._back()
                return found
        self._here.notes = {**getattr(self._here, "notes", {}), self._why: None}
        if (record := recorded()) is not None:
            record.fallbacks += 1
        return instead()

    def _may_try(self) -> bool:
        with self._lock:
            if not self._rest.over:
                return False
            self._rest.begin()  # the others wait for this one's luck
            return True

    def _away(self, error: StoreError) -> None:
        with self._lock:
            first = not self._rest.failed
            self._rest.fail()
            state = "is damaged" if isinstance(error, IndexDamaged) else "does not answer"
            self._why = f"{self._name} {state}: found by the exact scan"
        logger.log(logging.WARNING if first else logging.INFO, "%s (%s)", self._why, error)

    def _back(self) -> None:
        if self._rest.failed:
            with self._lock:
                self._rest.end()
            logger.warning("%s answers again", self._name)


class PlannedSearch:
    """A Search that picks, per question, between the vector index and the exact scan.

    Parameters
    ----------
    exact : over all rows.
    index : opens the vector index; called when it is first needed, and after it failed.
    standby : stands in where the index fails; without one its error is raised.
    """

    def __init__(
        self,
        exact: ExactSearch,
        index: Callable[[], Search],
        options: SearchOptions,
        standby: Standby | None = None,
    ) -> None:
        self.exact, self.options, self.standby = exact, options, standby
        self._open_index = index
        self._index: Search | None = None

    def __len__(self) -> int:
        return len(self.exact)

    def nearest(self, vectors: np.ndarray, k: int, allowed: np.ndarray | None = None) -> Found:
        """As `Search.nearest`."""
        n, passing = len(self), len(self) if allowed is None else int(allowed.sum())
        if passing <= self.options.exact_below or k * n > self.options.overfetch * passing:
            return self.exact.nearest(vectors, k, allowed)
        if self.standby is None:
            return self._indexed(vectors, k, allowed)
        return self.standby.ask(
            lambda: self._indexed(vectors, k, allowed),
            lambda: self.exact.nearest(vectors, k, allowed),
        )

    def _indexed(self, vectors: np.ndarray, k: int, allowed: np.ndarray | None) -> Found:
        if (index := self._index) is None:
            index = self._index = self._open_index()
        try:
            return index.nearest(vectors, k, allowed)
        except StoreError:
            self._index = None  # a collection that was filled again is another one
            raise
