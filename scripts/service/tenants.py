"""Many tenants in one process, asked in a mix: whether anything of one is ever told to another.

All have items of the same ids, whose titles bear the mark of their tenant, as everything does that
is added: users, items, sentences. An answer with another tenant's mark is a cross-read.
"""

from __future__ import annotations

import base64
import json
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
from fastapi.testclient import TestClient

from crossrec_llm import live
from crossrec_llm.recommender import Recommender
from crossrec_llm.service import RateOptions, ServiceOptions
from crossrec_llm.service.app import create_app
from crossrec_llm.service.keys import add_key

THREADS = 4  # that ask at the same time, of all tenants
NAMES = ("alpha", "beta", "gamma")
_MOST = 40  # things of a kind that a tenant has added at once


def mark(name: str) -> str:
    return f"‹{name}›"


@dataclass
class Side:
    """What one tenant has, as we know it."""

    name: str
    secret: str
    items: list[str]
    users: list[str]
    own_items: list[str] = field(default_factory=list)
    own_users: list[str] = field(default_factory=list)
    cursors: list[str] = field(default_factory=list)
    answers: list[dict[str, Any]] = field(default_factory=list)
    shown: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class Found:
    """What was asked, and what went wrong."""

    operations: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    crossed: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def __add__(self, other: Found) -> Found:
        return Found(
            self.operations + other.operations,
            self.statuses + other.statuses,
            self.crossed + other.crossed,
            self.wrong + other.wrong,
        )


def marked_copies(index: Path, folder: Path) -> dict[str, Path]:
    """A copy of an index for each tenant, every title with its mark."""
    with Recommender.open(index) as recommender:
        items = [recommender.item(item_id) for item_id in recommender.catalogue.ids]
    places = {}
    for name in NAMES:
        places[name] = Path(shutil.copytree(index, folder / name))
        rows = {
            "item_id": [item.item_id for item in items],
            "title": [f"{item.title} {mark(name)}" for item in items],
            "category": [item.category_path for item in items],
        }
        live.add_items(places[name], pa.table(rows))
    return places


def mixed(index: Path, folder: Path, n: int, *, seed: int = 0) -> Found:
    """`n` operations, each by a tenant drawn, with things of its own or of another.

    Several threads ask, each for things that it added itself.
    """

    def asked(thread: int) -> Found:
        rng, found = random.Random(seed * THREADS + thread), Found()
        machine = _Machine(client, deepcopy(sides), rng, found, thread)
        while found.operations.total() < n / THREADS:
            machine.step()
        return found

    with _served(index, folder) as (client, sides), ThreadPoolExecutor(THREADS) as threads:
        return sum(threads.map(asked, range(THREADS)), start=Found())


@contextmanager
def _served(index: Path, folder: Path) -> Iterator[tuple[TestClient, list[Side]]]:
    places, file = marked_copies(index, folder), folder / "keys.json"
    scopes = ("read", "write", "admin")
    secrets = {name: add_key(file, name, tenant=name, scopes=scopes)[0] for name in NAMES}
    app = create_app(ServiceOptions(tenants=places, keys=file, rates=RateOptions(key=0, tenant=0)))
    with TestClient(app, "http://127.0.0.1", raise_server_exceptions=False) as client:
        with Recommender.open(index) as recommender:
            items, users = list(recommender.catalogue.ids), list(recommender.generation.users.ids)
        yield client, [Side(name, secrets[name], items, users) for name in NAMES]


