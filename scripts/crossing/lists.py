"""What lists are like: more distance for the same accuracy, and shares kept exactly."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from crossrec_llm import Filter, Recommender
from crossrec_llm.evaluation import measures
from crossrec_llm.evaluation.lists import Describer
from crossrec_llm.evaluation.protocols import split
from crossrec_llm.evaluation.systems import CaseTable, places
from crossrec_llm.generation import Generation
from crossrec_llm.store import Index
from crossrec_llm.tables import Histories
from crossrec_llm.training import fit

K = 10
PEOPLE = 3  # times as many for the frontier, whose loss has to be told to a percent
DIVERSITIES = (0.0, 0.1, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.7)
MOST_LOSS = 0.05

MORE_DISTANCE = "more intra-list distance at 5 % loss of ndcg@10"
SHARES = "cross shares within 1 / k, or a stated shortfall"


def measure(index: Path, n: int, seed: int) -> dict[str, float]:
    """The frontier of diversity over 3 n people, and n cross shares."""
    points = list(frontier(*without_last(index, PEOPLE * n, seed)))
    found = {}
    for diversity, ndcg, distance in points:
        found[f"diversity {diversity:g}: ndcg@10"] = ndcg
        found[f"diversity {diversity:g}: intra-list distance"] = distance
    with Recommender.open(index) as recommender:
        kept = exact_shares(recommender, n, seed)
    return found | {MORE_DISTANCE: more_distance(points), SHARES: kept}


def without_last(index: Path, n: int, seed: int) -> tuple[Recommender, CaseTable, Describer]:
    """The system fitted without the last item of everybody, and so many people to ask for it."""
    with Index.open(index) as opened:
        built, events = Generation.load(opened.generation), opened.ledger.events()
    parts = split("warm", built.catalogue, events, built.histories, seed=seed)
    fitted = fit(built.recipe, built.catalogue, built.raw, parts.events)
    histories = Histories.from_events(parts.events, built.catalogue, fitted.histories)
    people = histories.counts_per_item(len(built.catalogue))
    about = Describer(built.catalogue, built.raw, people, len(histories))
    table = CaseTable.of(built.catalogue, parts.sample(n, seed).cases)
    return Recommender(fitted), table, about


def frontier(
    rec: Recommender, table: CaseTable, about: Describer
) -> Iterator[tuple[float, float, float]]:
    """(diversity as asked, ndcg@10, intra-list distance@10) from none to the most."""
    for diversity in DIVERSITIES:
        lists = np.full((len(table), K), -1, np.int64)
        for c, case in enumerate(table.cases):
            ids = rec.for_history(
                case.history, K, filter=case.filter, diversity=diversity, explain=False
            ).ids
            lists[c, : len(ids)] = table.catalogue.rows(ids)
        ndcg = measures.measure(places(lists, table.targets), table.gains, K)["ndcg"]
        yield diversity, float(ndcg.mean()), float(np.nanmean(about.diversity(lists)))


def more_distance(points: list[tuple[float, float, float]]) -> float:
    """How much more intra-list distance there is at a loss of 5 % of ndcg@10, in parts.

    Between two points of the frontier it is taken to be a straight line; past the last one that
    loses less nothing is assumed.
    """
    _, ndcg, distance = points[0]
    losses = np.maximum.accumulate([1 - value / ndcg for _, value, _ in points])
    gains = [there / distance - 1 for _, _, there in points]
    return float(np.interp(MOST_LOSS, losses, gains))


def exact_shares(rec: Recommender, n: int, seed: int) -> float:
    """Part of n answers whose cross share is within 1 / k of what was asked, or says why not."""
    rng = random.Random(seed)
    kept = 0
    for user in rng.choices(rec.generation.users.ids, k=n):
        k, share = rng.choice((3, 5, 10, 20)), rng.random()
        few = Filter(max_per_category=rng.choice((None, None, 1, 3)))
        answer = rec.for_user(user, k, filter=few, cross_share=share, explain=False)
        got = sum(r.cross for r in answer) / k
        said = answer.shortfall or ""
        kept += (
            abs(got - share) <= 1 / k or "outside the home categories" in said or f"of {k}:" in said
        )
    return kept / n
