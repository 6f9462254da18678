"""A Chroma server that is away, slow, restarted, emptied or full."""

from __future__ import annotations

import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from crossrec_llm.errors import StoreUnavailable
from crossrec_llm.store import ChromaStore, StoreOptions
from tests.store.small import clustered, free_port, wait_for_chroma

pytestmark = pytest.mark.server
IDS, VECTORS = [f"i{row}" for row in range(50)], clustered(50)
PREFIX = "crossrec-0123456789ab-0001"


class Server:
    """`chroma run` on one port; started and killed at will."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *, largest_file: int | None = None) -> None:
        def limit() -> None:
            if largest_file is not None:
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))

        program = Path(sys.executable).with_name("chroma")
        words = ["run", "--path", self.folder, "--host", "127.0.0.1", "--port", str(self.port)]
        self._process = subprocess.Popen(
            [program, *words],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=limit,
        )
        wait_for_chroma(self.url, self._process)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def stop_answering(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path / "server")
    server.start()
    yield server
    server.kill()


def test_writing_outlives_a_restart(server: Server) -> None:
    """The server is killed between two batches and started again while the next one waits."""
    seen: list[int] = []

    def restart(_: str, done: int, __: int) -> None:
        if not seen:
            server.kill()
            server.start()
        seen.append(done)

    with ChromaStore.server(server.url, prefix=PREFIX) as store, pytest.MonkeyPatch.context() as p:
        p.setattr("crossrec_llm.store.chroma._REQUEST_BYTES", 2_000)
        store.write("items", IDS, VECTORS, progress=restart)
        assert len(seen) > 1
        rows, _ = store.search("items", IDS).nearest(VECTORS, 1)
    assert (rows[:, 0] == np.arange(50)).all()


def test_a_server_that_stays_away_is_given_up(server: Server) -> None:
    options = StoreOptions(retries=2)
    with ChromaStore.server(server.url, prefix=PREFIX, options=options) as store:
        server.kill()
        started = time.perf_counter()
        with pytest.raises(StoreUnavailable, match=rf"{server.url}: no Chroma server answers"):
            store.write("items", IDS, VECTORS)
    assert 0.5 < time.perf_counter() - started < 5, "0.2 s and 0.4 s between three tries"


def test_a_question_waits_for_its_own_patience_only(server: Server) -> None:
    options = StoreOptions(patience=0.3).asking
    with ChromaStore.server(server.url, prefix=PREFIX, options=options) as store:
        store.write("items", IDS, VECTORS)
        search = store.search("items", IDS)
        server.stop_answering()
        started = time.perf_counter()
        with pytest.raises(StoreUnavailable, match="no Chroma server answers"):
            search.nearest(VECTORS[:1], 3)
        assert time.perf_counter() - started < 2
        server.go_on()
        assert search.nearest(VECTORS[:1], 3)[0][0, 0] == 0


def test_a_full_server_says_so_and_serves_again(server: Server) -> None:
    server.kill()
    server.start(largest_file=400_000)
    vectors, ids = clustered(4000, 64), [f"i{row}" for row in range(4000)]
    options = StoreOptions(retries=1)
    with ChromaStore.server(server.url, prefix=PREFIX, options=options) as store:
        with pytest.raises(StoreUnavailable, match=rf"{server.url}: "):
            store.write("items", ids, vectors, ["x" * 500] * 4000)
        server.kill()
        server.start()
        store.write("items", ids, vectors)
        assert store.count("items") == 4000


def test_a_server_that_lost_everything(server: Server) -> None:
    with ChromaStore.server(server.url, prefix=PREFIX) as store:
        store.write("items", IDS, VECTORS)
        server.kill()
        shutil.rmtree(server.folder)
        server.start()
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