class _Machine:
    def __init__(
        self, client: TestClient, sides: list[Side], rng: random.Random, found: Found, thread: int
    ) -> None:
        self.client, self.sides, self.rng, self.found = client, sides, rng, found
        self.thread = thread
        self.count = 0
        self.often: dict[Callable[[Side, Side], None], int] = {
            self.for_user: 24,
            self.similar: 10,
            self.like: 6,
            self.item: 10,
            self.profile: 6,
            self.audience: 3,
            self.page: 5,
            self.further: 4,
            self.further_of_another: 4,
            self.user_of_another: 8,
            self.item_of_another: 8,
            self.answer_of_another: 3,
            self.look: 12,
            self.look_at_another: 6,
            self.show: 6,
            self.outcome_of_another: 3,
            self.add_item: 1,
            self.add_events: 4,
            self.pin: 2,
            self.remove: 1,
            self.same_key: 1,
        }

    def step(self) -> None:
        one, other = self.rng.sample(self.sides, 2)
        operation = self.rng.choices(list(self.often), list(self.often.values()))[0]
        operation(one, other)

    def ask(
        self, side: Side, method: str, address: str, *, echo: str = "", status: int | None = 200,
        what: str = "", headers: dict[str, str] | None = None, **sent: Any,
    ) -> dict[str, Any]:  # fmt: skip
        """One request of /v1; as `request`."""
        answer = self.request(side, method, f"/v1/{address}", echo=echo, status=status,
                              what=what or address, headers=headers, **sent)  # fmt: skip
        return dict(answer.json())

    def request(
        self, side: Side, method: str, address: str, *, echo: str, status: int | None,
        what: str, headers: dict[str, str] | None = None, **sent: Any,
    ) -> httpx.Response:  # fmt: skip
        """`echo`: what of it may come back in words, `status`: what is to come; None = no bug."""
        answer = self.client.request(
            method,
            address,
            headers={"Authorization": f"Bearer {side.secret}", **(headers or {})},
            **sent,
        )
        self.found.operations[what] += 1
        self.found.statuses[answer.status_code] += 1
        is_json = answer.headers["content-type"].endswith("json")
        text = str(answer.json()) if is_json else answer.text
        text = text.replace(echo, "") if echo else text
        for other in self.sides:
            if other is not side and (mark(other.name) in text or f"-{other.name}-" in text):
                self.found.crossed.append(f"{side.name} was told of {other.name}: {address} {sent}")
        expected = answer.status_code < 500 if status is None else answer.status_code == status
        if not expected:
            self.found.wrong.append(f"{address} {sent}: {answer.status_code} {answer.text[:300]}")
        return answer

    def a_user(self, side: Side) -> str:
        return self.rng.choice([*side.own_users, *side.users])

    def an_item(self, side: Side) -> str:
        return self.rng.choice([*side.own_items, *side.items])

    # -- what a tenant has itself

    def for_user(self, side: Side, _: Side) -> None:
        body = {"user_id": self.a_user(side), "k": self.rng.choice([5, 10])}
        if whole := self.rng.random() < 0.1:
            answer = self.ask(side, "POST", "recommendations", json=body)
        else:
            answer = self.ask(side, "POST", "recommendations", json={**body, "page_size": 4})
        if whole:
            side.answers = [*side.answers[-_MOST:], answer]
        elif "next" in answer:
            side.cursors = [*side.cursors[-_MOST:], answer["next"]]

    def similar(self, side: Side, _: Side) -> None:
        self.ask(side, "POST", "similar", json={"item_id": self.an_item(side), "k": 5})

    def like(self, side: Side, _: Side) -> None:
        text = self.rng.choice(["a red lamp", "tomatoes", "a book about roses", "warm"])
        self.ask(side, "POST", "like", json={"text": text, "k": 5})

    def item(self, side: Side, _: Side) -> None:
        answer = self.ask(side, "GET", "item", params={"item_id": self.an_item(side)})
        if mark(side.name) not in answer.get("title", ""):
            self.found.wrong.append(f"{side.name} was told {answer}")

    def profile(self, side: Side, _: Side) -> None:
        self.ask(side, "POST", "profile", json={"user_id": self.a_user(side)})

    def audience(self, side: Side, _: Side) -> None:
        self.ask(side, "POST", "audience", json={"item_id": self.an_item(side), "k": 5})

    def page(self, side: Side, _: Side) -> None:
        self.ask(side, "GET", "items", params={"limit": 20})

    def further(self, side: Side, _: Side) -> None:
        if side.cursors:
            cursor = self.rng.choice(side.cursors)
            self.ask(side, "POST", "next", status=None, json={"cursor": cursor})

    def look(self, side: Side, _: Side) -> None:
        """One of the pages; every list has a title, and so the mark."""
        user, item = self.a_user(side), self.an_item(side)
        address, params = self.rng.choice(
            [
                ("/", {"user": user}),
                ("/", {"item": item}),
                ("/compare", {"user": user, "b.diversity": "0.5"}),
                ("/people", {"user": user}),
                ("/suggest", {"of": "item", "item": item}),
            ]
        )
        answer = self.request(side, "GET", address, echo="", status=200, what=address,
                              params=params)  # fmt: skip
        if mark(side.name) not in answer.text:
            self.found.wrong.append(f"{address} {params}: nothing of {side.name} is in it")
        for address in ("/map", "/bridges", "/health", "/reports"):
            if self.rng.random() < 0.05:
                self.request(side, "GET", address, echo="", status=200, what=address)

    def show(self, side: Side, _: Side) -> None:
        """What is shown is recorded, with what came of it."""
        body = {"user_id": self.a_user(side), "k": 5}
        told = self.ask(side, "POST", "exposures", json=body)
        items = told.get("answer", {}).get("items", [])
        if items:
            shown = (told["exposure_id"], items[0]["item_id"])
            if body["user_id"] in side.own_users:  # else another may have shown just the same
                side.shown = [*side.shown[-_MOST:], shown]
            self.ask(side, "POST", "outcomes", json=_clicked(*shown))

    # -- what another one has

    def look_at_another(self, side: Side, other: Side) -> None:
        if other.own_users:
            user = self.rng.choice(other.own_users)
            address = self.rng.choice(["/", "/compare", "/people"])
            self.request(side, "GET", address, echo=user, status=404,
                         what=f"{address} of another", params={"user": user})  # fmt: skip

    def outcome_of_another(self, side: Side, other: Side) -> None:
        if other.shown:
            sent = _clicked(*self.rng.choice(other.shown))
            self.ask(side, "POST", "outcomes", status=404,
                     what="outcome of another", json=sent)  # fmt: skip

    def further_of_another(self, side: Side, other: Side) -> None:
        if other.cursors:
            cursor = self.rng.choice(other.cursors)
            self.ask(side, "POST", "next", status=None, echo=_user_of(cursor),
                     what="next of another", json={"cursor": cursor})  # fmt: skip

    def user_of_another(self, side: Side, other: Side) -> None:
        if other.own_users:
            user = self.rng.choice(other.own_users)
            address = self.rng.choice(["recommendations", "profile"])
            self.ask(side, "POST", address, status=404, echo=user, what=f"{address} of another",
                     json={"user_id": user})  # fmt: skip

    def item_of_another(self, side: Side, other: Side) -> None:
        if other.own_items:
            item = self.rng.choice(other.own_items)
            self.ask(side, "GET", "item", status=404, echo=item, what="item of another",
                     params={"item_id": item})  # fmt: skip

    def answer_of_another(self, side: Side, other: Side) -> None:
        """What is told of it is what was sent; the answer of today is the caller's own."""
        if not other.answers:
            return
        sent = self.rng.choice(other.answers)
        answer = self.client.post("/v1/replay", json=sent,
                                  headers={"Authorization": f"Bearer {side.secret}"})  # fmt: skip
        self.found.operations["replay of another"] += 1
        self.found.statuses[answer.status_code] += 1
        items = (answer.json().get("answer") or {}).get("items", [])
        if any(mark(side.name) not in one["title"] for one in items):
            self.found.crossed.append(f"{side.name} was told of {other.name}: replay")

    # -- changes

    def add_item(self, side: Side, _: Side) -> None:
        self.count += 1
        item_id = f"item-{side.name}-{self.thread}-{self.count}"
        row = {"item_id": item_id, "title": f"Thing {self.count} {mark(side.name)}",
               "brand": mark(side.name), "category": "Garden > Tools"}  # fmt: skip
        self.ask(side, "POST", "items", json={"items": [row]}, what="add items")
        side.own_items.append(item_id)
        if len(side.own_items) > _MOST:
            self.remove(side, side)

    def add_events(self, side: Side, _: Side) -> None:
        if len(side.own_users) < _MOST:
            user = f"user-{side.name}-{self.thread}-{len(side.own_users)}"
            side.own_users.append(user)
        else:
            user = self.rng.choice(side.own_users)
        rows = [{"user_id": user, "item_id": self.an_item(side), "event": "view"} for _ in range(3)]
        self.ask(side, "POST", "events", json={"events": rows})

    def pin(self, side: Side, _: Side) -> None:
        user, sentence = self.a_user(side), f"I like {mark(side.name)} {self.rng.randrange(9)}"
        body = {"user_id": user, "pin": sentence}
        answer = self.ask(side, "POST", "profile/corrections", status=None, json=body)
        if "number" in answer:
            body = {"user_id": user, "undo": answer["number"]}
            self.ask(side, "POST", "profile/corrections", json=body)

    def remove(self, side: Side, _: Side) -> None:
        if side.own_items:
            item = side.own_items.pop(self.rng.randrange(len(side.own_items)))
            self.ask(side, "POST", "items/remove", json={"item_ids": [item]})

    def same_key(self, side: Side, other: Side) -> None:
        """The same key and body by two tenants are two changes."""
        self.count += 1
        key = {"Idempotency-Key": f"key {self.thread} {self.count}"}
        rows = [
            {
                "user_id": side.users[0],
                "item_id": side.items[0],
                "event": f"e{self.thread}-{self.count}",
            }
        ]
        for one in (side, other):
            told = self.ask(one, "POST", "events", json={"events": rows}, headers=key)
            if told.get("added") != 1:
                self.found.crossed.append(f"{one.name} was answered with another's change")


def _clicked(exposure_id: str, item_id: str) -> dict[str, Any]:
    return {"outcomes": [{"exposure_id": exposure_id, "item_id": item_id}]}


def _user_of(cursor: str) -> str:
    """Whom a cursor asks for: a refusal names them."""
    raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    return str(json.loads(raw)["question"]["user_id"])
