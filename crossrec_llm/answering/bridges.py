"""Home -> target category: how credible a jump is, and what comes where it is not made.

A person's history says something of another category only where that was seen to be so: what they
took in a home category that has no open bridge into it neither causes nor explains anything there.
Where no home category has one, or where what would be recommended is too unlikely to be taken, the
history does not choose: the category keeps its places in the list, and what is popular there takes
them.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from annotated_types import Ge, Le

from crossrec_llm.answering.candidates import Views
from crossrec_llm.answering.jumps import TOP, JumpModel, jump_features
from crossrec_llm.records import STRICT, Query, Reason
from crossrec_llm.signals import Disliked, Scorer, Source
from crossrec_llm.tables import Catalogue

Basis = Literal["behaviour", "meaning", "none"]
"""What a bridge was judged by: lists for people whose items in the target were hidden; how the
texts of what people took in both lie to each other; or nothing, as too few were seen in both."""

_POPULARITY = "popularity"
_NAMED = 3
_NEAR_A_DISLIKE = -0.5


@dataclass(frozen=True)
class BridgesOptions:
    """Into which categories a person's history may lead that are not its own.

    gate : whether jumps are held back at all.
    threshold : least probability of a jump, where a list is asked across (`cross` "only"): the
        expected share of its ten best items that are taken.
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
    open : whether it is more than chance: of the open ones at most 5 % are expected to be by
        chance; without a test, whether any bridge is open, or none could be tested.
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


