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
        self.events: list[tuple[Event, bool]] = []
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
            row == one or (not live and row[2] is not None and key(row) == key(one))
            for one, live in self.events
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
        added = 0
        for row, name in zip(rows, names, strict=True):
            if name in self.event_ids or (not name and self.told(row)):
                continue
            self.event_ids |= {name} if name else set()
            self.events.append((row, True))
            added += 1
        assert (done.added, done.repeated) == (added, len(rows) - added)
        self.change += bool(added)

    @rule(said=files, rows=st.lists(events, max_size=5, unique_by=key))
    def build(self, said: dict[str, str], rows: list[Event]) -> None:
        rows = [row for row in rows if row[1] in said]
        tables = items_table(said), events_table(rows)
        merged = self.ledger.merged(*tables)
        content = content_digest(merged.items, merged.events)
        self.ledger.merge(*tables, upto=merged.change, content=content)
        assert self.ledger.content == content
        assert self.ledger.items().equals(merged.items)
        now = {item_id: Known(title, filed=title) for item_id, title in said.items()}
        for item_id, old in self.items.items():
            told = said.get(item_id)
            agree = old.title == told and not old.removed
            if old.live and old.filed == told and not agree:
                now[item_id] = old
        for item_id in self.items.keys() | now.keys():
            if not (item_id in now and now[item_id].live):
                self.since.pop(item_id, None)
        self.items = now
        known = {key(row) for row in rows}
        live = [(row, True) for row, is_live in self.events if is_live]
        live = [(row, True) for row, _ in live if key(row) not in known and row[1] in now]
        self.events = [(row, False) for row in rows] + live

    @rule(said=files)
    def replace(self, said: dict[str, str]) -> None:
        self.ledger.replace(items_table(said), events_table([]))
        self.items = {item_id: Known(title, filed=title) for item_id, title in said.items()}
        self.events, self.event_ids, self.since = [], set(), {}

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
        expected = [row for row, _ in self.events if self.there(row[1])]
        assert sorted(map(str, rows)) == sorted(map(str, expected))
        assert (self.ledger.item_count, self.ledger.event_count) == (len(found), len(rows))
        assert self.ledger.change == self.change
        for change in (0, self.change - 1):
            since = self.ledger.items_since(max(change, 0))
            late = {id for id, number in self.since.items() if number > change}
            assert {*since.items["item_id"].to_pylist(), *since.removed} == late


LedgerModel.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestLedgerModel = LedgerModel.TestCase
