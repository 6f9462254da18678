"""A wheel holds the package, its recipes and its templates, and nothing that was built."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# What stands in a checkout of somebody who works with it, and must never be packed.
DECOYS = (
    "index/store/x/manifest.json",
    "index/store/x/recipe.toml",
    "index/store/x/README.md",
    "data/items.parquet",
    "crossrec_llm/__pycache__/errors.cpython-311.pyc",
)


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the sdist of a copy of this checkout, decoys added."""
    copy = tmp_path_factory.mktemp("checkout")
    # Without .gitignore: the lists in pyproject.toml have to do it alone.
    wanted = "crossrec_llm index prompts tests scripts docs pyproject.toml README.md LICENSE"
    skip = shutil.ignore_patterns("__pycache__", ".*")
    skip_built = shutil.ignore_patterns("store")
    for source in (ROOT / name for name in wanted.split()):
        if source.is_dir():
            built = source.name == "index"
            shutil.copytree(source, copy / source.name, ignore=skip_built if built else skip)
        elif source.exists():
            shutil.copy(source, copy)
    for decoy in DECOYS:
        (copy / decoy).parent.mkdir(parents=True, exist_ok=True)
        (copy / decoy).write_text("{}")
    out = tmp_path_factory.mktemp("dist")
    for target in ("wheel", "sdist"):
        command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(out)]
        done = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    return out


def names_in_wheel(folder: Path) -> set[str]:
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_wheel_has_all_of_the_package_and_its_data(packed):
    names = names_in_wheel(packed)
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "crossrec_llm").rglob("*.py")}
    assert modules <= names
    assert "crossrec_llm/py.typed" in names
    assert "crossrec_llm/_data/index/README.md" in names
    assert any(
        name.startswith("crossrec_llm/_data/index/") and name.endswith(".toml") for name in names
    )
    prompts = {f"crossrec_llm/_data/prompts/{path.name}" for path in (ROOT / "prompts").iterdir()}
    assert any(name.endswith(".jinja") for name in prompts)
    assert prompts <= names


def test_the_wheel_has_nothing_else(packed):
    for name in names_in_wheel(packed):
        top, *rest = name.split("/")
        assert top == "crossrec_llm" or top.endswith(".dist-info"), name
        assert "store" not in rest or name.startswith("crossrec_llm/store/"), name
        assert Path(name).suffix not in {".pyc", ".json", ".sqlite", ".arrow", ".parquet"}, name


def test_the_sdist_has_the_sources_and_no_built_index(packed):
    (sdist,) = packed.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    assert {"crossrec_llm/errors.py", "index/README.md", "tests/conftest.py"} <= names
    assert not names & set(DECOYS)


def test_an_unpacked_wheel_finds_its_recipes_and_templates(packed, tmp_path):
    (wheel,) = packed.glob("*.whl")
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    program = (
        "from crossrec_llm.resources import default_folder\n"
        "for kind in ('index', 'prompts'):\n"
        "    folder = default_folder(kind)\n"
        "    print(folder, *sorted(path.name for path in folder.iterdir()))\n"
    )
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=elsewhere,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    index, prompts = done.stdout.splitlines()
    assert index.startswith(str(site))
    assert prompts.startswith(str(site))
    assert ".toml" in index
    assert ".jinja" in prompts
