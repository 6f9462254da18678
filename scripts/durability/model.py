"""A long random life of one index, against a dict and brute force."""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from crossrec_llm import Recommender, build, gc, generations, rollback
from crossrec_llm.errors import CrossrecError, DataError
from crossrec_llm.recipe import Recipe
from crossrec_llm.store import Index, Ledger
from crossrec_llm.tables import EVENTS_SCHEMA, ITEMS_SCHEMA
from durability import _driver, _shop
from durability._driver import Say

SHORT, LONG = 20_000, 200_000
RESTART = 0.001
N_ITEMS, N_USERS = 60, 40
# Texts are found by their vectors alone, so that brute force can say what the answer is.
RECIPE = Recipe.from_dict(
    {
        "blend": {"tune": False, "like": {"weights": {"asked": 1.0}, "sources": ["asked"]}},
        "answering": {"diversity": 0.0},
        "signals": {"als": {"factors": 4}},
    }
)
_ITEM = {"description": "", "brand": "", "image_url": "", "added": None, "metadata": "{}"}

Event = tuple[str, float, str]  # item, time, id ("" = none)


@dataclass
class Model:
    """What must be true: rows by id in the order they came, events by user, and what each did."""

    items: dict[str, dict[str, Any]] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)
    events: dict[str, list[Event]] = field(default_factory=dict)
    event_ids: set[str] = field(default_factory=set)
    change: int = 0
    changed_items: dict[str, int] = field(default_factory=dict)
    changed_users: dict[str, int] = field(default_factory=dict)

    @property
    def there(self) -> list[str]:
        return [id for id in self.items if id not in self.removed]

    def history(self, user: str) -> list[tuple[str, float]]:
        return [(i, t) for i, t, _ in self.events.get(user, ()) if i not in self.removed]

    def takers(self) -> Counter[str]:
        return Counter(item for user in self.events for item in {i for i, _ in self.history(user)})


