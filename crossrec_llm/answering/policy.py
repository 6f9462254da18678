"""What may cross from where to where: the policy of a recipe, looked up for one question."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from annotated_types import Ge, Le

from crossrec_llm.answering.arranging import Cap
from crossrec_llm.answering.candidates import Views
from crossrec_llm.errors import QueryError
from crossrec_llm.records import STRICT, Query
from crossrec_llm.tables import Catalogue, near_matches

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
        problems = []
        for text, _ in self.entries():
            try:
                ends(text)
            except QueryError as error:
                problems.append(str(error))
        if problems:
            raise QueryError("; ".join(problems))

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
    """The entries that a catalogue has categories for, and what they say of each pair of items.

    Items are of one kind where no entry tells them apart, and there are few kinds.

    entries : the least specific first.
    kinds : (n_items,) int.
    winner : (kinds, kinds) int, which entry counts from one to the other; -1 is no crossing.
    tops : (kinds,) the top category of each.
    notes : one for each entry that is passed over.
    """

    entries: tuple[_Entry, ...]
    kinds: np.ndarray
    winner: np.ndarray
    tops: np.ndarray
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
        entries = (least, *(entry for _, _, entry in found))
        of_path, first = _kinds(catalogue, entries)
        paths = [catalogue.paths[path] for path in first]
        of_kind = np.array([path[0] if path else "" for path in paths])
        winner = _winner(of_kind, entries, first)
        return cls(entries, of_path[catalogue.path_codes], winner, of_kind, tuple(notes))

    def ruling(self, query: Query) -> Ruling:
        """What it says about one question."""
        kinds = self.kinds[np.concatenate([query.history, query.disliked])]
        homes = np.unique(kinds)
        return Ruling(self, query, homes, self.winner[homes])

    def between(self, home: str, target: str) -> str:
        """What it says from one top category to another; empty where it holds nothing back."""
        for name in (home, target):
            if name not in self.tops:
                near = near_matches(name, [str(top) for top in self.tops if top])
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise QueryError(f"there is no top category {name!r}{hint}")
        winner = self.winner[np.ix_(self.tops == home, self.tops == target)]
        shares = np.unique(self.shares[winner])
        if len(shares) > 1:
            return "in part"
        return {0.0: "denied", 1.0: ""}.get(float(shares[0]), f"at most {shares[0]:.0%} of a list")

    @cached_property
    def from_nowhere(self) -> np.ndarray:
        """(kinds,) bool: what entries about it in particular deny to all other top categories."""
        denying = [not entry.share and not entry.target.all() for entry in self.entries]
        crossing = (self.winner >= 0) & (self.tops != "")[:, None]
        denied = np.array([*denying, False])[self.winner]
        return np.asarray(crossing.any(axis=0) & (denied | ~crossing).all(axis=0))

    @cached_property
    def denied(self) -> frozenset[tuple[str, str]]:
        """Pairs of top categories with nothing to cross from the one to the other."""
        tops = [str(top) for top in np.unique(self.tops)]
        if len(self.entries) == 1 and self.entries[0].share:
            return frozenset()
        return frozenset((a, b) for a in tops for b in tops if self.between(a, b) == "denied")

    @cached_property
    def shares(self) -> np.ndarray:
        """Of each entry; one more at the end, for a pair that is no crossing (-1)."""
        return np.array([*(entry.share for entry in self.entries), 1.0])


@dataclass(frozen=True, eq=False)
class Ruling:
    """What a policy says about one question: who sees what of the history, and what stays out.

    homes : (m,) kinds of the history and the dislikes, sorted.
    winner : (m, kinds) the entry that counts from each of them to each kind.
    led : (m, kinds) bool, what of the history leads to which kind (`Gate.leads`); None = all.
    """

    policy: Policy
    query: Query
    homes: np.ndarray
    winner: np.ndarray
    led: np.ndarray | None = None

    @cached_property
    def _may(self) -> np.ndarray:
        """(m, kinds) bool: which homes may cause which kinds."""
        return np.asarray(self.policy.shares[self.winner] > 0)

    def _of(self, rows: np.ndarray) -> np.ndarray:
        """Where the kinds of some rows are among the homes."""
        return np.searchsorted(self.homes, self.policy.kinds[rows])

    @property
    def _bends(self) -> bool:
        """Whether the history only bends the order: a free text may bring anything."""
        return self.query.kind == "like" or not len(self.query.history)

    @cached_property
    def _barred(self) -> np.ndarray:
        """(kinds,) bool: what nothing in the history may bring.

        What has no category crosses nowhere, and so brings nothing across. To who has no home
        category comes all but what entries deny to every one.
        """
        if self.query.kind == "like":
            return np.zeros(self._may.shape[1], bool)
        home = self._of(self.query.history)
        home = home[self.policy.tops[self.homes[home]] != ""]
        return ~self._may[home].any(axis=0) if len(home) else self.policy.from_nowhere

    @property
    def barred(self) -> np.ndarray | None:
        """(n_items,) bool: what must not come; None where everything may."""
        return self._barred[self.policy.kinds] if self._barred.any() else None

    @cached_property
    def views(self) -> Views:
        """The question as each item may see it."""
        wanted = self._may if self.led is None else self._may & self.led
        if wanted[:, ~self._barred].all():
            return Views.of(self.query)
        both = np.concatenate([wanted, self._may]).T
        sets, view = np.unique(both, axis=0, return_inverse=True)
        history, disliked = self._of(self.query.history), self._of(self.query.disliked)
        of_row = view.reshape(-1)[self.policy.kinds]
        away = sets[:, len(self.homes) :]
        return Views.cut(self.query, sets[:, history], away[:, disliked], of_row)

    def caps(self, k: int) -> tuple[Cap, ...]:
        """Of a list of `k`; each entry counts the items that it, of all their pairs, lets in most.

        An item that something of the history, or a free text, may bring without limit is not
        counted.
        """
        if self._bends:
            return ()
        winner = self.winner[np.unique(self._of(self.query.history))]
        shares = self.policy.shares[winner]
        best, kinds = np.argmax(shares, axis=0), np.arange(winner.shape[1])
        share, entry = shares[best, kinds], winner[best, kinds]
        capped = np.where((share > 0) & (share < 1), entry, -1)
        return tuple(
            Cap(
                f"policy {self.policy.entries[number].text}",
                np.where(capped == number, 0, -1)[self.policy.kinds],
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
        if not len(self.query.history) and (
            out := int((allowed & self._barred[self.policy.kinds]).sum())
        ):
            yield f"policy: nothing crosses that it does not allow (items left out: {out:,})"
        if self._may.all() or not len(self.query.history):
            return
        there = np.bincount(self.policy.kinds[allowed], minlength=len(self._barred))
        for number in np.unique(self.winner[~self._may]):
            denied = (self.winner == number).any(axis=0)
            left_out = int(there[denied & self._barred].sum())
            others = int(there[denied & ~self._barred].sum())
            what = "nothing crosses that it does not allow"
            if number != _DEFAULT:
                text = self.policy.entries[number].text
                home, target = ("any category" if e == ANY else e for e in ends(text))
                what = f"nothing crosses from {home} to {target}"
            said = [f"items left out: {left_out:,}"] if left_out else []
            said += [f"items scored without that history: {others:,}"] if others else []
            if said:
                yield f"policy: {what} ({'; '.join(said)})"


def _kinds(catalogue: Catalogue, entries: Sequence[_Entry]) -> tuple[np.ndarray, np.ndarray]:
    """(n_paths,) the kind of each distinct path, and (kinds,) a path of each.

    Paths of one kind lie in the same top category and at the same ends of all entries.
    """
    tops = [path[0] if path else "" for path in catalogue.paths]
    known = np.unique(tops, return_inverse=True)[1]
    ends = [mask for entry in entries for mask in (entry.home, entry.target)]
    _, first, kinds = np.unique(
        np.stack([known, *ends]), axis=1, return_index=True, return_inverse=True
    )
    return kinds.reshape(-1), first


def _winner(tops: np.ndarray, entries: Sequence[_Entry], places: np.ndarray) -> np.ndarray:
    """(p, p) int: the most specific entry about each pair of paths; -1 is no crossing.

    What has no category crosses nowhere.

    Parameters
    ----------
    tops : (p,) top category of each path, "" = none.
    places : (p,) int, the paths.
    """
    named = tops != ""
    crossing = (tops[:, None] != tops) & named[:, None] & named
    winner = np.where(crossing, _DEFAULT, -1)
    for number, entry in enumerate(entries[1:], 1):
        about = entry.home[places][:, None] & entry.target[places]
        winner[about & (crossing | entry.inside)] = number
    return winner


def _under(catalogue: Catalogue, path: str) -> tuple[np.ndarray, int]:
    """(n_paths,) bool, which distinct paths one end of an entry is about; and how long it is."""
    if path == ANY:
        return np.ones(len(catalogue.paths), bool), 0
    return catalogue.paths_under(path)
