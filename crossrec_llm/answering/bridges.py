"""Home -> target category: how credible a jump is, and what comes where it is not made.

A person's history says something of another category only where that was seen to be so. Toward a
category into which no home category has an open bridge, and where what would be recommended is
too unlikely, the history is not used: items there are scored by how many people took them, and
come only where nothing else fits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from annotated_types import Ge, Le

from crossrec_llm.answering.arranging import Demands
from crossrec_llm.answering.asking import Ask
from crossrec_llm.answering.blend import Blend, standardise
from crossrec_llm.answering.jumps import TOP, JumpModel, jump_features
from crossrec_llm.records import STRICT, Query
from crossrec_llm.signals import Scorer, Source
from crossrec_llm.tables import Catalogue

Basis = Literal["behaviour", "meaning", "none"]
"""What a bridge was judged by: lists for people whose items in the target were hidden; how the
texts of what people took in both lie to each other; or nothing, as too few were seen in both."""

_POPULARITY = "popularity"
_NAMED = 3


@dataclass(frozen=True)
class BridgesOptions:
    """Into which categories a person's history may lead that are not its own.

    gate : whether jumps are held back at all.
    threshold : least probability of a jump: the expected share of its ten best items that are
        taken. At 0.01 the jumps that are left out of Amazon's groceries and kitchenware would
        have found less than what is popular.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    gate: bool = True
    threshold: Annotated[float, Ge(0), Le(1)] = 0.01


@dataclass(frozen=True)
class Bridge:
    """One pair of top categories.

    credibility : 0..1, which part of what finds the person's items is the person's own: 0 where
        somebody else's history does as well. By behaviour 1 - others / own, of the gain (as in
        ndcg@100); by meaning how much oftener than chance a person's items in the target lie
        nearer to the person's own at home than other people's do (Somers' D).
    low, high : its 95 % interval.
    evidence : people: whose items in the target were hidden, or who were seen in both.
    open : whether it is more than chance, at 1 % over all pairs together; without a test, whether
        any bridge is, or none could be tested.
    """

    home: str
    target: str
    credibility: float
    low: float
    high: float
    evidence: int
    basis: Basis
    open: bool

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Bridges:
    """What was fitted about crossing; without pairs everything is open.

    pairs : those that people were seen in, by home and target.
    untested_open : whether other pairs are open.
    jumps : how likely what a jump recommends is taken.
    """

    pairs: tuple[Bridge, ...] = ()
    untested_open: bool = True
    jumps: JumpModel = field(default_factory=JumpModel)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Bridges:
        """What `asdict` gave, as read from JSON."""
        jumps = dict(document["jumps"])
        for name in ("signals", "mean", "scale", "weights"):
            jumps[name] = tuple(jumps[name])
        pairs = tuple(Bridge(**pair) for pair in document["pairs"])
        return cls(pairs, document["untested_open"], JumpModel(**jumps))

    @cached_property
    def _by_name(self) -> dict[tuple[str, str], Bridge]:
        return {(pair.home, pair.target): pair for pair in self.pairs}

    def of(self, home: str, target: str) -> Bridge:
        """The bridge of any pair."""
        untested = Bridge(home, target, 0.0, 0.0, 1.0, 0, "none", self.untested_open)
        return self._by_name.get((home, target), untested)


