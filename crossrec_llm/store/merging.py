"""What files say and what came live, put together: every item has the last word about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from crossrec_llm.store.rows import ItemRow, item_rows, items_table, row_digest
from crossrec_llm.tables import EVENTS_SCHEMA


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
class Held:
    """What a ledger holds: who and what is there, and all that ever came live.

    item_ids, user_ids : all of them, in the order they came in.
    items : those with a change, in that order.
    events : EVENTS_SCHEMA, those with a change, also about removed items.
    changes : (n_events,) int64 number of the change that each event came with.
    filed : (n_events,) bool, the last files told of it too.
    """

    item_ids: pa.Array
    user_ids: pa.Array
    items: Sequence[LiveItem]
    events: pa.Table
    changes: np.ndarray
    filed: np.ndarray

    @property
    def unfiled(self) -> int:
        """How many items and events are not as the last files have them."""
        items = sum(
            item.filed is not None if item.removed else item.filed != row_digest(item.row)
            for item in self.items
        )
        return items + int((~self.filed).sum())


@dataclass(frozen=True)
class Base:
    """What a ledger is to hold.

    items : ITEMS_SCHEMA, the removed ones too; what is there already comes first, in its order.
    events : EVENTS_SCHEMA, about these items, user by user in that same way.
    changes : (n_events,) int64, 0 = only from files.
    filed : (n_events,) bool, the files tell of it.
    live : the items that are as they came live, by row; all others are as in the files.
    """

    items: pa.Table
    events: pa.Table
    changes: np.ndarray
    filed: np.ndarray
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


def merge(items: pa.Table, events: pa.Table, held: Held, upto: int, *, dropped: int = 0) -> Base:
    """The tables of files with what came live.

    A row that is the same as in the last files says nothing new: what came live stays, be it a
    change or a removal. A row that differs is newer and stands. An item that came live and never
    was in a file stays; one that was, and is in these no more, is gone with its events. An event
    that came live and is in the files too is there once (`_told_in`), and goes with them.

    Whatever the files say of it, what came live keeps its number: generations that were built
    before it are laid over with it.

    Parameters
    ----------
    items, events : as read from files: ITEMS_SCHEMA with each id once, EVENTS_SCHEMA about them.
    upto : what came live later is newer than these files, whatever they say.
    dropped : what came live up to this number only stays where the files have it too.
    """
    ids = pa.array([item.row[0] for item in held.items], pa.string())
    places = pc.index_in(ids, value_set=items["item_id"].combine_chunks()).to_pylist()
    found = [place for place in places if place is not None]
    told = item_rows(items.take(pa.array(found, pa.int64())))
    filed = dict(zip(found, map(row_digest, told), strict=True))

    standing: dict[int, LiveItem] = {}
    added: list[LiveItem] = []
    for item, place in zip(held.items, places, strict=True):
        now = None if place is None else filed[place]
        if item.change <= upto:
            agree = not item.removed and now == row_digest(item.row)
            if item.change <= dropped or now != item.filed or agree:
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
    order = np.argsort(_ranks(items["item_id"], held.item_ids), kind="stable")
    items = _ordered(items, order)
    moved = np.argsort(order)
    live = {int(moved[row]): item for row, item in standing.items()}

    changes, in_files = np.zeros(len(events), np.int64), np.ones(len(events), bool)
    told_at = _told_in(events, held.events)
    np.maximum.at(changes, told_at[told_at >= 0], held.changes[told_at >= 0])
    known = pc.is_in(held.events["item_id"], value_set=items["item_id"].combine_chunks())
    late = held.changes > upto
    kept = np.asarray(known.to_numpy(), bool) & (told_at < 0)
    kept &= late | (~held.filed & (held.changes > dropped))
    if kept.any():
        changes = np.append(changes, held.changes[kept])
        in_files = np.append(in_files, np.zeros(int(kept.sum()), bool))
        events = pa.concat_tables([events, held.events.filter(pa.array(kept))])
        times = np.nan_to_num(np.asarray(events["timestamp"].to_numpy(), np.float64), nan=-np.inf)
    else:
        times = np.zeros(len(events))
    order = np.lexsort((times, _ranks(events["user_id"], held.user_ids)))
    return Base(items, _ordered(events, order), changes[order], in_files[order], live)


def _ranks(ids: pa.ChunkedArray, there: pa.Array) -> np.ndarray:
    """(n,) int64 place of each id: those that are there, then the others as they come."""
    distinct = ids.combine_chunks().dictionary_encode()
    codes = distinct.indices.to_numpy(zero_copy_only=False)
    place = pc.index_in(distinct.dictionary, value_set=there).to_numpy(zero_copy_only=False)
    new = len(there) + np.arange(len(place))
    ranks: np.ndarray = np.where(np.isnan(place), new, place).astype(np.int64)[codes]
    return ranks


def _ordered(table: pa.Table, order: np.ndarray) -> pa.Table:
    """The rows in another order, if it is another one."""
    if np.array_equal(order, np.arange(len(order))):
        return table
    return table.take(pa.array(order)).combine_chunks()


def _told_in(events: pa.Table, live: pa.Table) -> np.ndarray:
    """(n_live,) int64 the row of the files that tells of this event too, -1 for none.

    That is one of the same user, item, time and name: files that have it several times give one
    event with their values added up. Without a time it takes the same value, too.
    """
    theirs = pc.is_in(events["user_id"], value_set=live["user_id"].unique())
    rows = np.flatnonzero(theirs.to_numpy())
    told = events.take(pa.array(rows)).to_pylist()
    known = {_key(event): int(row) for row, event in zip(rows, told, strict=True)}
    return np.array([known.get(_key(event), -1) for event in live.to_pylist()], np.int64)


def _key(event: dict[str, object]) -> tuple[object, ...]:
    ours = EVENTS_SCHEMA.names if event["timestamp"] is None else EVENTS_SCHEMA.names[:-1]
    return tuple(event[name] for name in ours)
