"""Who gets in, with keys and without."""

from __future__ import annotations

import logging
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import anyio
import pytest
from fastapi import Body, FastAPI
from fastapi.testclient import TestClient
from starlette.types import Message

from crossrec_llm.errors import CrossrecError
from crossrec_llm.service import LimitOptions, RateOptions, ServiceOptions, problems
from crossrec_llm.service.app import create_app
from crossrec_llm.service.bounds import Bounds
from crossrec_llm.service.headers import POLICY
from crossrec_llm.service.keys import add_key, revoke_key
from crossrec_llm.service.running import require_safe
from tests.service.conftest import client_of

SCOPES = ("read", "write", "admin")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys") / "keys.json"


@pytest.fixture(scope="module")
def secrets(file: Path) -> dict[str, str]:
    """A key of each scope."""
    return {scope: add_key(file, scope, tenant="default", scopes=[scope])[0] for scope in SCOPES}


@pytest.fixture(scope="module")
def served(service_index: Path, file: Path, secrets: dict[str, str]) -> Iterator[TestClient]:
    options = ServiceOptions(tenants={"default": service_index}, keys=file)
    with TestClient(create_app(options), raise_server_exceptions=False) as opened:
        yield opened


@pytest.fixture
def keyed(served: TestClient) -> TestClient:
    """A service with keys, and a browser without a cookie."""
    served.cookies.clear()
    return served


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


# ------------------------------------------------------------------ keys and scopes


@pytest.mark.parametrize(
    ("scope", "method", "address", "body"),
    [
        ("read", "POST", "/v1/recommendations", {"user_id": "u0"}),
        ("read", "POST", "/v1/like", {"text": "red"}),
        ("read", "POST", "/v1/compare", {"question": {"user_id": "u0"}, "changed": {}}),
        ("read", "GET", "/v1/bridges", None),
        ("read", "GET", "/v1/items", None),
        ("write", "POST", "/v1/events", {"events": []}),
        ("write", "POST", "/v1/items", {"items": []}),
        ("write", "POST", "/v1/items/remove", {"item_ids": ["nothing"]}),
        ("write", "POST", "/v1/profile/corrections", {"user_id": "nobody", "pin": "a"}),
        ("admin", "POST", "/v1/profile", {"user_id": "u0"}),
        ("admin", "POST", "/v1/erasures", {"user_ids": ["nobody"]}),
    ],
)
def test_a_scope_opens_its_own(keyed: TestClient, secrets, scope, method, address, body) -> None:
    for name, secret in secrets.items():
        status = keyed.request(method, address, json=body, headers=bearer(secret)).status_code
        assert (status == 403) == (name != scope), f"{name}: {status}"
    assert keyed.request(method, address, json=body).status_code == 401


def test_every_route_of_the_api_needs_a_key(keyed: TestClient) -> None:
    for path, operations in keyed.get("/v1/openapi.json").json()["paths"].items():
        for method, operation in operations.items():
            status = keyed.request(method, path).status_code
            assert (status == 401) == ("security" in operation) == path.startswith("/v1/"), path


def test_who_would_want_an_item_is_told_without_their_histories(
    keyed: TestClient, file: Path, secrets, rec
) -> None:
    both, _ = add_key(file, "both", tenant="default", scopes=["read", "admin"])
    body = {"item_id": rec.catalogue.ids[0]}

    read = keyed.post("/v1/audience", json=body, headers=bearer(secrets["read"])).json()
    admin = keyed.post("/v1/audience", json=body, headers=bearer(both)).json()

    assert [user["because"] for user in read["users"]] == [None] * len(read["users"])
    assert all(user["because"] for user in admin["users"])


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Bearer x", "Basic {key}", "{key}", "Bearer {key}x", "é"]
)
def test_what_is_no_key_is_refused_in_the_same_words(keyed, secrets, header: str) -> None:
    header = header.format(key=secrets["read"])
    given = keyed.get("/v1/bridges", headers={b"Authorization": header.encode("latin-1")})

    assert given.status_code == 401
    assert given.headers["www-authenticate"] == "Bearer"
    told, without = given.json(), keyed.get("/v1/bridges").json()
    assert told | {"request_id": ""} == without | {"request_id": ""}


def test_a_header_takes_the_place_of_the_cookie(keyed: TestClient, secrets) -> None:
    keyed.cookies.set("crossrec_key", secrets["read"])
    assert keyed.get("/v1/bridges").status_code == 200
    assert keyed.get("/v1/bridges", headers={"Authorization": ""}).status_code == 401


