from __future__ import annotations

import os
import platform
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import typer
from packaging.requirements import Requirement

from crossrec_llm.cli import show
from crossrec_llm.cli.build import RecipeName
from crossrec_llm.cli.options import Output, Where, command
from crossrec_llm.errors import CrossrecError


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; `fix` is empty when it is fine."""

    what: str
    seen: str
    fix: str = ""


@command
def doctor(where: Where, output: Output, recipe: RecipeName = "default") -> None:
    """Is this machine set up: packages, model, disk, index folder, Chroma.

    Exit code 1 when something needs mending.
    """
    findings = [
        *_machine(),
        *_packages(),
        _disk(where.index),
        *_model(recipe),
        *_index(where.index),
    ]
    healthy = not any(finding.fix for finding in findings)
    if output.json:
        show.print_json({"healthy": healthy, "findings": [asdict(f) for f in findings]})
    else:
        for finding in findings:
            show.say(f"{'!!' if finding.fix else 'ok'}  {finding.what:<22} {finding.seen}")
            if finding.fix:
                show.say(f"    {'':<22} {finding.fix}")
    if not healthy:
        raise typer.Exit(1)


def _machine() -> Iterator[Finding]:
    old = "" if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed"
    yield Finding("python", platform.python_version(), old)
    cores = os.cpu_count() or 1
    yield Finding("machine", f"{platform.machine()}, {cores} cores, {platform.system()}")
    modern = "" if sqlite3.sqlite_version_info >= (3, 35) else "SQLite 3.35 or newer is needed"
    yield Finding("sqlite", sqlite3.sqlite_version, modern)


def _packages() -> Iterator[Finding]:
    needed = [Requirement(text) for text in requires("crossrec-llm") or ()]
    for name in (r.name for r in needed if r.marker is None):
        try:
            yield Finding(name, version(name))
        except PackageNotFoundError:
            yield Finding(name, "not installed", f"pip install {name}")


def _disk(index: Path) -> Finding:
    folder = (
        index
        if index.is_dir()
        else next(p for p in (index.absolute(), *index.absolute().parents) if p.is_dir())
    )
    free = shutil.disk_usage(folder).free / 2**30
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return Finding("disk", f"{folder}: {error.strerror}", f"make {folder} writable")
    low = "" if free >= 2 else "an index of 100,000 items takes about 1 GB; free some space"
    return Finding("disk", f"{free:.1f} GB free, writable", low)


def _model(recipe: str) -> Iterator[Finding]:
    from crossrec_llm.meaning import Encoder
    from crossrec_llm.recipe import Recipe

    try:
        encoder = Encoder(Recipe.load(recipe).encoder)
        verified = encoder.fingerprint[:12]
        yield Finding("model", f"{encoder.id}, {encoder.dim} dimensions, verified ({verified})")
    except CrossrecError as error:
        yield Finding("model", "cannot be used", str(error))


def _index(path: Path) -> Iterator[Finding]:
    from crossrec_llm.errors import IndexMissing
    from crossrec_llm.recommender import Recommender
    from crossrec_llm.store import damage

    try:
        with Recommender.open(path) as recommender:
            generation = recommender.generation
            assert generation.stored is not None
            damaged = damage(generation.stored)
            fix = f"damaged: {', '.join(damaged)}; run `crossrec build` again" if damaged else ""
            seen = f"{path}: {generation.name}, {len(recommender.catalogue):,} items"
            yield Finding("index", seen, fix)
            generation.chroma_search("items")
            yield Finding("chroma", recommender.recipe.store.url or "embedded")
    except IndexMissing:
        yield Finding("index", f"{path}: none yet")
    except CrossrecError as error:
        yield Finding("index or chroma", f"{path}: cannot be used", str(error))