class BridgeList(tuple[Bridge, ...]):
    """Bridges, one a pair of top categories; shows as a heat map in a notebook."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"{len(self)} bridges, {sum(pair.open for pair in self)} open"

    def _repr_html_(self) -> str:
        from crossrec_llm import notebook

        return notebook.bridges(self)


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

    def summary(self) -> dict[str, Any]:
        """For people and reports: the pairs, and the figures of the jumps."""
        return {
            "bridges": [pair.to_dict() for pair in self.pairs],
            "untested_open": self.untested_open,
            "jumps": dict(self.jumps.figures),
        }

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
    people : (n_items,) int64, how many took each item.
    vectors : (n_items, dim) float32 unit rows in the space.
    home : sorted codes of the home categories.
    denied : pairs of top categories that a policy lets nothing cross between.
    across : whether the list is asked across, by the blend that jumps were fitted with.
    said : (m,) int64 rows near to what the person said outright, which may lead anywhere.
    """

    def __init__(
        self,
        bridges: Bridges,
        options: BridgesOptions,
        catalogue: Catalogue,
        signals: Mapping[str, Scorer],
        people: np.ndarray,
        vectors: np.ndarray,
        query: Query,
        home: np.ndarray,
        *,
        denied: Container[tuple[str, str]],
        across: bool,
        said: np.ndarray,
    ) -> None:
        self.bridges, self.options, self.catalogue = bridges, options, catalogue
        self.signals, self.vectors, self._people = signals, vectors, people
        self.query, self.home = query, home
        self.closed = np.zeros(len(catalogue), bool)
        self._why: dict[int, str] = {}
        self._said, self._denied = said, denied
        self._asked = query.kind == "user" and len(home) > 0 and options.gate
        self._weighs = self._asked and across and options.threshold > 0
        if self._asked:
            self._shut(dict(self._without_bridge()))

    def _without_bridge(self) -> Iterator[tuple[int, str]]:
        names = self.catalogue.top_names
        if not self.bridges.pairs:
            return
        for code in self._outside:
            if not any(self._open(names[h], names[code]) for h in self.home):
                yield code, f"no credible bridge from {_some([names[h] for h in self.home])}"

    def _open(self, home: str, target: str) -> bool:
        return self.bridges.of(home, target).open and (home, target) not in self._denied

    def leads(self, homes: Sequence[str], targets: Sequence[str]) -> np.ndarray:
        """(m, n) bool: which top categories of a history may cause what lies in which others.

        "" is no category. What is closed as a whole is left alone here.
        """
        may = np.ones((len(homes), len(targets)), bool)
        if not self._asked:
            return may
        names = self.catalogue.top_names
        jumped = {names[code] for code in self._outside if code not in self._why}
        for j, target in enumerate(targets):
            if target in jumped:
                may[:, j] = [home == "" or self.bridges.of(home, target).open for home in homes]
        return may

    @property
    def _outside(self) -> list[int]:
        known = {*self.home.tolist(), self.catalogue.no_category}
        return [code for code in range(len(self.catalogue.top_names)) if code not in known]

    def _shut(self, why: Mapping[int, str]) -> None:
        self._why |= why
        self.closed = np.isin(self.catalogue.top_codes, list(self._why))
        self.closed[self._said] = False

    def probabilities(self, query: Query, rows: np.ndarray) -> np.ndarray:
        """(n,) of each item of one jump, `rows` best first; NaN where that was not fitted.

        `query` has the part of the history that may lead there.
        """
        model = self.bridges.jumps
        if not model.weights or any(name not in self.signals for name in model.signals):
            return np.full(len(rows), np.nan)
        tops = self.catalogue.top_codes
        evidence = [self.signals[name] for name in model.signals]
        return model.probabilities(
            jump_features(query, rows, evidence, self.vectors, self._people, tops)
        )

    def shuts(self, views: Views, rows: np.ndarray, totals: np.ndarray) -> bool:
        """Close what is too unlikely by (n,) `totals` of the pool `rows`; whether that was any."""
        if not self._weighs:
            return False
        self._weighs = False
        tops = self.catalogue.top_codes[rows]
        best = np.argsort(-totals, kind="stable")
        unlikely = {}
        for code in self._outside:
            jump = rows[best[tops[best] == code][:TOP]]
            if code in self._why or not len(jump):
                continue
            expected = float(self.probabilities(views.query_of(int(jump[0])), jump).mean())
            if expected < self.options.threshold:
                unlikely[code] = (
                    f"{100 * expected:.2g} of 100 items found by the history would be taken, fewer "
                    f"than {100 * self.options.threshold:.2g}"
                )
        if unlikely:
            self._shut(unlikely)
        return bool(unlikely)

    @property
    def sources(self) -> list[Source]:
        """Popular items of what is closed are proposed beside what other sources find."""
        return [_Within(self.signals[_POPULARITY], self.closed)] if self.closed.any() else []

    def exchange(
        self, rows: np.ndarray, parts: np.ndarray, totals: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """(n, s) parts and (n,) totals, those of each closed category shared out anew.

        The most popular get the highest totals, what lies near to a dislike the lowest: so a
        category keeps its places, and what is popular there takes them. Of such rows nothing is
        left of the parts.
        """
        closed = np.flatnonzero(self.closed[rows])
        if not len(closed):
            return parts, totals
        parts, out = parts.copy(), totals.copy()
        tops, people = self.catalogue.top_codes[rows[closed]], self._people[rows[closed]]
        disliked = Disliked(self.vectors).score(self.query, rows[closed]) < _NEAR_A_DISLIKE
        for code in np.unique(tops):
            mine = tops == code
            here = closed[mine]
            best = here[np.lexsort((-people[mine], disliked[mine]))]
            out[best] = np.sort(totals[here])[::-1]
        parts[closed] = 0
        return parts, out

    def heard(self, rows: np.ndarray, scores: np.ndarray, names: Sequence[str]) -> np.ndarray:
        """(n, s) scores, of closed rows only those of popularity; the others NaN."""
        personal = np.array([name != _POPULARITY for name in names])
        return np.where(self.closed[rows][:, None] & personal, np.nan, scores)

    def reasons(
        self,
        rows: np.ndarray,
        found: Sequence[tuple[Reason, ...]],
        popular: Callable[[int], Reason],
    ) -> list[tuple[Reason, ...]]:
        """The reasons of each row; that it is popular where the history has no say."""
        return [
            (popular(int(row)),)
            if self.closed[row] and [reason.kind for reason in why] != ["pinned"]
            else why
            for row, why in zip(rows, found, strict=True)
        ]

    def told(self) -> dict[str, list[str]]:
        """For the resolved query: what is closed."""
        names = [self.catalogue.top_names[code] for code in sorted(self._why)]
        return {"closed": names} if names else {}

    def notes(self, found: np.ndarray) -> Iterator[str]:
        """Why categories of the list are closed, and what came instead."""
        there, together = set(self.catalogue.top_codes[found].tolist()), dict[str, list[str]]()
        for code, why in sorted(self._why.items()):
            if code in there:
                together.setdefault(why, []).append(self.catalogue.top_names[code])
        for why, names in together.items():
            yield f"{', '.join(names)}: {why}; popular there instead"


class _Within:
    """A source that proposes only some rows."""

    def __init__(self, source: Source, inside: np.ndarray) -> None:
        self.source, self.inside, self.name = source, inside, source.name

    def propose(self, query: Query, n: int, allowed: np.ndarray) -> np.ndarray:
        return self.source.propose(query, n, allowed & self.inside)


def _some(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
