"""Health: the numbers of the index, as a page and for programs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pytest
from fastapi.testclient import TestClient

from crossrec_llm import Recommender, add_items
from crossrec_llm.safekeeping import backup
from crossrec_llm.service import ServiceOptions
from crossrec_llm.service.app import create_app
from crossrec_llm.service.condition import verdict
from crossrec_llm.service.keys import add_key
from crossrec_llm.store.lock import locked


@pytest.fixture
def index(service_index: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(service_index, tmp_path / "index"))


@pytest.fixture
def own(index: Path):
    app = create_app(ServiceOptions(tenants={"default": index}))
    with TestClient(app, "http://127.0.0.1") as opened:
        yield opened


def test_health_has_the_numbers_of_the_index(own, index):
    found = own.get("/v1/health").json()

    with Recommender.open(index) as rec:
        stored = rec.generation.stored
        assert found["receipt"]["generation"] == stored.name
        assert found["built"] == dict(stored.counts)
        assert found["records"]["items"] == rec.ledger.item_count
        assert found["dimensions"] == rec.generation.raw.shape[1]
    assert [one["state"] for one in found["kept"]] == ["live"]
    assert found["audits"]["items"]["recall_at_10"] > 0.98
    assert found["audits"]["items"]["checked"] == found["built"]["items"]
    assert found["queue"]["at_once"] == 2
    assert found["queue"]["running"] == 0
    assert found["backup"] is None
    assert found["verdict"] == "It answers. One thing needs a look."
    page = own.get("/health").text
    assert found["verdict"] in page
    assert found["receipt"]["generation"] in page


def test_it_sees_backups_changes_and_who_writes(own, index, tmp_path):
    backup(tmp_path / "copy", index)
    before = own.get("/v1/health").json()
    new = {"item_id": ["new"], "title": ["A lamp"], "category": ["Garden"]}
    add_items(index, pa.table(new))
    with locked(index):
        after = own.get("/v1/health").json()

    assert before["verdict"] == "All is well."
    assert before["backup"]["folder"] == str(tmp_path / "copy")
    assert before["writer"] == ""
    assert after["due"]["changes"] == 1
    assert after["records"]["items"] == before["records"]["items"] + 1
    assert after["writer"].startswith("process ")
    assert own.get("/v1/health").json()["writer"] == ""


def test_only_who_may_administer_sees_it(service_index, tmp_path):
    keys = tmp_path / "keys.json"
    secrets = {
        scope: add_key(keys, scope, tenant="default", scopes=[scope])[0]
        for scope in ("read", "admin")
    }
    options = ServiceOptions(tenants={"default": service_index}, keys=keys)
    with TestClient(create_app(options)) as opened:

        def ask(scope: str, path: str) -> int:
            headers = {"Authorization": f"Bearer {secrets[scope]}"}
            return int(opened.get(path, headers=headers).status_code)

        for path in ("/v1/health", "/health", "/reports"):
            assert (ask("read", path), ask("admin", path)) == (403, 200)
        assert (ask("read", "/map?user=u1"), ask("read", "/bridges")) == (403, 200)


def test_a_verdict_counts():
    assert verdict(["a", "b"]) == "It answers. 2 things need a look."
