from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from crossrec_llm import Experiment, begin_experiment, end_experiment
from crossrec_llm.service import ServiceOptions
from crossrec_llm.service.app import create_app
from crossrec_llm.service.keys import SCOPES, add_key
from crossrec_llm.store import Ledger

ARMS = {
    "arms": [
        {"name": "plain", "share": 0.5},
        {"name": "new", "share": 0.5, "recipe": {"experiments": {"explore": 0.3}}},
    ]
}


@pytest.fixture
def index(service_index: Path, tmp_path: Path) -> Path:
    return shutil.copytree(service_index, tmp_path / "index")


@pytest.fixture
def client(index: Path) -> Iterator[TestClient]:
    app = create_app(ServiceOptions(tenants={"default": index}))
    with TestClient(app, "http://127.0.0.1", raise_server_exceptions=False) as opened:
        yield opened


def test_what_is_shown_is_recorded_with_the_arm_and_what_came_of_it(
    client: TestClient, index: Path
) -> None:
    begin_experiment(index, "one", Experiment.from_dict(ARMS))
    arms = set()
    for n in range(12):
        body = {"user_id": f"u{n}", "k": 4, "explain": False}
        given = client.post("/v1/exposures", json=body)
        assert given.status_code == 200, given.text
        told = given.json()
        arms.add(told["arm"])
        items = told["answer"]["items"]
        assert all(0 < item["propensity"] <= 1 for item in items)
        assert told["experiment"] == "one"
        assert client.post("/v1/exposures", json=body).json() == told

        click = {"exposure_id": told["exposure_id"], "item_id": items[0]["item_id"]}
        buy = {**click, "kind": "buy", "value": 9.5, "at": 1.7e9}
        found = client.post("/v1/outcomes", json={"outcomes": [click, buy, click]})
        assert found.json() == {"recorded": 2, "repeated": 1}
    assert arms == {"plain", "new"}

    end_experiment(index, "one")
    assert client.post("/v1/exposures", json=body).json()["arm"] == ""
    with Ledger.open(index / "records.sqlite", write=False) as ledger:
        assert len(ledger.exposures.log("one")) == 12
        assert ledger.exposures.log("one")[0].outcomes.keys() == {
            (ledger.exposures.log("one")[0].exposure.shown[0].item_id, kind)
            for kind in ("click", "buy")
        }


def test_a_plain_question_records_nothing(client: TestClient, index: Path) -> None:
    answer = client.post("/v1/recommendations", json={"user_id": "u1"})

    assert "propensity" not in answer.json()["items"][0]
    with Ledger.open(index / "records.sqlite", write=False) as ledger:
        assert ledger.exposures.log() == []


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("exposures", {"user_id": "nobody"}, 404, "no user 'nobody'"),
        ("exposures", {"user_id": "u1", "k": 0}, 422, "k: "),
        ("exposures", {"user_id": "u1", "k": 100_000}, 422, "k: 100,000 is more"),
        ("exposures", {"user_id": "u1", "without": ["x"]}, 422, "without"),
        ("outcomes", {"outcomes": []}, 422, "outcomes"),
        ("outcomes", {"outcomes": [{"exposure_id": "x", "item_id": "y"}]}, 404, "no exposure 'x'"),
        (
            "outcomes",
            {"outcomes": [{"exposure_id": "x", "item_id": "y"}] * 10_001},
            422,
            "10,001 are more",
        ),
    ],
)
def test_what_cannot_be_recorded(client: TestClient, path, body, status: int, words: str) -> None:
    given = client.post(f"/v1/{path}", json=body)

    assert given.status_code == status
    assert given.headers["content-type"] == "application/problem+json"
    assert words in given.json()["detail"]


def test_an_exposure_takes_a_key_that_may_read_and_write(index: Path, tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    app = create_app(ServiceOptions(tenants={"default": index}, keys=_keys(file)))
    got = {}
    with TestClient(app, "http://127.0.0.1") as client:
        for given in (*((scope,) for scope in SCOPES), ("read", "write")):
            secret, _ = add_key(file, "+".join(given), tenant="default", scopes=given)
            sent = {"json": {"user_id": "u1"}, "headers": {"Authorization": f"Bearer {secret}"}}
            got[given] = client.post("/v1/exposures", **sent)

    assert [answer.status_code for answer in got.values()] == [403, 403, 403, 200]
    assert "no 'read' scope" in got["write",].json()["detail"]


def _keys(file: Path) -> Path:
    add_key(file, "another", tenant="default")
    return file