def test_revoked_expired_and_unreadable(keyed: TestClient, file: Path, monkeypatch, caplog) -> None:
    away, _ = add_key(file, "away", tenant="default")
    brief, _ = add_key(file, "brief", tenant="default", expires=time.time() + 60)
    assert keyed.get("/v1/bridges", headers=bearer(brief)).status_code == 200
    later = time.time() + 61
    with monkeypatch.context() as clock:
        clock.setattr("crossrec_llm.service.keys.time.time", lambda: later)
        assert keyed.get("/v1/bridges", headers=bearer(brief)).status_code == 401
    assert keyed.get("/v1/bridges", headers=bearer(away)).status_code == 200
    revoke_key(file, "away")
    assert keyed.get("/v1/bridges", headers=bearer(away)).status_code == 401

    file.chmod(0o644)
    given = keyed.get("/v1/bridges", headers=bearer(brief))
    assert given.status_code == 503
    assert str(file) not in given.text
    assert "chmod 600" in caplog.text
    assert keyed.get("/healthz").status_code == 200
    file.chmod(0o600)


def test_nothing_is_read_of_who_may_not_ask(keyed: TestClient) -> None:
    def body() -> Iterator[bytes]:
        raise AssertionError("it was read")
        yield b""

    headers = {"Content-Type": "application/json", "Content-Length": "5"}
    assert keyed.post("/v1/events", content=body(), headers=headers).status_code == 401


# ------------------------------------------------------------------ where it may listen


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "shop.example"])
def test_other_machines_are_answered_with_keys_only(host: str, file: Path) -> None:
    with pytest.raises(CrossrecError, match=r"crossrec keys add NAME --file FILE"):
        require_safe(ServiceOptions(host=host))
    require_safe(ServiceOptions(host=host, keys=file))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_loopback_does_without(host: str) -> None:
    require_safe(ServiceOptions(host=host))


def test_several_tenants_need_keys(service_index: Path, command, tmp_path: Path) -> None:
    (tmp_path / "service.toml").write_text(
        f"[tenants]\none = {str(service_index)!r}\ntwo = {str(service_index)!r}\n"
    )
    code, _, error = command("serve", "--config", tmp_path / "service.toml")
    assert code == 2
    assert "several tenants need keys" in error
    code, _, error = command("serve", "--index", service_index, "--host", "0.0.0.0")
    assert code == 2
    assert "without keys only this machine is answered" in error
    code, _, error = command("serve", "--index", service_index, "--keys", tmp_path / "none.json")
    assert code == 2
    assert "there is no file of keys" in error


def test_settings_lie_beside_their_file(tmp_path: Path) -> None:
    (tmp_path / "service.toml").write_text('keys = "keys.json"\nhosts = ["shop.example"]\n')
    assert ServiceOptions.load(tmp_path / "service.toml").keys == tmp_path / "keys.json"


# ------------------------------------------------------------------ browsers


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:8000", "127.0.0.1:1", "127.0.0.2:8000", "[::1]:8000", "LOCALHOST"],
)
def test_loopback_goes_by_its_own_names(client: TestClient, host: str) -> None:
    assert client.get("/healthz", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "[::2]", "", "x@::1"])
def test_a_name_from_elsewhere_is_refused(client: TestClient, host: str) -> None:
    given = client.get("/v1/bridges", headers={"Host": host})

    assert given.status_code == 421
    assert given.json()["type"] == "urn:crossrec:problem:unknown-host"


def test_names_that_are_set(service_index: Path) -> None:
    options = ServiceOptions(tenants={"default": service_index}, hosts=("Shop.example",))
    with TestClient(create_app(options), "http://shop.example") as named:
        assert named.get("/healthz").status_code == 200
        assert named.get("/healthz", headers={"Host": "localhost"}).status_code == 200
        assert named.get("/healthz", headers={"Host": "other.example"}).status_code == 421


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "http://127.0.0.1"}, 200),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "null"}, 200),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "http://127.0.0.1:9"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
    ],
)
def test_what_changes_something_comes_from_here(client: TestClient, headers, status) -> None:
    given = client.post("/v1/like", json={"text": "red"}, headers=headers)

    assert given.status_code == status


def test_a_cookie_alone_changes_nothing(keyed: TestClient, secrets) -> None:
    keyed.cookies.set("crossrec_key", secrets["read"])
    body = {"text": "red"}

    assert keyed.post("/v1/like", json=body).status_code == 403, "nothing tells where it is from"
    assert keyed.post("/v1/like", json=body, headers={"Origin": "http://testserver"}).is_success
    keyed.cookies.clear()
    elsewhere = {"Origin": "https://shop.example", **bearer(secrets["read"])}
    assert keyed.post("/v1/like", json=body, headers=elsewhere).is_success


