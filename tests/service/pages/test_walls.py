"""What lies behind a wall is on no page that did not ask for it by its name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from crossrec_llm import Recommender
from crossrec_llm.service import ServiceOptions
from crossrec_llm.service.app import create_app

WALL, BEHIND = "Games", "p-chess-clock"


@pytest.fixture(scope="module")
def walled(walled_index: Path) -> Iterator[TestClient]:
    app = create_app(ServiceOptions(tenants={"default": walled_index}))
    with TestClient(app, "http://127.0.0.1", raise_server_exceptions=False) as client:
        yield client


@pytest.mark.parametrize(
    "address",
    [
        "/?user=u2",
        "/compare?user=u2",
        "/bridges",
        "/map?q=chess+clock",
        "/map",
        "/suggest?of=item&item=p-chess",
        "/suggest?of=item&item=chess+clock",
    ],
)
def test_nothing_of_it_is_shown(walled: TestClient, address: str) -> None:
    told = walled.get(address)
    assert told.status_code == 200
    assert BEHIND not in told.text
    assert WALL not in told.text


@pytest.mark.parametrize("pair", [f"home={WALL}&target=Garden", f"home=Garden&target={WALL}"])
def test_no_bridge_leads_there(walled: TestClient, pair: str) -> None:
    told = walled.get(f"/bridges?{pair}")
    assert told.status_code == 422
    assert f"no top category is called '{WALL}'" in told.json()["detail"]


def test_who_knows_a_name_finds_it(walled: TestClient, walled_index: Path) -> None:
    with Recommender.open(walled_index) as rec:
        assert WALL in rec.catalogue.top_names
    assert walled.get("/v1/item", params={"item_id": BEHIND}).status_code == 200
    inside = walled.get("/", params={"text": "chess", "category": WALL})
    assert BEHIND in inside.text
    assert f'value="{WALL}" checked' in inside.text, "what was chosen can be taken back"
