"""What the tests of the store can ask for; other folders import the fixture by name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.store.servers import Server
from tests.store.small import running_chroma


@pytest.fixture(scope="session")
def chroma_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The url of a server that runs as long as the tests."""
    with running_chroma(tmp_path_factory.mktemp("chroma-server")) as url:
        yield url


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """A server that one test may kill, stop and start again."""
    server = Server(tmp_path / "server")
    server.start()
    yield server
    server.kill()
