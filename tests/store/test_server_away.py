"""A Chroma server that is away, slow, restarted, emptied or full."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from crossrec_llm.errors import StoreUnavailable
from crossrec_llm.store import ChromaStore, StoreOptions
from tests.store.servers import Server
from tests.store.small import clustered

pytestmark = pytest.mark.server
IDS, VECTORS = [f"i{row}" for row in range(50)], clustered(50)
PREFIX = "crossrec-0123456789ab-0001"


def test_writing_outlives_a_restart(own_server: Server) -> None:
    """The server is killed between two batches and started again while the next one waits."""
    seen: list[int] = []

    def restart(_: str, done: int, __: int) -> None:
        if not seen:
            own_server.kill()
            own_server.start()
        seen.append(done)

    with (
        ChromaStore.server(own_server.url, prefix=PREFIX) as store,
        pytest.MonkeyPatch.context() as p,
    ):
        p.setattr("crossrec_llm.store.chroma._REQUEST_BYTES", 2_000)
        store.write("items", IDS, VECTORS, progress=restart)
        assert len(seen) > 1
        rows, _ = store.search("items", IDS).nearest(VECTORS, 1)
    assert (rows[:, 0] == np.arange(50)).all()


def test_a_server_that_stays_away_is_given_up(own_server: Server) -> None:
    options = StoreOptions(retries=2)
    with ChromaStore.server(own_server.url, prefix=PREFIX, options=options) as store:
        own_server.kill()
        started = time.perf_counter()
        with pytest.raises(StoreUnavailable, match=rf"{own_server.url}: no Chroma server answers"):
            store.write("items", IDS, VECTORS)
    assert 0.5 < time.perf_counter() - started < 20, "0.2 s and 0.4 s between three tries"


def test_a_question_waits_for_its_own_patience_only(own_server: Server) -> None:
    options = StoreOptions(patience=0.3).asking
    with ChromaStore.server(own_server.url, prefix=PREFIX, options=options) as store:
        store.write("items", IDS, VECTORS)
        search = store.search("items", IDS)
        own_server.stop_answering()
        started = time.perf_counter()
        with pytest.raises(StoreUnavailable, match="no Chroma server answers"):
            search.nearest(VECTORS[:1], 3)
        assert time.perf_counter() - started < 10
        own_server.go_on()
        assert search.nearest(VECTORS[:1], 3)[0][0, 0] == 0


def test_a_full_server_says_so_and_serves_again(own_server: Server) -> None:
    own_server.kill()
    own_server.start(largest_file=400_000)
    vectors, ids = clustered(4000, 64), [f"i{row}" for row in range(4000)]
    options = StoreOptions(retries=1)
    with ChromaStore.server(own_server.url, prefix=PREFIX, options=options) as store:
        with pytest.raises(StoreUnavailable, match=rf"{own_server.url}: "):
            store.write("items", ids, vectors, ["x" * 500] * 4000)
        own_server.kill()
        own_server.start()
        store.write("items", ids, vectors)
        assert store.count("items") == 4000


def test_a_server_that_lost_everything(own_server: Server) -> None:
    with ChromaStore.server(own_server.url, prefix=PREFIX) as store:
        store.write("items", IDS, VECTORS)
        own_server.kill()
        shutil.rmtree(own_server.folder)
        own_server.start()
        store.write("items", IDS, VECTORS)
        assert store.count("items") == 50


def test_a_build_waits_for_a_server_that_starts_late(tmp_path: Path) -> None:
    server = Server(tmp_path / "server")
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", server.port))
    with pytest.raises(StoreUnavailable):
        ChromaStore.server(server.url, options=StoreOptions(retries=0))
    starter = subprocess.Popen(
        f"sleep 0.5; exec {Path(sys.executable).with_name('chroma')} run --path {server.folder} "
        f"--host 127.0.0.1 --port {server.port}",
        shell=True,
        stdout=subprocess.DEVNULL,
    )
    try:
        ChromaStore.server(server.url).close()
    finally:
        starter.kill()
        starter.wait()
