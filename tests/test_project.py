"""The project as a whole: what it says of itself, what lies in it, what importing it costs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LARGEST = 1_000_000  # bytes
HEAVY = {"torch", "sentence_transformers", "transformers", "chromadb", "pandas"}

# In pieces, so that this file does not hold what it looks for.
REGISTRIES = tuple(
    name + "." + end
    for name, end in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("npmjs", "org"),
        ("npmjs", "com"),
        ("download.pytorch", "org"),
        ("deb.debian", "org"),
    )
)
OUTSIDE = ".." + "/shared"
FOLDERS = r"(?:home|Users|root|work|farm|opt|mnt|tmp/\w+)"
# "somebody" and "you" are nobody's home.
MACHINE_PATH = re.compile(rf"(?<![\w.~-])/{FOLDERS}/(?!somebody\b|you\b)\w")


def own_files() -> list[Path]:
    """What git tracks, and what it would track."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    paths = [ROOT / name for name in listed.split("\0") if name]
    return [path for path in paths if path.is_file()]


def test_changelog_starts_with_the_version_of_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    top = re.search(r"^## (\S+)", changelog, flags=re.MULTILINE)
    assert top is not None
    assert top[1] == project["version"] == version("crossrec-llm")


def test_the_oldest_chroma_that_is_allowed_is_the_one_that_is_tested():
    """Where this is to be another one, .ci/run has to run tests/store against both."""
    allowed = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    oldest = re.search(r'"chromadb>=([\d.]+),', allowed)
    tested = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert oldest is not None
    assert f"chromadb=={oldest[1]}\n" in tested


def test_no_file_names_a_registry_or_a_path_of_one_machine():
    for path in own_files():
        text = path.read_bytes().decode("utf-8", errors="replace")
        for word in (*REGISTRIES, OUTSIDE):
            assert word not in text, f"{path}: {word}"
        found = MACHINE_PATH.search(text)
        assert found is None, f"{path}: {found and found[0]}"


def test_no_file_is_large():
    large = [path for path in own_files() if path.stat().st_size > LARGEST]
    assert not large


def test_every_script_is_told_of_and_can_be_run():
    told = "".join((ROOT / name).read_text("utf-8") for name in ("README.md", "CONTRIBUTING.md"))
    scripts = [path for path in (ROOT / "scripts").iterdir() if path.is_file()]
    assert len(scripts) >= 4
    for script in scripts:
        assert f"scripts/{script.name}" in told, script.name
        if script.suffix == "":
            assert os.access(script, os.X_OK), script.name


@pytest.mark.parametrize(
    "arguments", [["-c", "import crossrec_llm"], ["-m", "crossrec_llm", "--help"]]
)
def test_importing_and_help_load_nothing_heavy(arguments):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    loaded = {
        line.rsplit("|", 1)[1].strip().split(".")[0]
        for line in done.stderr.splitlines()
        if line.startswith("import time:")
    }
    assert "crossrec_llm" in loaded
    assert not loaded & HEAVY
