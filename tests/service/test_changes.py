from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from crossrec_llm import Recommender
from crossrec_llm.service import LimitOptions, ServiceOptions
from crossrec_llm.service.app import create_app
from crossrec_llm.store import Ledger, answered
from crossrec_llm.store.answered import Answered

NEW = {"item_id": "new-1", "title": "A blue lantern", "category": "Garden > Lights"}


def event(user_id: str, item_id: str, **more: object) -> dict[str, object]:
    return {"user_id": user_id, "item_id": item_id, "event": "purchase", **more}


def test_items_and_events_are_in_the_next_answer(own: TestClient, rec) -> None:
    item = own.post("/v1/items", json={"items": [{**NEW, "colour": "blue", "price": "12,50 €"}]})
    assert item.status_code == 200
    assert (item.json()["added"], item.json()["rejects"]) == (1, [])
    told = own.get("/v1/item", params={"item_id": "new-1"}).json()
    assert (told["title"], told["category"], told["price"]) == (
        "A blue lantern",
        "Garden > Lights",
        12.5,
    )

    seen = [*rec.catalogue.ids[:2], "new-1"]
    events = [event("somebody-new", item_id, timestamp=1_800_000_000) for item_id in seen]
    came = own.post("/v1/events", json={"events": events}).json()
    assert (came["added"], came["repeated"], came["rejected"]) == (3, 0, 0)
    assert came["due"]["changes"] >= 4
    answer = own.post("/v1/recommendations", json={"user_id": "somebody-new", "k": 50}).json()
    assert not set(seen) & {one["item_id"] for one in answer["items"]}
    assert answer["receipt"]["change"] == came["change"]

    again = own.post("/v1/events", json={"events": events}).json()
    assert (again["added"], again["repeated"]) == (0, 3)

    gone = own.post("/v1/items/remove", json={"item_ids": ["new-1"]}).json()
    assert gone["removed"] == 1
    assert own.get("/v1/item", params={"item_id": "new-1"}).status_code == 404


def test_rows_that_cannot_be_used_are_named_by_row_all_of_them(own: TestClient, rec) -> None:
    rows = [event("u", "no such item")] * 7 + [event("u", rec.catalogue.ids[0]), event("", "i")]

    told = own.post("/v1/events", json={"events": rows}).json()

    assert (told["added"], told["rejected"]) == (1, 8)
    assert [one["row"] for one in told["rejects"]] == [1, 2, 3, 4, 5, 6, 7, 9]
    assert {one["reason"] for one in told["rejects"]} == {"unknown item", "empty user id"}


def test_a_batch_without_a_usable_row_is_refused(own: TestClient) -> None:
    given = own.post("/v1/events", json={"events": [event("u", "no such item")]})

    assert given.status_code == 422
    assert "unknown item" in given.json()["detail"]


def test_mixed_types_are_read_as_a_file_is(own: TestClient, rec) -> None:
    item_id = rec.catalogue.ids[0]
    rows = [event("7", item_id, value=2), {**event("x", item_id), "user_id": 7, "value": "3"}]

    told = own.post("/v1/events", json={"events": rows})

    assert (told.status_code, told.json()["added"]) == (200, 2)
    assert own.post("/v1/profile", json={"user_id": "7"}).status_code == 200


@pytest.mark.parametrize(
    ("address", "body", "words"),
    [
        ("/v1/events", {"events": []}, "events"),
        ("/v1/events", {"events": [{"user_id": "u", "who": 1}]}, "who"),
        ("/v1/events", {"events": [{"user_id": "\ud800"}]}, "surrogate"),
        ("/v1/items", {"items": [{"item_id": "x", "title": "x", "nested": {"a": 1}}]}, "nested"),
        ("/v1/items/remove", {"item_ids": ["x" * 1_001]}, "item_ids"),
        ("/v1/items/remove", {"item_ids": ["nobody"]}, "nobody"),
    ],
)
def test_what_is_no_batch_is_refused_with_its_field(client: TestClient, address, body, words):
    import json

    given = client.post(
        address, content=json.dumps(body), headers={"Content-Type": "application/json"}
    )

    assert given.status_code in (404, 422)
    assert given.headers["content-type"] == "application/problem+json"
    assert words in given.text


