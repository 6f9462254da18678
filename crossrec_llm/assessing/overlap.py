"""Who is seen where: people per category, between categories, and how thin the log is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from crossrec_llm.assessing.findings import Finding, Grade, found, part
from crossrec_llm.tables import Catalogue, Histories

TOP = 8  # categories that are compared, those with most people
BRIDGE_PEOPLE = 50  # fewer people in both: behaviour alone cannot carry anybody across
_FEW_TAKEN, _SHORT = 5, 3


@dataclass(frozen=True)
class Presence:
    """A top category: its items, those that anybody took, and the people seen in it."""

    category: str
    items: int
    taken: int
    people: int


@dataclass(frozen=True)
class Crossing:
    """An ordered pair of top categories.

    Attributes
    ----------
    both : people seen in both; share : of those seen in `home`.
    reach : share of the target's items that one of these people took.
    """

    home: str
    target: str
    both: int
    share: float
    reach: float

    @property
    def enough(self) -> bool:
        return self.both >= BRIDGE_PEOPLE


@dataclass(frozen=True)
class Overlap:
    """The log in numbers, and findings about it.

    Attributes
    ----------
    density : share of all (person, item) pairs that are in the log.
    untaken, under_5, under_10 : items that 0, fewer than 5, fewer than 10 people took.
    lengths : items per person ("10 %", "median", "90 %", "most").
    categories : the largest by people; crossings : every ordered pair of them.
    """

    people: int
    items: int
    pairs: int
    density: float
    untaken: int
    under_5: int
    under_10: int
    lengths: dict[str, float]
    categories: tuple[Presence, ...]
    crossings: tuple[Crossing, ...]
    findings: tuple[Finding, ...]


def overlap(catalogue: Catalogue, histories: Histories) -> Overlap:
    """Count what people wanted; dislikes are left out."""
    import scipy.sparse as sp

    n = len(catalogue)
    taken = histories.matrix(n)
    people = np.asarray(taken.getnnz(axis=0))
    lengths = np.asarray(taken.getnnz(axis=1))
    lengths = lengths[lengths > 0]
    shape = (n, len(catalogue.top_names))
    member = sp.csr_matrix((np.ones(n, np.float32), (np.arange(n), catalogue.top_codes)), shape)
    seen = (taken @ member).tocsr()
    seen.data[:] = 1
    categories, crossings = _crossings(catalogue, taken, seen)
    in_one = int((np.asarray(seen.getnnz(axis=1)) == 1).sum())
    few = [int((people < limit).sum()) for limit in (1, _FEW_TAKEN, 10)]
    return Overlap(
        people=len(lengths),
        items=n,
        pairs=int(taken.nnz),
        density=taken.nnz / max(len(lengths) * n, 1),
        untaken=few[0],
        under_5=few[1],
        under_10=few[2],
        lengths=_quantiles(lengths),
        categories=categories,
        crossings=crossings,
        findings=(
            _thin(n, few),
            _short_histories(lengths),
            *_staying(catalogue, in_one, len(lengths), crossings),
        ),
    )


def _crossings(
    catalogue: Catalogue, taken: Any, seen: Any
) -> tuple[tuple[Presence, ...], tuple[Crossing, ...]]:
    """`taken`: (people, items), `seen`: (people, top categories), both scipy CSR of ones."""
    people = np.asarray(seen.getnnz(axis=0))
    names = catalogue.top_names
    order = sorted(range(len(names)), key=lambda c: (-people[c], names[c]))
    top = [c for c in order if names[c] and people[c]][:TOP]
    columns = {c: seen[:, [c]].toarray().ravel() > 0 for c in top}
    codes = catalogue.top_codes

    def reached(who: np.ndarray, category: int) -> int:
        rows = np.unique(taken[who].indices) if who.any() else np.empty(0, np.int64)
        return int((codes[rows] == category).sum())

    sizes = {c: int((codes == c).sum()) for c in top}
    categories = tuple(
        Presence(names[c], sizes[c], reached(columns[c], c), int(people[c])) for c in top
    )
    crossings = []
    for home in top:
        for target in top:
            if home != target:
                both = columns[home] & columns[target]
                count = int(both.sum())
                reach = reached(both, target) / sizes[target]
                share = count / int(people[home])
                crossings.append(Crossing(names[home], names[target], count, share, reach))
    return categories, tuple(crossings)


def _quantiles(lengths: np.ndarray) -> dict[str, float]:
    if not len(lengths):
        return {}
    at = {"10 %": 0.1, "median": 0.5, "90 %": 0.9, "most": 1.0}
    return {name: float(np.quantile(lengths, q)) for name, q in at.items()}


def _thin(n: int, few: list[int]) -> Finding:
    words = (
        f"{part(few[1], n, 'item')} were taken by fewer than {_FEW_TAKEN} people, "
        f"{few[0]:,} by nobody"
    )
    return found("items hardly taken", few[1] / n, words)


def _short_histories(lengths: np.ndarray) -> Finding:
    short = int((lengths < _SHORT).sum())
    words = f"{part(short, len(lengths), 'person', 'people')} have fewer than {_SHORT} items"
    return found("short histories", short / max(len(lengths), 1), words)


def _staying(
    catalogue: Catalogue, in_one: int, people: int, crossings: tuple[Crossing, ...]
) -> list[Finding]:
    """Whether people cross at all, and between which categories too few do."""
    if sum(bool(name) for name in catalogue.top_names) < 2 or not people:
        return []
    words = f"{part(in_one, people, 'person', 'people')} are seen in one top category only"
    findings = [found("stay in one category", in_one / people, words)]
    weak = [c for c in crossings if not c.enough and c.home < c.target]
    pairs = len(crossings) // 2
    if pairs:
        words = (
            f"{len(weak):,} of {pairs:,} pairs of the largest categories have fewer than "
            f"{BRIDGE_PEOPLE} people in both"
        )
        examples = tuple(f"{c.home} | {c.target}: {c.both:,}" for c in weak[:3])
        means = "there behaviour alone cannot carry anybody across"
        grade: Grade = "ok" if not weak else "look" if len(weak) < pairs else "bad"
        limit = f"look with one pair of fewer than {BRIDGE_PEOPLE} people, bad when all are"
        value = len(weak) / pairs
        findings.append(Finding("pairs too thin", grade, words, means, value, limit, examples))
    return findings
