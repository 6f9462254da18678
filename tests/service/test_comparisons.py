from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from crossrec_llm import comparing
from crossrec_llm.filter import Filter


def test_two_settings_side_by_side(client: TestClient, rec, user_id: str) -> None:
    body = {"question": {"user_id": user_id, "k": 6}, "changed": {"cross": "only", "diversity": 1}}

    told = client.post("/v1/compare", json=body).json()

    before = rec.for_user(user_id, k=6)
    after = rec.for_user(user_id, k=6, filter=Filter(cross="only"), diversity=1)
    assert (told.pop("before"), told.pop("after")) == (before.to_dict(), after.to_dict())
    assert told == comparing.compare(before, after).to_dict()


@pytest.mark.parametrize("kind", ["recommendations", "visitor", "like", "similar"])
def test_an_answer_is_asked_again(client: TestClient, rec, user_id: str, kind: str) -> None:
    item_id = rec.catalogue.ids[3]
    address, asked = {
        "recommendations": ("recommendations", {"user_id": user_id, "cross_share": 0.5}),
        "visitor": ("recommendations", {"history": [item_id]}),
        "like": (
            "like",
            {"text": "a warm jaket", "user_id": user_id, "brand": [rec.item(item_id).brand]},
        ),
        "similar": ("similar", {"item_id": item_id, "mode": "alike", "quota": {"Books": 0.5}}),
    }[kind]
    answer = client.post(f"/v1/{address}", json=asked).json()

    told = client.post("/v1/replay", json=answer)

    assert told.status_code == 200
    assert (told.json()["reproduced"], told.json()["differences"]) == (True, [])
    assert told.json()["answer"]["items"] == answer["items"]


def test_a_page_is_not_replayed_and_not_compared(client: TestClient, user_id: str) -> None:
    question = {"user_id": user_id, "k": 6}
    first = client.post("/v1/recommendations", json={**question, "page_size": 4}).json()
    last = client.post("/v1/next", json={"cursor": first["next"]}).json()
    whole = client.post("/v1/recommendations", json={**question, "page_size": 6}).json()

    given = [client.post("/v1/replay", json=answer) for answer in (first, last, whole)]
    assert [one.status_code for one in given] == [422, 422, 200]
    assert "a page of a list" in given[0].json()["detail"]
    assert given[2].json()["reproduced"]

    body = {"question": {**question, "page_size": 4}, "changed": {}}
    refused = client.post("/v1/compare", json=body)
    assert refused.status_code == 422
    assert "page_size" in refused.json()["detail"]


def test_what_has_changed_since_is_told(own: TestClient, user_id: str) -> None:
    answer = own.post("/v1/recommendations", json={"user_id": user_id}).json()
    gone = answer["items"][0]["item_id"]
    own.post("/v1/items/remove", json={"item_ids": [gone]})

    told = own.post("/v1/replay", json=answer).json()

    assert not told["reproduced"]
    assert [place["item_id"] for place in told["gone"]] == [gone]
    assert f"not in the catalogue any more: {gone}" in told["causes"]


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"kind": "audience", "item_id": "i"},
        {"kind": "user", "user_id": "u", "k": 1_000_000, "filter": {}},
        {"kind": "user", "user_id": "u", "k": 10, "filter": {"since": "yesterday"}},
        {"kind": "user", "user_id": "u", "k": "many", "filter": {}},
        {"kind": "user", "user_id": "u", "k": 10, "filter": []},
    ],
)
def test_what_is_no_answer_is_refused(client: TestClient, user_id: str, query: dict) -> None:
    answer = client.post("/v1/recommendations", json={"user_id": user_id, "k": 1}).json()

    given = client.post("/v1/replay", json={**answer, "query": query})

    assert given.status_code == 422
    assert given.headers["content-type"] == "application/problem+json"
