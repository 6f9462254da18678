"""A real Chroma server, small tables, and vectors with neighbours."""

from __future__ import annotations

import contextlib
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from crossrec_llm.tables import EVENTS_SCHEMA, ITEMS_SCHEMA


def no_rows() -> tuple[pa.Table, pa.Table]:
    """Items and events, none of them."""
    return ITEMS_SCHEMA.empty_table(), EVENTS_SCHEMA.empty_table()


@contextlib.contextmanager
def running_chroma(folder: Path) -> Iterator[str]:
    """Start `chroma run` on a free port of the loopback interface; gives its url."""
    port = free_port()
    program = Path(sys.executable).with_name("chroma")
    command = [program, "run", "--path", folder, "--host", "127.0.0.1", "--port", str(port)]
    url = f"http://127.0.0.1:{port}"
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        wait_for_chroma(url, process)
        yield url
    finally:
        process.terminate()
        process.wait(10)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def wait_for_chroma(url: str, process: subprocess.Popen[bytes]) -> None:
    address = f"{url}/api/v2/heartbeat"
    open_directly = urllib.request.build_opener(urllib.request.ProxyHandler({})).open
    for _ in range(300):
        assert process.poll() is None, "the server stopped"
        with contextlib.suppress(OSError), open_directly(address, timeout=5):
            return
        time.sleep(0.1)
    raise AssertionError("the server did not start within 30 s")


def make_items(ids: list[str]) -> pa.Table:
    return pa.Table.from_pylist(
        [
            {
                "item_id": item_id,
                "title": f"title {item_id}",
                "description": "two\nlines, with \0 and 🛒",
                "category": ["Grocery", "Tea > Green"][: n % 3],
                "brand": "",
                "price": None if n % 2 else n / 7,
                "image_url": "",
                "available": n % 5 != 0,
                "added": 1.6e9 + n if n % 2 else None,
                "metadata": '{"size": "1 l"}',
            }
            for n, item_id in enumerate(ids)
        ],
        schema=ITEMS_SCHEMA,
    )


def make_events(rows: list[tuple[str, str]]) -> pa.Table:
    return pa.Table.from_pylist(
        [
            {
                "user_id": user_id,
                "item_id": item_id,
                "timestamp": n * 1.5 if n % 3 else None,
                "event": "buy" if n % 2 else "",
                "value": None if n % 2 else float(n),
            }
            for n, (user_id, item_id) in enumerate(rows)
        ],
        schema=EVENTS_SCHEMA,
    )


ITEMS = make_items([f"i{n}" for n in range(8)])
EVENTS = make_events([("ann", "i1"), ("ann", "i2"), ("ann", "i1"), ("bob", "i7"), ("cy", "i1")])


def make_older(path: Path, layout: int) -> None:
    """Make a ledger that is closed one of layout 1 or 2."""
    statements = [
        "DROP TABLE answered",
        "DROP INDEX items_live; DROP INDEX events_live; DROP TABLE erased; DROP TABLE event_ids",
        *(f"ALTER TABLE items DROP COLUMN {name}" for name in ("change", "removed", "filed")),
        *(f"ALTER TABLE events DROP COLUMN {name}" for name in ("change", "filed")),
        "DROP TABLE corrections" if layout == 1 else "SELECT 1",
        f"DELETE FROM about WHERE name = 'folded'; PRAGMA user_version = {layout};",
    ]
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript("; ".join(statements))


def clustered(n: int, dim: int = 24, *, clusters: int = 12, seed: int = 0) -> np.ndarray:
    """(n, dim) float32 unit rows in clusters, as the vectors of texts lie."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((clusters, dim))
    rows = centres[rng.integers(0, clusters, n)] + 0.6 * rng.standard_normal((n, dim))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
