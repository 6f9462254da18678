"""What every test can ask for."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest
from hypothesis import settings

from crossrec_llm import Recipe
from tests import shop

# Read when the packages are imported, so they are set before any test is: nothing is fetched at run
# time, and no index of the person at the keyboard is touched.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.pop("CROSSREC_INDEX", None)

ANSI = re.compile(r"\x1b\[[0-9;]*m")

# A time limit for one example says more about the machine than about the code.
settings.register_profile("crossrec", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("crossrec")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With several workers, those of a file go to one, which makes its fixtures once.

    One that is `alone` goes wherever there is room, and first: what is long and last keeps all
    others waiting. Those of a browser are last: Playwright keeps a loop running in the thread of
    the tests, in which nothing else that needs one can run.
    """
    for item in items:
        if not item.get_closest_marker("alone"):
            item.add_marker(pytest.mark.xdist_group(item.nodeid.split("::")[0]))
    items.sort(
        key=lambda item: (
            "browser" in getattr(item, "fixturenames", ()),
            item.get_closest_marker("alone") is None,
        )
    )


def pytest_report_header() -> str:
    """The traps of Chroma are those of a version: say of which."""
    return f"chromadb {version('chromadb')}"


@pytest.fixture(scope="session")
def shop_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the invented shop as items.csv and interactions.csv; not to be written to."""
    folder = tmp_path_factory.mktemp("shop")
    shop.write(folder, "csv")
    return folder


@pytest.fixture(scope="session")
def shop_index(shop_files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The invented shop, built with the real model; not to be written to."""
    from crossrec_llm import build

    index = tmp_path_factory.mktemp("index") / "shop"
    build(shop_files / "items.csv", shop_files / "interactions.csv", index)
    return index


@pytest.fixture(scope="session")
def tiny_made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Recipe]:
    """The invented shop built with a random model, which is quick; not to be written to."""
    from tests.small_index import build_tiny, tiny_recipe

    folder = tmp_path_factory.mktemp("tiny")
    recipe = tiny_recipe(folder)
    build_tiny(folder / "index", recipe)
    return folder / "index", recipe


@pytest.fixture
def tiny(tiny_made: tuple[Path, Recipe], tmp_path: Path) -> tuple[Path, Recipe]:
    """The same, to be written to, and its recipe."""
    return shutil.copytree(tiny_made[0], tmp_path / "tiny"), tiny_made[1]


@pytest.fixture
def index(shop_index: Path, tmp_path: Path) -> Path:
    """The same, to be written to."""
    return shutil.copytree(shop_index, tmp_path / "index")


@pytest.fixture
def crossrec(
    shop_index: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str, str]]:
    """Runs the command on the shop's index; gives (exit code, stdout, stderr)."""
    from typer.testing import CliRunner

    from crossrec_llm.cli.main import app

    monkeypatch.setenv("CROSSREC_INDEX", str(shop_index))

    def run(*words: object) -> tuple[int, str, str]:
        result = CliRunner().invoke(app, [str(word) for word in words])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, ANSI.sub("", result.stdout), result.stderr

    return run


@pytest.fixture(scope="session")
def walled_index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny index with a wall around Games; not to be written to."""
    from tests.small_index import build_tiny, tiny_recipe

    folder = tmp_path_factory.mktemp("walled")
    build_tiny(folder / "index", tiny_recipe(folder, histories={"walls": ["Games"]}))
    return folder / "index"
