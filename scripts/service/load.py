"""How the service stands a load; `scripts/bench load` runs it.

The server is a process, and whoever asks is another one, on the same machine. Questions are sent at
moments that are fixed beforehand, and their time runs from there: a server that falls behind is not
waited for (no coordinated omission).
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

RATE = 50.0
"""Questions a second."""

PEOPLE = 2_000
SEED = 7

GIVEN_UP = 10.0
"""Seconds without an answer after which a question counts as lost."""


@dataclass(frozen=True)
class Stretch:
    """What came of so many seconds at one rate.

    status : how many answers of each; 0 = none came.
    p50, p99 : milliseconds of those with 200, from the moment they were to be sent.
    late : p99 of the milliseconds that the generator itself sent too late.
    processor : seconds of it that the server took.
    memory : megabytes of the server at each second.
    """

    rate: float
    seconds: float
    status: dict[int, int]
    per_second: float
    p50: float
    p99: float
    late: float
    processor: float
    memory: list[float]

    @property
    def growth(self) -> float:
        """Megabytes a minute: the slope over the second half, when all is loaded."""
        half = self.memory[len(self.memory) // 2 :]
        if len(half) < 2:
            return 0.0
        return float(np.polyfit(np.arange(len(half)), half, 1)[0] * 60)

    def others(self, *status: int) -> int:
        """How many answers have none of these."""
        return sum(n for code, n in self.status.items() if code not in status)

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "growth, MB a minute": self.growth}


def measured(index: Path, work: Path, *options: str, seconds: float = 60) -> list[Stretch]:
    """For-user with reasons: at `RATE`, at five times that for a third as long, then as before."""
    from crossrec_llm import Recommender  # which the generator does without

    with Recommender.open(index) as rec:
        users = random.Random(SEED).sample(
            rec.generation.users.ids, min(PEOPLE, len(rec.generation.users.ids))
        )
    bodies = [{"user_id": user} for user in users]
    with serving(index, *options) as server:
        server.under(RATE, seconds / 6, bodies, work)  # what is loaded first is not measured
        return [
            server.under(rate, long, bodies, work)
            for rate, long in ((RATE, seconds), (5 * RATE, seconds / 3), (RATE, seconds))
        ]


@contextmanager
def serving(index: Path, *options: str) -> Iterator[Server]:
    """`crossrec serve` over an index, ready to answer; SIGTERM must end it well."""
    crossrec = str(Path(sys.executable).with_name("crossrec"))
    command = [crossrec, "serve", "--index", str(index), "--port", "0", "--log-format", "json"]
    process = subprocess.Popen([*command, *options], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    reading: threading.Thread | None = None
    try:
        url = ""
        for line in process.stderr:
            if found := re.search(r"http://[\d.:]+/", line):
                url = found[0]
                break
        if not url:
            sys.exit(f"the server did not start: {process.wait()}")
        # Its lines are read and dropped, as by whoever collects them.
        reading = threading.Thread(target=deque, args=(process.stderr, 0), daemon=True)
        reading.start()
        server = Server(process, url)
        server.wait_until_ready()
        yield server
    finally:
        process.terminate()
        process.wait(60)
        if reading is not None:
            reading.join()
        process.stderr.close()
    if process.returncode:
        sys.exit(f"the server ended with {process.returncode}")


@dataclass(frozen=True)
class Server:
    """A server that runs."""

    process: subprocess.Popen[str]
    url: str

    def wait_until_ready(self) -> None:
        for _ in range(600):
            try:
                with urllib.request.urlopen(f"{self.url}readyz", timeout=10):  # noqa: S310
                    return
            except OSError:
                time.sleep(0.2)
        sys.exit("the server did not get ready in two minutes")

    @property
    def memory(self) -> float:
        """Megabytes resident, of all its processes; the files that they map count for each."""
        found = 0.0
        for pid in _family(self.process.pid):
            try:
                status = Path(f"/proc/{pid}/status").read_text()
            except OSError:
                continue
            found += sum(int(kb) for kb in re.findall(r"VmRSS:\s+(\d+) kB", status)) / 1_024
        return found

    @property
    def processor(self) -> float:
        """Seconds of processor time that all its living processes took."""
        ticks = 0
        for pid in _family(self.process.pid):
            after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(after_name[11]) + int(after_name[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def under(self, rate: float, seconds: float, bodies: Sequence[Any], work: Path) -> Stretch:
        """What comes of asking /v1/recommendations so often a second, each of `bodies` in turn."""
        asked, came = work / "asked.json", work / "came.json"
        asked.write_text(json.dumps([json.dumps(body) for body in bodies]))
        command = [sys.executable, __file__, self.url, str(rate), str(seconds), asked, came]
        before = self.processor
        generator = subprocess.Popen(list(map(str, command)))
        memory = []
        while generator.poll() is None:
            memory.append(self.memory)
            time.sleep(1)
        if generator.returncode:
            sys.exit("the generator failed")
        due, late, took, status = (np.array(one) for one in json.loads(came.read_text()))
        good = 1_000 * took[status == 200]
        last = float((due + took)[status == 200].max(initial=0))
        return Stretch(
            rate=rate,
            seconds=seconds,
            status={int(code): n for code, n in sorted(Counter(status.tolist()).items())},
            per_second=len(good) / max(last, seconds),
            p50=float(np.percentile(good, 50)) if len(good) else float("nan"),
            p99=float(np.percentile(good, 99)) if len(good) else float("nan"),
            late=float(np.percentile(1_000 * late, 99)),
            processor=self.processor - before,
            memory=memory,
        )


def _family(pid: int) -> list[int]:
    """A process and all below it."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        found += [one for child in task.read_text().split() for one in _family(int(child))]
    return found


