from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from crossrec_llm import Recommender
from crossrec_llm.filter import Filter
from crossrec_llm.service.bodies import Narrowed


@pytest.fixture(scope="module")
def rec(service_index: Path):
    with Recommender.open(service_index) as opened:
        yield opened


@pytest.fixture(scope="module")
def user_id(rec: Recommender) -> str:
    return str(rec.generation.users.ids[0])


def test_a_user_gets_what_the_recommender_gives(client: TestClient, rec, user_id: str) -> None:
    given = client.post("/v1/recommendations", json={"user_id": user_id, "k": 5})

    assert given.status_code == 200
    assert given.json() == rec.for_user(user_id, k=5).to_dict()


def test_a_visitor_gets_what_goes_with_their_items(client: TestClient, rec) -> None:
    item_id = rec.catalogue.ids[0]

    given = client.post("/v1/recommendations", json={"history": [item_id], "cross": "only"})

    assert given.json() == rec.for_history([item_id], filter=Filter(cross="only")).to_dict()


def test_a_text_and_an_item_are_looked_up(client: TestClient, rec) -> None:
    item_id = rec.catalogue.ids[0]

    like = client.post("/v1/like", json={"text": "a warm jacket", "liked": [item_id]})
    similar = client.post("/v1/similar", json={"item_id": item_id, "mode": "alike"})

    assert like.json() == rec.like("a warm jacket", liked=[item_id]).to_dict()
    assert similar.json() == rec.similar(item_id, mode="alike").to_dict()


def test_what_other_people_took_is_not_told(client: TestClient, rec) -> None:
    item_id = rec.catalogue.ids[0]

    item = client.get("/v1/item", params={"item_id": item_id})

    assert item.json()["title"] == rec.item(item_id).title


def test_an_unknown_user_is_a_problem_with_near_ids(client: TestClient, user_id: str) -> None:
    given = client.post("/v1/recommendations", json={"user_id": user_id + "x"})

    assert given.status_code == 404
    assert given.headers["content-type"] == "application/problem+json"
    told = given.json()
    assert told["type"] == "urn:crossrec:problem:unknown-user"
    assert user_id in told["near"]
    assert told["detail"].startswith(f"no user {user_id + 'x'!r} in this index")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"user_id": "u", "k": 0}, "k"),
        ({"user_id": "u", "k": 201}, "k"),
        ({"user_id": "u", "nonsense": 1}, "nonsense"),
        ({"user_id": "u", "cross": "sometimes"}, "cross"),
        ({"user_id": "u", "exclude": ["x"] * 1_001}, "exclude"),
        ({}, "user_id or history"),
    ],
)
def test_a_body_that_cannot_be_used_names_the_field(client: TestClient, body, field: str) -> None:
    given = client.post("/v1/recommendations", json=body)

    assert given.status_code == 422
    assert given.headers["content-type"] == "application/problem+json"
    assert field in given.json()["detail"]


def test_bodies_have_every_field_of_a_filter() -> None:
    ours = {field.name for field in fields(Filter)}

    assert ours <= Narrowed.model_fields.keys()
    assert Narrowed.model_fields.keys() - ours == {
        "k", "cross_share", "diversity", "explain", "why_not",
    }  # fmt: skip


def test_it_is_alive_and_ready(client: TestClient, rec) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json()["generations"] == {"default": rec.receipt.generation}


def test_the_first_page_shows(client: TestClient) -> None:
    page = client.get("/")

    assert page.status_code == 200
    assert '<a href="/" aria-current="page">For you</a>' in page.text


def test_why_an_item_is_not_there_is_told_where_it_is_asked(client: TestClient, rec) -> None:
    item_id = rec.profile("u2").history[0].item.item_id

    given = client.post("/v1/recommendations", json={"user_id": "u2", "why_not": item_id}).json()

    assert given["why_not"] == rec.for_user("u2", why_not=item_id).absence.to_dict()
    assert given["why_not"]["causes"] == ["it is in the history already"]
