"""What files say and what came live, put together: every item has the last word about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from crossrec_llm.store.rows import ItemRow, item_rows, items_table, row_digest
from crossrec_llm.tables import EVENTS_SCHEMA
from crossrec_llm.tables.histories import ranked


@dataclass(frozen=True)
class LiveItem:
    """An item that was put or removed live.

    row : its values, as of `rows.ItemRow`.
    change : the number of the last change of it, 1 or more.
    removed : whether that was its removal.
    filed : digest of the row of it in the last files; None where they had none.
    """

    row: ItemRow
    change: int
    removed: bool
    filed: bytes | None


@dataclass(frozen=True)
class LivePart:
    """All that came live and is in no file.

    items : in the order they came in.
    events : EVENTS_SCHEMA, also those about removed items.
    changes : (n_events,) int64 number of the change that each event came with.
    """

    items: Sequence[LiveItem]
    events: pa.Table
    changes: np.ndarray

    def __bool__(self) -> bool:
        return bool(self.items or len(self.events))

    def after(self, change: int) -> LivePart:
        """Only what has a higher number."""
        later = self.changes > change
        items = [item for item in self.items if item.change > change]
        return LivePart(items, self.events.filter(pa.array(later)), self.changes[later])


@dataclass(frozen=True)
class Base:
    """What a ledger is to hold.

    items : ITEMS_SCHEMA, the removed ones too.
    events : EVENTS_SCHEMA, about these items.
    changes : (n_events,) int64, 0 = from files.
    live : the items that are as they came live, by row; all others are as in the files.
    """

    items: pa.Table
    events: pa.Table
    changes: np.ndarray
    live: dict[int, LiveItem] = field(default_factory=dict)

    def visible(self) -> tuple[pa.Table, pa.Table]:
        """Items and events without the removed items and what is about them."""
        gone = [row for row, item in self.live.items() if item.removed]
        if not gone:
            return self.items, self.events
        there = np.ones(len(self.items), bool)
        there[gone] = False
        removed = pa.array([self.live[row].row[0] for row in gone], pa.string())
        about = pc.is_in(self.events["item_id"], value_set=removed)
        return self.items.filter(pa.array(there)), self.events.filter(pc.invert(about))


def merge(items: pa.Table, events: pa.Table, live: LivePart, upto: int) -> Base:
    """The tables of files with what came live.

    A row that is the same as in the last files says nothing new: what came live stays, be it a
    change or a removal. A row that differs is newer and stands. An item that came live and never
    was in a file stays; one that was, and is in these no more, is gone with its events. An event
    that came live and is in the files too is there once (`_told_in`).

    Parameters
    ----------
    items, events : as read from files: ITEMS_SCHEMA with each id once, EVENTS_SCHEMA about them.
    upto : what came live later is newer than these files, whatever they say.
    """
    if not live:
        return Base(items, events, np.zeros(len(events), np.int64))
    ids = pa.array([item.row[0] for item in live.items], pa.string())
    places = pc.index_in(ids, value_set=items["item_id"].combine_chunks()).to_pylist()
    found = [place for place in places if place is not None]
    told = item_rows(items.take(pa.array(found, pa.int64())))
    filed = dict(zip(found, map(row_digest, told), strict=True))

    standing: dict[int, LiveItem] = {}
    added: list[LiveItem] = []
    for item, place in zip(live.items, places, strict=True):
        now = None if place is None else filed[place]
        if item.change <= upto:
            agree = not item.removed and now == row_digest(item.row)
            if now != item.filed or agree:
                continue
        stands = LiveItem(item.row, item.change, item.removed, now)
        if place is None:
            added.append(stands)
        else:
            standing[place] = stands
    if standing or added:
        order = np.arange(len(items))
        order[list(standing)] = len(items) + np.arange(len(standing))
        rows = [item.row for item in (*standing.values(), *added)]
        order = np.append(order, len(items) + len(standing) + np.arange(len(added)))
        standing |= {len(items) + n: item for n, item in enumerate(added)}
        items = pa.concat_tables([items, items_table(rows)]).take(order).combine_chunks()

    known = pc.is_in(live.events["item_id"], value_set=items["item_id"].combine_chunks())
    late = live.changes > upto
    kept = np.asarray(known.to_numpy(), bool) & (late | ~_told_in(events, live.events))
    changes = np.append(np.zeros(len(events), np.int64), live.changes[kept])
    if kept.any():
        events = pa.concat_tables([events, live.events.filter(pa.array(kept))])
        users, _ = ranked(events["user_id"])
        times = np.nan_to_num(np.asarray(events["timestamp"].to_numpy(), np.float64), nan=-np.inf)
        order = np.lexsort((times, users))
        events, changes = events.take(order).combine_chunks(), changes[order]
    return Base(items, events, changes, standing)


def _told_in(events: pa.Table, live: pa.Table) -> np.ndarray:
    """(n_live,) bool: the files tell of this event too.

    That is one of the same user, item, time and name: files that have it several times give one
    event with their values added up. Without a time it takes the same value, too.
    """
    theirs = events.filter(pc.is_in(events["user_id"], value_set=live["user_id"].unique()))
    known = set(map(_key, theirs.to_pylist()))
    return np.array([_key(event) in known for event in live.to_pylist()], bool)


def _key(event: dict[str, object]) -> tuple[object, ...]:
    ours = EVENTS_SCHEMA.names if event["timestamp"] is None else EVENTS_SCHEMA.names[:-1]
    return tuple(event[name] for name in ours)
