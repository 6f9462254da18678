from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import filelock
import pytest

from crossrec_llm.errors import IndexLocked, StoreUnavailable
from crossrec_llm.store.lock import locked

HOLD = """
    import os, sys, time
    from pathlib import Path
    from crossrec_llm.store.lock import take_lock
    lock = take_lock(Path(sys.argv[1]))
    if "fork" in sys.argv and os.fork() == 0:
        time.sleep(60)  # a worker that outlives its parent
    print("taken", flush=True)
    time.sleep(60)
"""


def holding(path: Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", textwrap.dedent(HOLD), str(path), *words]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "taken\n"
    return child


@pytest.mark.parametrize("words", [(), ("fork",)])
def test_the_second_is_refused_and_a_dead_ones_lock_is_free(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    child = holding(tmp_path, *words)
    try:
        started = time.perf_counter()
        with pytest.raises(IndexLocked) as refused, locked(tmp_path):
            pass
        assert time.perf_counter() - started < 5
        assert f"process {child.pid} on {socket.gethostname()} (since 20" in str(refused.value)
        child.kill()
        child.wait()
        assert (tmp_path / "lock.holder").exists()
        with locked(tmp_path):
            assert json.loads((tmp_path / "lock.holder").read_bytes())["pid"] == os.getpid()
        assert not (tmp_path / "lock.holder").exists()
    finally:
        os.killpg(child.pid, signal.SIGKILL) if words else child.kill()
        child.wait()
        assert child.stdout is not None
        child.stdout.close()


@pytest.mark.parametrize("left", [b"", b"{}", b'{"pid": "x"}', b"[]", None])
def test_who_died_is_not_named(tmp_path: Path, left: bytes | None) -> None:
    child = subprocess.Popen(["true"])
    child.wait()
    gone = {"pid": child.pid, "host": socket.gethostname(), "since": "2020"}
    with locked(tmp_path):
        (tmp_path / "lock.holder").write_bytes(json.dumps(gone).encode() if left is None else left)
        with pytest.raises(IndexLocked, match="another process is writing"), locked(tmp_path):
            pass


@pytest.mark.parametrize("how", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, None])
def test_a_filesystem_without_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: int | None
) -> None:
    """A mere file in place of a lock would stay when its maker is killed."""
    if how is None:
        monkeypatch.setattr(filelock, "FileLock", filelock.SoftFileLock)
    else:

        def acquire(_: object) -> None:
            raise OSError(how, "no locks")

        monkeypatch.setattr(filelock.FileLock, "acquire", acquire)
    said = "no locks that a process that dies gives back"
    with pytest.raises(StoreUnavailable, match=said), locked(tmp_path):
        pass
    assert not list(tmp_path.glob("lock.holder"))


@pytest.mark.parametrize("how", [errno.EROFS, errno.EACCES, errno.EPERM])
def test_an_index_that_is_read_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: int
) -> None:
    def acquire(_: object) -> None:
        raise OSError(how, os.strerror(how))

    monkeypatch.setattr(filelock.FileLock, "acquire", acquire)
    with pytest.raises(StoreUnavailable, match="this index is read-only here"), locked(tmp_path):
        pass
