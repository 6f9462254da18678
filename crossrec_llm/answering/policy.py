"""What may cross from where to where: the policy of a recipe, looked up for one question."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from annotated_types import Ge, Le

from crossrec_llm.answering.arranging import Cap
from crossrec_llm.answering.candidates import Views
from crossrec_llm.errors import QueryError
from crossrec_llm.records import STRICT, Query
from crossrec_llm.tables import Catalogue

ANY = "*"
_ARROW = "->"
_DEFAULT = 0  # the entry that stands for all pairs that no other is about


@dataclass(frozen=True)
class PolicyOptions:
    """What may cross from one category to another.

    An entry is "FROM -> TO", two category paths that hold for everything below them, or "*" for
    any category. Of several that are about a pair of items the one with the longest paths counts,
    both lengths added; of equally long ones the strictest. docs/crossing.md has the details.

    default : "allow" or "deny" what no entry is about.
    allow : entries that may be crossed.
    deny : entries that may not: the history item neither causes nor explains the other one.
    share : entry -> at most this share of a list may lie there, of what that crossing brings.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    default: Literal["allow", "deny"] = "allow"
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    share: dict[str, Annotated[float, Ge(0), Le(1)]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for text, _ in self.entries():
            ends(text)

    def entries(self) -> Iterator[tuple[str, float]]:
        """(entry, the share of a list that it may bring): 1 is all that fits, 0 nothing."""
        yield from ((text, 1.0) for text in self.allow)
        yield from ((text, 0.0) for text in self.deny)
        yield from self.share.items()


def ends(entry: str) -> tuple[str, str]:
    """FROM and TO.

    Raises
    ------
    QueryError : it has another shape.
    """
    parts = [part.strip() for part in entry.split(_ARROW)]
    if len(parts) != 2 or not all(parts):
        raise QueryError(f'{entry!r} has not the shape "FROM -> TO", as in "Toys -> Alcohol"')
    for part in parts:
        if ANY in part and part != ANY:
            raise QueryError(
                f"{entry!r}: write {part.split(ANY)[0].rstrip(' >')!r}, which holds for all that "
                'lies below it; "*" stands alone, for any category'
            )
    return parts[0], parts[1]


@dataclass(frozen=True, eq=False)
class _Entry:
    """One entry over the distinct category paths of a catalogue.

    home, target : (n_paths,) bool.
    share : of a list, that it may bring.
    inside : whether both ends lie in one top category, so that it is about pairs in there too.
    """

    text: str
    home: np.ndarray
    target: np.ndarray
    share: float
    inside: bool


@dataclass(frozen=True, eq=False)
class Policy:
    """The entries that a catalogue has categories for, the least specific first.

    notes : one for each entry that is passed over.
    """

    catalogue: Catalogue
    entries: tuple[_Entry, ...]
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, options: PolicyOptions, catalogue: Catalogue) -> Policy:
        """The policy of a recipe; what the catalogue does not have is passed over."""
        found, notes = list[tuple[int, float, _Entry]](), list[str]()
        everything = np.ones(len(catalogue.paths), bool)
        for text, share in options.entries():
            home, target = ends(text)
            try:
                (left, m), (right, n) = (_under(catalogue, path) for path in (home, target))
            except QueryError as error:
                notes.append(f"policy: {text!r} is passed over: {error}")
                continue
            tops = ({catalogue.paths[path][0] for path in np.flatnonzero(x)} for x in (left, right))
            inside = ANY not in (home, target) and len(set.union(*tops)) == 1
            found.append((m + n, share, _Entry(text, left, right, share, inside)))
        found.sort(key=lambda entry: (entry[0], -entry[1]))
        least = _Entry("default", everything, everything, float(options.default == "allow"), False)
        return cls(catalogue, (least, *(entry for _, _, entry in found)), tuple(notes))

    def ruling(self, query: Query) -> Ruling:
        """What it says about one question."""
        silent = len(self.entries) == 1 and self.entries[_DEFAULT].share == 1
        if silent or not len(query.history) + len(query.disliked):
            return Ruling(self, query, None)
        codes = self.catalogue.path_codes
        homes = np.unique(codes[np.concatenate([query.history, query.disliked])])
        tops, named = self._tops
        crossing = (tops[homes][:, None] != tops) & named[homes][:, None] & named
        winner = np.full(crossing.shape, -1, np.int64)
        winner[crossing] = _DEFAULT
        for number, entry in enumerate(self.entries[1:], 1):
            about = entry.home[homes][:, None] & entry.target
            winner[about & (crossing | entry.inside)] = number
        return Ruling(self, query, _Pairs(homes, winner))

    @cached_property
    def _tops(self) -> tuple[np.ndarray, np.ndarray]:
        """Of each distinct path the code of its top category, and whether it has one."""
        names = [path[0] if path else "" for path in self.catalogue.paths]
        return np.unique(names, return_inverse=True)[1], np.array([bool(n) for n in names], bool)

    @cached_property
    def shares(self) -> np.ndarray:
        """Of each entry; one more at the end, for a pair that is no crossing (-1)."""
        return np.array([*(entry.share for entry in self.entries), 1.0])


