"""The processes: where they listen, how they end, and that one that dies is replaced."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from service.load import Server, _family, measured, serving

from crossrec_llm.errors import CrossrecError, IndexMissing, ModelError
from crossrec_llm.service import LimitOptions, ServiceOptions, running
from crossrec_llm.service.options import LogOptions
from tests.service.conftest import client_of

PATIENCE = 180
"""Seconds in which a process starts, however busy the machine is."""


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing of this process is changed for good, and no late signal ends it."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(running.logs, "set_up", lambda _: None)
    monkeypatch.setattr(running.sys, "setswitchinterval", lambda _: None)
    monkeypatch.setattr(running.gc, "freeze", lambda: None)
    before = {
        kind: signal.signal(kind, lambda *_: None) for kind in (signal.SIGTERM, signal.SIGINT)
    }
    yield
    for kind, handler in before.items():
        signal.signal(kind, handler)


def options(index: Path, **more) -> ServiceOptions:
    return ServiceOptions(tenants={"default": index}, **{"port": 0, **more})


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGINT], ids=["term", "int"])
def test_it_serves_until_it_is_asked_to_stop(service_index: Path, caplog, kind) -> None:
    caplog.set_level("INFO", "crossrec_llm")
    told: list[int] = []

    def ask_and_stop() -> None:
        try:
            while not (line := re.search(r"http://127.0.0.1:(\d+)/; Ctrl-C stops", caplog.text)):
                time.sleep(0.01)
            for _ in range(500):
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{line[1]}/readyz") as ready:
                        told.append(ready.status)
                        break
                except urllib.error.HTTPError as error:
                    told.append(error.code)
                    time.sleep(0.01)
        finally:
            os.kill(os.getpid(), kind)

    asking = threading.Thread(target=ask_and_stop)
    asking.start()
    running.run(options(service_index))
    asking.join()

    assert told[-1] == 200
    assert set(told) <= {200, 503}


def test_what_is_being_answered_is_finished(service_index: Path, monkeypatch, caplog) -> None:
    caplog.set_level("INFO", "crossrec_llm")
    made, told = running.create_app, []

    def slow(*given):
        app = made(*given)
        rec = next(iter(app.state.service.tenants)).recommender
        asked = rec.bridges

        def bridges():
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.5)
            return asked()

        rec.bridges = bridges
        return app

    monkeypatch.setattr(running, "create_app", slow)

    def ask() -> None:
        while not (line := re.search(r"http://127.0.0.1:\d+/", caplog.text)):
            time.sleep(0.01)
        with urllib.request.urlopen(f"{line[0]}v1/bridges") as given:
            told.append(json.load(given))

    asking = threading.Thread(target=ask)
    asking.start()
    running.run(options(service_index))
    asking.join()

    assert "bridges" in told[0]


def test_a_port_that_is_taken_is_one_line(service_index: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(CrossrecError, match=rf"127\.0\.0\.1:{port} is taken: stop what"):
            running.run(options(service_index, port=port))


@pytest.mark.parametrize("host", ["no.such.host.invalid", "203.0.113.1"])
def test_an_address_of_another_machine_is_one_line(service_index: Path, host: str) -> None:
    with pytest.raises(CrossrecError, match=rf"'{host}' is no address of this machine"):
        running._listening(options(service_index, host=host))


@pytest.mark.parametrize(
    ("number", "words"),
    [(13, "port 80 is not open to this user"), (105, "cannot listen on h:80: No buffer space")],
)
def test_what_else_keeps_it_from_listening(number: int, words: str) -> None:
    error = OSError(number, os.strerror(number))

    assert running._refused(error, "h", 80).startswith(words)


def test_several_processes_say_first_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(IndexMissing):
        running.run(options(tmp_path / "none", workers=2))


def test_it_is_not_ready_while_models_are_loaded(service_index: Path, monkeypatch) -> None:
    go_on = threading.Event()
    monkeypatch.setattr(running, "warm", lambda service: go_on.wait())
    app = running.serving(options(service_index))
    with client_of(app) as client:
        given = client.get("/readyz")
        assert given.status_code == 503
        assert given.json()["type"] == "urn:crossrec:problem:not-ready"
        assert client.get("/healthz").status_code == 200
        app.state.service.warming.clear()
        assert client.get("/readyz").status_code == 200
    go_on.set()


def test_a_model_that_cannot_be_loaded_keeps_nobody_waiting(
    service_index: Path, monkeypatch, caplog
) -> None:
    app = running.create_app(options(service_index))
    service = app.state.service
    rec = next(iter(service.tenants)).recommender
    service.warming.set()

    def like(_: str) -> None:
        raise ModelError("it is gone")

    monkeypatch.setattr(rec, "like", like)
    running.warm(service)

    assert not service.warming.is_set()
    assert "default: some questions have no answer: it is gone" in caplog.text
    service.tenants.close()


def test_connections_have_an_end(service_index: Path) -> None:
    asked = options(service_index, limits=LimitOptions(connections=7))

    assert running._config(asked, None).limit_concurrency == 7


def test_questions_share_the_cores(service_index: Path, monkeypatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr(running.os, "sched_getaffinity", lambda _: range(8), raising=False)

    with running._sharing_cores(options(service_index, limits=LimitOptions(at_once=2), workers=2)):
        assert os.environ["OMP_NUM_THREADS"] == "2"
    monkeypatch.delenv("OMP_NUM_THREADS")


def ask(server: Server, path: str) -> bytes:
    with urllib.request.urlopen(server.url + path, timeout=30) as given:
        return given.read()


def test_a_worker_that_dies_is_replaced(service_index: Path) -> None:
    with serving(service_index, "--workers", "2") as server:
        workers = pids(server, 2)
        os.kill(workers[0], signal.SIGKILL)
        until = time.monotonic() + PATIENCE
        while set(pids(server, 2)) == set(workers) and time.monotonic() < until:
            time.sleep(0.1)

        assert workers[0] not in pids(server, 2)
        assert b'worker="' in ask(server, "metrics")


def pids(server: Server, least: int) -> list[int]:
    """Worker processes; one more is Python's, which looks after what they share."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        found = [
            pid for pid in _family(server.process.pid)[1:]
            if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
        ]  # fmt: skip
        if len(found) >= least:
            return found
        time.sleep(0.1)
    raise AssertionError("there are no workers")


def test_under_load_there_are_answers_and_refusals_only(
    service_index: Path, tmp_path: Path
) -> None:
    stretches = measured(service_index, tmp_path, seconds=2)

    for stretch in stretches:
        assert stretch.others(200, 429) == 0, stretch.status
        assert sum(stretch.status.values()) == round(stretch.rate * stretch.seconds)
        assert stretch.status[200] > 0
        assert stretch.memory[0] > 1


def test_the_log_of_a_worker_is_set_up_in_it(service_index: Path, tmp_path, monkeypatch) -> None:
    seen: list[LogOptions] = []
    monkeypatch.setattr(running.logs, "set_up", seen.append)
    monkeypatch.setattr(running, "warm", lambda service: None)

    app = running.serving(options(service_index), tmp_path)

    assert seen == [LogOptions()]
    app.state.service.tenants.close()