# -- the generator, a process of its own --------------------------------------------------------


class _Connections:
    """Connections that are kept; as many as there are questions under way."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def ask(self, sent: bytes) -> int:
        """The status of the answer, which is read to its end."""
        reader, writer = (
            self._idle.pop()
            if self._idle
            else await asyncio.open_connection(self._host, self._port)
        )
        writer.write(sent)
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        assert length is not None, head
        await reader.readexactly(int(length[1]))
        if b"connection: close" in head.lower():
            writer.close()
        else:
            self._idle.append((reader, writer))
        return int(head.split(b" ", 2)[1])


async def _generate(
    url: str, rate: float, seconds: float, bodies: Sequence[str]
) -> list[list[float]]:
    """Seconds when each question was due, how late it was sent and how long it took; its status."""
    host, port = url.removeprefix("http://").rstrip("/").split(":")
    connections = _Connections(host, int(port))
    sent = [
        (
            f"POST /v1/recommendations HTTP/1.1\r\nHost: {host}:{port}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body.encode())}\r\n\r\n{body}"
        ).encode()
        for body in bodies
    ]
    came: list[list[float]] = [[], [], [], []]
    began = time.perf_counter() + 0.5

    async def one(n: int) -> None:
        due = n / rate
        await asyncio.sleep(max(0.0, began + due - time.perf_counter()))
        late = time.perf_counter() - began - due
        try:
            async with asyncio.timeout(GIVEN_UP):
                status = await connections.ask(sent[n % len(sent)])
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            status = 0
        took = time.perf_counter() - began - due
        for column, value in zip(came, (due, late, took, status), strict=True):
            column.append(value)

    async with asyncio.TaskGroup() as tasks:
        for n in range(round(rate * seconds)):
            tasks.create_task(one(n))
    return came


def main(url: str, rate: str, seconds: str, asked: str, came: str) -> None:
    bodies = json.loads(Path(asked).read_text())
    found = asyncio.run(_generate(url, float(rate), float(seconds), bodies))
    Path(came).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
