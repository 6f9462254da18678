"""A service over a tiny index."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from crossrec_llm import Recommender
from crossrec_llm.cli.main import app
from crossrec_llm.service import ServiceOptions
from crossrec_llm.service.app import create_app
from tests.small_index import build_tiny, tiny_recipe


def client_of(app: FastAPI) -> TestClient:
    """Asks an app by a name of loopback; a bug in it is an answer, as it is for its callers."""
    return TestClient(app, "http://127.0.0.1", raise_server_exceptions=False)


@pytest.fixture(scope="session")
def service_index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Not to be written to: copy it."""
    folder = tmp_path_factory.mktemp("service")
    build_tiny(folder / "index", tiny_recipe(folder))
    return folder / "index"


@pytest.fixture(scope="module")
def client(service_index: Path) -> Iterator[TestClient]:
    made = create_app(ServiceOptions(tenants={"default": service_index}))
    with client_of(made) as opened:
        yield opened


@pytest.fixture
def own_index(service_index: Path, tmp_path: Path) -> Path:
    """A copy that may be written to."""
    return Path(shutil.copytree(service_index, tmp_path / "index"))


@pytest.fixture
def own(own_index: Path) -> Iterator[TestClient]:
    """A service over it, without keys."""
    made = create_app(ServiceOptions(tenants={"default": own_index}))
    with client_of(made) as opened:
        yield opened


@pytest.fixture(scope="module")
def rec(service_index: Path) -> Iterator[Recommender]:
    with Recommender.open(service_index) as opened:
        yield opened


@pytest.fixture(scope="module")
def user_id(rec: Recommender) -> str:
    return str(rec.generation.users.ids[0])


@pytest.fixture
def command() -> Callable[..., tuple[int, str, str]]:
    """Runs `crossrec` without an index: code, stdout, stderr."""

    def run(*words: object) -> tuple[int, str, str]:
        done = CliRunner().invoke(app, [str(word) for word in words])
        return done.exit_code, done.stdout, done.stderr

    return run
