"""Whether a wall leaves a trace: lists, byte for byte, with and without what is behind it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from crossrec_llm.generation import Generation
from crossrec_llm.recommender import Recommender
from crossrec_llm.records import Recommendations
from crossrec_llm.store import Index, Ledger
from crossrec_llm.tables import Catalogue, Walls
from crossrec_llm.training import not_needed

MOST_PEOPLE = 20_000  # are learned from; more take more than minutes


def measure(index: Path, n: int, seed: int) -> dict[str, float]:
    """The share of people who are told the same, byte for byte.

    A wall is put around the top category with the second most events. All but the blend is fitted
    from all events, and from those outside the wall; people who took something on both sides are
    asked for, out of the truth with everything and the truth without. As a control the index
    itself, which has no wall, is asked with and without what they took there, for the ids alone.

    Parameters
    ----------
    n : people asked, at most.
    seed : of the draws.
    """
    rng = np.random.default_rng(seed)
    with Index.open(index) as opened:
        built = Generation.load(opened.generation)
        events = _some_people(opened.ledger.events(), MOST_PEOPLE, rng)
    catalogue, raw = built.catalogue, np.asarray(built.raw)
    walls = (_second(catalogue, events),)
    around = Walls.of(catalogue, walls)
    outside, inside = around.visible(events), around.visible(events, 0)
    recipe = replace(built.recipe, histories=replace(built.recipe.histories, walls=walls))
    walled = [
        Generation.fit(
            recipe, catalogue, raw, log, without=not_needed(recipe, built.tuned)
        ).blended_by(built.tuned)
        for log in (events, outside)
    ]
    on_both = np.intersect1d(_people(outside), _people(inside))
    asked = rng.permutation(on_both)[:n].tolist()
    logs = [log.filter(pc.is_in(log["user_id"], pa.array(asked))) for log in (events, outside)]
    told = _told(catalogue, walled, logs, asked, lambda answer: json.dumps(answer.to_dict()))
    control = _told(catalogue, [built, built], logs, asked, lambda answer: " ".join(answer.ids))
    return {
        "wall: people asked": float(len(asked)),
        "wall: events behind it": len(inside) / len(events),
        "wall: answers equal byte for byte": _equal(*told),
        "wall: lists equal without a wall": _equal(*control),
    }


def _some_people(events: pa.Table, most: int, rng: np.random.Generator) -> pa.Table:
    drawn = rng.permutation(_people(events))[:most]
    return events.filter(pc.is_in(events["user_id"], pa.array(drawn.tolist())))


def _people(events: pa.Table) -> np.ndarray:
    return np.array(sorted(events["user_id"].unique().to_pylist()), object)


def _second(catalogue: Catalogue, events: pa.Table) -> str:
    """The top category with the second most events."""
    counts = np.bincount(
        catalogue.top_codes[catalogue.rows(events["item_id"])], minlength=len(catalogue.top_names)
    )
    return catalogue.top_names[int(np.argsort(-counts, kind="stable")[1])]


def _told(
    catalogue: Catalogue,
    generations: Sequence[Generation],
    logs: Sequence[pa.Table],
    people: Sequence[str],
    text: Callable[[Recommendations], str],
) -> list[list[str]]:
    """Of each generation and its log, what it tells each person, as a text."""
    found = []
    for generation, log in zip(generations, logs, strict=True):
        with _truth(catalogue, log) as ledger:
            recommender = Recommender(generation, ledger)
            found.append([text(recommender.for_user(person)) for person in people])
    return found


@contextmanager
def _truth(catalogue: Catalogue, events: pa.Table) -> Iterator[Ledger]:
    with (
        tempfile.TemporaryDirectory() as folder,
        Ledger.open(Path(folder) / "records.sqlite", write=True) as ledger,
    ):
        ledger.replace(catalogue.table, events)
        yield ledger


def _equal(one: Sequence[str], two: Sequence[str]) -> float:
    return float(np.mean([a == b for a, b in zip(one, two, strict=True)]))
