"""Whether reasons hold: they add up, counterfactuals come true, who is named first matters."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from crossrec_llm import Filter, Reason, Recommendation, Recommender
from crossrec_llm.comparing import counterfactual, first_named
from crossrec_llm.profiles import Correction
from crossrec_llm.records import Explain
from crossrec_llm.tables import Histories

CLOSE = 1e-4
NAMED = 3  # history items of a list whose counterfactual is claimed, as `--explain` does


class LedgerWithout:
    """A ledger in which one item never happened, and nobody corrected anything."""

    def __init__(self, recommender: Recommender, item_id: str) -> None:
        self._ledger, self._item_id = recommender.ledger, item_id

    def events_of(self, user_id: str) -> pa.Table:
        events = self._ledger.events_of(user_id)
        return events.filter(pc.not_equal(events["item_id"], self._item_id))

    def corrections_of(self, user_id: str) -> list[Correction]:
        return []


def measure(index: Path, n: int, seed: int) -> dict[str, float]:
    """Figures of an index, each over n of what it counts, where there are so many.

    "first-named ..." counts wins of the item that a reason names first: the recommended item's
    score falls further without it than without another item of the same history. Both are
    answered anew, candidates and their mean and spread included. A tie is no win;
    where nothing can be recommended across categories there is no such figure.
    """
    with Recommender.open(index) as recommender:
        rng = np.random.default_rng(seed)
        found = {
            "reasons add up": _adding_up(recommender, n, rng),
            "counterfactual claims that hold": _claims(recommender, n, rng),
        }
        for words, filter in (("", Filter()), (", across", Filter(cross="only"))):
            if wins := _first_named(recommender, n, rng, filter):
                found[f"first-named beats a random one{words}"] = float(np.mean(wins))
        return found | _milliseconds(recommender, min(n, 200), rng)


def _people(recommender: Recommender, n: int, rng: np.random.Generator) -> Iterator[str]:
    """So many people who have a profile, each once as long as there are others."""
    ids = recommender.generation.users.ids
    for start in range(0, n, len(ids)):
        for at in rng.permutation(len(ids))[: n - start]:
            yield ids[at]


def _adding_up(recommender: Recommender, n: int, rng: np.random.Generator) -> float:
    """Share of answers in which all contributions add up to all scores."""
    filters = [Filter(), Filter(cross="only"), Filter(new_share=0.2)]
    good = [
        all(abs(sum(c.value for c in r.contributions) - r.score) <= CLOSE for r in answer)
        for turn, user_id in enumerate(_people(recommender, n, rng))
        for answer in [recommender.for_user(user_id, filter=filters[turn % 3], explain="full")]
    ]
    return float(np.mean(good))


def _claims(recommender: Recommender, n: int, rng: np.random.Generator) -> float:
    """Share of "drops out" and "comes" that a recommender finds whose log lacks the item."""
    held: list[bool] = []
    for user_id in _people(recommender, n, rng):
        answer = recommender.for_user(user_id)
        for item_id in first_named(answer)[:NAMED]:
            claim = counterfactual(recommender, answer, [item_id]).comparison
            other = Recommender(recommender.generation, LedgerWithout(recommender, item_id))  # type: ignore[arg-type]
            real = set(other.for_user(user_id, filter=Filter(exclude=(item_id,))).ids)
            held += [place.item_id not in real for place in claim.gone]
            held += [place.item_id in real for place in claim.new]
        if len(held) >= n:
            break
    return float(np.mean(held[:n]))


def _first_named(
    recommender: Recommender, n: int, rng: np.random.Generator, filter: Filter
) -> list[bool]:
    """Of recommendations, whether they lose more by the item named first than by another one."""
    wins: list[bool] = []
    for user_id in _people(recommender, 4 * n, rng):
        history = _history(recommender, user_id)
        answer = recommender.for_user(user_id, filter=filter)
        named = [(r.item_id, x.item_id) for r in answer for x in _of_history(r)[:1]]
        if named and len(history) > 1:
            item_id, first = named[int(rng.integers(len(named)))]
            other = str(rng.choice([one for one in history if one != first]))
            pinned = replace(filter, pin=(item_id,))
            less, more = (
                recommender.for_user(user_id, 1, filter=pinned, without=[one])[0].score
                for one in (first, other)
            )
            wins.append(less < more)
        if len(wins) == n:
            break
    return wins


def _history(recommender: Recommender, user_id: str) -> list[str]:
    """Ids of what the person wanted, oldest first."""
    events = recommender.ledger.events_of(user_id)
    histories = Histories.from_events(
        events, recommender.catalogue, recommender.generation.histories
    )
    rows, weights, _ = histories.history(0)
    return [recommender.catalogue.ids[row] for row in rows[weights > 0]]


def _of_history(r: Recommendation) -> list[Reason]:
    return [reason for reason in r.reasons if reason.item_id is not None]


def _milliseconds(recommender: Recommender, n: int, rng: np.random.Generator) -> dict[str, float]:
    """Median milliseconds of an answer without reasons, with them, and with the whole account."""
    ways: dict[str, Explain] = {"no reasons": False, "reasons": True, "the account": "full"}
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for user_id in _people(recommender, n, rng):
        for name, explain in ways.items():
            start = time.perf_counter()
            recommender.for_user(user_id, explain=explain)
            taken[name].append(1000 * (time.perf_counter() - start))
    return {f"ms with {name}": float(np.median(taken[name])) for name in ways}
