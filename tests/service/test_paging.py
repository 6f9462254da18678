from __future__ import annotations

import base64
import json

import pytest
from fastapi.testclient import TestClient


@pytest.mark.parametrize("kind", ["recommendations", "like", "similar"])
def test_pages_make_up_the_list(client: TestClient, rec, user_id: str, kind: str) -> None:
    asked = {
        "recommendations": {"user_id": user_id},
        "like": {"text": "a warm jacket"},
        "similar": {"item_id": rec.catalogue.ids[3]},
    }[kind]
    whole = client.post(f"/v1/{kind}", json={**asked, "k": 11, "diversity": 0.2}).json()
    assert "next" not in whole

    page = client.post(f"/v1/{kind}", json={**asked, "k": 11, "diversity": 0.2, "page_size": 4})
    pages = [page.json()]
    while "next" in pages[-1]:
        pages.append(client.post("/v1/next", json={"cursor": pages[-1]["next"]}).json())

    assert [len(page["items"]) for page in pages] == [4, 4, 3]
    assert [one for page in pages for one in page["items"]] == whole["items"]


def test_a_list_that_has_changed_is_gone(own: TestClient, user_id: str) -> None:
    first = own.post("/v1/recommendations", json={"user_id": user_id, "page_size": 3}).json()
    taken = first["items"][0]["item_id"]
    own.post("/v1/events", json={"events": [{"user_id": user_id, "item_id": taken}]})

    given = own.post("/v1/next", json={"cursor": first["next"]})

    assert given.status_code == 410
    assert given.json()["type"] == "urn:crossrec:problem:list-changed"


def forged(**changes: object) -> str:
    cursor = {"of": "user", "question": {"user_id": "u"}, "offset": 3, "list": "x", **changes}
    return base64.urlsafe_b64encode(json.dumps(cursor).encode()).decode()


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "????",
        "W1tb",
        base64.b64encode(b"[" * 100_000).decode(),
        base64.b64encode(b"7").decode(),
        forged(of="everybody"),
        forged(offset=-1),
        forged(offset=10**30),
        forged(question={"user_id": "u", "k": 0}),
        forged(question={"user_id": "u", "vectors": True}),
        forged(question={"user_id": "u", "k": 100_000}),
    ],
)
def test_a_forged_cursor_is_refused(client: TestClient, cursor: str) -> None:
    given = client.post("/v1/next", json={"cursor": cursor})

    assert given.status_code == 422
    assert given.headers["content-type"] == "application/problem+json"


def test_the_catalogue_in_pages(own: TestClient, rec) -> None:
    own.post("/v1/items/remove", json={"item_ids": [rec.catalogue.ids[1]]})
    ids: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = own.get("/v1/items", params={"limit": 17, **cursor}).json()
        ids += [item["item_id"] for item in page["items"]]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}

    assert ids == sorted(set(rec.catalogue.ids) - {rec.catalogue.ids[1]})


def test_no_cursor_of_the_catalogue(client: TestClient) -> None:
    cursor = base64.urlsafe_b64encode(b"[1]").decode()
    assert client.get("/v1/items", params={"cursor": cursor}).status_code == 422
    assert client.get("/v1/items", params={"limit": 1_001}).status_code == 422
