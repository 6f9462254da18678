"""What bridges are worth: the precision of jumps, and what a log without any gets."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np
import pyarrow as pa

from crossrec_llm import Filter, Recommender
from crossrec_llm.answering import TOP, make_query
from crossrec_llm.generation import Generation
from crossrec_llm.store import Index
from crossrec_llm.tables import Catalogue
from crossrec_llm.training import (
    HeldOut,
    Lister,
    TuneOptions,
    calibration,
    fit,
    fit_blend,
    hold_out,
)

TUNING = TuneOptions(n_user=1_000)
ONLY_CROSSING = TuneOptions(n_user=0)


def measure(index: Path, n: int, seed: int) -> dict[str, float]:
    """On at most `n` people that nothing was fitted on, of whom one category is hidden."""
    with Index.open(index) as opened:
        built = Generation.load(opened.generation)
        events = opened.ledger.events()
    recipe, catalogue, raw = built.recipe, built.catalogue, np.asarray(built.raw)
    weighing = recipe.histories.fitted(events)
    held = hold_out(catalogue, events, weighing, n_user=n, n_cross=n, seed=seed)
    fitted = fit(recipe, catalogue, raw, held.events, options=TUNING)
    served = Recommender(fitted)
    without = replace(recipe, bridges=replace(recipe.bridges, gate=False))
    figures = _jumps(served, held.cross)
    for words, recommender in (
        ("with the gate", served),
        ("without", Recommender(fitted.asked_by(without))),
    ):
        figures[f"recall@10 of last items {words}"] = _recall(recommender, held.user, Filter())
        crossing = _recall(recommender, held.cross, Filter(cross="only"))
        figures[f"recall@10 across {words}"] = crossing
    pairs = served.bridges()
    figures["pairs"] = len(pairs)
    figures["open pairs"] = sum(pair.open for pair in pairs)
    apart = shuffled(catalogue, events, seed)
    chance = fit_blend(recipe, catalogue, raw, apart, options=ONLY_CROSSING).bridges
    figures["shuffled: pairs that were judged"] = len(chance.pairs)
    names = [name for name in catalogue.top_names if name]
    figures["shuffled: open pairs"] = sum(chance.of(*pair).open for pair in permutations(names, 2))
    return {name: float(value) for name, value in figures.items()}


def _jumps(recommender: Recommender, held: list[HeldOut]) -> dict[str, float]:
    """How far the probability of what is recommended in the hidden category can be believed."""
    lister, tops = Lister(recommender), recommender.catalogue.top_codes
    model = recommender.generation.tuned.bridges.jumps
    probabilities, hits = [], []
    for one in held:
        query = make_query("user", one.history, np.ones(len(one.history)))
        rows = lister.inside(query, int(tops[one.targets[0]]))[:TOP]
        probabilities.append(model.probabilities(lister.features(query, rows)))
        hits.append(np.isin(rows, one.targets))
    found = calibration(np.concatenate(probabilities), np.concatenate(hits))
    return {
        "jumps": len(held),
        "precision": found["precision"],
        "precision at half coverage": found["precision at half"],
        "precision at half coverage, ratio": found["precision at half"] / found["precision"],
        "expected calibration error": found["ece"],
    }


def _recall(recommender: Recommender, held: list[HeldOut], filter: Filter) -> float:
    ids, values = recommender.catalogue.ids, []
    for one in held:
        answer = recommender.for_history([ids[row] for row in one.history], filter=filter)
        found = recommender.catalogue.rows(answer.ids)
        values.append(np.isin(one.targets, found).mean())
    return float(np.mean(values))


def shuffled(catalogue: Catalogue, events: pa.Table, seed: int) -> pa.Table:
    """The log with what people took in each top category given to somebody else who took there."""
    rng = np.random.default_rng(seed)
    rows = catalogue.rows(events["item_id"])
    tops = np.where(rows >= 0, catalogue.top_codes[rows], -1)
    users = np.array(events["user_id"].to_pylist(), object)
    dealt = users.copy()
    for code in range(len(catalogue.top_names)):
        there = tops == code
        people, who = np.unique(users[there].astype(str), return_inverse=True)
        dealt[there] = rng.permutation(people)[who]
    at = events.schema.get_field_index("user_id")
    return events.set_column(at, "user_id", pa.array(dealt, pa.string()))
