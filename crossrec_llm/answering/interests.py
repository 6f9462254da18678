"""Several interests of one person: what they are, and the places that each has in the list."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge, Gt, Le

from crossrec_llm.answering.arranging import Floors
from crossrec_llm.records import STRICT, Query
from crossrec_llm.signals import weigh

CATEGORY_PART = 0.2
"""How much of the distance of two items is whether their top categories differ."""


@dataclass(frozen=True)
class InterestsOptions:
    """When a history counts as several interests, each of which has places in the list.

    apart : two groups of items are two interests when their mean distance is at least this. It is
        0.8 (1 - cosine of the texts, centred on the catalogue) + 0.2 where the top categories
        differ: about 1 for what has nothing in common, at most about 0.85 inside one category.
    least_share : what weighs less than this of the history is no interest of its own.
    most : interests of one person, at most; 1 = every history is one interest.
    decay : weight of a history item over that of the next newer one.
    last : how many of the newest items count.
    places : part of an interest's share of the list that is kept for it; one place at least.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    apart: Annotated[float, Gt(0), Le(2)] = 0.9
    least_share: Annotated[float, Gt(0), Le(1)] = 0.15
    most: Annotated[int, Ge(1)] = 4
    decay: Annotated[float, Gt(0), Le(1)] = 0.97
    last: Annotated[int, Ge(2)] = 50
    places: Annotated[float, Ge(0), Le(1)] = 0.0


@dataclass(frozen=True, eq=False)
class Interest:
    """Part of a history.

    share : of the weight of all interests.
    places : (m,) int64 positions in the history, oldest first.
    central : the same, those nearest to all the others first.
    """

    share: float
    places: np.ndarray
    central: np.ndarray

    def cut(self, query: Query) -> Query:
        """The question of somebody who has this interest alone."""
        return dataclasses.replace(
            query, history=query.history[self.places], weights=query.weights[self.places]
        )


def find_interests(
    query: Query,
    raw: np.ndarray,
    centre: np.ndarray,
    tops: np.ndarray,
    options: InterestsOptions,
) -> tuple[Interest, ...]:
    """The interests of a person, the largest share first; none without a history.

    A text or an item says itself what is wanted: no interests either.

    Average linkage over the newest items, cut at `options.apart`. Groups that weigh too little
    are left out; where fewer than two are left, the history is one interest.

    Parameters
    ----------
    raw : (n_items, dim) float32 unit rows as encoded; `centre`, (dim,) float32, is their mean.
    tops : (n_items,) codes of the top categories.
    """
    if query.kind != "user":
        return ()
    centred = raw[query.history] - centre
    centred /= np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-6)
    tops = tops[query.history]
    weights = weigh(query, options.decay, options.last).astype(np.float64)
    counted = np.flatnonzero(weights)
    if not len(counted):
        return ()
    groups = [counted]
    if len(counted) > 1 and options.most > 1:
        groups = linked(_distances(centred[counted], tops[counted]), options.apart)
        groups = [counted[group] for group in groups]
    total = weights.sum()
    large = [group for group in groups if weights[group].sum() >= options.least_share * total]
    large = sorted(large, key=lambda group: -weights[group].sum())[: options.most]
    if len(large) < 2:
        large = [counted]
    kept = sum(weights[group].sum() for group in large)
    return tuple(
        Interest(
            float(weights[group].sum() / kept),
            group,
            group[np.argsort(-(centred[group] @ (weights[group] @ centred[group])), kind="stable")],
        )
        for group in large
    )


def _distances(centred: np.ndarray, tops: np.ndarray) -> np.ndarray:
    """(h, h) float64, symmetric."""
    apart = 1 - np.clip(centred @ centred.T, -1, 1).astype(np.float64)
    found: np.ndarray = (1 - CATEGORY_PART) * apart + CATEGORY_PART * (tops[:, None] != tops)
    return (found + found.T) / 2


def linked(distances: np.ndarray, apart: float) -> list[np.ndarray]:
    """Positions of each group: the two nearest are joined until all are at least `apart`.

    Average linkage (UPGMA, Sokal and Michener 1958). In numpy, since a history is short and
    loading scipy takes longer than an answer.

    Parameters
    ----------
    distances : (h, h) float64, symmetric.
    """
    between = distances.copy()
    np.fill_diagonal(between, np.inf)
    groups = [[position] for position in range(len(between))]
    while len(groups) > 1:
        one, other = divmod(int(between.argmin()), len(between))
        if between[one, other] >= apart:
            break
        one, other = sorted((one, other))
        sizes = len(groups[one]), len(groups[other])
        mean = np.average(between[[one, other]], axis=0, weights=sizes)
        mean[one] = np.inf
        between[one], between[:, one] = mean, mean
        between = np.delete(np.delete(between, other, axis=0), other, axis=1)
        groups[one] += groups.pop(other)
    return [np.sort(np.array(group, np.int64)) for group in groups]


@dataclass(frozen=True, eq=False)
class OwnLists:
    """What each interest alone would bring, and how many places of the list it has at least.

    rows : of each interest (m,) int64 rows, best first.
    least : of each interest, in places.
    """

    rows: tuple[np.ndarray, ...] = ()
    least: tuple[int, ...] = ()

    @classmethod
    def of(
        cls,
        interests: Sequence[Interest],
        query: Query,
        k: int,
        alone: Callable[[Query, np.ndarray], np.ndarray],
        tops: np.ndarray,
        options: InterestsOptions,
    ) -> OwnLists:
        """The first `k` for somebody who has one interest alone, in its own categories.

        Where nothing of its own categories may come (a question for what lies across), the first
        `k` of all. With one interest there is nothing to divide: no lists.

        Parameters
        ----------
        alone : a question, and the (n_items,) it is for -> its first `k` (n,) int64 rows.
        tops : (n_items,) codes of the top categories.
        """
        if len(interests) < 2:
            return cls()
        lists, everything = [], np.ones(len(tops), bool)
        for interest in interests:
            cut = interest.cut(query)
            rows = alone(cut, np.isin(tops, tops[cut.history]))
            lists.append(rows if len(rows) else alone(cut, everything))
        least = [max(1, int(k * interest.share * options.places)) for interest in interests]
        return cls(tuple(lists), tuple(least))

    @property
    def any(self) -> np.ndarray:
        """(m,) int64, the rows of all lists."""
        return np.concatenate([np.empty(0, np.int64), *self.rows])

    def numbers(self, rows: np.ndarray) -> np.ndarray:
        """(n,) int64, in which interest's list each of `rows` stands highest; -1 = in none."""
        places = np.full((len(self.rows) + 1, len(rows)), np.inf)
        for i, own in enumerate(self.rows):
            if not len(own):
                continue
            order = np.argsort(own)
            at = order[np.minimum(np.searchsorted(own[order], rows), len(own) - 1)]
            places[i] = np.where(own[at] == rows, at, np.inf)
        first = places.argmin(axis=0)
        return np.where(np.isfinite(places.min(axis=0)), first, -1)

    def floors(self, rows: np.ndarray, closed: np.ndarray) -> Floors | None:
        """The places over a pool; None where nothing is divided.

        Parameters
        ----------
        closed : (n_items,) bool, what no history brings; such items fill no interest's place.
        """
        if not self.rows:
            return None
        return Floors("interest", np.where(closed[rows], -1, self.numbers(rows)), self.least)
