"""From a ranked pool to a list: the one pass that keeps every rule, in order of precedence.

1. Pinned items take the first places.
2. Caps (at most n per brand, per category) are never broken; rather is the list shorter.
3. The split across the home categories, or the quotas of categories, are kept exactly.
4. The least share of new items.
5. The places that each interest of the person has at least.
6. What is buried comes only where nothing else fits.
7. What is left is a matter of the score, with boosts, calibration and diversity.

At each place a rule narrows what the ones before it left; one that would leave nothing is passed
over. What the filter keeps out is in no pool. With diversity, what is chosen is then put in order
of relevance, after the pins and before what is buried.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

CALIBRATION_SMOOTHING = 0.01

_NONE = np.empty(0, np.int64)
_UNLIMITED = np.iinfo(np.int64).max


def quota(k: int, share: float) -> int:
    """How many of `k` items a share is; halves go up."""
    return int(np.floor(k * share + 0.5))


def apportion(k: int, shares: Sequence[float]) -> list[int]:
    """How many of `k` items each share is: the largest remainders go up (Hamilton's method)."""
    exact = [k * share for share in shares]
    counts = [int(np.floor(value)) for value in exact]
    left = min(k, quota(k, sum(shares))) - sum(counts)
    by_remainder = sorted(range(len(shares)), key=lambda p: counts[p] - exact[p])
    for part in by_remainder[: max(left, 0)]:
        counts[part] += 1
    return counts


@dataclass(frozen=True, eq=False)
class Cap:
    """At most `most` items of each class; `codes` (n,) int are the classes, below 0 = of none."""

    name: str
    codes: np.ndarray
    most: int

    @property
    def words(self) -> str:
        kind = self.name.removeprefix("max_per_")
        if kind == self.name:
            return f"at most {self.most} by {kind}"
        return f"at most {self.most} per {kind.replace('_', ' ')}"


@dataclass(frozen=True, eq=False)
class Split:
    """Exact shares of the list: part p + 1 gets `shares[p]`, part 0 what is left.

    codes : (n,) int, the part of each item.
    """

    name: str
    codes: np.ndarray
    shares: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Calibration:
    """How near the list comes to the categories of a history.

    lived : (c,) float64, the history's share of each category; they sum to 1.
    codes : (n,) int, place in `lived`; below 0 in none of them.
    strength : 0..1.
    """

    lived: np.ndarray
    codes: np.ndarray
    strength: float


@dataclass(frozen=True, eq=False)
class Floors:
    """Places that each class has at least: class c has `least[c]`.

    codes : (n,) int are the classes, below 0 = of none.
    """

    name: str
    codes: np.ndarray
    least: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Demands:
    """What a list out of a pool of n items must be like; positions are those in the pool.

    pinned : (p,) int64 positions, for the first places in this order; at most k.
    new, buried : (n,) bool, None = none.
    new_share : least share of the list that is `new`.
    floors : places that classes of items have at least, None = none.
    boost : (n,) float32 on top of the relevance (0..1 over the pool), None = nothing.
    """

    pinned: np.ndarray = field(default_factory=lambda: _NONE)
    caps: tuple[Cap, ...] = ()
    split: Split | None = None
    new: np.ndarray | None = None
    new_share: float = 0.0
    floors: Floors | None = None
    buried: np.ndarray | None = None
    boost: np.ndarray | None = None
    calibration: Calibration | None = None

    @property
    def any(self) -> bool:
        given = (self.split, self.new, self.floors, self.buried, self.boost, self.calibration)
        return bool(len(self.pinned) or self.caps or any(x is not None for x in given))


@dataclass(frozen=True, eq=False)
class Arranged:
    """A list: (k,) int64 positions, first to last, and the rules that brought each item in."""

    positions: np.ndarray
    acted: tuple[tuple[str, ...], ...]


def arrange(
    scores: np.ndarray,
    vectors: np.ndarray,
    k: int,
    demands: Demands = Demands(),
    *,
    diversity: float = 0.0,
) -> Arranged:
    """The list, chosen greedily, place by place.

    Each place goes to the best of (1 - d) relevance - d mean cosine to what is chosen: greedy
    max-sum diversification (Borodin et al. 2012), which keeps more accuracy at the same distance
    between the items than maximal marginal relevance, whose cosine is the largest one (measured by
    `scripts/bench crossing`). Relevance is 1 / place in the pool, from 1 on, which is about how
    often people turn out to want what stands there: the same trade in every pool, however its
    scores lie.
    Without diversity it is the score. Boosts add to the score scaled to 0..1 over the pool. With
    calibration of strength c the best of (1 - c) of that - c KL(p, q) is taken, q with the item in
    the list (Steck 2018, eq. 6 and 7). Ties go to the first.

    A rule is said to have brought an item in where, without it, another item would have come.

    Parameters
    ----------
    scores : (n,) float32, the pool's scores.
    vectors : (n, dim) float32 unit rows; not looked at without diversity.
    diversity : d, 0 (relevance only) to 1.
    """
    k = min(k, len(scores))
    if not demands.any and diversity == 0:
        order = np.argsort(-scores, kind="stable")[:k]
        return Arranged(order, ((),) * k)
    return _Pass(scores, vectors, k, demands, diversity).run()


class _Room:
    """How many more items of each class the list has room for.

    Parameters
    ----------
    codes : (n,) int, below 0 = of no class, without a limit.
    left : (classes,) int.
    """

    def __init__(self, codes: np.ndarray, left: Sequence[int] | np.ndarray) -> None:
        self.codes = np.where(codes < 0, len(left), codes)
        self.left = np.append(np.asarray(left, np.int64), _UNLIMITED)

    @classmethod
    def of(cls, cap: Cap) -> _Room:
        """Only the classes that the pool has: a catalogue may have a hundred thousand brands."""
        found, codes = np.unique(cap.codes, return_inverse=True)
        none = int(np.searchsorted(found, 0))
        return cls(codes - none, np.full(len(found) - none, min(cap.most, _UNLIMITED)))

    def fits(self) -> np.ndarray:
        return self.left[self.codes] > 0

    def take(self, position: int) -> None:
        self.left[self.codes[position]] -= 1

    def capacity(self, free: np.ndarray) -> tuple[int, np.ndarray]:
        """How many of the `free` items fit at once, and how many are free in each class."""
        there = np.bincount(self.codes[free], minlength=len(self.left))
        return int(np.minimum(np.maximum(self.left, 0), there).sum()), there

    def spares(self, free: np.ndarray, members: np.ndarray, need: int) -> np.ndarray:
        """(n,) bool: items that can be taken with room left for `need` more of the members.

        Taking an item of a class that the members need to its last place costs one of them.
        """
        capacity, there = self.capacity(free & members)
        if capacity > need:
            return np.ones(len(self.codes), bool)
        return members | (self.left > there)[self.codes]


class _Parts:
    """The places of each part of a split, and those that a part was too small for."""

    def __init__(self, split: Split, k: int) -> None:
        counts = apportion(k, split.shares)
        self.name = split.name
        self.room = _Room(split.codes, [k - sum(counts), *counts])
        self.spare = 0

    @property
    def left(self) -> np.ndarray:
        return self.room.left[:-1]

    def clip(self, free: np.ndarray, caps: Sequence[_Room]) -> None:
        """Places that a part cannot fill are open to all."""
        for part in range(len(self.left)):
            members = free & (self.room.codes == part)
            most = min([int(members.sum()), *(cap.capacity(members)[0] for cap in caps)])
            self.spare += max(int(self.left[part]) - most, 0)
            self.left[part] = min(self.left[part], most)

    def fits(self) -> np.ndarray:
        return self.room.fits() if self.spare == 0 else np.ones(len(self.room.codes), bool)

    def take(self, position: int) -> None:
        part = self.room.codes[position]
        if self.left[part] > 0:
            self.left[part] -= 1
        elif self.spare:
            self.spare -= 1
        else:
            self.left[np.argmax(self.left)] -= 1

    def spares(self, free: np.ndarray, members: np.ndarray, need: int) -> np.ndarray:
        """As of a room; spare places count for every part."""
        open_to_all = _Room(self.room.codes, self.left + self.spare)
        return open_to_all.spares(free, members, need)


class _Pass:
    """One run of the pass: what is chosen so far, and what room it leaves."""

    def __init__(
        self, scores: np.ndarray, vectors: np.ndarray, k: int, demands: Demands, diversity: float
    ) -> None:
        self.vectors, self.demands, self.diversity = vectors, demands, diversity
        self.free = np.ones(len(scores), bool)
        self.chosen: list[int] = []
        self.acted: list[tuple[str, ...]] = []
        self.likeness = np.zeros(len(scores), np.float32)
        self.relevance = self._relevance(scores)
        self.caps = [(cap.name, _Room.of(cap)) for cap in demands.caps]
        calibration = demands.calibration
        self.counts = np.zeros(len(calibration.lived) if calibration else 0)

        pinned = [int(position) for position in demands.pinned[:k]]
        rest = self.free.copy()
        rest[pinned] = False
        rooms = [_Room.of(cap) for cap in demands.caps]
        for room in rooms:
            for position in pinned:
                room.take(position)
        self.k = len(pinned) + min([k - len(pinned), *(room.capacity(rest)[0] for room in rooms)])
        self.parts = _Parts(demands.split, self.k) if demands.split else None
        self.new_left = quota(self.k, demands.new_share) if demands.new is not None else 0
        self.due = np.array(demands.floors.least if demands.floors else (), np.int64)
        for position in pinned:
            self._take(position, ())
        if self.parts:
            self.parts.clip(self.free, rooms)

    def run(self) -> Arranged:
        while len(self.chosen) < self.k:
            best, acted = self._next()
            if best < 0:
                break
            self._take(best, acted)
        places = self._by_relevance() if self.diversity else range(len(self.chosen))
        positions = np.array([self.chosen[at] for at in places], np.int64)
        return Arranged(positions, tuple(self.acted[at] for at in places))

    def _by_relevance(self) -> list[int]:
        """Places of what is chosen, the best first; pins stay, what is buried comes last."""
        pins, buried = min(len(self.demands.pinned), len(self.chosen)), self.demands.buried

        def standing(at: int) -> tuple[bool, float]:
            position = self.chosen[at]
            last = buried is not None and bool(buried[position])
            return last, -float(self.relevance[position])

        return [*range(pins), *sorted(range(pins, len(self.chosen)), key=standing)]

    def _next(self) -> tuple[int, tuple[str, ...]]:
        """The item of the next place and what brought it in; -1 where no cap has room."""
        plain = self._value()
        value = self._calibrated(plain)
        ok = self.free.copy()
        best = int(np.argmax(np.where(ok, value, -np.inf)))
        acted = []
        if self.demands.calibration and best != int(np.argmax(np.where(ok, plain, -np.inf))):
            acted.append("calibration")
        for name, hard, narrow in self._rules():
            narrowed = narrow(ok)
            if not narrowed.any():
                if hard:
                    return -1, ()
                continue
            ok = narrowed
            if not ok[best]:
                best = int(np.argmax(np.where(ok, value, -np.inf)))
                acted.append(name)
        return best, tuple(dict.fromkeys(acted))

    def _rules(self) -> Iterator[tuple[str, bool, Callable[[np.ndarray], np.ndarray]]]:
        """(name, whether it is never broken, what it keeps of what the ones before it left)."""
        for name, cap in self.caps:
            yield name, True, partial(np.logical_and, cap.fits())
        if self.parts:
            yield self.parts.name, False, partial(np.logical_and, self.parts.fits())
            yield self.parts.name, False, self._leaves_parts
        if self.demands.new is not None and self.new_left > 0:
            yield "new_share", False, self._leaves_new
        if self.demands.floors:
            yield self.demands.floors.name, False, partial(self._leaves_due, self.demands.floors)
        if self.demands.buried is not None:
            yield "bury", False, partial(np.logical_and, ~self.demands.buried)

    def _open(self) -> np.ndarray:
        """(n,) bool, what could still be taken as far as caps go."""
        return np.logical_and.reduce([self.free, *(cap.fits() for _, cap in self.caps)])

    def _leaves_parts(self, ok: np.ndarray) -> np.ndarray:
        """What leaves, under every cap, enough for each part of the split."""
        assert self.parts
        free, codes = self._open(), self.parts.room.codes
        for part in np.flatnonzero(self.parts.left > 0) if self.caps else ():
            need = int(self.parts.left[part])
            for _, cap in self.caps:
                narrowed = ok & cap.spares(free, codes == part, need)
                ok = narrowed if narrowed.any() else ok
        return ok

    def _leaves_new(self, ok: np.ndarray) -> np.ndarray:
        """What leaves enough places, in every part and under every cap, for the new items due."""
        assert self.demands.new is not None
        places = _Room(np.zeros(len(ok), np.int64), [self.k - len(self.chosen)])
        free = self._open()
        for room in (places, *([self.parts] if self.parts else ()), *(cap for _, cap in self.caps)):
            narrowed = ok & room.spares(free, self.demands.new, self.new_left)
            ok = narrowed if narrowed.any() else ok
        return ok

    def _leaves_due(self, floors: Floors, ok: np.ndarray) -> np.ndarray:
        """What leaves enough places for the classes that have not come to theirs.

        A class that the pool cannot bring to its places keeps none of them free.
        """
        free = self._open()
        there = [int((free & (floors.codes == c)).sum()) for c in range(len(self.due))]
        due = np.minimum(np.maximum(self.due, 0), there)
        if due.sum() < self.k - len(self.chosen):
            return ok
        return ok & np.isin(floors.codes, np.flatnonzero(due))

    def _relevance(self, scores: np.ndarray) -> np.ndarray:
        """The score itself where nothing is set off against it."""
        demands = self.demands
        if not (self.diversity or demands.calibration) and demands.boost is None:
            return scores
        span = float(scores.max() - scores.min()) if len(scores) else 0.0
        scaled = (scores - scores.min()) / span if span > 0 else np.ones(len(scores))
        if demands.boost is not None:
            scaled = scaled + demands.boost
        if not self.diversity:
            return scaled
        places = np.argsort(np.argsort(-scaled, kind="stable"), kind="stable")
        return 1 / (places + 1)

    def _value(self) -> np.ndarray:
        d = self.diversity
        if d == 0:
            return self.relevance
        return (1 - d) * self.relevance - d * self.likeness / max(len(self.chosen), 1)

    def _calibrated(self, value: np.ndarray) -> np.ndarray:
        """Steck's objective; p of the history, q of the list with an item of each category."""
        if self.demands.calibration is None:
            return value
        p, c = self.demands.calibration.lived, self.demands.calibration.strength
        size = len(self.chosen) + 1

        def terms(counts: np.ndarray) -> np.ndarray:
            q = (1 - CALIBRATION_SMOOTHING) * counts / size + CALIBRATION_SMOOTHING * p
            return p * np.log(p / q)

        without, one_more = terms(self.counts), terms(self.counts + 1)
        # The last is for items of none of these categories.
        divergence = np.append(without.sum() - without + one_more, without.sum())
        return (1 - c) * value - c * divergence[self.demands.calibration.codes]

    def _take(self, position: int, acted: tuple[str, ...]) -> None:
        self.chosen.append(position)
        self.acted.append(acted)
        self.free[position] = False
        for _, cap in self.caps:
            cap.take(position)
        if self.parts:
            self.parts.take(position)
        if self.demands.new is not None and self.demands.new[position]:
            self.new_left -= 1
        if self.demands.floors and self.demands.floors.codes[position] >= 0:
            self.due[self.demands.floors.codes[position]] -= 1
        if self.demands.calibration and self.demands.calibration.codes[position] >= 0:
            self.counts[self.demands.calibration.codes[position]] += 1
        if self.diversity:
            self.likeness += self.vectors @ self.vectors[position]
