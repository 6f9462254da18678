"""What several interests bring to joined histories, and what they cost others."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from crossrec_llm import Recommender
from crossrec_llm.evaluation.measures import bootstrap
from crossrec_llm.evaluation.protocols import split
from crossrec_llm.generation import Generation
from crossrec_llm.store import Index
from crossrec_llm.tables import Histories
from crossrec_llm.tables.clock import no_clock

LEAST_ITEMS, MOST_ITEMS, K = 4, 15, 10


def measure(index: Path, n: int, seed: int) -> dict[str, float]:
    """On `n` joined histories and `n` ordinary people of an index.

    A joined history is what two people took in one top category each, not the same: the older
    part of it is of the one, the newer of the other. Ordinary people are those of the protocol
    "temporal", or "warm" where there is no clock; signals are fitted without what it hides, and
    the blend is the index's own, on both sides. Where all is in one category there are no joined
    histories, and no figures of them.
    """
    with Index.open(index) as opened:
        built, events = Generation.load(opened.generation), opened.ledger.events()
    catalogue, rng = built.catalogue, np.random.default_rng(seed)
    histories = Histories.from_events(events, catalogue, built.histories)
    found: dict[str, float] = {}

    joined = list(_joined(histories, catalogue.top_codes, catalogue.no_category, n, rng))
    for words, recommender in _both(built) if joined else ():
        both, told = [], []
        for one, other in joined:
            rows = np.concatenate([one, other])
            answer = recommender.for_history([catalogue.ids[row] for row in rows], K, explain=False)
            tops = catalogue.top_codes[catalogue.rows(answer.ids)]
            both.append(all(catalogue.top_codes[part[0]] in tops for part in (one, other)))
            told.append("interests" in answer.query)
        found[f"joined histories, {words}: both in top {K}"] = float(np.mean(both))
        found[f"joined histories, {words}: several interests"] = float(np.mean(told))

    protocol = "warm" if no_clock(events) else "temporal"
    parts = split(protocol, catalogue, events, built.histories, seed=seed).sample(n, seed)
    fitted = Generation.fit(built.recipe, catalogue, np.asarray(built.raw), parts.events)
    recall = {}
    for words, recommender in _both(fitted.blended_by(built.tuned)):
        answers = [recommender.for_history(c.history, K, explain=False) for c in parts.cases]
        recall[words] = np.array(
            [
                len(set(answer.ids) & set(case.targets)) / len(set(case.targets))
                for answer, case in zip(answers, parts.cases, strict=True)
            ]
        )
        told = ["interests" in answer.query for answer in answers]
        found[f"{protocol}, {words}: recall@{K}"] = float(recall[words].mean())
        found[f"{protocol}, {words}: several interests"] = float(np.mean(told))
    ahead = bootstrap(recall["with"] - recall["without"], seed=seed)
    for bound in ("value", "low", "high"):
        found[f"recall@{K} with interests minus without: {bound}"] = getattr(ahead, bound)
    return found


def _both(generation: Generation) -> Iterator[tuple[str, Recommender]]:
    """With interests as the recipe has them, and with every history as one."""
    recipe = generation.recipe
    whole = dataclasses.replace(recipe.interests, most=1)
    yield "with", Recommender(generation.asked_by(recipe))
    yield (
        "without",
        Recommender(generation.asked_by(dataclasses.replace(recipe, interests=whole))),
    )


def _joined(
    histories: Histories, tops: np.ndarray, no_category: int, n: int, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """At most `n` pairs of what two people took in a top category each, drawn by `rng`.

    Each is the newest `MOST_ITEMS` rows of a drawn category in which there are `LEAST_ITEMS`.
    """
    waiting: np.ndarray | None = None
    for user in rng.permutation(len(histories)):
        rows, weights, _ = histories.history(user)
        rows = rows[weights > 0].astype(np.int64)
        codes, counts = np.unique(tops[rows], return_counts=True)
        codes = codes[(counts >= LEAST_ITEMS) & (codes != no_category)]
        if not len(codes):
            continue
        part = rows[tops[rows] == rng.choice(codes)][-MOST_ITEMS:]
        if waiting is None or tops[part[0]] == tops[waiting[0]]:
            waiting = part if waiting is None else waiting
            continue
        yield waiting, part
        waiting, n = None, n - 1
        if not n:
            return
