from __future__ import annotations

import pytest
from fastapi.testclient import TestClient


def test_a_profile_is_what_the_recommender_knows(client: TestClient, rec, user_id: str) -> None:
    told = client.post("/v1/profile", json={"user_id": user_id})

    assert told.json() == rec.profile(user_id).to_dict()


def test_corrections_are_made_and_taken_back(own: TestClient, rec, user_id: str) -> None:
    item_id = rec.profile(user_id).history[0].item.item_id

    def corrected(**what: object) -> dict:
        return own.post("/v1/profile/corrections", json={"user_id": user_id, **what}).json()

    def profile() -> dict:
        return own.post("/v1/profile", json={"user_id": user_id}).json()

    pinned, struck = corrected(pin="I grow tomatoes"), corrected(strike=[item_id])
    assert (pinned["kind"], struck["kind"]) == ("pin", "strike")
    assert [one["number"] for one in profile()["corrections"]] == [
        pinned["number"],
        struck["number"],
    ]
    assert item_id in [one["item_id"] for one in profile()["struck"]]
    assert corrected(undo=struck["number"]) == {"kind": "undo", "number": struck["number"]}
    assert profile()["struck"] == []
    assert corrected(strike_interest=1)["kind"] == "strike"
    assert corrected(undo=99_999)["type"].endswith(":query-error")


@pytest.mark.parametrize("what", [{}, {"pin": "a", "undo": 1}, {"strike": []}, {"undo": 0}])
def test_one_correction_at_a_time(client: TestClient, user_id: str, what: dict) -> None:
    given = client.post("/v1/profile/corrections", json={"user_id": user_id, **what})

    assert given.status_code == 422


def test_a_correction_with_a_key_is_made_once(own: TestClient, user_id: str) -> None:
    body, headers = {"user_id": user_id, "pin": "I like red"}, {"Idempotency-Key": "one"}
    first, second = (
        own.post("/v1/profile/corrections", json=body, headers=headers) for _ in range(2)
    )
    assert second.json() == first.json()
    assert own.post("/v1/profile/corrections", json=body).status_code == 422


def test_people_and_items_are_erased(own: TestClient, rec, user_id: str) -> None:
    headers = {"Idempotency-Key": "erase"}
    receipt = own.post("/v1/erasures", json={"user_ids": [user_id], "prove": True}, headers=headers)
    assert receipt.status_code == 200
    told = receipt.json()
    assert told["kind"] == "user"
    assert told["removed"]
    assert told["scan"] is not None
    assert user_id not in told["subjects"]
    assert own.post("/v1/recommendations", json={"user_id": user_id}).status_code == 404

    again = own.post("/v1/erasures", json={"user_ids": [user_id], "prove": True}, headers=headers)
    assert again.json() == {**told, "scan": None}

    item_id = rec.catalogue.ids[0]
    told = own.post("/v1/erasures", json={"item_ids": [item_id], "refit": True}).json()
    assert (told["kind"], told["number"]) == ("item", 2)
    assert own.get("/v1/item", params={"item_id": item_id}).status_code == 404


def test_an_erasure_says_whom_or_what(client: TestClient, user_id: str) -> None:
    for body in ({}, {"user_ids": [user_id], "item_ids": ["i"]}, {"user_ids": []}):
        assert client.post("/v1/erasures", json=body).status_code == 422
    assert client.post("/v1/erasures", json={"user_ids": ["nobody"]}).status_code == 404
