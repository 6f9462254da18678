"""The short forms of scripts/faults; the long ones are run by hand."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"
TESTS = sorted(
    path.stem for path in (SCRIPTS / "durability").glob("*.py") if not path.stem.startswith("_")
)


def faults(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, SCRIPTS / "faults.py", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.alone
@pytest.mark.parametrize("name", TESTS)
def test_short_form(name: str) -> None:
    done = faults(name, "--short", "--json")
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    document = json.loads(done.stdout)
    assert document["seed"] == 7
    assert document["figures"][name]
    assert all(bar["met"] for bar in document["bars"].values())


def test_a_test_that_is_not_there() -> None:
    done = faults("rats")
    assert done.returncode == 2
    assert "no test rats" in done.stderr
