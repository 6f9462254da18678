"""One writer at a time: the lock of an index, and who holds it."""

from __future__ import annotations

import errno
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, cast

from crossrec_llm.errors import IndexLocked, StoreUnavailable
from crossrec_llm.store.files import disk_errors, is_read_only, write_atomically

if TYPE_CHECKING:
    from filelock import FileLock

LOCK = "lock"
HOLDER = "lock.holder"
_LOOKS = 8  # who took the lock writes down a moment later who that is


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """The lock of an index for a while, without opening it."""
    lock = take_lock(path)
    try:
        yield
    finally:
        free_lock(path, lock)


def require_free(path: Path) -> None:
    """Refuse at once, before anything is read or made, where somebody writes to an index.

    Raises
    ------
    IndexLocked : naming the process that writes.
    """
    if (path / LOCK).exists():
        with locked(path):
            pass


def take_lock(path: Path) -> FileLock:
    """The lock of the operating system, which a process that dies gives back.

    Raises
    ------
    IndexLocked : at once, naming the process that writes.
    StoreUnavailable : the place cannot be written, or its filesystem has no locks. No room to say
        who holds it is no reason.
    """
    from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

    lock = FileLock(path / LOCK, timeout=0, thread_local=False)
    with disk_errors(path):
        try:
            lock.acquire()
        except Timeout as error:
            raise IndexLocked(
                f"{path}: {holder(path)} is writing to this index; wait for it, or stop it and "
                "run the same command again"
            ) from error
        except NotImplementedError as error:
            raise _no_locks(path) from error
        except OSError as error:
            if error.errno in (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP):
                raise _no_locks(path) from error
            if is_read_only(error):
                reason = error.strerror or "no permission"
                raise StoreUnavailable(
                    f"{path}: this index is read-only here ({reason})"
                ) from error
            raise
    if isinstance(
        cast(BaseFileLock, lock), SoftFileLock
    ):  # a mere file, which would outlive whoever made it
        lock.release()
        raise _no_locks(path)
    me = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    try:
        with suppress(StoreUnavailable):  # it is only a label, and a full disk has to be cleared
            (path / HOLDER).unlink(missing_ok=True)
            write_atomically(path / HOLDER, json.dumps(me).encode())
    except BaseException:
        lock.release()
        raise
    return lock


def free_lock(path: Path, lock: FileLock) -> None:
    if lock.is_locked:
        (path / HOLDER).unlink(missing_ok=True)
        lock.release()


def holder(path: Path, looks: int = _LOOKS) -> str:
    """Who writes to the index in a folder, in words; looks again for them to write it down.

    What a process that was killed has left is not taken for its successor's.
    """
    for _ in range(looks):
        if said := _written_down(path):
            return said
        time.sleep(0.02)
    return "another process"


def is_held(path: Path) -> bool:
    """Whether a process that lives has written down that it writes to the index in a folder."""
    return bool(_written_down(path))


def _written_down(path: Path) -> str:
    """Who that is, in words; "" for nobody."""
    try:
        who = json.loads((path / HOLDER).read_bytes())
        if who["host"] != socket.gethostname() or _is_alive(int(who["pid"])):
            return f"process {who['pid']} on {who['host']} (since {who['since']})"
    except (OSError, ValueError, TypeError, KeyError, OverflowError):
        pass
    return ""


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _no_locks(path: Path) -> StoreUnavailable:
    return StoreUnavailable(
        f"{path}: this filesystem has no locks that a process that dies gives back (flock), so two "
        "writers could not be told apart; put the index on a local disk"
    )
