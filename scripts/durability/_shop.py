"""A tiny shop with an encoder that only hashes words: an index of it is built in half a second."""

from __future__ import annotations

import hashlib
import json
import random
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from crossrec_llm import Recommender
from crossrec_llm.meaning import Encoder
from crossrec_llm.recipe import Recipe

DIM = 16
N_ITEMS, N_USERS = 40, 15
_NOUNS = "tea cup lamp shoe book seed rope tent bowl drum"
_KINDS = "red blue small large plain fine"

RECIPE_TOML = """
[blend]
tune = false
[signals.als]
factors = 4
"""
RECIPE = Recipe.from_dict(tomllib.loads(RECIPE_TOML))


def quick_encoder() -> None:
    """Have every Encoder of this process make vectors by hashing words; the model is not loaded."""

    def encode(_: Encoder, texts: list[str], prompt: str, task: str) -> np.ndarray:
        return np.stack([vector_of(prompt + text) for text in texts])

    one = Encoder()
    tokens = one.tokens
    Encoder.fingerprint = hashlib.sha256(b"words, hashed").hexdigest()  # type: ignore[assignment]
    Encoder.dim = DIM  # type: ignore[assignment]
    Encoder.tokens = tokens  # type: ignore[assignment]
    Encoder._encode = encode  # type: ignore[method-assign]


def vector_of(text: str) -> np.ndarray:
    """(DIM,) float32 unit vector: the sum of one random direction a word."""
    total = np.zeros(DIM)
    for word in text.lower().split() or [""]:
        seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "big")
        total += np.random.default_rng(seed).standard_normal(DIM)
    return (total / np.linalg.norm(total)).astype(np.float32)


def items(n: int = N_ITEMS, *, edition: str = "") -> pa.Table:
    """i0 ...; their titles end with the edition."""
    nouns, kinds = _NOUNS.split(), _KINDS.split()
    return pa.Table.from_pylist(
        [
            {
                "item_id": f"i{row}",
                "title": f"{kinds[row % 6]} {nouns[row % 10]} {row} {edition}".strip(),
                "category": f"{'ABC'[row % 3]} > {nouns[row % 10]}",
                "price": 1.0 + row,
            }
            for row in range(n)
        ]
    )


def events(users: int = N_USERS, *, n_items: int = N_ITEMS, seed: int = 0) -> pa.Table:
    """Eight each, of different seconds."""
    rng = random.Random(seed)
    return pa.Table.from_pylist(
        [
            {"user_id": f"u{user}", "item_id": f"i{row}", "timestamp": 1.6e9 + 100 * user + place}
            for user in range(users)
            for place, row in enumerate(rng.sample(range(n_items), 8))
        ]
    )


def answers(index: Path) -> str:
    """What an index says to a few questions, as JSON without the receipts."""
    with Recommender.open(index) as rec:
        said: list[dict[str, Any]] = [
            rec.for_user(user, k=8).to_dict() for user in rec.generation.users.ids[:4]
        ]
        catalogue = rec.catalogue
        there = [id for id, here in zip(catalogue.ids, catalogue.present, strict=True) if here]
        said += [rec.similar(item, k=5).to_dict() for item in (there[11], there[25])]
        said += [rec.like("blue tea cup", k=5).to_dict()]
    return json.dumps([answer["items"] for answer in said], sort_keys=True)
