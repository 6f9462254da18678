"""The lists that other settings would have given to those who were shown something, then."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from crossrec_llm.errors import NotFound, QueryError
from crossrec_llm.experimenting.offpolicy import Log
from crossrec_llm.filter import Filter
from crossrec_llm.generation import Generation
from crossrec_llm.profiles import Correction
from crossrec_llm.recommender import Recommender
from crossrec_llm.records import Offer, Progress
from crossrec_llm.store import Index, Ledger, Logged

_OTHER = "shown by another generation than the one that answers"
_CHANGED = "of people of whom something else is known of that time than was then"


class _Then(Ledger):
    """The records as they were at a moment: up to a change, with the corrections made by then."""

    change_then = 0
    moment_then = 0.0

    def events_of(self, user_id: str, *, upto: int | None = None) -> pa.Table:
        return super().events_of(user_id, upto=self.change_then if upto is None else upto)

    def corrections_of(self, user_id: str) -> tuple[Correction, ...]:
        made = super().corrections_of(user_id)
        return tuple(one for one in made if one.made <= self.moment_then)


def lists_of(
    index: Path,
    log: Sequence[Logged],
    settings: Mapping[str, Any],
    progress: Progress | None = None,
) -> tuple[list[Logged], list[list[str]], tuple[str, ...]]:
    """For each exposure, the item ids that the index gives by other settings of its recipe.

    It is asked as it was built, without what came live since, so that nothing that it answers by
    had seen an outcome; of each person it knows what was known when the list was shown. Exposures
    for which that cannot be had are left out, and counted in the notes. Nothing is explored.

    Raises
    ------
    RecipeError : a setting is wrong, or cannot be changed without fitting anew.
    """
    kept: list[Logged] = []
    lists: list[list[str]] = []
    left_out: Counter[str] = Counter()
    asked: dict[tuple[str, str, str], list[str] | None] = {}
    with Index.open(index) as opened:
        built = Generation.load(opened.generation)
        generation = built.overlaid(built.recipe.overlaid(settings))
        records = opened.ledger.path
    with _Then.open(records, write=False) as then, Recommender(generation, then) as recommender:
        for done, one in enumerate(log, 1):
            exposure = one.exposure
            if progress is not None:
                progress("ask again", done, len(log))
            if exposure.generation != generation.name:
                left_out[_OTHER] += 1
                continue
            key = (exposure.user_id, exposure.history, json.dumps(exposure.question))
            if key not in asked:
                then.change_then, then.moment_then = exposure.change, exposure.at
                asked[key] = _asked(recommender, one)
            found = asked[key]
            if found is None:
                left_out[_CHANGED] += 1
                continue
            kept.append(one)
            lists.append(found)
    notes = tuple(f"{count:,} exposures left out: {why}" for why, count in left_out.items())
    return kept, lists, notes


def _asked(recommender: Recommender, logged: Logged) -> list[str] | None:
    """The list; None where the person, or what the question names, is not what it was."""
    exposure = logged.exposure
    question = exposure.question
    try:
        answer = recommender.for_user(
            exposure.user_id,
            question["k"],
            filter=Filter(**question["filter"]),
            cross_share=question["cross_share"],
            diversity=question["diversity"],
            explain=False,
        )
    except (NotFound, QueryError):
        return None
    return answer.ids if answer.receipt.history == exposure.history else None


def log_of(log: Sequence[Logged], lists: Sequence[Sequence[str]], outcome: str) -> Log:
    """Exposures and the lists to be judged, as arrays; outcomes of one kind are the rewards."""
    n, k = (
        len(log),
        max([0, *(max(len(ids), _length(one)) for one, ids in zip(log, lists, strict=True))]),
    )
    users = {one.exposure.user_id: 0 for one in log}
    users = {user_id: code for code, user_id in enumerate(users)}
    codes: dict[str, int] = {}
    shown, judged = np.full((n, k), -1, np.int64), np.full((n, k), -1, np.int64)
    rewards, propensities, support = (np.zeros((n, k)) for _ in range(3))
    for row, (one, ids) in enumerate(zip(log, lists, strict=True)):
        offers = {offer.item_id: offer for offer in one.exposure.offers}
        kinds = {offer.rank: offer.kind for offer in one.exposure.shown}
        for offer in one.exposure.shown:
            at = offer.rank - 1
            shown[row, at] = codes.setdefault(offer.item_id, len(codes))
            propensities[row, at] = offer.propensity
            rewards[row, at] = one.outcomes.get((offer.item_id, outcome), 0.0)
        for at, item_id in enumerate(ids):
            judged[row, at] = codes.setdefault(item_id, len(codes))
            support[row, at] = _support(offers.get(item_id), at + 1, kinds.get(at + 1))
    people = np.array([users[one.exposure.user_id] for one in log], np.int64)
    return Log(people, shown, judged, rewards, propensities, support)


def _length(logged: Logged) -> int:
    return max((offer.rank for offer in logged.exposure.offers), default=0)


def _support(offer: Offer | None, rank: int, kind: int | None) -> float:
    """How likely an item was to be shown at a place of a kind; None = none was shown there."""
    if offer is None or offer.kind != kind:
        return 0.0
    return offer.stay if rank == offer.home else offer.elsewhere
