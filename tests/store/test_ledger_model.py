"""Random live changes and builds against a dictionary that does what the docs say."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from crossrec_llm.store import Ledger, content_digest
from crossrec_llm.tables import EVENTS_SCHEMA, ITEMS_SCHEMA
from tests.store.small import make_items

ids = st.sampled_from("abcd")
titles = st.sampled_from(["one", "two"])
events = st.tuples(
    st.sampled_from("xyz"), ids, st.sampled_from([None, 1.0, 2.0]), st.sampled_from([None, 3.0])
)
files = st.fixed_dictionaries({}, optional=dict.fromkeys("abcd", titles))
Event = tuple[str, str, float | None, float | None]


@dataclass
class Known:
    """An item: as it is, whether that came live, and what the last files said of it."""

    title: str
    live: bool = False
    removed: bool = False
    filed: str | None = None


@dataclass
class Told:
    """An event: the change it came with, 0 = from files, and whether the last files have it."""

    row: Event
    number: int
    filed: bool


def items_table(known: dict[str, str]) -> pa.Table:
    rows = make_items(["x"]).to_pylist() * len(known)
    named = zip(rows, known.items(), strict=True)
    return pa.Table.from_pylist(
        [{**row, "item_id": id, "title": title} for row, (id, title) in named], schema=ITEMS_SCHEMA
    )


def events_table(rows: list[Event]) -> pa.Table:
    names = ("user_id", "item_id", "timestamp", "value")
    full = [{**dict(zip(names, row, strict=True)), "event": "buy"} for row in rows]
    return pa.Table.from_pylist(full, schema=EVENTS_SCHEMA)


def key(event: Event) -> tuple[Any, ...]:
    return event if event[2] is None else event[:3]


class LedgerModel(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "records.sqlite"
        self.ledger = Ledger.open(self.path, write=True)
        self.items: dict[str, Known] = {}
        self.events: list[Told] = []
        self.event_ids: set[str] = set()
        self.change = 0
        self.since: dict[str, int] = {}

    def teardown(self) -> None:
        if hasattr(self, "ledger"):
            self.ledger.close()
            self.folder.cleanup()

    def changed(self, *item_ids: str) -> None:
        self.change += 1
        self.since |= dict.fromkeys(item_ids, self.change)

    def there(self, item_id: str) -> bool:
        return item_id in self.items and not self.items[item_id].removed

    def told(self, row: Event) -> bool:
        """Whether an event without an id is there; of equal ones files give the sum."""
        return any(
            row == one.row
            or ((one.number == 0 or one.filed) and row[2] is not None and key(row) == key(one.row))
            for one in self.events
        )

    @rule(item_id=ids, title=titles)
    def put(self, item_id: str, title: str) -> None:
        done = self.ledger.put_items(items_table({item_id: title}))
        old = self.items.get(item_id)
        if old and not old.removed and old.title == title:
            assert done.unchanged == 1
            return
        assert (done.added, done.changed) == ((0, 1) if self.there(item_id) else (1, 0))
        self.items[item_id] = Known(title, True, False, old.filed if old else None)
        self.changed(item_id)

    @rule(item_ids=st.sets(ids))
    def remove(self, item_ids: set[str]) -> None:
        gone = [item_id for item_id in item_ids if self.there(item_id)]
        assert self.ledger.remove_items(sorted(item_ids)) == len(gone)
        for item_id in gone:
            self.items[item_id].live = self.items[item_id].removed = True
        if gone:
            self.changed(*gone)

    @rule(rows=st.lists(events, max_size=4), named=st.booleans(), first=st.integers(0, 20))
    def append(self, rows: list[Event], named: bool, first: int) -> None:
        rows = [row for row in rows if self.there(row[1])]
        names = [f"e{first + n}" if named else None for n in range(len(rows))]
        done = self.ledger.append(events_table(rows), names)
        added = taken = 0
        for row, name in zip(rows, names, strict=True):
            if name in self.event_ids or (not name and self.told(row)):
                continue
            self.event_ids |= {name} if name else set()
            same = [one for one in self.events if one.number == 0 and key(one.row) == key(row)]
            if name and same:
                same[0].number, same[0].filed, taken = self.change + 1, True, taken + 1
                continue
            self.events.append(Told(row, self.change + 1, False))
            added += 1
        assert (done.added, done.repeated) == (added, len(rows) - added)
        self.change += bool(added or taken)

    @rule(said=files, rows=st.lists(events, max_size=5, unique_by=key))
    def build(self, said: dict[str, str], rows: list[Event]) -> None:
        rows = [row for row in rows if row[1] in said]
        tables = items_table(said), events_table(rows)
        merged = self.ledger.merged(*tables)
        content = content_digest(merged.items, merged.events)
        self.ledger.merge(*tables, upto=merged.change, content=content)
        assert self.ledger.content == content
        assert self.ledger.items().equals(merged.items)
        assert self.ledger.events().equals(merged.events)
        now = {item_id: Known(title, filed=title) for item_id, title in said.items()}
        for item_id, old in self.items.items():
            told = said.get(item_id)
            agree = old.title == told and not old.removed
            if old.live and old.filed == told and not agree:
                now[item_id] = old
        self.items = now
        numbers: dict[tuple[Any, ...], int] = {}
        for one in self.events:
            numbers[key(one.row)] = max(one.number, numbers.get(key(one.row), 0))
        known = {key(row) for row in rows}
        live = [one for one in self.events if one.number and not one.filed]
        live = [one for one in live if key(one.row) not in known and one.row[1] in now]
        self.events = [Told(row, numbers.get(key(row), 0), True) for row in rows] + live

    @rule(said=files)
    def replace(self, said: dict[str, str]) -> None:
        self.ledger.replace(items_table(said), events_table([]))
        self.items = {item_id: Known(title, filed=title) for item_id, title in said.items()}
        self.events, self.event_ids = [], set()

    @rule()
    def reopen(self) -> None:
        self.ledger.close()
        self.ledger = Ledger.open(self.path, write=True)

    @invariant()
    def is_as_expected(self) -> None:
        if not hasattr(self, "ledger"):
            return
        found = {row["item_id"]: row["title"] for row in self.ledger.items().to_pylist()}
        assert found == {id: one.title for id, one in self.items.items() if not one.removed}
        rows = [tuple(row[n] for n in ("user_id", "item_id", "timestamp", "value"))
                for row in self.ledger.events().to_pylist()]  # fmt: skip
        expected = [one.row for one in self.events if self.there(one.row[1])]
        assert sorted(map(str, rows)) == sorted(map(str, expected))
        assert (self.ledger.item_count, self.ledger.event_count) == (len(found), len(rows))
        assert self.ledger.change == self.change
        for change in (0, max(self.change - 1, 0)):
            since = self.ledger.items_since(change)
            late = {id for id, number in self.since.items() if number > change}
            assert {*since.items["item_id"].to_pylist(), *since.removed} == late
            users = {one.row[0] for one in self.events if one.number > change}
            assert {*self.ledger.users_since(change)} == users


LedgerModel.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestLedgerModel = LedgerModel.TestCase
