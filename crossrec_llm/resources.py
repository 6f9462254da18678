"""Finds the data folders that ship with the package, and the index that is meant."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from crossrec_llm.errors import CrossrecError


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
