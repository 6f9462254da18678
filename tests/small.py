"""Tiny hand-made inputs for unit tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from crossrec_llm.tables import EVENTS_SCHEMA, ITEMS_SCHEMA, Catalogue, Histories, HistoryOptions

N_ITEMS = 12


def unit_rows(n: int, dim: int, seed: int) -> np.ndarray:
    """(n, dim) float32 random unit rows."""
    rows = np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def catalogue_of(*items: dict) -> Catalogue:
    """A catalogue from partial items; what is left out is empty, the title is the id."""
    empty = {
        "description": "",
        "category": [],
        "brand": "",
        "price": None,
        "image_url": "",
        "available": True,
        "added": None,
        "metadata": "{}",
    }
    rows = [{**empty, "title": item["item_id"], **item} for item in items]
    return Catalogue.from_table(pa.Table.from_pylist(rows, schema=ITEMS_SCHEMA))


def plain_catalogue(n: int = N_ITEMS) -> Catalogue:
    """Items i0 ... in two top categories, the even rows in A."""
    return catalogue_of(*({"item_id": f"i{i}", "category": ["AB"[i % 2]]} for i in range(n)))


def events_of(rows: Sequence[Sequence[int]], weights: str = "") -> pa.Table:
    """Events of users u0 ... who took those rows of `plain_catalogue`, one second apart."""
    return pa.Table.from_pylist(
        [
            {
                "user_id": f"u{u}",
                "item_id": f"i{row}",
                "timestamp": float(t),
                "event": weights,
                "value": None,
            }
            for u, history in enumerate(rows)
            for t, row in enumerate(history)
        ],
        schema=EVENTS_SCHEMA,
    )


def histories_of(rows: Sequence[Sequence[int]], n: int = N_ITEMS) -> Histories:
    return Histories.from_events(events_of(rows), plain_catalogue(n), HistoryOptions())