def test_a_batch_has_an_end(service_index: Path) -> None:
    options = ServiceOptions(tenants={"default": service_index}, limits=LimitOptions(batch=2))
    with TestClient(create_app(options), "http://127.0.0.1") as small:
        given = small.post("/v1/events", json={"events": [{}] * 3})
    assert given.status_code == 422
    assert "events: 3 rows are more than the 2 taken" in given.json()["detail"]


# ------------------------------------------------------------------ once


def test_a_key_makes_a_change_once(own: TestClient, own_index: Path, rec) -> None:
    item_id = rec.catalogue.ids[0]
    body = {"events": [event("visitor-77", item_id, value=1), event("visitor-77", "no item")]}
    first = own.post("/v1/events", json=body, headers={"Idempotency-Key": "order-1"})
    second = own.post("/v1/events", json=body, headers={"Idempotency-Key": "order-1"})

    assert "Idempotency-Replayed" not in first.headers
    assert second.headers["Idempotency-Replayed"] == "true"
    assert second.json() == {**first.json(), "notes": []}
    assert second.json()["added"] == 1

    other = own.post("/v1/events", json={"events": body["events"][:1]},
                     headers={"Idempotency-Key": "order-1"})  # fmt: skip
    assert other.status_code == 422
    assert other.json()["type"].endswith(":idempotency-key-reused")

    elsewhere = own.post("/v1/items/remove", json={"item_ids": [item_id]},
                         headers={"Idempotency-Key": "order-1"})  # fmt: skip
    assert elsewhere.status_code == 422
    assert own.get("/v1/item", params={"item_id": item_id}).status_code == 200

    with sqlite3.connect(own_index / "records.sqlite") as connection:
        kept = str(connection.execute("SELECT * FROM answered").fetchall())
    connection.close()
    assert not any(word in kept for word in ("order-1", "visitor-77", item_id, "no item"))


def test_a_correction_that_could_not_be_noted_is_refused_the_second_time(
    own: TestClient, own_index: Path, rec, monkeypatch
) -> None:
    """As docs/service.md says: it was made once, and stands."""
    taken = rec.profile("u0").history[0].item.item_id

    def died(*_: object) -> None:
        raise OSError("the process was killed here")

    for n, (change, words) in enumerate(
        (
            ({"pin": "I grow tomatoes"}, "is pinned already"),
            ({"strike": [taken]}, "is struck already"),
            ({"undo": 1}, "there is no correction 1"),
        )
    ):
        sent = {"json": {"user_id": "u0", **change}, "headers": {"Idempotency-Key": f"key {n}"}}
        with monkeypatch.context() as now:
            now.setattr(Answered, "keep", died)
            assert own.post("/v1/profile/corrections", **sent).status_code >= 500
        again = own.post("/v1/profile/corrections", **sent)
        assert (again.status_code, words in again.json()["detail"]) == (422, True)

    with Recommender.open(own_index) as now_known:
        assert [one.items for one in now_known.profile("u0").corrections] == [(taken,)]


def test_a_refused_change_is_not_kept(own: TestClient, rec) -> None:
    item_id, headers = rec.catalogue.ids[0], {"Idempotency-Key": "k"}
    body = {"events": [event("u", "new-1")]}
    assert own.post("/v1/events", json=body, headers=headers).status_code == 422
    own.post("/v1/items", json={"items": [{**NEW, "brand": item_id}]})

    assert own.post("/v1/events", json=body, headers=headers).json()["added"] == 1


def test_keys_are_forgotten_after_a_day(own: TestClient, own_index: Path, rec, monkeypatch) -> None:
    body = {"events": [event("u-once", rec.catalogue.ids[0])]}
    headers = {"Idempotency-Key": "k"}
    own.post("/v1/events", json=body, headers=headers)
    monkeypatch.setattr(answered, "KEPT", 0.0)

    again = own.post("/v1/events", json=body, headers=headers)

    assert "Idempotency-Replayed" not in again.headers
    assert again.json()["repeated"] == 1
    with Ledger.open(own_index / "records.sqlite", write=False) as ledger:
        assert ledger._database.one("SELECT count(*) FROM answered") == 1


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_a_key_of_no_use_is_refused(client: TestClient, key: str) -> None:
    given = client.post("/v1/items/remove", json={"item_ids": ["x"]},
                        headers={"Idempotency-Key": key})  # fmt: skip
    assert given.status_code == 422
