"""The processes that serve: uvicorn, with one app in each."""

from __future__ import annotations

import errno
import gc
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import uvicorn
from fastapi import FastAPI
from threadpoolctl import threadpool_limits
from uvicorn.supervisors import Multiprocess

from crossrec_llm.errors import CrossrecError
from crossrec_llm.service import logs
from crossrec_llm.service.app import create_app
from crossrec_llm.service.asked import Service
from crossrec_llm.service.loopback import is_loopback, refusal
from crossrec_llm.service.options import ServiceOptions
from crossrec_llm.service.tenants import Tenants

logger = logging.getLogger(__name__)

_BACKLOG = 2_048  # connections that the system holds until they are looked at
_STOPPING = (signal.SIGINT, signal.SIGTERM)
_SWITCH = 0.001  # seconds a thread may hold the others up: the loop is to answer meanwhile
_KEPT = 75  # seconds that an idle connection stays: longer than proxies keep theirs
_PATIENCE = 10  # seconds that a worker may not answer its supervisor: one that died does not


def run(options: ServiceOptions) -> None:
    """Serve until SIGINT or SIGTERM, then finish what is being answered.

    Every worker process reads the indexes for itself; each may write, one at a time. One that dies
    is replaced.

    Raises
    ------
    CrossrecError : it cannot listen there, or other machines would be answered without keys.
    IndexMissing, IndexMismatch, IndexDamaged : an index cannot be opened.
    """
    require_safe(options)
    logs.set_up(options.logs)
    listener = _listening(options)
    with listener, _sharing_cores(options), TemporaryDirectory(prefix="crossrec-") as folder:
        if options.workers == 1:
            server = uvicorn.Server(_config(options, serving(options)))
            with _stopping(server):
                _tell(options, listener)
                server.run([listener])
        else:
            Tenants(options.tenants).close()  # else each worker would tell of what is wrong
            made = partial(serving, options, Path(folder))
            config = _config(options, made, factory=True, workers=options.workers)
            supervisor = Multiprocess(config, [listener])
            _tell(options, listener)
            supervisor.run()


def serving(options: ServiceOptions, shared: Path | None = None) -> FastAPI:
    """The app of one worker; it is ready once its models are loaded."""
    if shared is not None:  # in a process of its own
        logs.set_up(options.logs)
    sys.setswitchinterval(_SWITCH)
    app = create_app(options, shared)
    service: Service = app.state.service
    service.warming.set()
    threading.Thread(target=warm, args=(service,), daemon=True).start()
    return app


def warm(service: Service) -> None:
    """Answer a question of each kind for nobody, so that no caller waits for what it loads."""
    try:
        for tenant in service.tenants:
            try:
                rec = tenant.recommender
                first = [rec.catalogue.item(0).item_id] if len(rec.catalogue) else []
                rec.for_history(first)
                rec.like("warm")
            except CrossrecError as error:
                logger.warning("%s: some questions have no answer: %s", tenant.name, error)
        gc.collect()
        gc.freeze()  # what is loaded stays: to look through it again would hold everybody up
    finally:
        service.warming.clear()


def _config(options: ServiceOptions, app: Any, **more: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,  # a line of our own tells of each request
        server_header=False,
        backlog=_BACKLOG,
        limit_concurrency=options.limits.connections,
        timeout_keep_alive=_KEPT,
        timeout_graceful_shutdown=ceil(options.limits.shutdown),
        timeout_worker_healthcheck=_PATIENCE,
        **more,
    )


def require_safe(options: ServiceOptions) -> None:
    """Refuse to answer other machines without keys.

    Raises
    ------
    CrossrecError : what to run.
    """
    if options.keys is None and not is_loopback(options.host):
        raise CrossrecError(refusal(options.host, "`crossrec serve --keys FILE`"))


def _listening(options: ServiceOptions) -> socket.socket:
    """A socket at the address of the service; connections wait there from now on."""
    host, port = options.host, options.port
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # With its protocol named, or asyncio would let small answers wait for acknowledgements.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    except OSError as error:
        raise CrossrecError(f"{host!r} is no address of this machine: give another host") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise CrossrecError(_refused(error, host, port)) from error
    return listener


def _refused(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"{host}:{port} is taken: stop what listens there, or give another port"
    if error.errno == errno.EACCES:
        return f"port {port} is not open to this user: give one above 1023"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host!r} is no address of this machine: give another host"
    return f"cannot listen on {host}:{port}: {error.strerror}"


def _tell(options: ServiceOptions, listener: socket.socket) -> None:
    host, port, *_ = listener.getsockname()
    shown = f"[{host}]" if ":" in host else host
    by = f" ({options.workers} processes)" if options.workers > 1 else ""
    logger.info("http://%s:%d/%s; Ctrl-C stops", shown, port, by)


@contextmanager
def _sharing_cores(options: ServiceOptions) -> Iterator[None]:
    """So many threads within a question that all questions at once have the cores between them.

    With more they wait for one another, spinning: 33 ms of processor an answer, not 16, on two
    cores. What is loaded later, and in other processes, reads the variable.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    each = max(1, (cores or 1) // (options.workers * options.limits.at_once))
    each = int(os.environ.setdefault("OMP_NUM_THREADS", str(each)))
    with threadpool_limits(each):
        yield


@contextmanager
def _stopping(server: uvicorn.Server) -> Iterator[None]:
    """Be asked to stop, which is no failure.

    uvicorn looks out for it while it serves; then it raises the signal once more.
    """

    def stop(*_: object) -> None:
        server.should_exit = True

    before = {kind: signal.signal(kind, stop) for kind in _STOPPING}
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
