"""A long random life of one index, against a dict and brute force."""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa

from crossrec_llm import (
    Recommender,
    build,
    erase_items,
    forget_user,
    gc,
    generations,
    publish,
    rehearse,
    rollback,
)
from crossrec_llm.errors import CrossrecError, DataError
from crossrec_llm.recipe import Recipe
from crossrec_llm.store import Index, Ledger
from crossrec_llm.tables import EVENTS_SCHEMA, ITEMS_SCHEMA
from durability import _driver, _shop
from durability._driver import Say
from durability._model import WORDS, Event, Files, Made, Model, made_up, same_rows

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


class Life:
    """One index and its model; every operation does both and compares what they say."""

    def __init__(self, index: Path, rng: random.Random) -> None:
        self.index, self.rng, self.model = index, rng, Model()
        build(_shop.items(N_ITEMS), _shop.events(N_USERS), index, recipe=RECIPE)
        self.ledger, self.rec = self._open(), Recommender.open(index)
        self.rehearsed: dict[str, Files] = {}
        self.made: dict[str, Made] = {}
        model = self.model
        for item in self.ledger.items().to_pylist():
            model.items[item["item_id"]] = model.filed[item["item_id"]] = item
        for row in self.ledger.events().to_pylist():
            event = Event(row["item_id"], row["timestamp"])
            model.events.setdefault(row["user_id"], []).append(event)
            model.told.add((row["user_id"], *event[:2]))
        model.last, model.people = frozenset(model.told), set(model.events)
        self.made[self._live] = model.made()

    def _open(self) -> Ledger:
        with Index.open(self.index) as index:
            path = index.ledger.path
        return Ledger.open(path, write=True)

    @property
    def _live(self) -> str:
        """The name of the generation that answers."""
        (name,) = (one.name for one in generations(self.index) if one.state == "live")
        return name

    # -- live changes

    def append(self) -> None:
        rng, model = self.rng, self.model
        drawn = [self._event() for _ in range(rng.choice((1, 1, 1, 5)))]
        table = pa.Table.from_pylist(
            [
                {"user_id": u, "item_id": i, "timestamp": t, "event": "", "value": None}
                for u, i, t, _ in drawn
            ],
            schema=EVENTS_SCHEMA,
        )
        ids = [id or None for *_, id in drawn]
        rows = [row for row in drawn if row[0] not in model.erased]
        if any(i not in model.items or i in model.removed for _, i, _, _ in rows):
            try:
                self.ledger.append(table, ids)
            except DataError:
                return
            raise AssertionError("an event about an item that is not there was taken")
        added = 0
        for user, item, moment, id in rows:
            mine = model.events.get(user, [])
            there = id in model.event_ids if id else (item, moment) in {e[:2] for e in mine}
            if there:
                continue
            model.events.setdefault(user, []).append(Event(item, moment, model.change + 1))
            model.people.add(user)
            if id:
                model.event_ids[id] = user, item
            model.changed_users[user] = model.change + 1
            added += 1
        model.change += bool(added)
        done = self.ledger.append(table, ids)
        found = (done.added, done.repeated, done.erased)
        assert found == (added, len(rows) - added, len(drawn) - len(rows)), (done, added)

    def _event(self) -> tuple[str, str, float, str]:
        """User, item, time and id ("" = none); never what files say too, which has no id there."""
        rng, model = self.rng, self.model
        id = f"e{rng.randrange(10**6)}" if rng.random() < 0.5 else ""
        if rng.random() < 0.2 and model.event_ids:
            id = rng.choice(sorted(model.event_ids)[:50])
        id = "" if id in model.spent else id
        user, item = f"u{rng.randrange(N_USERS + 20)}", f"i{rng.randrange(N_ITEMS + 10)}"
        if user in model.erased:
            item = rng.choice(model.there)
        moment = 1.6e9 + rng.randrange(2_000)
        while (user, item, moment) in model.told:
            moment += 0.25
        return user, item, moment, id

    def put(self) -> None:
        rng, model = self.rng, self.model
        item_id = f"i{rng.randrange(N_ITEMS + 10)}"
        while item_id in model.gone:
            item_id = f"i{rng.randrange(N_ITEMS + 10 + len(model.gone))}"
        row = made_up(item_id, rng)
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
        if model.events.get(user) or user not in model.people or user in model.erased:
            assert self.ledger.has_user(user) == bool(model.events.get(user))
        if model.events.get(user):
            rows = self.ledger.events_of(user).to_pylist()
            found, wanted = [(e["item_id"], e["timestamp"]) for e in rows], model.history(user)
            assert [time for _, time in found] == [time for _, time in wanted]
            assert sorted(found) == sorted(wanted)
        takers = {u for u in model.events if any(i == item for i, _ in model.history(u))}
        assert set(self.ledger.users_of(item)) == takers
        assert self.ledger.change == model.change

    def read_all(self) -> None:
        model, since = self.model, self.rng.randint(self.model.settled, self.model.change)
        assert same_rows(self.ledger.items().to_pylist(), map(model.items.get, model.there))
        assert len(self.ledger.events()) == sum(len(model.history(user)) for user in model.events)
        live = self.ledger.items_since(since)
        later = {id for id, change in model.changed_items.items() if change > since}
        assert set(live.items["item_id"].to_pylist()) == later - model.removed
        assert set(live.removed) == later & model.removed
        users = {user for user, change in model.changed_users.items() if change > since}
        assert set(self.ledger.users_since(since)) == users

    # -- generations

    def build(self) -> None:
        done = build(index=self.index, recipe=RECIPE)
        assert done.items == len(self.model.there)
        if not done.unchanged:
            self.made[done.generation] = self.model.made()

    def build_from_files(self) -> None:
        files = self.model.files(self.rng)
        done = build(*files.tables, self.index, recipe=RECIPE)
        self.model.merge(files)
        assert done.items == len(self.model.there)
        self.made[done.generation] = self.model.made()
        self._check()

    def rehearse(self) -> None:
        """Of files, or of the records."""
        files = self.model.files(self.rng) if self.rng.random() < 0.7 else None
        items, interactions = files.tables if files else (None, None)
        made = rehearse(self.index, RECIPE, items=items, interactions=interactions, users=3)
        if files:
            self.rehearsed[made.generation] = files
        self.made[made.generation] = self.model.rehearsed(files) if files else self.model.made()
        self._check()

    def publish(self) -> None:
        """What was rehearsed with files goes live with them, unless others became the truth."""
        waiting = [one.name for one in generations(self.index) if one.state == "waiting"]
        if not waiting:
            return
        name = self.rng.choice(waiting)
        files = self.rehearsed.get(name)
        if files and files.base != self.model.base:
            try:
                publish(self.index, name)
            except CrossrecError:
                return self._check()
            raise AssertionError("files older than those of the truth became the truth")
        publish(self.index, name)
        if files:
            self.model.merge(files)
            del self.rehearsed[name]
        self._check()

    def roll_back(self) -> None:
        if any(one.state == "before" for one in generations(self.index)):
            rollback(self.index)
            self._check()

    def clear_away(self) -> None:
        gc(self.index, keep=self.rng.choice((1, 2)))

    def forget(self) -> None:
        user = self.rng.choice([user for user, mine in self.model.events.items() if mine])
        made = self.made[self._live]
        forget_user(self.index, user, refill=self.rng.random() < 0.5)
        self.model.forget(user)
        self.made[self._live] = made
        self._check()

    def erase(self) -> None:
        item = self.rng.choice(list(self.model.items))
        made = self.made[self._live].without(item)
        erase_items(self.index, item, refill=self.rng.random() < 0.5)
        self.model.erase(item)
        self.made[self._live] = made
        self._check()

    def _check(self) -> None:
        """After what takes generations and files in hand: all that is held, and an answer."""
        self.model.settle(self.ledger.change)
        self.read_all()
        self.ask()

    def restart(self) -> None:
        self.ledger.close()
        self.rec.close()
        self.ledger, self.rec = self._open(), Recommender.open(self.index)

    def ask(self) -> None:
        """The open reader answers as of now, whichever generation is below."""
        there, takers = self.model.there, self.model.takers()
        words = self.rng.sample(WORDS, 2)
        user = self.rng.choice(sorted(user for user, mine in self.model.events.items() if mine))
        near = [r.item.item_id for r in self.rec.like(" ".join(words), k=10)]
        answer = self.rec.for_user(user, k=8)
        seen = {item for item, _ in self.model.history(user)}
        found = [r.item.item_id for r in answer]
        made = self.made[answer.receipt.generation]
        shown = self.model.shown(made)
        assert {*found} <= shown.keys() - seen
        assert {*near} <= shown.keys()
        assert all(r.item.title in [o["title"] for o in shown[r.item.item_id]] for r in answer)
        if made.base != self.model.base:
            return  # went back over a build from files: what these said is not in it
        assert len(found) == min(8, len(there) - len(seen))
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
        life.build_from_files: 0.0004,
        life.rehearse: 0.0004,
        life.publish: 0.0004,
        life.roll_back: 0.0004,
        life.clear_away: 0.0002,
        life.forget: 0.0001,
        life.erase: 0.0001,
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
