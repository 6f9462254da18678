"""One writer at a time: the lock of an index, and who holds it."""

from __future__ import annotations

import json
import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from crossrec_llm.errors import IndexLocked
from crossrec_llm.store.files import disk_errors, write_atomically

if TYPE_CHECKING:
    from filelock import FileLock

LOCK = "lock"
_HOLDER = "lock.holder"


def take_lock(path: Path) -> FileLock:
    """The lock of the operating system, which a process that dies gives back."""
    from filelock import FileLock, Timeout

    lock = FileLock(path / LOCK, timeout=0, thread_local=False)
    with disk_errors(path):
        try:
            lock.acquire()
        except Timeout as error:
            raise IndexLocked(
                f"{path}: {holder(path)} is writing to this index; wait for it, or stop it and "
                "run the same command again"
            ) from error
    me = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    try:
        write_atomically(path / _HOLDER, json.dumps(me).encode())
    except BaseException:
        lock.release()
        raise
    return lock


def free_lock(path: Path, lock: FileLock) -> None:
    if lock.is_locked:
        (path / _HOLDER).unlink(missing_ok=True)
        lock.release()


def holder(path: Path) -> str:
    """Who writes to the index in a folder, in words."""
    try:
        who = json.loads((path / _HOLDER).read_bytes())
        return f"process {who['pid']} on {who['host']} (since {who['since']})"
    except (OSError, ValueError, TypeError, KeyError):
        return "another process"