class Gate:
    """What one question may not cross into; it may close more while it is answered.

    closed : (n_items,) bool, in a category that the history says nothing of.

    Parameters
    ----------
    signals : all that there are, by name.
    vectors : (n_items, dim) float32 unit rows in the space.
    home : sorted codes of the home categories.
    """

    def __init__(
        self,
        bridges: Bridges,
        options: BridgesOptions,
        catalogue: Catalogue,
        signals: Mapping[str, Scorer],
        vectors: np.ndarray,
        query: Query,
        home: np.ndarray,
    ) -> None:
        self.bridges, self.options, self.catalogue = bridges, options, catalogue
        self.signals, self.vectors = signals, vectors
        self.query, self.home = query, home
        self.closed = np.zeros(len(catalogue), bool)
        self._why: dict[int, str] = {}
        self._asked = query.kind == "user" and len(home) > 0 and options.gate
        if self._asked:
            self._shut(dict(self._without_bridge()))

    def _without_bridge(self) -> Iterator[tuple[int, str]]:
        names = self.catalogue.top_names
        if not self.bridges.pairs:
            return
        for code in self._outside:
            if not any(self.bridges.of(names[h], names[code]).open for h in self.home):
                yield code, f"no credible bridge from {_some([names[h] for h in self.home])}"

    @property
    def _outside(self) -> list[int]:
        known = {*self.home.tolist(), self.catalogue.no_category}
        return [code for code in range(len(self.catalogue.top_names)) if code not in known]

    def _shut(self, why: Mapping[int, str]) -> None:
        self._why |= why
        self.closed = np.isin(self.catalogue.top_codes, list(self._why))

    def probabilities(self, rows: np.ndarray) -> np.ndarray:
        """(n,) of each item of one jump, `rows` best first; NaN where that was not fitted."""
        model = self.bridges.jumps
        if not model.weights or any(name not in self.signals for name in model.signals):
            return np.full(len(rows), np.nan)
        inside = np.flatnonzero(self.catalogue.top_codes == self.catalogue.top_codes[rows[0]])
        evidence = [self.signals[name] for name in model.signals]
        people = self.signals[_POPULARITY].people  # type: ignore[attr-defined]
        return model.probabilities(
            jump_features(self.query, rows, evidence, self.vectors, people, inside)
        )

    def shuts(self, rows: np.ndarray, totals: np.ndarray) -> bool:
        """Close what is too unlikely by (n,) `totals` of the pool `rows`; whether that was any."""
        if not self._asked or not self.options.threshold:
            return False
        self._asked = False
        tops = self.catalogue.top_codes[rows]
        best = np.argsort(-totals, kind="stable")
        unlikely = {}
        for code in self._outside:
            jump = rows[best[tops[best] == code][:TOP]]
            if code in self._why or not len(jump):
                continue
            expected = float(self.probabilities(jump).mean())
            if expected < self.options.threshold:
                unlikely[code] = (
                    f"{100 * expected:.2g} of 100 items found by the history would be taken, fewer "
                    f"than {100 * self.options.threshold:.2g}"
                )
        if unlikely:
            self._shut(unlikely)
        return bool(unlikely)

    def sources(self, sources: Sequence[Source]) -> list[Source]:
        """Of what is closed only the popular items are proposed."""
        if not self.closed.any():
            return list(sources)
        opened: list[Source] = [_Within(source, ~self.closed) for source in sources]
        return [*opened, _Within(self.signals[_POPULARITY], self.closed)]

    def blend(self, blend: Blend) -> Blend:
        """What is closed gets the score of popularity alone."""
        return GatedBlend(blend, self.closed) if self.closed.any() else blend

    def heard(self, rows: np.ndarray, scores: np.ndarray, names: Sequence[str]) -> np.ndarray:
        """The (n, s) scores without what the history says of what is closed."""
        silent = self.closed[rows]
        if silent.any():
            personal = np.array([name != _POPULARITY for name in names])
            scores[np.ix_(silent, personal)] = np.nan
        return scores

    def demands(self, demands: Demands, rows: np.ndarray) -> Demands:
        closed = self.closed[rows]
        return replace(demands, filler=closed) if closed.any() else demands

    def told(self) -> dict[str, list[str]]:
        """For the resolved query: what is closed."""
        names = [self.catalogue.top_names[code] for code in sorted(self._why)]
        return {"closed": names} if names else {}

    def notes(self, found: np.ndarray, ask: Ask) -> Iterator[str]:
        """Why what is closed was not crossed into, and what came there instead.

        Without items of it this is said only where crossing was asked for.
        """
        there = set(self.catalogue.top_codes[found].tolist())
        for code, why in sorted(self._why.items()):
            if code in there:
                yield f"{self.catalogue.top_names[code]}: {why}; popular there instead"
        if ask.filter.cross == "only" or ask.cross_share or ask.filter.category:
            out = [self.catalogue.top_names[code] for code in self._why if code not in there]
            if out and not ask.filter.category:
                yield f"not crossed into, with too little to go by: {_some(sorted(out))}"


class _Within:
    """A source that proposes only some rows."""

    def __init__(self, source: Source, inside: np.ndarray) -> None:
        self.source, self.inside, self.name = source, inside, source.name

    def propose(self, query: Query, n: int, allowed: np.ndarray) -> np.ndarray:
        return self.source.propose(query, n, allowed & self.inside)


class GatedBlend:
    """A blend in which rows that are closed have the score of popularity: its z-score in the pool.

    Parameters
    ----------
    closed : (n_items,) bool.
    """

    def __init__(self, blend: Blend, closed: np.ndarray) -> None:
        self.inner, self.closed = blend, closed
        added = () if _POPULARITY in blend.names else (_POPULARITY,)
        self.names = (*blend.names, *added)

    def parts(self, rows: np.ndarray, scores: np.ndarray) -> np.ndarray:
        """As of a `Blend`; the other rows are standardised among themselves."""
        closed, popularity = self.closed[rows], self.names.index(_POPULARITY)
        parts = np.zeros(scores.shape, np.float32)
        inner = len(self.inner.names)
        parts[~closed, :inner] = self.inner.parts(rows[~closed], scores[~closed, :inner])
        parts[closed, popularity] = standardise(scores[:, [popularity]])[closed, 0]
        return parts

    def total(self, query: Query, rows: np.ndarray, parts: np.ndarray) -> np.ndarray:
        closed, popularity = self.closed[rows], self.names.index(_POPULARITY)
        total = np.empty(len(rows), np.float32)
        mine = parts[~closed, : len(self.inner.names)]
        total[~closed] = self.inner.total(query, rows[~closed], mine)
        total[closed] = parts[closed, popularity]
        return total


def _some(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
