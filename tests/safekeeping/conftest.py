"""A small index with two generations and live changes, made once with an encoder that hashes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from crossrec_llm import Recommender, add_events, add_items, build
from crossrec_llm.meaning import Encoder
from crossrec_llm.recipe import Recipe
from tests.small import unit_rows

RECIPE = Recipe.from_dict({"blend": {"tune": False}, "signals": {"als": {"factors": 4}}})


@contextmanager
def hashed() -> Iterator[None]:
    """Vectors by a hash of the words, so that no model is run."""

    def encode(_: Encoder, texts: list[str], prompt: str, task: str) -> np.ndarray:
        return np.concatenate([unit_rows(1, 16, sum((prompt + text).encode())) for text in texts])

    tokens = Encoder().tokens
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Encoder, "fingerprint", "ab" * 32)
        patch.setattr(Encoder, "dim", 16)
        patch.setattr(Encoder, "tokens", tokens)
        patch.setattr(Encoder, "_encode", encode)
        yield


@pytest.fixture(scope="module", autouse=True)
def hashing() -> Iterator[None]:
    with hashed():
        yield


def items(edition: str) -> list[dict]:
    nouns = "tea cup lamp shoe book".split()
    return [
        {"item_id": f"i{n}", "title": f"{nouns[n % 5]} {n} {edition}", "category": "AB"[n % 2]}
        for n in range(20)
    ]


def events() -> list[dict]:
    return [
        {"user_id": f"u{u}", "item_id": f"i{(3 * u + 2 * t) % 20}", "timestamp": 1e9 + 100 * u + t}
        for u in range(8)
        for t in range(5)
    ]


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("kept") / "shop"
    with hashed():  # before that of the module
        for edition in ("old", "new"):
            build(items(edition), events(), path, recipe=RECIPE)
        add_items(path, [{"item_id": "live", "title": "paper lantern"}])
        add_events(path, [{"user_id": "u1", "item_id": "live", "timestamp": 1.7e9}])
    return path


@pytest.fixture
def path(built: Path, tmp_path: Path) -> Path:
    """A copy to be written to, as nobody has it open."""
    return shutil.copytree(
        built, tmp_path / "shop", ignore=shutil.ignore_patterns("*-shm", "*-wal")
    )


def answers(path: Path) -> list[dict]:
    with Recommender.open(path) as rec:
        said = [rec.for_user(user, k=6).to_dict()["items"] for user in ("u0", "u1", "u5")]
        return [*said, rec.similar("i3", k=4).to_dict()["items"]]


def active(path: Path) -> Path:
    from crossrec_llm.store import Manifest

    return path / "generations" / Manifest.read(path / "manifest.json").active


def flip(file: Path, at: int | None = None, bit: int = 1) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2 if at is None else at] ^= bit
    file.write_bytes(content)
