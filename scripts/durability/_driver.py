"""Commands in a child process that can be killed, or whose disk fails at its n-th call.

The process that drives must have been started with the shim (`again`); it forks, so that a child
starts at once, and never opens an index itself.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Literal

SCRIPTS = Path(__file__).resolve().parents[1]
_LIBRARY = "CROSSREC_FAULTS_SHIM"

Mode = Literal["count", "full", "eio", "torn", "kill", "kill torn"]
_MODES: dict[Mode, int] = {"count": 0, "full": 1, "eio": 2, "torn": 3, "kill": 4, "kill torn": 5}

Say = Callable[[str], None]
"""Tells the parent something at once; what was told is kept when the child is killed."""


@dataclass(frozen=True)
class Fault:
    """What happens at the n-th call (from 1) that changes a file below `folder`.

    full : no room from this call on. eio : this call fails. torn : half is written, then it fails.
    kill, "kill torn" : SIGKILL before the call, or when half is written.
    """

    folder: Path
    mode: Mode = "count"
    nth: int = 0


@dataclass(frozen=True)
class Outcome:
    """How a child ended: `code` is negative where a signal ended it.

    said : what it told, line by line; error : its stderr; calls : how many calls changed a file;
    site : the call that was hit, "" where none was.
    """

    code: int
    said: list[str]
    error: str
    calls: int = 0
    site: str = ""

    @property
    def one_clear_line(self) -> bool:
        """As the command line ends where the input or the disk is at fault, or a check says so."""
        return self.code in (1, 2) and "Traceback" not in self.error and bool(self.error.strip())


def memory() -> Path | None:
    """A folder in memory, where there is one: faster, and a kill or a fault is the same there."""
    folder = Path("/dev/shm")  # noqa: S108
    return folder if os.access(folder, os.W_OK) else None


def loaded() -> bool:
    return bool(os.environ.get(_LIBRARY))


def again(
    name: str, *, short: bool, seed: int, n: int | None = None, index: Path | None = None
) -> dict[str, float]:
    """The figures of a test, run by a process with the shim.

    Without a C compiler nothing can be intercepted: says so and ends.
    """
    compiler = shutil.which("cc")
    if compiler is None:
        sys.exit(f"faults {name}: there is no C compiler (cc), which the shim needs")
    with tempfile.TemporaryDirectory(prefix="crossrec-shim-") as folder:
        library = Path(folder, "shim.so")
        source = Path(__file__).with_name("shim.c")
        command = [compiler, "-O1", "-shared", "-fPIC", "-o", library, source, "-ldl"]
        subprocess.run(command, check=True)
        threads = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
        if memory():
            threads["TMPDIR"] = str(memory())
        preload = {"LD_PRELOAD": str(library), _LIBRARY: str(library)}
        words = ["--short"] * short + (["-n", str(n)] if n else [])
        words += ["--index", str(index)] if index else []
        command = [sys.executable, SCRIPTS / "faults.py", name, "--seed", str(seed), "--json"]
        done = subprocess.run(
            [*command, *words],
            env={**os.environ, **threads, **preload, "HF_HUB_OFFLINE": "1"},
            stdout=subprocess.PIPE,
            check=False,
        )
    if not done.stdout:
        sys.exit(f"faults {name}: the driver ended with {done.returncode}")
    figures: dict[str, float] = json.loads(done.stdout)["figures"][name]
    return figures


@cache
def _shim() -> ctypes.CDLL:
    shim = ctypes.CDLL(os.environ[_LIBRARY])
    shim.shim_arm.argtypes = [ctypes.c_char_p, ctypes.c_int, ctypes.c_long]
    shim.shim_calls.restype = ctypes.c_long
    shim.shim_site.restype = ctypes.c_char_p
    return shim


@dataclass
class Child:
    """A running child; `wait` for its outcome, or `kill` it first."""

    pid: int
    _pipe: int
    _error: Path
    _site: Path
    _work: tempfile.TemporaryDirectory = field(repr=False)  # type: ignore[type-arg]

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> Outcome:
        with os.fdopen(self._pipe) as pipe:
            said = pipe.read().splitlines()
        _, status = os.waitpid(self.pid, 0)
        calls, _, site = (self._site.read_text() if self._site.exists() else "").partition(" ")
        error = self._error.read_text(errors="replace")
        self._work.cleanup()
        return Outcome(os.waitstatus_to_exitcode(status), said, error, int(calls or 0), site)


def start(body: Callable[[Say], None], fault: Fault | None = None) -> Child:
    """Run `body` in a child. Its exit code is 0, what SystemExit says, or 70 after a traceback."""
    work = tempfile.TemporaryDirectory(prefix="crossrec-child-")
    error, site = Path(work.name, "stderr"), Path(work.name, "site")
    reader, writer = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        os.close(writer)
        return Child(pid, reader, error, site, work)
    code = 70
    try:
        os.close(reader)
        into = os.open(error, os.O_WRONLY | os.O_CREAT)
        os.dup2(into, 2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if fault is not None:
            how = _MODES[fault.mode]
            _shim().shim_arm(os.fsencode(fault.folder.resolve()), how, fault.nth)
        body(lambda line: _tell(writer, line))
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        if fault is not None:
            _shim().shim_disarm()
            site.write_text(
                f"{_shim().shim_calls()} {_shim().shim_site().decode(errors='replace')}"
            )
        sys.stderr.flush()
        os._exit(code)


def run(body: Callable[[Say], None], fault: Fault | None = None) -> Outcome:
    return start(body, fault).wait()


def rehearse(body: Callable[[Say], None]) -> None:
    """Run something that must succeed, and load here what it loaded, so that no later child has to.

    Raises
    ------
    RuntimeError : what it said when it failed.
    """

    def run_and_tell(say: Say) -> None:
        body(lambda _: None)
        for name in list(sys.modules):
            say(name)

    done = run(run_and_tell)
    if done.code:
        raise RuntimeError(f"what is to be broken could not be made: {done.error}")
    for name in done.said:
        with contextlib.suppress(ImportError):
            import_module(name)


def command(*words: object) -> None:
    """One command of the command line in this process; raises SystemExit where it fails."""
    from crossrec_llm.cli.main import app

    try:
        app([str(word) for word in words])
    except SystemExit as end:
        if end.code:
            raise


def _tell(pipe: int, line: str) -> None:
    os.write(pipe, (line + "\n").encode())