def test_signing_in_and_out(keyed: TestClient, secrets) -> None:
    page = {"Accept": "text/html"}
    led = keyed.get("/?user=u1", headers=page, follow_redirects=False)
    assert (led.status_code, led.headers["location"]) == (303, "/sign-in?next=%2F%3Fuser%3Du1")
    assert keyed.get("/").status_code == 401

    form = keyed.get(led.headers["location"])
    assert 'name="next" value="/?user=u1"' in form.text
    own = {"Sec-Fetch-Site": "same-origin"}
    wrong = keyed.post("/sign-in", data={"key": "crk_wrong"}, headers=own)
    assert wrong.status_code == 401
    assert "not known, or has expired" in wrong.text
    assert "set-cookie" not in wrong.headers

    body = {"key": secrets["read"], "next": "/?user=u1"}
    assert keyed.post("/sign-in", data=body, headers={"Sec-Fetch-Site": "none"}).status_code == 403
    done = keyed.post("/sign-in", data=body, headers=own, follow_redirects=False)
    assert (done.status_code, done.headers["location"]) == (303, "/?user=u1")
    cookie = done.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "secure" not in cookie
    assert keyed.get("/", headers=page).status_code == 200
    assert "signed in with the key “read”" in keyed.get("/sign-in").text

    out = keyed.post("/sign-out", headers=own, follow_redirects=False)
    assert out.headers["location"] == "/sign-in"
    assert keyed.get("/", headers=page, follow_redirects=False).status_code == 303


def test_keys_that_cannot_be_read_are_told_of_without_their_place(
    service_index: Path, tmp_path: Path, caplog
) -> None:
    secret, _ = add_key(tmp_path / "keys.json", "one", tenant="default")
    options = ServiceOptions(tenants={"default": service_index}, keys=tmp_path / "keys.json")
    with client_of(create_app(options)) as keyed:
        (tmp_path / "keys.json").chmod(0o644)
        given = [
            keyed.get("/v1/items", headers=bearer(secret)),
            keyed.post("/sign-in", data={"key": secret}),
        ]

    for one in given:
        assert (one.status_code, str(tmp_path) in one.text) == (503, False)
        assert "the keys cannot be read; the log says why" in one.text
    assert f"chmod 600 {tmp_path}" in caplog.text


def test_over_https_the_cookie_stays_there(service_index: Path, file: Path, secrets) -> None:
    options = ServiceOptions(tenants={"default": service_index}, keys=file)
    with TestClient(create_app(options), "https://shop.example") as https:
        done = https.post("/sign-in", data={"key": secrets["read"]}, follow_redirects=False)
    assert "secure" in done.headers["set-cookie"].lower()


@pytest.mark.parametrize("address", ["//evil.example", "/\\evil", "https://evil.example", "/\n/x"])
def test_a_form_leads_to_no_other_host(keyed: TestClient, secrets, address: str) -> None:
    done = keyed.post("/sign-in", data={"key": secrets["read"], "next": address},
                      follow_redirects=False)  # fmt: skip
    assert done.headers["location"] == "/"


def test_without_keys_there_is_nothing_to_sign_in_to(client: TestClient) -> None:
    assert "There are no keys" in client.get("/sign-in").text


# ------------------------------------------------------------------ bounds, rates and headers


def test_who_is_not_known_sends_little(keyed: TestClient, secrets) -> None:
    long = {"key": "x" * 20_000}

    assert keyed.post("/sign-in", data=long).status_code == 413
    known = keyed.post(
        "/v1/like", json={"text": "red", "more": long}, headers=bearer(secrets["read"])
    )
    assert known.status_code == 422, "it is read"


def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    app = FastAPI()

    @app.post("/")
    async def take(body: Annotated[dict, Body()]) -> dict:
        return body

    problems.install(app)
    scope = {"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": [],
             "state": {"caller": None}}  # fmt: skip
    sent: list[Message] = []
    began = iter([{"type": "http.request", "body": b"{", "more_body": True}])

    async def receive() -> Message:
        for message in began:
            return message
        await anyio.sleep_forever()

    async def send(message: Message) -> None:
        sent.append(message)

    async def ask() -> None:
        with anyio.fail_after(10):
            await Bounds(app, body=1_000, seconds=0.05)(scope, receive, send)

    anyio.run(ask)

    assert sent[0]["status"] == 408
    assert (b"connection", b"close") in sent[0]["headers"]


