"""A generation with the live changes since it was built laid over it, taken in step by step."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from crossrec_llm.encoding import Reader
from crossrec_llm.errors import IndexMismatch, MissingExtra, ModelError
from crossrec_llm.generation import Generation
from crossrec_llm.meaning import Space, SpaceOptions
from crossrec_llm.resting import Rest
from crossrec_llm.signals.folding import NewItems, fold
from crossrec_llm.signals.imputed import filled_scale, means_of
from crossrec_llm.store import Ledger
from crossrec_llm.tables import ITEMS_SCHEMA, Catalogue, Histories, TakenSince

AT_ONCE = 256
"""So many new and changed texts are encoded before a question is answered; the rest wait."""

_WORDS = {"title", "brand", "category", "description"}  # columns that words are looked up in
_SPARE = 1_024  # rows
_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class _Step:
    """What is read of the ledger at once, at one moment.

    items : to lay over the catalogue now; (m,) bool `read`, those that have to be encoded.
    waiting : items whose turn comes later.
    removed : ids.
    people : everybody whose history may be another one; `events` are all of theirs.
    """

    change: int
    items: pa.Table
    read: np.ndarray
    waiting: pa.Table
    removed: Sequence[str]
    people: list[str]
    events: pa.Table


class Growth:
    """Lays the changes of a ledger over a generation, each once; for one thread at a time.

    Rows of built items stay, those of new ones come behind. Nothing changes that a question which
    began earlier may still read.

    Parameters
    ----------
    rest : what the encoder is left alone for when it fails.
    """

    def __init__(self, built: Generation, reader: Reader, rest: Rest | None = None) -> None:
        self.now = self._built = built
        self._reader, self._rest = reader, rest or Rest()
        self._raw, self._vectors = _Room(built.raw), _Room(built.vectors)
        graph = built.signals.graph
        self._graph = None if graph is None else _Room(graph)
        self._n_built = len(built.catalogue)
        self._gone = np.zeros(self._n_built, bool)
        self._means: Any = None
        self._lexical = built.signals.lexical
        self._taken: dict[str, np.ndarray] = {}
        self._waiting = ITEMS_SCHEMA.empty_table()
        self._unable = ""

    @property
    def waiting(self) -> bool:
        """Whether another step takes in more, with nothing new in the ledger."""
        return bool(len(self._waiting)) and self._rest.over

    def take_in(self, ledger: Ledger) -> Generation:
        """The generation with all that is new; of texts to encode, at most `AT_ONCE` more.

        Where nothing can be encoded, new and changed texts wait, and answers have a note of it.
        """
        if self._rest.over:
            try:
                return self._take(ledger, AT_ONCE)
            except (ModelError, IndexMismatch, MissingExtra) as error:
                level = logging.INFO if self._rest.failed else logging.WARNING
                _log.log(level, "new and changed items cannot be read: %s", error)
                self._unable = str(error)
                self._rest.fail()
        return self._take(ledger, 0)

    def _take(self, ledger: Ledger, most: int) -> Generation:
        """With at most so many more texts encoded."""
        with ledger.moment() as moment:
            step = self._read(moment, most)
        raw = None
        if step.read.any():
            raw = self._reader.items(step.items.filter(pa.array(step.read)))
            self._unable = ""
            self._rest.end()
        self._waiting = step.waiting
        live = replace(
            self.now.live, change=step.change, unread=len(step.waiting), unable=self._unable
        )
        now = self.now.grown(live, self.now.signals)
        if len(step.items) or step.removed:
            now = self._with_items(now, step, raw)
        now = self._with_events(now, step)
        self.now = self._folded(now)
        return self.now

    def _read(self, ledger: Ledger, most: int) -> _Step:
        seen = self.now.live.change
        live = ledger.items_since(seen)
        again = pa.array([*live.items["item_id"].to_pylist(), *live.removed], pa.string())
        before = self._waiting.filter(pc.invert(pc.is_in(self._waiting["item_id"], again)))
        waiting = pa.concat_tables([before, live.items])
        read = self._to_read(waiting)
        later = np.flatnonzero(read)[most:]
        now = np.setdiff1d(np.arange(len(waiting)), later)
        reworded = self._with_old_words(waiting.take(pa.array(later[later >= len(before)])))
        items = pa.concat_tables([waiting.take(pa.array(now)), reworded])
        people = dict.fromkeys(ledger.users_since(seen))
        # An item that is new here may have events from long ago: it was removed, and is back.
        for at in np.flatnonzero(self.now.catalogue.rows(items["item_id"]) < 0):
            people |= dict.fromkeys(ledger.users_of(items["item_id"][at].as_py()))
        return _Step(
            ledger.change,
            items,
            np.pad(read[now], (0, len(reworded))),
            waiting.take(pa.array(later)),
            live.removed,
            list(people),
            ledger.events_of_all(people),
        )

    @cached_property
    def _words(self) -> list[str]:
        """The columns that make an item read otherwise."""
        return sorted(_WORDS | self._reader.columns)

    def _to_read(self, items: pa.Table) -> np.ndarray:
        """(n,) bool: what is new, or has another text or other words."""
        table = self.now.catalogue.table
        rows = _places(table, items["item_id"])
        read = rows < 0
        known = np.flatnonzero(~read)
        was, now = table.take(pa.array(rows[known])), items.take(pa.array(known))
        for name in self._words if len(known) else ():
            pairs = zip(was[name].to_pylist(), now[name].to_pylist(), strict=True)
            read[known] |= np.array([one != other for one, other in pairs], bool)
        return np.asarray(read)

    def _with_old_words(self, items: pa.Table) -> pa.Table:
        """Those that are there, with all that is new of them but what has to be read first."""
        table = self.now.catalogue.table
        rows = _places(table, items["item_id"])
        there = np.flatnonzero(rows >= 0)
        there = there[~self._gone[rows[there]]]
        was, now = table.take(pa.array(rows[there])), items.take(pa.array(there))
        for name in self._words:
            at = now.schema.get_field_index(name)
            now = now.set_column(at, now.schema.field(at), was[name])
        return now

    def _with_items(self, now: Generation, step: _Step, raw: np.ndarray | None) -> Generation:
        """With items in their rows or behind, and without those that were removed."""
        n = len(now.catalogue)
        rows = _places(now.catalogue.table, step.items["item_id"])
        new = rows < 0
        rows[new] = n + np.arange(int(new.sum()))
        away = _places(now.catalogue.table, pa.array(step.removed, pa.string()))
        gone = np.pad(self._gone, (0, int(new.sum())))
        gone[away[away >= 0]] = True
        gone[rows] = False
        self._gone = gone
        now = now.grown(now.live, now.signals, now.catalogue.grown(step.items, gone))
        if raw is None:
            return now
        read = rows[step.read]
        codes = self._codes(now.catalogue, read)
        vectors = self._built.space.apply(raw, codes)
        live = replace(now.live, late=np.union1d(now.live.late, read))
        now = now.grown(live, now.signals)
        now.raw, now.vectors = self._raw.put(read, raw), self._vectors.put(read, vectors)
        if self._graph is not None:
            # What nobody took at the build has nothing but its text in the graph.
            plain = (read >= self._n_built) | ~self._warm[np.minimum(read, self._n_built - 1)]
            texts = self._graph_space.apply(raw[plain], codes[plain])
            self._graph.put(read[plain], texts)
        self._lexical = self._built.signals.lexical.grown(now.catalogue, live.late)
        self._find_means(read[read >= self._n_built])
        return now

    def _with_events(self, now: Generation, step: _Step) -> Generation:
        """With the histories that people have now."""
        if not step.people:
            return now
        events = now.walls.visible(step.events)
        found = Histories.from_events(events, now.catalogue, now.histories)
        nothing = np.empty(0, np.int64), np.empty(0, np.float32)
        fresh = dict.fromkeys(step.people, nothing)
        for u, user_id in enumerate(found.user_ids):
            rows, weights, _ = found.history(u)
            fresh[user_id] = rows, weights
        for user_id, (rows, weights) in fresh.items():
            self._taken[user_id] = rows[weights > 0]
        live = replace(now.live, histories={**now.live.histories, **fresh})
        return now.grown(live, now.signals)

    def _folded(self, now: Generation) -> Generation:
        """With what the signals of the build make of it."""
        built, options = self._built.signals, self._built.recipe.signals
        n, since = len(now.catalogue), None
        if built.taken is not None and (self._taken or self._gone.any()):
            since = TakenSince(built.taken, dict(self._taken), n, self._gone)
        new = NewItems(np.arange(self._n_built, n), self._means, {})
        if len(new.rows):
            new = replace(new, scales=self._scales)
        signals = replace(
            fold(built, now.signals, options, n, since, new),
            lexical=self._lexical,
            graph=None if self._graph is None else self._graph.rows,
        )
        return now.grown(now.live, signals)

    def _codes(self, catalogue: Catalogue, rows: np.ndarray) -> np.ndarray:
        """(m,) codes of top categories as at the build; -1 for one that was not there."""
        place = {name: code for code, name in enumerate(self._built.catalogue.top_names)}
        code = np.array([place.get(name, -1) for name in catalogue.top_names], np.int64)
        return code[catalogue.top_codes[rows]]

    def _find_means(self, new: np.ndarray) -> None:
        """The nearest warm items of (m,) new rows, beside those of the others that are new."""
        import scipy.sparse as sp

        if not len(new):
            return
        options = self._built.recipe.signals.imputed
        found = means_of(self._vectors.rows[new], self._warm, self._built.vectors, options)
        if self._means is None:
            self._means = sp.csr_matrix((0, self._n_built), dtype=np.float32)
        before = self._means.shape[0]
        pick = np.arange(len(self._vectors.rows) - self._n_built)
        pick[new - self._n_built] = before + np.arange(len(new))
        self._means = sp.vstack([self._means, found]).tocsr()[pick]

    @cached_property
    def _warm(self) -> np.ndarray:
        """(n_built,) bool: what somebody took at the build."""
        return ~self._built.signals.popularity.cold

    @cached_property
    def _scales(self) -> dict[str, float]:
        signals, options = self._built.signals, self._built.recipe.signals.imputed
        return {
            name: filled_scale(matrix, self._warm, self._built.vectors, self._means, options)
            for name, matrix in signals.matrices.items()
        }

    @cached_property
    def _graph_space(self) -> Space:
        built = self._built
        options = SpaceOptions(power=built.recipe.signals.graph.power)
        return Space.fit(built.raw, built.catalogue.top_codes, options)


class _Room:
    """Rows with room behind them; what was given out before stays as it was."""

    def __init__(self, rows: np.ndarray) -> None:
        self.rows = self._space = rows

    def put(self, at: np.ndarray, values: np.ndarray) -> np.ndarray:
        """The rows with values ((m, dim)) at some places; those behind the end have no gaps."""
        if not len(at):  # the first rows are a file's, and may not even be written nothing into
            return self.rows
        n = len(self.rows)
        end = max(n, int(at.max(initial=-1)) + 1)
        if (at < n).any() or end > len(self._space):
            self._space = np.empty((end + _SPARE, self.rows.shape[1]), np.float32)
            self._space[:n] = self.rows
        self._space[at] = values
        self.rows = self._space[:end]
        return self.rows


def _places(table: pa.Table, item_ids: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """(n,) int64 rows of ids in a table, those of removed items too; -1 for none."""
    found = pc.index_in(item_ids, value_set=table["item_id"].combine_chunks())
    found = found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found
    return np.array(found.fill_null(-1).to_numpy(zero_copy_only=False), np.int64)
