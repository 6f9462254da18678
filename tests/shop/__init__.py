"""An invented shop whose right answers are obvious.

Five categories, and themes that run across them: whoever buys tomato seeds wants the book about
them too. Users follow one or two themes; what a good recommender says about them can be guessed.
Everything is seeded: two calls give equal tables.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet

from tests.shop.goods import GOODS, Good

DAY = 86_400.0
START = 1_704_067_200.0  # 2024-01-01 UTC
DAYS = 365
N_USERS = 60
SEED = 20240101

THEMES: tuple[str, ...] = tuple(dict.fromkeys(good.theme for good in GOODS))
CATEGORIES: tuple[str, ...] = tuple(dict.fromkeys(good.category[0] for good in GOODS))
# How often an event of this kind happens to an item that a user likes.
KINDS = (("view", 0.5), ("cart", 0.15), ("purchase", 0.35))


def items() -> pa.Table:
    """One row an item: item_id, title, description, category, brand, price, available, added."""
    rows = [
        {
            "item_id": good.item_id,
            "title": good.title,
            "description": good.description,
            "category": " > ".join(good.category),
            "brand": good.brand,
            "price": good.price,
            "available": good.available,
            "added": START + DAY * (DAYS - 7 if good.is_new else -30.0 * (number % 12)),
        }
        for number, good in enumerate(GOODS)
    ]
    types = {"price": pa.float64(), "available": pa.bool_(), "added": pa.float64()}
    schema = pa.schema([(name, types.get(name, pa.string())) for name in rows[0]])
    return pa.Table.from_pylist(rows, schema=schema)


def interactions() -> pa.Table:
    """One row an event: user_id, item_id, timestamp (epoch s), event, value; in time order."""
    rng = random.Random(SEED)
    rows = [row for number in range(N_USERS) for row in _history(number, rng)]
    rows.sort(key=lambda row: (row["timestamp"], row["user_id"], row["item_id"]))
    types = {"timestamp": pa.float64(), "value": pa.float64()}
    schema = pa.schema([(name, types.get(name, pa.string())) for name in rows[0]])
    return pa.Table.from_pylist(rows, schema=schema)


def user_themes(user_id: str) -> tuple[str, ...]:
    """The one or two themes that the user follows."""
    number = int(user_id.removeprefix("u"))
    first = THEMES[number % len(THEMES)]
    if number % 3:
        return (first,)
    return (first, THEMES[(number + 1 + number // len(THEMES)) % len(THEMES)])


def stays_home(user_id: str) -> bool:
    """Whether the user is only ever seen in the category where their theme is strongest."""
    return int(user_id.removeprefix("u")) % 6 == 1


def of_theme(theme: str) -> list[Good]:
    return [good for good in GOODS if good.theme == theme]


def home_category(theme: str) -> str:
    """The top category with most items of the theme; the first in the shop's order if tied."""
    tops = [good.category[0] for good in of_theme(theme)]
    return max(CATEGORIES, key=tops.count)


def write(folder: Path, format: Literal["csv", "jsonl", "parquet"] = "csv") -> tuple[Path, Path]:
    """Write both tables to `folder` and say where: (items, interactions)."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = (folder / f"items.{format}", folder / f"interactions.{format}")
    for path, table in zip(paths, (items(), interactions()), strict=True):
        if format == "csv":
            pa_csv.write_csv(table, path)
        elif format == "parquet":
            pa_parquet.write_table(table, path)
        else:
            lines = (json.dumps(row, ensure_ascii=False) for row in table.to_pylist())
            path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return paths


def _history(number: int, rng: random.Random) -> list[dict[str, str | float | None]]:
    user_id = f"u{number}"
    themes = user_themes(user_id)
    liked = [good for theme in themes for good in of_theme(theme) if not good.is_new]
    if stays_home(user_id):
        liked = [good for good in liked if good.category[0] == home_category(themes[0])]
    rng.shuffle(liked)
    moment = START + DAY * rng.randrange(DAYS // 2)
    rows = []
    for good in liked[: rng.randint(4, 9)]:
        moment += DAY * rng.uniform(0.5, 18.0)
        event = rng.choices([k for k, _ in KINDS], [w for _, w in KINDS])[0]
        value = float(rng.randint(1, 3)) if event == "purchase" else None
        rows.append(_row(user_id, good, moment, event, value))
    if number % 5 == 2:  # a dislike, of something far from what they follow
        others = [good for good in GOODS if good.theme not in themes and not good.is_new]
        rows.append(_row(user_id, rng.choice(others), moment + DAY, "dislike", None))
    return rows


def _row(
    user_id: str, good: Good, moment: float, event: str, value: float | None
) -> dict[str, str | float | None]:
    return {
        "user_id": user_id,
        "item_id": good.item_id,
        "timestamp": float(round(moment)),
        "event": event,
        "value": value,
    }