def test_a_body_has_an_end_whatever_it_says(service_index: Path) -> None:
    options = ServiceOptions(tenants={"default": service_index}, limits=LimitOptions(body=1_000))

    def drip() -> Iterator[bytes]:
        for _ in range(100):
            yield b"x" * 100

    as_json = {"Content-Type": "application/json"}
    with TestClient(create_app(options), "http://127.0.0.1") as small:
        said = small.post("/v1/like", content=b"x" * 1_001, headers=as_json)
        dripped = small.post("/v1/like", content=drip(), headers=as_json)
        fits = small.post("/v1/like", json={"text": "x" * 900, "k": 1})
    assert (said.status_code, dripped.status_code, fits.status_code) == (413, 413, 200)
    assert said.json()["type"] == dripped.json()["type"] == "urn:crossrec:problem:content-too-large"
    for given in (said, dripped):
        assert given.headers["content-type"] == "application/problem+json"
        assert given.json()["detail"] == "a body has 1,000 bytes at most"


@pytest.mark.parametrize(
    ("method", "address", "headers", "body", "status"),
    [
        ("POST", "/v1/like", {"Content-Type": "text/csv"}, b"a,b", 415),
        ("POST", "/v1/like", {"Content-Type": "multipart/form-data; boundary=x"}, b"", 415),
        ("GET", "/v1/like", {}, None, 405),
        ("GET", "/v1/nothing", {}, None, 404),
        ("GET", "/v1/items/", {}, None, 404),
        ("POST", "/v1/like", {"Content-Type": "application/json"}, b"[" * 200_000, 400),
        ("POST", "/v1/like", {"Content-Type": "application/json"}, b'{"text": ', 422),
        ("POST", "/v1/like", {"Content-Type": "application/json"}, b'{"text": "\xff"}', 400),
        ("POST", "/v1/like", {"Content-Type": "application/json"}, b'{"text":"a","k":NaN}', 422),
        ("POST", "/v1/like", {"Content-Type": "application/json"}, b'{"text":"a","k":1e400}', 422),
        (
            "POST",
            "/v1/like",
            {"Content-Type": "application/json"},
            b'{"text":"a","k":' + b"9" * 5_000 + b"}",
            400,
        ),
        (
            "POST",
            "/v1/like",
            {"Content-Type": "application/json"},
            b'{"text":"a","max_per_brand":' + b"9" * 400 + b"}",
            200,
        ),
        (
            "POST",
            "/v1/like",
            {"Content-Type": "application/json"},
            b'{"text":"a","since":' + b"9" * 400 + b"}",
            422,
        ),
        ("POST", "/v1/like", {"Content-Type": "application/json"}, b'{"text":"\\u0000"}', 200),
        ("POST", "/v1/like", {"Content-Type": "application/json"}, b'{"text":"\\ud800"}', 422),
        (
            "POST",
            "/v1/similar",
            {"Content-Type": "application/json"},
            b'{"item_id":"i\\u0000"}',
            404,
        ),
    ],
)
def test_nonsense_is_told_as_such(client, method, address, headers, body, status) -> None:
    given = client.request(method, address, headers=headers, content=body)

    assert given.status_code == status, given.text
    if status != 200:
        assert given.headers["content-type"] == "application/problem+json"
        assert given.json()["status"] == status


def test_rates_of_a_key_and_of_a_tenant(service_index: Path, file: Path, secrets) -> None:
    other, _ = add_key(file, "other", tenant="default")
    third, _ = add_key(file, "third", tenant="default")
    options = ServiceOptions(
        tenants={"default": service_index}, keys=file, rates=RateOptions(key=3, tenant=5)
    )
    with TestClient(create_app(options)) as limited:

        def ask(secret: str):
            return limited.get("/v1/items", params={"limit": 1}, headers=bearer(secret))

        first = ask(secrets["read"])
        assert first.headers["ratelimit-policy"] == '"key";q=3;w=60, "tenant";q=5;w=60'
        assert re.fullmatch(r'"key";r=2;t=\d+, "tenant";r=4;t=\d+', first.headers["ratelimit"])
        assert [ask(secrets["read"]).status_code for _ in range(3)] == [200, 200, 429]
        assert [ask(other).status_code for _ in range(3)] == [200, 200, 429]
        refused = ask(third)
    assert refused.status_code == 429
    assert "more than 5 requests a minute by this tenant" in refused.json()["detail"]
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert refused.headers["ratelimit"].startswith('"key";r=3')


def test_no_rates_where_none_are_set(service_index: Path, file: Path, secrets) -> None:
    options = ServiceOptions(
        tenants={"default": service_index}, keys=file, rates=RateOptions(key=0, tenant=0)
    )
    with TestClient(create_app(options)) as free:
        given = free.get("/v1/items", headers=bearer(secrets["read"]))
    assert given.is_success
    assert "ratelimit" not in given.headers


