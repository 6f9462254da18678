"""How long a new user waits: from `crossrec build` over their own files to the first page."""

from __future__ import annotations

import csv
import resource
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

MOST = 180.0  # seconds
ITEMS = 1_000


def as_csv(items: Path, interactions: Path, folder: Path) -> tuple[Path, Path]:
    """The `ITEMS` items that people took most, and who took them, as somebody would export them."""
    events = pq.read_table(interactions)
    counts = pc.value_counts(events["item_id"]).to_pylist()
    counts.sort(key=lambda one: (-one["counts"], one["values"]))
    kept = pa.array([one["values"] for one in counts[:ITEMS]])
    written = []
    for name, table in (("items", pq.read_table(items)), ("log", events)):
        file = folder / f"{name}.csv"
        rows = table.filter(pc.is_in(table["item_id"], kept)).to_pylist()
        with file.open("w", newline="", encoding="utf-8") as out:
            writer = csv.DictWriter(out, table.column_names)
            writer.writeheader()
            writer.writerows({key: _cell(value) for key, value in row.items()} for row in rows)
        written.append(file)
    return written[0], written[1]


def measure(items: Path, interactions: Path, index: Path) -> dict[str, Any]:
    """Seconds of `crossrec build`, and until `/` is there, as a user's two commands do it.

    `processor` is what the build took of all cores: it says more on a machine that others use.
    """
    crossrec = str(Path(sys.executable).with_name("crossrec"))
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    build = [crossrec, "build", "--items", str(items), "--interactions", str(interactions)]
    subprocess.run([*build, "--index", str(index)], check=True, stdout=subprocess.DEVNULL)
    built = time.perf_counter() - started
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    worked = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    serve = [crossrec, "serve", "--quiet", "--index", str(index), "--port", str(port)]
    server = subprocess.Popen(serve, stdout=subprocess.DEVNULL)
    try:
        _wait(server, f"http://127.0.0.1:{port}/")
        shown = time.perf_counter() - started
    finally:
        server.terminate()
        server.wait()
    return {"build": built, "processor": worked, "serve": shown - built, "seconds": shown}


def _wait(server: subprocess.Popen[bytes], page: str) -> None:
    while server.poll() is None:
        try:
            if httpx.get(page).status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise RuntimeError(f"crossrec serve ended with {server.returncode} before {page} was there")


def _cell(value: Any) -> Any:
    """A category path as people write it."""
    return " > ".join(value) if isinstance(value, list) else value
