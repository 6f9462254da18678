"""A tiny index that is built in a moment: a random model of 32 dimensions, no blend fitted."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from crossrec_llm import Recipe, build
from crossrec_llm.builder import BuildReport
from crossrec_llm.store import Manifest
from tests import shop
from tests.meaning.conftest import write_model


def tiny_recipe(folder: Path, **tables: dict[str, object]) -> Recipe:
    """The default one with a random model in `folder`, which is made once, and no tuning."""
    model = folder / "model"
    if not model.exists():
        write_model(model)
    settings = {"encoder": {"model": str(model)}, "blend": {"tune": False}, **tables}
    return Recipe.from_dict(settings)


def build_tiny(index: Path, recipe: Recipe) -> BuildReport:
    return build(shop.items(), shop.interactions(), index, recipe=recipe)


def resealed(path: Path, change: Callable[[dict], object]) -> None:
    """The active generation as if it had been published with other checksums."""
    manifest = Manifest.read(path / "manifest.json")
    file = path / "generations" / manifest.active / "generation.json"
    sealed = json.loads(file.read_bytes())
    change(sealed["files"])
    file.write_bytes(json.dumps(sealed).encode())
    record = replace(manifest.current, seal=hashlib.sha256(file.read_bytes()).hexdigest())
    replace(manifest, generations={**manifest.generations, manifest.active: record}).write(
        path / "manifest.json"
    )
