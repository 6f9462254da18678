"""The lists of the same people from two generations, side by side."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass

import numpy as np

from crossrec_llm.comparing import compare
from crossrec_llm.evaluation.measures import Interval, bootstrap
from crossrec_llm.recommender import Recommender
from crossrec_llm.records import Progress, Recommendations

MOVERS = 10
"""So many people and items that move most are named."""


@dataclass(frozen=True)
class UserMove:
    """How much of a person's list stays: overlap@k, and how many items are others."""

    user_id: str
    overlap: float
    gone: int


@dataclass(frozen=True)
class ItemMove:
    """In how many lists an item is, and how many places it gains over all of them.

    places : a list of k gives its first item k places, its last one 1, what is not in it 0.
    """

    item_id: str
    title: str
    before: int
    after: int
    places: int


@dataclass(frozen=True)
class BridgeShare:
    """Of the lists of people at home in one top category, the share that has something of another.

    lists : how many people are at home there.
    """

    home: str
    target: str
    lists: int
    before: float
    after: float


@dataclass(frozen=True, eq=False)
class Lists:
    """The lists of the same people before and after."""

    people: list[str]
    before: list[Recommendations]
    after: list[Recommendations]
    k: int
    milliseconds: tuple[float, float]

    @classmethod
    def ask(
        cls,
        before: Recommender,
        after: Recommender,
        users: int,
        k: int,
        seed: int,
        progress: Progress | None,
    ) -> Lists:
        """Ask both about a sample of those who have a profile in both."""
        known = set(after.generation.users.ids)
        there = [user_id for user_id in before.generation.users.ids if user_id in known]
        rng = np.random.default_rng(seed)
        drawn = np.sort(rng.permutation(len(there))[:users])
        people = [there[u] for u in drawn]
        for one in (before, after) if people else ():
            one.for_user(people[0], k, explain=False)  # what is loaded lazily is loaded now
        lists: tuple[list[Recommendations], list[Recommendations]] = ([], [])
        spent: tuple[list[float], list[float]] = ([], [])
        for n, user_id in enumerate(people):
            for side in ((0, 1), (1, 0))[n % 2]:  # neither is always the first
                started = time.perf_counter()
                answer = (before, after)[side].for_user(user_id, k, explain=False)
                spent[side].append(1000 * (time.perf_counter() - started))
                lists[side].append(answer)
            if progress:
                progress("compare lists", n + 1, len(people))
        p50 = tuple(float(np.median(times)) if times else 0.0 for times in spent)
        return cls(people, *lists, k, (p50[0], p50[1]))

    @property
    def _pairs(self) -> list[tuple[Recommendations, Recommendations]]:
        return list(zip(self.before, self.after, strict=True))

    def overlap(self, seed: int) -> Interval | None:
        shares = np.array([compare(*pair).overlap for pair in self._pairs])
        return bootstrap(shares, seed=seed) if len(shares) else None

    @property
    def same(self) -> float:
        if not self.people:
            return 0.0
        return sum(compare(*pair).same for pair in self._pairs) / len(self.people)

    def movers(self) -> tuple[UserMove, ...]:
        moves = []
        for user_id, pair in zip(self.people, self._pairs, strict=True):
            sides = compare(*pair)
            moves.append(UserMove(user_id, sides.overlap, len(sides.gone)))
        moves.sort(key=lambda move: (move.overlap, move.user_id))
        return tuple(move for move in moves[:MOVERS] if move.overlap < 1)

    def items(self, *, gained: bool) -> tuple[ItemMove, ...]:
        lists: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
        places: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
        titles = {}
        for side, answers in enumerate((self.before, self.after)):
            for answer in answers:
                for one in answer:
                    lists[side][one.item_id] += 1
                    places[side][one.item_id] += self.k + 1 - one.rank
                    titles[one.item_id] = one.title
        moves = [
            ItemMove(
                item_id, title, lists[0][item_id], lists[1][item_id],
                places[1][item_id] - places[0][item_id],
            )
            for item_id, title in titles.items()
        ]  # fmt: skip
        sign = -1 if gained else 1
        moves.sort(key=lambda move: (sign * move.places, move.item_id))
        return tuple(move for move in moves[:MOVERS] if sign * move.places < 0)

    @property
    def crossing(self) -> tuple[float, float]:
        if not self.people:
            return 0.0, 0.0
        was, now = (
            sum(any(one.cross for one in answer) for answer in answers) / len(self.people)
            for answers in (self.before, self.after)
        )
        return was, now

    def bridges(self) -> tuple[BridgeShare, ...]:
        homes: Counter[str] = Counter()
        lists: tuple[Counter[tuple[str, str]], Counter[tuple[str, str]]] = (Counter(), Counter())
        for pair in self._pairs:
            # The same people: at home where they were before.
            at_home = pair[0].query["home"]
            homes.update(at_home)
            for side, answer in enumerate(pair):
                reached = {
                    one.item.category[0] for one in answer if one.cross and one.item.category
                }
                lists[side].update((home, target) for home in at_home for target in reached)
        shares = [
            BridgeShare(
                home, target, homes[home],
                lists[0][home, target] / homes[home], lists[1][home, target] / homes[home],
            )
            for home, target in sorted({*lists[0], *lists[1]})
        ]  # fmt: skip
        return tuple(sorted(shares, key=lambda one: -one.lists * abs(one.after - one.before)))
