"""A service over a tiny index."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from crossrec_llm.service import ServiceOptions
from crossrec_llm.service.app import create_app
from tests.small_index import build_tiny, tiny_recipe


@pytest.fixture(scope="session")
def service_index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Not to be written to: copy it."""
    folder = tmp_path_factory.mktemp("service")
    build_tiny(folder / "index", tiny_recipe(folder))
    return folder / "index"


@pytest.fixture(scope="module")
def client(service_index: Path) -> Iterator[TestClient]:
    app = create_app(ServiceOptions(tenants={"default": service_index}))
    with TestClient(app, "http://127.0.0.1", raise_server_exceptions=False) as opened:
        yield opened
