"""A map takes up to minutes: a process of its own makes it, and all can see how far it is."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, TextIO

from crossrec_llm.atlas.charting import make_map, map_file
from crossrec_llm.errors import CrossrecError
from crossrec_llm.records import Progress
from crossrec_llm.store.files import disk_errors

_LOG = "map.log"
_BEGUN, _FAILED = "starting", "failed: "
_EVERY = 0.3  # seconds between two lines
_TRIES, _MOMENT = 10, 0.02  # to get the lock, and seconds between two of them
# Below everything that answers.
_NICE = 10


@dataclass(frozen=True)
class Making:
    """How far the map of a generation is.

    state : "made"; "making", by whatever process; "failed"; or "none" has begun it.
    words : the step that it is at and its share, or why it failed.
    """

    state: Literal["made", "making", "failed", "none"]
    words: str = ""


def look(index: Path, generation: str) -> Making:
    """How far the map of a generation is."""
    path = map_file(index, generation)
    if path.exists():
        return Making("made")
    try:
        with path.with_name(_LOG).open() as log:
            last = log.read()[-2_000:].strip().rpartition("\n")[2]
            try:
                fcntl.flock(log, fcntl.LOCK_SH | fcntl.LOCK_NB)  # for this moment only
            except BlockingIOError:
                return Making("making", last or _BEGUN)
    except OSError:
        return Making("none")
    if path.exists():  # it was finished between the two looks
        return Making("made")
    if last.startswith(_FAILED):
        return Making("failed", last.removeprefix(_FAILED))
    return Making("failed", f"it stopped at {last}") if last else Making("none")


def start(index: Path, generation: str) -> subprocess.Popen[bytes] | None:
    """Start making the map of a generation in a process of its own; wait for it, or poll it.

    The process has the log as its output, and with it the lock, which goes when it ends, however.

    Returns
    -------
    None where one is at it already.

    Raises
    ------
    StoreUnavailable : the folder of the index cannot be written.
    """
    path = map_file(index, generation).with_name(_LOG)
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        log = path.open("ab")
    with log:
        if not _taken(log):
            return None
        log.truncate(0)
        log.write(f"{_BEGUN}\n".encode())
        log.flush()
        return subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "crossrec_llm.atlas", str(index), generation],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _taken(log: BinaryIO) -> bool:
    """Whether the lock of a log is ours now; who only looks has it for a moment."""
    for _ in range(_TRIES):
        try:
            fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_MOMENT)
        else:
            return True
    return False


def stop(index: Path, generation: str, process: subprocess.Popen[bytes]) -> None:
    """End what `start` began, as if it had not begun unless it is done."""
    if process.poll() is None:
        process.terminate()
        process.wait()
        map_file(index, generation).with_name(_LOG).unlink(missing_ok=True)


def make(index: Path, generation: str, out: TextIO, nice: int = _NICE) -> int:
    """What that process does: make the map, and say how far it is, a line each time.

    Returns
    -------
    The exit status: 2 for a problem, which the last line names.
    """
    os.nice(nice)
    try:
        with _lines(out) as progress:
            make_map(index, generation, progress=progress)
    except CrossrecError as error:
        out.write(f"{_FAILED}{error}\n")
        out.flush()
        return 2
    return 0


@contextmanager
def _lines(out: TextIO) -> Iterator[Progress]:
    last = 0.0

    def told(step: str, done: int, total: int) -> None:
        nonlocal last
        if (now := time.monotonic()) - last >= _EVERY:
            last = now
            out.write(f"{step} {done / max(1, total):.0%}\n")
            out.flush()

    yield told
