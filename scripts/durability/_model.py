"""What an index must hold, as dicts: the oracle of `model`, written without the code it judges."""

from __future__ import annotations

import copy
import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pyarrow as pa

WORDS = "tea cup lamp shoe book seed rope tent bowl drum".split()
_ITEM = {"description": "", "brand": "", "image_url": "", "added": None, "metadata": "{}"}

Row = dict[str, Any]
Told = tuple[str, str, float]  # user, item, time


class Event(NamedTuple):
    """change : 0 where files tell of it."""

    item: str
    time: float
    change: int = 0


@dataclass(frozen=True)
class Files:
    """What a build from files, or a rehearsal, is given: items by id, and events.

    upto : the change at which they were looked at.
    base : how often files had become the truth by then.
    """

    items: dict[str, Row]
    events: frozenset[Told]
    upto: int
    base: int

    @property
    def tables(self) -> tuple[pa.Table, pa.Table]:
        items = [
            {
                "item_id": id,
                "title": row["title"],
                "category": " > ".join(row["category"]),
                "price": row["price"],
            }
            for id, row in self.items.items()
        ]
        events = [
            {"user_id": user, "item_id": item, "timestamp": time}
            for user, item, time in sorted(self.events)
        ]
        return pa.Table.from_pylist(items), pa.Table.from_pylist(events)


@dataclass(frozen=True)
class Made:
    """What a generation was made of: items by id, up to a change and over so many files."""

    items: dict[str, Row]
    change: int
    base: int

    def without(self, item: str) -> Made:
        return Made({id: row for id, row in self.items.items() if id != item}, *self.marks)

    @property
    def marks(self) -> tuple[int, int]:
        return self.change, self.base