class Life:
    """One index and its model; every operation does both and compares what they say."""

    def __init__(self, index: Path, rng: random.Random) -> None:
        self.index, self.rng, self.model = index, rng, Model()
        build(_shop.items(N_ITEMS), _shop.events(N_USERS), index, recipe=RECIPE)
        self.ledger, self.rec = self._open(), Recommender.open(index)
        for item in self.ledger.items().to_pylist():
            self.model.items[item["item_id"]] = item
        for event in self.ledger.events().to_pylist():
            row = (event["item_id"], event["timestamp"], "")
            self.model.events.setdefault(event["user_id"], []).append(row)

    def _open(self) -> Ledger:
        with Index.open(self.index) as index:
            path = index.ledger.path
        return Ledger.open(path, write=True)

    # -- live changes

    def append(self) -> None:
        rng, model = self.rng, self.model
        rows = []
        for _ in range(rng.choice((1, 1, 1, 5))):
            id = f"e{rng.randrange(10**6)}" if rng.random() < 0.5 else ""
            if rng.random() < 0.2 and model.event_ids:
                id = rng.choice(sorted(model.event_ids)[:50])
            user, item = f"u{rng.randrange(N_USERS + 20)}", f"i{rng.randrange(N_ITEMS + 10)}"
            rows.append((user, item, 1.6e9 + rng.randrange(2_000), id))
        table = pa.Table.from_pylist(
            [
                {"user_id": u, "item_id": i, "timestamp": t, "event": "", "value": None}
                for u, i, t, _ in rows
            ],
            schema=EVENTS_SCHEMA,
        )
        ids = [id or None for *_, id in rows]
        if any(i not in self.model.items or i in self.model.removed for _, i, _, _ in rows):
            try:
                self.ledger.append(table, ids)
            except DataError:
                return
            raise AssertionError("an event about an item that is not there was taken")
        added = 0
        for user, item, moment, id in rows:
            mine = model.events.get(user, [])
            if id in model.event_ids if id else any((i, t) == (item, moment) for i, t, _ in mine):
                continue
            model.events.setdefault(user, []).append((item, moment, id))
            model.event_ids |= {id} - {""}
            model.changed_users[user] = model.change + 1
            added += 1
        model.change += bool(added)
        done = self.ledger.append(table, ids)
        assert (done.added, done.repeated) == (added, len(rows) - added), (done, added)

    def put(self) -> None:
        rng, model = self.rng, self.model
        item_id = f"i{rng.randrange(N_ITEMS + 10)}"
        words = rng.sample("tea cup lamp shoe book seed rope tent bowl drum".split(), 3)
        row = {
            **_ITEM,
            "item_id": item_id,
            "title": " ".join(words),
            "category": [rng.choice("ABC")],
            "price": float(rng.randrange(9)),
            "available": True,
        }
        if rng.random() < 0.3 and item_id in model.items:
            row = model.items[item_id]
        old, gone = model.items.get(item_id), item_id in model.removed
        done = self.ledger.put_items(pa.Table.from_pylist([row], schema=ITEMS_SCHEMA))
        new, changed = int(old is None or gone), int(old not in (None, row) and not gone)
        assert (done.added, done.changed) == (new, changed), (done, old, row)
        if new or changed:
            model.items[item_id] = row
            model.removed.discard(item_id)
            model.change += 1
            model.changed_items[item_id] = model.change

    def remove(self) -> None:
        ids = {f"i{self.rng.randrange(N_ITEMS + 10)}" for _ in range(2)}
        gone = ids & set(self.model.there)
        assert self.ledger.remove_items(sorted(ids)) == len(gone)
        if gone:
            self.model.change += 1
            self.model.removed |= gone
            self.model.changed_items |= dict.fromkeys(gone, self.model.change)

    # -- reading

    def read(self) -> None:
        model, rng = self.model, self.rng
        user, item = f"u{rng.randrange(N_USERS + 20)}", f"i{rng.randrange(N_ITEMS + 10)}"
        assert self.ledger.has_user(user) == (user in model.events)
        if user in model.events:
            found = self.ledger.events_of(user).to_pylist()
            assert [(e["item_id"], e["timestamp"]) for e in found] == model.history(user)
        takers = {u for u in model.events if any(i == item for i, _ in model.history(u))}
        assert set(self.ledger.users_of(item)) == takers
        assert self.ledger.change == model.change

    def read_all(self) -> None:
        model, since = self.model, self.rng.randint(0, self.model.change)
        assert self.ledger.items().to_pylist() == [model.items[id] for id in model.there]
        assert len(self.ledger.events()) == sum(len(model.history(user)) for user in model.events)
        live = self.ledger.items_since(since)
        later = {id for id, change in model.changed_items.items() if change > since}
        assert set(live.items["item_id"].to_pylist()) == later - model.removed
        assert set(live.removed) == later & model.removed
        users = {user for user, change in model.changed_users.items() if change > since}
        assert set(self.ledger.users_since(since)) == users

    # -- generations

    def build(self) -> None:
        assert build(index=self.index, recipe=RECIPE).items == len(self.model.there)

    def roll_back(self) -> None:
        if len(generations(self.index)) > 1:
            rollback(self.index)

    def clear_away(self) -> None:
        gc(self.index, keep=self.rng.choice((1, 2)))

    def restart(self) -> None:
        self.ledger.close()
        self.rec.close()
        self.ledger, self.rec = self._open(), Recommender.open(self.index)

    def ask(self) -> None:
        """The open reader answers as of now, whichever generation is below."""
        there, takers = self.model.there, self.model.takers()
        words = self.rng.sample("tea cup lamp shoe book seed rope tent bowl drum".split(), 2)
        user = self.rng.choice(sorted(self.model.events))
        near = [r.item.item_id for r in self.rec.like(" ".join(words), k=10)]
        answer = self.rec.for_user(user, k=8)
        seen = {item for item, _ in self.model.history(user)}
        found = [r.item.item_id for r in answer]
        assert set(found) <= set(there) - seen
        assert len(found) == min(8, len(there) - len(seen))
        assert all(r.item.title == self.model.items[r.item.item_id]["title"] for r in answer)
        assert all(r.cold == (not takers[r.item.item_id]) for r in answer)
        cosines = {id: self._text_vector(id) @ _shop.vector_of(" ".join(words)) for id in there}
        best = sorted(cosines.values(), reverse=True)[:10]
        np.testing.assert_allclose([cosines[id] for id in near], best, atol=1e-5)

    def _text_vector(self, item_id: str) -> np.ndarray:
        """Of the text that the template makes: the title and the category."""
        item = self.model.items[item_id]
        return _shop.vector_of(f"{item['title']}. {', '.join(item['category'])}")


def run(short: bool, seed: int, n: int | None = None) -> dict[str, float]:
    """Mostly cheap operations on the records; a build and questions now and then, and restarts."""
    _shop.quick_encoder()
    n = n or (SHORT if short else LONG)
    with tempfile.TemporaryDirectory(prefix="crossrec-model-", dir=_driver.memory()) as work:
        outcome = _driver.run(lambda say: _live(Path(work, "index"), n, seed, say))
    counts = dict(line.rsplit(" ", 1) for line in outcome.said)
    if outcome.code:
        print(outcome.error)
    return {
        **{f"operations: {name}": float(count) for name, count in counts.items()},
        "operations": float(sum(map(int, counts.values()))),
        "operations that disagreed with the model": float(outcome.code != 0),
    }


def _live(index: Path, n: int, seed: int, say: Say) -> None:
    rng = random.Random(seed)
    life = Life(index, rng)
    operations: dict[Callable[[], None], float] = {
        life.append: 0.45,
        life.put: 0.15,
        life.remove: 0.06,
        life.read: 0.33,
        life.read_all: 0.007,
        life.restart: RESTART,
        life.ask: 0.002,
        life.build: 0.0004,
        life.roll_back: 0.0003,
        life.clear_away: 0.0002,
    }
    chosen = rng.choices(list(operations), list(operations.values()), k=n)
    counts: Counter[str] = Counter()
    for number, operation in enumerate(chosen):
        try:
            operation()
        except (AssertionError, CrossrecError) as error:
            raise AssertionError(
                f"operation {number}, {operation.__name__}, seed {seed}"
            ) from error
        counts[operation.__name__] += 1
    for name, count in counts.items():
        say(f"{name} {count}")
