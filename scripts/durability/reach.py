"""Half of the items removed, 30 % of the rest changed, a build from the records: all are found."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa

from crossrec_llm import build
from crossrec_llm.generation import Generation
from crossrec_llm.kept import open_chroma, recipe_of
from crossrec_llm.store import Index, Ledger, reachability
from durability import _shop

SHORT, LONG = 400, 20_000  # items


def run(
    short: bool, seed: int, n: int | None = None, index: Path | None = None
) -> dict[str, float]:
    """On a shop of n items, or a copy of an index; every item is asked for, no sample."""
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory(prefix="crossrec-reach-") as work:
        place = Path(work, "index")
        if index is None:
            _shop.quick_encoder()
            size = n or (SHORT if short else LONG)
            items = _shop.items(size)
            build(items, _shop.events(size // 4, n_items=size), place, recipe=_shop.RECIPE)
        else:
            shutil.copytree(index, place)
        before, removed, changed = _churn(place, rng)
        with Index.open(place) as opened:
            recipe = recipe_of(opened.generation)
        recipe = dataclasses.replace(recipe, blend=dataclasses.replace(recipe.blend, tune=False))
        report = build(index=place, recipe=recipe)
        unreachable, recalls = _asked(place)
    return {
        "items before": float(before),
        "items removed": float(removed),
        "items changed": float(changed),
        "items after": float(report.items),
        "unreachable at k = 100": float(unreachable),
        "recall@10 of the worst collection": min(recalls),
        "seconds of the build": sum(report.seconds.values()),
        "share of the build that the check takes": report.seconds["verify"]
        / sum(report.seconds.values()),
    }


def _churn(place: Path, rng: np.random.Generator) -> tuple[int, int, int]:
    """Items before, removed, changed."""
    with Ledger.open(place / "records.sqlite", write=True) as ledger:
        items = ledger.items()
        order = rng.permutation(len(items))
        gone, stay = order[: len(items) // 2], order[len(items) // 2 :]
        removed = ledger.remove_items([items["item_id"][int(row)].as_py() for row in gone])
        part = items.take(pa.array(np.sort(stay[: round(0.3 * len(stay))])))
        titles = [f"{title}, revised edition" for title in part["title"].to_pylist()]
        place_of = part.schema.get_field_index("title")
        put = ledger.put_items(part.set_column(place_of, "title", pa.array(titles)))
    return len(items), removed, put.changed


def _asked(place: Path) -> tuple[int, list[float]]:
    """Unreachable vectors in all collections, and the recall@10 of each."""
    with Index.open(place) as opened:
        built = Generation.load(opened.generation)
        named = {
            "items": (built.catalogue.ids, built.vectors),
            "texts": (built.catalogue.ids, built.raw),
            "graph": (built.catalogue.ids, built.signals.graph),
            "users": (built.users.ids, built.users.vectors),
        }
        found = []
        with open_chroma(built.recipe, opened.generation) as chroma:
            for name, (ids, vectors) in named.items():
                if vectors is not None:
                    found.append(reachability(chroma.search(name, ids), np.asarray(vectors)))
    return sum(len(one.unreachable) for one in found), [one.recall_at_10 for one in found]