def test_every_answer_tells_the_browser_what_it_may_do(client: TestClient, monkeypatch) -> None:
    for address in ("/", "/v1/bridges", "/v1/nothing", "/static/style.css", "/healthz"):
        headers = client.get(address).headers
        assert headers["content-security-policy"] == POLICY
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert headers["cross-origin-opener-policy"] == "same-origin"
        kept = address.startswith("/static/")
        assert headers["cache-control"] == ("public, max-age=86400" if kept else "no-store")
    assert client.get("/static/none.css").headers["cache-control"] == "no-store"
    assert "unsafe" not in POLICY


def test_a_bug_tells_nothing(own: TestClient, monkeypatch, caplog) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the secret place /srv/index")

    monkeypatch.setattr("crossrec_llm.service.questions.put", broken)
    given = own.post("/v1/like", json={"text": "a"})

    assert given.status_code == 500
    assert given.headers["content-type"] == "application/problem+json"
    assert given.headers["content-security-policy"] == POLICY
    assert "/srv" not in given.text
    assert "/srv" in caplog.text


def test_no_key_is_ever_logged(keyed: TestClient, secrets, caplog, monkeypatch) -> None:
    caplog.set_level(logging.DEBUG)
    secret = secrets["read"]
    keyed.get("/v1/bridges", headers=bearer(secret))
    keyed.get("/v1/bridges", headers=bearer(secret + "x"))
    keyed.post("/sign-in", data={"key": secret})
    keyed.get("/", headers={"Accept": "text/html"})
    monkeypatch.setattr("crossrec_llm.service.questions.put", lambda *_: 1 / 0)
    keyed.post("/v1/like", json={"text": "a"}, headers=bearer(secret))

    assert "ZeroDivisionError" in caplog.text
    assert secret not in caplog.text
    assert secret not in repr(keyed.app.state.service.keys.all())


# ------------------------------------------------------------------ tenants


def test_a_broken_index_takes_no_other_down(
    service_index: Path, tmp_path: Path, file: Path, caplog
) -> None:
    broken = Path(shutil.copytree(service_index, tmp_path / "broken"))
    manifest = (broken / "manifest.json").read_bytes()
    (broken / "manifest.json").write_text("{")
    keys = {name: add_key(file, name, tenant=name)[0] for name in ("good", "bad", "gone")}
    options = ServiceOptions(tenants={"good": service_index, "bad": broken}, keys=file)
    with TestClient(create_app(options)) as several:

        def ask(name: str):
            return several.get("/v1/items", headers=bearer(keys[name]))

        assert ask("good").status_code == 200
        told = ask("bad")
        assert told.status_code == 503
        assert told.json()["detail"].startswith("the index of 'bad' cannot answer now")
        assert str(tmp_path) not in told.text
        assert str(broken) in caplog.text
        gone, none = (
            {**given.json(), "request_id": None}
            for given in (ask("gone"), several.get("/v1/items"))
        )
        assert gone == none, "as if there were no such key"

        assert several.get("/readyz").json() == {"status": "ok", "generations": {}, "broken": []}
        ready = several.get("/readyz", headers=bearer(keys["bad"])).json()
        assert (ready["generations"], ready["broken"]) == ({}, ["bad"])
        assert list(several.get("/readyz", headers=bearer(keys["good"])).json()["generations"]) == [
            "good"
        ]

        (broken / "manifest.json").write_bytes(manifest)
        tenant = several.app.state.service.tenants["bad"]
        tenant._tried -= 10
        assert ask("bad").status_code == 200, "it is tried again"


def test_a_locked_index_is_told_without_its_place(own: TestClient, own_index: Path, rec) -> None:
    import sqlite3

    with sqlite3.connect(own_index / "records.sqlite", isolation_level=None) as connection:
        connection.execute("BEGIN IMMEDIATE")
        given = own.post("/v1/items/remove", json={"item_ids": [rec.catalogue.ids[0]]})
        connection.execute("ROLLBACK")
    connection.close()
    assert given.status_code == 503
    assert given.headers["retry-after"] == "1"
    assert str(own_index) not in given.text
    assert "the index of 'default' is being written to" in given.json()["detail"]


def test_nothing_answers(own: TestClient, monkeypatch) -> None:
    monkeypatch.setattr("crossrec_llm.service.tenants.Tenant.generation", None)
    given = own.get("/readyz")
    assert (given.status_code, given.json()["type"]) == (503, "urn:crossrec:problem:not-ready")
