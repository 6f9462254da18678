"""People who stay in one of a few groups of items, so that right answers are obvious."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from tests.small import catalogue_of, events_of, unit_rows

GROUPS, SIZE = 6, 10
N_ITEMS = GROUPS * SIZE


def catalogue():
    """Items i0 ..., each ten in a group; groups take turns in three top categories."""
    return catalogue_of(
        *({"item_id": f"i{i}", "category": [f"C{i // SIZE % 3}"]} for i in range(N_ITEMS))
    )


def raw() -> np.ndarray:
    """(60, 8) float32 unit rows, alike inside a group."""
    centres = unit_rows(GROUPS, 8, seed=1)[np.arange(N_ITEMS) // SIZE]
    rows = centres + 0.3 * unit_rows(N_ITEMS, 8, seed=2)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def events(people: int = 120, *, wander: float = 0.1, seed: int = 0) -> pa.Table:
    """Each person's six items of a group, and in between some of any other."""
    rng = np.random.default_rng(seed)
    histories = []
    for person in range(people):
        mine = rng.permutation(SIZE)[:6] + SIZE * (person % GROUPS)
        any_other = rng.permutation(N_ITEMS)[:6]
        rows = np.where(rng.random(6) < wander, any_other, mine)
        histories.append(list(dict.fromkeys(rows.tolist())))
    return events_of(histories)


def noise(people: int = 150, n_items: int = 300, seed: int = 0) -> pa.Table:
    """People who take six items at random: nothing can be learned from them."""
    rng = np.random.default_rng(seed)
    return events_of([rng.permutation(n_items)[:6].tolist() for _ in range(people)])
