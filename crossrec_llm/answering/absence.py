"""Why an item is not in a list: read off the very pool, gate and rules that made it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from crossrec_llm.answering.arranging import Arranged
from crossrec_llm.answering.ranking import Ranked, Ranking
from crossrec_llm.answering.rules import Rules
from crossrec_llm.records import Absence, Item


def explain_absence(
    row: int,
    item_of: Callable[[int], Item],
    rules: Rules,
    ranking: Ranking,
    ranked: Ranked,
    arranged: Arranged,
    diversity: float,
) -> Absence:
    """What keeps one item out of a list, or its place in it.

    Of what lies on the other side of a wall it is told that a wall is between, and nothing else:
    neither what the person did with it, nor what would become of it without the wall.

    Parameters
    ----------
    row : of the item.
    ranked, arranged : the pool and the list out of it.
    diversity : that the list was made with.
    """
    item, found = item_of(row), ranked.rows[arranged.positions]
    totals = ranked.totals[arranged.positions]
    last = float(totals.min()) if len(totals) else None
    at = np.flatnonzero(found == row)
    if not len(at) and not rules.allowed[row]:
        return Absence(item, tuple(rules.keeping_out(row)), last=last)
    proposed = bool(np.isin(row, ranked.rows))
    pool = ranked if proposed else _with(row, ranking, ranked)
    score = float(pool.totals[pool.rows == row][0])
    place = 1 + int((pool.totals > score).sum())
    known = Absence(item, (), None, place, len(pool.rows), score, last)
    if len(at):
        return replace(known, rank=int(at[0]) + 1)
    causes = [] if proposed else ["no source proposed it"]
    causes += ranking.gate.notes(np.array([row]))
    below = place > len(found) or not proposed
    causes += _by_rules(row, rules, found, diversity, below=below)
    if below:
        there = "" if last is None else f", the last of the list has {last:.3f}"
        causes.append(f"place {place:,} of {len(pool.rows):,} by its score ({score:.3f}{there})")
    return replace(known, causes=tuple(causes))


def _with(row: int, ranking: Ranking, ranked: Ranked) -> Ranked:
    """The pool and one more item, ranked as the pool was."""
    wider = ranking.rank(np.union1d(ranked.rows, row))
    parts, totals = ranking.gate.exchange(wider.rows, wider.parts, wider.totals)
    return replace(wider, parts=parts, totals=totals)


def _by_rules(
    row: int, rules: Rules, found: np.ndarray, diversity: float, *, below: bool
) -> Iterator[str]:
    """Rules that left it no place; where its score is good enough, all that were in force."""
    full = list(rules.crowding_out(row, found))
    yield from full
    if not full and not below:
        others = [*rules.in_force, *([f"diversity {diversity:g}"] if diversity else [])]
        yield f"others came by {', '.join(others) or 'the places kept for each interest'}"
