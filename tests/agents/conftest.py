"""Indexes that assistants ask."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow as pa
import pytest

from crossrec_llm import build
from tests.agents import hostile
from tests.small_index import tiny_recipe


@pytest.fixture(scope="session")
def hostile_index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 items with hostile texts in every field; not to be written to."""
    folder = tmp_path_factory.mktemp("hostile")
    titles = hostile.titles(200)
    rng = random.Random(7)
    items = pa.table(
        {
            "item_id": [f"i{n}" for n in range(len(titles))],
            "title": titles,
            "description": titles[::-1],
            "category": [
                f"{titles[n % 7][:60]} > {titles[n % 20][:60]}" for n in range(len(titles))
            ],
            "brand": [titles[n % 20][:80] for n in range(len(titles))],
        }
    )
    events = [(f"u{u}", f"i{i}") for u in range(40) for i in rng.sample(range(len(titles)), 6)]
    users, taken = zip(*events, strict=True)
    interactions = pa.table({"user_id": users, "item_id": taken, "timestamp": range(len(users))})
    build(items, interactions, folder / "index", recipe=tiny_recipe(folder))
    return folder / "index"
