"""What is seen of requests: ids, lines, and what of them is kept to themselves."""

from __future__ import annotations

import io
import json
import logging
import sys
import threading
import time
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from crossrec_llm.errors import QueryError
from crossrec_llm.service import LimitOptions, ServiceOptions, logs
from crossrec_llm.service.app import create_app
from crossrec_llm.service.options import LogOptions
from crossrec_llm.service.working import Work
from tests.service.conftest import client_of


@pytest.fixture
def user_id(client: TestClient) -> str:
    tenant = next(iter(client.app.state.service.tenants))
    return str(tenant.recommender.generation.users.ids[0])


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch):
    """What is logged, as JSON."""
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    logs.set_up(LogOptions(format="json"))

    def read() -> list[dict]:
        return [json.loads(line) for line in stream.getvalue().splitlines()]

    yield read
    root.handlers[:] = before
    root.setLevel(level)


def requests(lines: list[dict]) -> list[dict]:
    return [line for line in lines if line["event"] == "request"]


@pytest.mark.parametrize("sent", ["abc-1.2_Z", "x" * 64])
def test_a_sane_id_comes_back(client: TestClient, sent: str) -> None:
    given = client.get("/healthz", headers={"X-Request-ID": sent})

    assert given.headers["X-Request-ID"] == sent


@pytest.mark.parametrize("sent", ["", "x" * 65, 'a"b', "a b", "<script>"])
def test_another_id_is_made_anew(client: TestClient, sent: str) -> None:
    given = client.get("/healthz", headers={"X-Request-ID": sent})

    assert given.headers["X-Request-ID"] != sent
    assert len(given.headers["X-Request-ID"]) == 32


@pytest.mark.parametrize("path", ["/nothing", "/v1/item?item_id=none"])
def test_a_problem_has_the_id(client: TestClient, path: str) -> None:
    given = client.get(path, headers={"X-Request-ID": "mine"})

    assert given.json()["request_id"] == given.headers["X-Request-ID"] == "mine"


def test_a_bug_has_the_id_too(client: TestClient, user_id, lines, monkeypatch) -> None:
    tenant = next(iter(client.app.state.service.tenants))
    monkeypatch.setattr(tenant.recommender, "bridges", lambda: 1 / 0)

    given = client.get("/v1/bridges", headers={"X-Request-ID": "mine"})

    assert given.status_code == 500
    assert given.json()["request_id"] == given.headers["X-Request-ID"] == "mine"
    line = requests(lines())[-1]
    assert (line["level"], line["status"], line["problem"]) == ("error", 500, "internal-error")
    assert any("ZeroDivisionError" in line.get("exception", "") for line in lines())


def test_a_request_is_one_line(client: TestClient, user_id, lines) -> None:
    client.post("/v1/recommendations", json={"user_id": user_id, "k": 3})

    (line,) = requests(lines())
    assert line["ms"] > 0
    assert {key: line[key] for key in ("tenant", "method", "endpoint", "status", "k", "n")} == {
        "tenant": "default",
        "method": "POST",
        "endpoint": "/v1/recommendations",
        "status": 200,
        "k": 3,
        "n": 3,
    }
    assert line["notes"] >= 0


def test_an_audience_is_counted(client: TestClient, lines) -> None:
    tenant = next(iter(client.app.state.service.tenants))
    item_id = tenant.recommender.catalogue.ids[0]

    client.post("/v1/audience", json={"item_id": item_id, "k": 2})

    (line,) = requests(lines())
    assert line["n"] <= 2
    assert "k" not in line


def test_lines_name_nobody(client: TestClient, user_id, lines) -> None:
    secret = "Zanzibar"
    client.post("/v1/recommendations", json={"user_id": user_id, "exclude": [secret]})
    client.post("/v1/like", json={"text": secret, "user_id": user_id})
    client.get(f"/v1/item?item_id={secret}", headers={"Cookie": secret, "Authorization": secret})
    client.get(f"/{secret}")

    assert len(requests(lines())) == 4
    assert [line for line in lines() if secret in json.dumps(line)] == []
    assert user_id not in [value for line in lines() for value in line.values()]


def test_what_machines_ask_is_not_logged(client: TestClient, lines) -> None:
    for path in ("/healthz", "/readyz", "/metrics", "/static/style.css"):
        assert client.get(path).status_code == 200

    assert requests(lines()) == []


def test_lines_for_people(client: TestClient, monkeypatch, lines) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    logs.set_up(LogOptions(format="console", level="debug"))

    client.get("/healthz")

    assert "request" in stream.getvalue()
    assert "endpoint=/healthz" in stream.getvalue()


def test_what_finds_no_place_is_refused_before_it_is_read(
    service_index: Path, lines, monkeypatch
) -> None:
    limits = LimitOptions(at_once=1, waiting=0)
    app = create_app(ServiceOptions(tenants={"default": service_index}, limits=limits))
    with client_of(app) as asked:
        monkeypatch.setattr(Work, "full", True)
        given = asked.post("/v1/recommendations", content=b"not even JSON")
        page = asked.get("/healthz")

    assert given.status_code == 429
    assert given.headers["Retry-After"] == "1"
    assert given.json()["type"] == "urn:crossrec:problem:too-many-requests"
    assert page.status_code == 200
    line = requests(lines())[0]
    assert (line["endpoint"], line["problem"]) == ("/v1/", "too-many-requests")


def test_slow_changes_keep_no_question_waiting(own_index: Path, user_id, monkeypatch) -> None:
    limits = LimitOptions(at_once=1, waiting=0)
    app = create_app(ServiceOptions(tenants={"default": own_index}, limits=limits))
    end = threading.Event()

    def slow(*_: object, **__: object) -> None:
        end.wait(10)
        raise QueryError("nobody is erased here")

    monkeypatch.setattr("crossrec_llm.service.people.forget_user", slow)
    body = {"user_ids": [user_id]}
    with client_of(app) as asked:
        erasing = {"url": "/v1/erasures", "json": body}
        asking = threading.Thread(target=asked.post, kwargs=erasing)
        asking.start()
        time.sleep(0.2)
        try:
            answered = asked.get("/v1/bridges").status_code
            another = asked.post(**erasing)
        finally:
            end.set()
            asking.join()

    assert answered == 200
    assert another.status_code == 429
    assert "0 changes are waiting already" in another.json()["detail"]


def test_what_takes_too_long_is_given_up(service_index: Path, monkeypatch) -> None:
    limits = LimitOptions(answer=0.05)
    app = create_app(ServiceOptions(tenants={"default": service_index}, limits=limits))
    tenant = next(iter(app.state.service.tenants))
    monkeypatch.setattr(tenant.recommender, "bridges", lambda: time.sleep(0.5))

    with client_of(app) as asked:
        given = asked.get("/v1/bridges")
        told = app.state.service.metrics.text().decode()

    assert given.status_code == 503
    assert given.json()["type"] == "urn:crossrec:problem:took-too-long"
    assert 'type="took-too-long"' in told