@dataclass
class Model:
    """What must be true.

    items, removed, events : as the records have them; events by user, in their order.
    filed, told : what the last files said of items, and what files ever said of events.
    gone : ids that files stopped listing, or that were erased; nobody speaks of them again.
    event_ids : who had each; spent : those of which it is open whether they are known.
    erased : people.
    settled : the change up to which files have settled who changed what.
    """

    items: dict[str, Row] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)
    events: dict[str, list[Event]] = field(default_factory=dict)
    filed: dict[str, Row] = field(default_factory=dict)
    last: frozenset[Told] = frozenset()
    told: set[Told] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    event_ids: dict[str, tuple[str, str]] = field(default_factory=dict)
    spent: set[str] = field(default_factory=set)
    erased: set[str] = field(default_factory=set)
    people: set[str] = field(default_factory=set)
    change: int = 0
    settled: int = 0
    base: int = 0
    changed_items: dict[str, int] = field(default_factory=dict)
    changed_users: dict[str, int] = field(default_factory=dict)

    @property
    def there(self) -> list[str]:
        return [id for id in self.items if id not in self.removed]

    def history(self, user: str) -> list[tuple[str, float]]:
        mine = self.events.get(user, ())
        return [(one.item, one.time) for one in mine if one.item not in self.removed]

    def takers(self) -> Counter[str]:
        return Counter(item for user in self.events for item in {i for i, _ in self.history(user)})

    def made(self) -> Made:
        """Of a generation that is built of everything now."""
        return Made({id: self.items[id] for id in self.there}, self.change, self.base)

    def rehearsed(self, files: Files) -> Made:
        """Of one that is built of files, which are not the truth yet."""
        then = copy.deepcopy(self)
        then.merge(files)
        return then.made()

    def shown(self, made: Made) -> dict[str, list[Row]]:
        """The rows that an item may be shown with, over a generation.

        What came live since is laid over it. What only files say otherwise since is as it was made
        or as it is now: that counts after going back over a build from files.
        """
        shown = {id: [self.items[id]] for id in self.there}
        if made.base != self.base:
            for id, row in made.items.items():
                if self.changed_items.get(id, 0) <= made.change:
                    shown.setdefault(id, []).append(row)
        return shown

    def settle(self, change: int) -> None:
        """After what may or may not count as a change of its own."""
        assert change >= self.change, (change, self.change)
        self.change = self.settled = change

    def merge(self, files: Files) -> None:
        """Files become the truth: every item has the last word said about it (docs/live.md)."""
        for id, row in list(self.items.items()):
            now, change = files.items.get(id), self.changed_items.get(id, 0)
            says_nothing = now == self.filed.get(id) and now != row
            if id in self.removed:
                says_nothing = now == self.filed.get(id)
            if change > files.upto or (change and says_nothing):
                continue
            self.removed.discard(id)
            if now is None:
                del self.items[id]
                self.gone.add(id)
            else:
                self.items[id] = now
        for id in files.items.keys() - self.items.keys():
            self.items[id] = files.items[id]
        self.filed = dict(files.items)
        for user in self.events.keys() | {user for user, *_ in files.events}:
            theirs = [Event(i, t) for u, i, t in sorted(files.events) if u == user]
            told = {one[:2] for one in theirs}
            live = [
                one
                for one in self.events.get(user, ())
                if one.change and one.item in self.items and one[:2] not in told
            ]
            self.events[user] = sorted([*theirs, *live], key=lambda one: one.time)
        silent = {user for user, _ in self.event_ids.values() if not self.events.get(user)}
        self.spent |= {id for id, of in self.event_ids.items() if of[0] in silent}
        self.last, self.told = files.events, self.told | files.events
        self.base += 1

    def forget(self, user: str) -> None:
        self.events.pop(user, None)
        self.changed_users.pop(user, None)
        self.event_ids = {id: of for id, of in self.event_ids.items() if of[0] != user}
        self.last = frozenset(one for one in self.last if one[0] != user)
        self.erased.add(user)

    def erase(self, item: str) -> None:
        del self.items[item]
        self.removed.discard(item)
        self.filed.pop(item, None)
        self.gone.add(item)
        self.last = frozenset(one for one in self.last if one[1] != item)
        for user, mine in self.events.items():
            self.events[user] = [one for one in mine if one.item != item]
        self.spent |= {id for id, of in self.event_ids.items() if of[1] == item}

    def files(self, rng: random.Random) -> Files:
        """Files as a shop might have them next: a few things changed, gone, and heard of live."""
        items = {}
        for id, row in self.filed.items():
            if id not in self.gone and rng.random() > 0.03:
                items[id] = titled(row, rng) if rng.random() < 0.1 else row
        for id in self.there:
            if id not in self.filed and rng.random() < 0.3:
                items[id] = titled(self.items[id], rng) if rng.random() < 0.2 else self.items[id]
        events = {one for one in self.last if rng.random() > 0.05}
        live = [(u, e.item, e.time) for u, mine in self.events.items() for e in mine if e.change]
        events |= set(rng.sample(live, min(len(live), 40)))
        for _ in range(5):
            user = f"u{rng.randrange(60)}"
            if user not in self.erased:
                moment = 1.6e9 + rng.randrange(2_000) + 0.5
                events.add((user, rng.choice(sorted(items)), moment))
        known = frozenset(one for one in events if one[1] in items)
        return Files(items, known, self.change, self.base)


def made_up(item_id: str, rng: random.Random) -> Row:
    row = {"item_id": item_id, "category": [rng.choice("ABC")], "available": True}
    return titled({**_ITEM, **row, "price": float(rng.randrange(9))}, rng)


def titled(row: Row, rng: random.Random) -> Row:
    return {**row, "title": " ".join(rng.sample(WORDS, 3))}


def same_rows(found: Iterable[Row], wanted: Iterable[Row]) -> bool:
    """In whatever order."""
    by_id = {row["item_id"]: row for row in wanted}
    rows = list(found)
    return len(rows) == len(by_id) and all(by_id.get(row["item_id"]) == row for row in rows)
