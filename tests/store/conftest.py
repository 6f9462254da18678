"""What the tests of the store can ask for; other folders import the server by name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from crossrec_llm.store import Ledger
from tests.store.small import EVENTS, ITEMS, running_chroma


@pytest.fixture(scope="session")
def chroma_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The url of a server that runs as long as the tests."""
    with running_chroma(tmp_path_factory.mktemp("chroma-server")) as url:
        yield url


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a ledger is to be."""
    return tmp_path / "records.sqlite"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    """A ledger with ITEMS and EVENTS, to be written to."""
    with Ledger.open(path, write=True) as ledger:
        ledger.replace(ITEMS, EVENTS)
        yield ledger