@dataclass(frozen=True, eq=False)
class _Pairs:
    """homes : (m,) distinct paths of the history; winner : (m, n_paths) the entry of each pair."""

    homes: np.ndarray
    winner: np.ndarray


@dataclass(frozen=True, eq=False)
class Ruling:
    """What a policy says about one question: who sees what of the history, and what stays out."""

    policy: Policy
    query: Query
    _pairs: _Pairs | None

    @cached_property
    def _seen(self) -> tuple[np.ndarray, np.ndarray]:
        """(g, m) bool, the distinct sets of homes that may cause an item; (n_paths,) whose."""
        assert self._pairs is not None
        may = self.policy.shares[self._pairs.winner] > 0
        sets, of_path = np.unique(may.T, axis=0, return_inverse=True)
        return sets, of_path.reshape(-1)

    def _of(self, rows: np.ndarray) -> np.ndarray:
        """Where the paths of some rows are among the homes."""
        assert self._pairs is not None
        return np.searchsorted(self._pairs.homes, self.policy.catalogue.path_codes[rows])

    @cached_property
    def barred(self) -> np.ndarray | None:
        """(n_items,) bool: what nothing in the history may bring; None = nothing is.

        A free text may bring anything: there the history only bends the order.
        """
        if self._pairs is None or self.query.kind == "like" or not len(self.query.history):
            return None
        sets, of_path = self._seen
        nothing = np.logical_not(sets[:, self._of(self.query.history)].any(axis=1))
        if not nothing.any():
            return None
        return np.asarray(nothing[of_path][self.policy.catalogue.path_codes])

    @cached_property
    def views(self) -> Views:
        """The question as each item may see it."""
        if self._pairs is None or self._seen[0].all():
            return Views.of(self.query)
        sets, of_path = self._seen
        history, disliked = self._of(self.query.history), self._of(self.query.disliked)
        return Views.cut(
            self.query,
            sets[:, history],
            sets[:, disliked],
            of_path[self.policy.catalogue.path_codes],
        )

    def caps(self, k: int) -> tuple[Cap, ...]:
        """Of a list of `k`; each entry counts the items that it, of all their pairs, lets in most.

        An item that something of the history, or a free text, may bring without limit is not
        counted.
        """
        if self._pairs is None or self.query.kind == "like" or not len(self.query.history):
            return ()
        winner = self._pairs.winner[np.unique(self._of(self.query.history))]
        shares = self.policy.shares[winner]
        best = np.argmax(shares, axis=0)
        paths = np.arange(winner.shape[1])
        share, entry = shares[best, paths], winner[best, paths]
        capped = np.where((share > 0) & (share < 1), entry, -1)
        codes = capped[self.policy.catalogue.path_codes]
        return tuple(
            Cap(
                f"policy {self.policy.entries[number].text}",
                np.where(codes == number, 0, -1),
                int(np.floor(k * self.policy.entries[number].share + 1e-9)),
            )
            for number in np.unique(capped[capped >= 0])
        )

    def notes(self, allowed: np.ndarray) -> Iterator[str]:
        """What the policy kept from each other, among the items that may come otherwise.

        Parameters
        ----------
        allowed : (n_items,) bool, before the policy.
        """
        yield from self.policy.notes
        if self._pairs is None or self._seen[0].all():
            return
        of_path = self.policy.catalogue.path_codes
        out = np.zeros(len(allowed), bool) if self.barred is None else self.barred
        for number in np.unique(self._pairs.winner[self._pairs.winner >= 0]):
            entry = self.policy.entries[number]
            if entry.share > 0:
                continue
            there = allowed & (self._pairs.winner == number).any(axis=0)[of_path]
            left_out, others = int((there & out).sum()), int((there & ~out).sum())
            what = "nothing crosses that it does not allow"
            if number != _DEFAULT:
                home, target = ("any category" if e == ANY else e for e in ends(entry.text))
                what = f"nothing crosses from {home} to {target}"
            said = [f"items left out: {left_out:,}"] if left_out else []
            said += [f"scored without that part of the history: {others:,}"] if others else []
            if said:
                yield f"policy: {what} ({'; '.join(said)})"


def _under(catalogue: Catalogue, path: str) -> tuple[np.ndarray, int]:
    """(n_paths,) bool, which distinct paths one end of an entry is about; and how long it is."""
    if path == ANY:
        return np.ones(len(catalogue.paths), bool), 0
    return catalogue.paths_under(path)
