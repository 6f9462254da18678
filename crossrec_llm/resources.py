"""Finds the data folders that ship with the package and the index that is meant; reads TOML."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any, Literal

from crossrec_llm.errors import CrossrecError, RecipeError


def default_folder(kind: Literal["prompts", "index"]) -> Path:
    """The text templates or the recipes: `_data/` inside a wheel, the top level in a checkout.

    Raises
    ------
    CrossrecError : neither is there, so the installation is incomplete.
    """
    package = Path(__file__).parent
    for folder in (package / "_data" / kind, package.parent / kind):
        if folder.is_dir():
            return folder
    raise CrossrecError(f"this installation lacks its {kind}/ folder: reinstall crossrec-llm")


def default_index() -> Path:
    """The index that is meant when none is named: CROSSREC_INDEX, else index/store/default."""
    return Path(os.environ.get("CROSSREC_INDEX") or "index/store/default")


def read_toml(path: Path) -> tuple[str, dict[str, Any]]:
    """The text of a TOML file, and what it says.

    Raises
    ------
    RecipeError : it cannot be read, or is something else.
    """
    try:
        text = path.read_text("utf-8")
        return text, tomllib.loads(text)
    except OSError as error:
        raise RecipeError(str(path), [f"cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise RecipeError(str(path), ["is not UTF-8 text"]) from error
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(str(path), [f"is not TOML: {error}"]) from error
