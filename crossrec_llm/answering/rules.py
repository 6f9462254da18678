"""The rules of one answer: what the question and the recipe set, looked up in the catalogue."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from crossrec_llm.answering.arranging import (
    Arranged,
    Calibration,
    Cap,
    Demands,
    Split,
    apportion,
    quota,
)
from crossrec_llm.answering.asking import Ask
from crossrec_llm.answering.filters import allowed_rows, crosses, home_categories
from crossrec_llm.answering.policy import Ruling
from crossrec_llm.answering.standing import Standing, quota_codes, target_rows
from crossrec_llm.filter import Filter
from crossrec_llm.records import Query
from crossrec_llm.tables import Catalogue

_NARROWING = (
    "category", "not_category", "cross", "price_min", "price_max", "brand", "available", "exclude",
    "only", "since", "added_within",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Rules:
    """The rules of one question over all items.

    asked : with the filter that is in force, of the question and the recipe.
    outside, cold, allowed : (n_items,) bool, outside the home categories; nobody took it; passes
        the filter and all that bars.
    home : codes of the home categories.
    standing : those of the recipe, as far as they are part of `asked`.
    barred : in words -> (n_items,) bool, what does not come beside what the filter keeps out.
    ruling : of the policy; None = there is none.
    policy_notes : what it kept from each other.

    Raises
    ------
    UnknownItem, QueryError : a rule names what the catalogue does not have.
    """

    catalogue: Catalogue
    query: Query
    asked: Ask
    allowed: np.ndarray
    outside: np.ndarray
    home: np.ndarray
    cold: np.ndarray
    standing: Standing
    barred: Mapping[str, np.ndarray] = field(default_factory=dict)
    ruling: Ruling | None = None
    policy_notes: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        catalogue: Catalogue,
        query: Query,
        ask: Ask,
        standing: Standing,
        cold: np.ndarray,
        *,
        barred: Mapping[str, np.ndarray] = {},
        ruling: Ruling | None = None,
    ) -> Rules:
        """The rules of a question and those of the recipe, unless the question wants none.

        What is `barred`, and what the policy says, holds in any case.
        """
        standing = standing if ask.filter.standing else Standing()
        filter = standing.joined(ask)
        home = home_categories(catalogue, query)
        allowed = allowed_rows(catalogue, filter, query)
        for mask in barred.values():
            allowed &= ~mask
        policy_notes: tuple[str, ...] = ()
        if ruling is not None:
            policy_notes = tuple(ruling.notes(allowed))
            if ruling.barred is not None:
                allowed &= ~ruling.barred
                barred = {**barred, "kept out by the policy": ruling.barred}
        return cls(
            catalogue=catalogue,
            query=query,
            asked=dataclasses.replace(ask, filter=filter),
            allowed=allowed,
            outside=crosses(catalogue, home),
            home=home,
            cold=cold,
            standing=standing,
            barred=barred,
            ruling=ruling,
            policy_notes=policy_notes,
        )

    @cached_property
    def _pins(self) -> np.ndarray:
        """(p,) int64 rows of all pinned items, in order, those that cannot come too."""
        rows = [self.catalogue.row(item_id) for item_id in self.asked.filter.pin]
        return np.array(list(dict.fromkeys(rows)), np.int64)

    @cached_property
    def pinned(self) -> np.ndarray:
        """(p,) int64 rows that take the first places."""
        return self._pins[self.allowed[self._pins]][: self.asked.k]

    @cached_property
    def _boosts(self) -> dict[str, tuple[np.ndarray, float]]:
        return {
            target: (target_rows(self.catalogue, target, self.cold), strength)
            for target, strength in self.asked.filter.boost
        }

    @cached_property
    def _buried(self) -> dict[str, np.ndarray]:
        return {
            target: target_rows(self.catalogue, target, self.cold)
            for target in self.asked.filter.bury
        }

    @cached_property
    def _caps(self) -> tuple[Cap, ...]:
        filter, caps = self.asked.filter, []
        if filter.max_per_brand is not None:
            caps.append(Cap("max_per_brand", self.catalogue.brand_codes, filter.max_per_brand))
        if filter.max_per_category is not None:
            codes = self.catalogue.category_codes
            caps.append(Cap("max_per_category", codes, filter.max_per_category))
        if filter.max_per_top_category is not None:
            tops = self.catalogue.top_codes
            codes = np.where(tops == self.catalogue.no_category, -1, tops)
            caps.append(Cap("max_per_top_category", codes, filter.max_per_top_category))
        if self.ruling is not None:
            caps += self.ruling.caps(self.asked.k)
        return tuple(caps)

    @cached_property
    def _split(self) -> Split | None:
        paths = self.asked.filter.quota
        if paths:
            codes = quota_codes(self.catalogue, paths)
            return Split("quota", codes, tuple(share for _, share in paths))
        if self.asked.cross_share is not None and len(self.home):
            return Split("cross_share", self.outside.astype(np.int64), (self.asked.cross_share,))
        return None

    @property
    def split(self) -> bool:
        """Whether the question or the recipe splits the list."""
        return self._split is not None

    @property
    def _new(self) -> bool:
        return bool(self.asked.filter.new_share)

    def _calibration(self, rows: np.ndarray) -> Calibration | None:
        strength, home = self.asked.filter.calibration, self.home
        if not strength or not len(home):
            return None
        tops = self.catalogue.top_codes
        place = np.full(len(self.catalogue.top_names), -1)
        place[home] = np.arange(len(home))
        at = place[tops[self.query.history]]
        lived = np.bincount(at[at >= 0], self.query.weights[at >= 0], len(home))
        return Calibration(lived / lived.sum(), place[tops[rows]], strength)

    def pools(self) -> Iterator[np.ndarray]:
        """(n_items,) bool each: what needs a pool of its own, so that no rule lacks candidates."""
        if self._split is None:
            yield self.allowed
        else:
            parts = range(len(self._split.shares), -1, -1)
            sides = (self.allowed & (self._split.codes == part) for part in parts)
            yield from (side for side in sides if side.any())
        if self._new:
            yield self.allowed & self.cold
        for mask, _ in self._boosts.values():
            yield self.allowed & mask
        if self.asked.filter.calibration and len(self.home):
            yield self.allowed & np.isin(self.catalogue.top_codes, self.home)

    def demands(self, rows: np.ndarray) -> Demands:
        """What the list must be like, over the pool `rows` ((n,) int64, sorted)."""
        boost = np.zeros(len(rows), np.float32)
        for mask, strength in self._boosts.values():
            boost[mask[rows]] += strength
        split = self._split
        return Demands(
            pinned=np.searchsorted(rows, self.pinned),
            caps=tuple(dataclasses.replace(cap, codes=cap.codes[rows]) for cap in self._caps),
            split=split and dataclasses.replace(split, codes=split.codes[rows]),
            new=self.cold[rows] if self._new else None,
            new_share=self.asked.filter.new_share or 0.0,
            buried=np.logical_or.reduce([m[rows] for m in self._buried.values()])
            if self._buried
            else None,
            boost=boost if self._boosts else None,
            calibration=self._calibration(rows),
        )

    def wanting(self, rows: np.ndarray, found: np.ndarray) -> np.ndarray:
        """(n_items,) bool: what is not in the pool, and could bring the list nearer to the rules.

        Only caps can leave a list wanting that a pool is large enough for.
        """
        more = np.zeros(len(self.catalogue), bool)
        if not self._caps:
            return more
        if len(found) < self.asked.k:
            more |= self._fits(found)
        if self._split is not None:
            for part, (got, wanted) in enumerate(self._parts(found)):
                if got < wanted:
                    more |= self._split.codes == part
        if self._new and int(self.cold[found].sum()) < self._new_wanted:
            more |= self.cold
        more &= self.allowed
        more[rows] = False
        return more

    def _fits(self, found: np.ndarray) -> np.ndarray:
        """(n_items,) bool: what the caps have room for beside a list."""
        fits = np.ones(len(self.catalogue), bool)
        for cap in self._caps:
            classes, counts = np.unique(cap.codes[found], return_counts=True)
            fits &= ~np.isin(cap.codes, classes[(counts >= cap.most) & (classes >= 0)])
        return fits

    def _parts(self, found: np.ndarray) -> list[tuple[int, int]]:
        """(how many there are, how many there should be) of each part of the split."""
        assert self._split is not None
        counts = apportion(self.asked.k, self._split.shares)
        got = np.bincount(self._split.codes[found], minlength=len(counts) + 1)
        return list(zip(map(int, got), [self.asked.k - sum(counts), *counts], strict=True))

    @property
    def _new_wanted(self) -> int:
        return quota(self.asked.k, self.asked.filter.new_share or 0.0)

    def acted(self, found: np.ndarray, arranged: Arranged) -> list[tuple[str, ...]]:
        """The rules that acted on each item of the list."""
        pinned = set(self.pinned.tolist())
        out: list[tuple[str, ...]] = []
        for row, brought in zip(found, arranged.acted, strict=True):
            if int(row) in pinned:
                out.append(("pin",))
                continue
            names = [f"boost {target}" for target, (mask, _) in self._boosts.items() if mask[row]]
            names += [f"bury {target}" for target, mask in self._buried.items() if mask[row]]
            # A cross share shows on the items themselves.
            names += [name for name in brought if name != "cross_share"]
            out.append(tuple(names))
        return out

    def shortfall(self, found: np.ndarray) -> str | None:
        """Why the list is not what was asked for; None when it is."""
        k = self.asked.k
        with_caps = ", ".join(cap.words for cap in self._caps)
        passing = "pass the filter"
        if self.query.mode == "together":
            passing += " and read differently enough to go with it"
        if with_caps:
            passing += f" with {with_caps}"
        said = []
        if len(found) < k:
            said.append(f"{len(found)} of {k}: no more items {passing}")
        if self._split is not None:
            said += self._mix(found, passing)
        new = int(self.cold[found].sum())
        if self._new and new < self._new_wanted:
            said.append(f"{new} instead of {self._new_wanted} of {k} are new: no more {passing}")
        return "; ".join(said) or None

    def _mix(self, found: np.ndarray, passing: str) -> Iterator[str]:
        assert self._split is not None
        k, parts = self.asked.k, self._parts(found)
        if self._split.name == "cross_share":
            cross, wanted = parts[1]
            if cross == wanted or (len(found) < k and not self._caps):
                return
            side = "outside" if cross < wanted else "inside"
            yield (
                f"{cross} instead of {wanted} of {k} lie outside the home categories: "
                f"no more items {side} them {passing}"
            )
            return
        names = [repr(path) for path, _ in self.asked.filter.quota]
        for name, (got, wanted) in zip(["the other categories", *names], parts, strict=True):
            if got < wanted:
                yield f"{got} instead of {wanted} of {k} lie in {name}: no more there {passing}"

    def _kept_out(self, rows: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        """(why, which) of rows that are not allowed."""
        for words, mask in self.barred.items():
            yield words, rows[mask[rows]]
            rows = rows[~mask[rows]]
        known = np.isin(rows, np.concatenate([self.query.history, self.query.disliked]))
        yield "excluded by the filter", rows[~known]
        yield "already known, or excluded by the filter", rows[known]

    def keeping_out(self, row: int) -> Iterator[str]:
        """Why an item that is not allowed is not, in words.

        Where a wall is between, that is all that is told.
        """
        for words, mask in self.barred.items():
            if mask[row]:
                yield f"it is {words}"
                return
        query = self.query
        if not self.catalogue.present[row]:
            yield "it is not in the catalogue any more"
        if row in query.disliked:
            yield "it was disliked"
        elif query.struck is not None and row in query.struck:
            yield "it was struck from the profile"
        elif row in query.history and query.kind == "similar":
            yield "it is the item that was asked about"
        elif row in query.history and not self.asked.filter.include_seen:
            yield "it is in the history already"
        for name, value in self.asked.filter.set_fields().items():
            if self._alone_bars(self.asked.filter, name, row):
                ours = self._alone_bars(self.standing.filter, name, row)
                by = "a standing rule of the recipe" if ours else "the filter"
                yield f"{by} keeps it out: {name} {_shown(value)}"

    def _alone_bars(self, filter: Filter, name: str, row: int) -> bool:
        """Whether one field of a filter keeps an item out, whatever else does."""
        if name not in _NARROWING:
            return False
        alone = Filter(**{name: getattr(filter, name)}, include_seen=True)
        nothing = np.empty(0, np.int64)
        query = dataclasses.replace(self.query, kind="user", disliked=nothing, struck=None)
        return not allowed_rows(self.catalogue, alone, query)[row] and bool(
            self.catalogue.present[row]
        )

    def crowding_out(self, row: int, found: np.ndarray) -> Iterator[str]:
        """What of the rules had no room for an item beside those of the list."""
        for cap in self._caps:
            if cap.codes[row] >= 0 and int((cap.codes[found] == cap.codes[row]).sum()) >= cap.most:
                yield f"the list has {cap.words} already"
        if self._split is not None:
            part = int(self._split.codes[row])
            got, wanted = self._parts(found)[part]
            if got >= wanted:
                yield f"{self._split.name} leaves {wanted} of {self.asked.k} places for its part"
        buried = [target for target, mask in self._buried.items() if mask[row]]
        if buried:
            yield f"it is buried: {', '.join(buried)}"

    @property
    def in_force(self) -> list[str]:
        """The rules of this list that are more than a matter of the score, in words."""
        shown = self.asked.filter.set_fields()
        names = [name for name in shown if name not in (*_NARROWING, "include_seen", "standing")]
        share = self.asked.cross_share
        split = [f"cross_share {share:g}"] if self.split and share is not None else []
        return [*(f"{name} {_shown(shown[name])}" for name in names), *split]

    def notes(self, found: np.ndarray) -> Iterator[str]:
        """What came of the pins, and of caps that they break; standing rules passed over."""
        yield from self.standing.notes
        yield from self.policy_notes
        if len(self.pinned) < len(self._pins):
            out = self._pins[~self.allowed[self._pins]]
            why = [
                f"{', '.join(repr(self.catalogue.ids[row]) for row in rows)} "
                f"{'is' if len(rows) == 1 else 'are'} {words}"
                for words, rows in self._kept_out(out)
                if len(rows)
            ]
            if len(self._pins) - len(out) > len(self.pinned):
                why.append(f"the list is {self.asked.k} long")
            yield f"pinned: {len(self.pinned)} of {len(self._pins)}, {'; '.join(why)}"
        for cap in self._caps:
            codes = cap.codes[found]
            most = int(np.bincount(codes[codes >= 0]).max(initial=0))
            if most > cap.most:
                yield f"{cap.name} {cap.most}: {most} came, as they are pinned"
        if self.asked.filter.calibration and not len(self.home):
            yield "the history has no category: the list is not calibrated to it"


def _shown(value: object) -> str:
    """A setting in words; of many values the first few."""
    if isinstance(value, dict):
        value = [f"{name}={number:g}" for name, number in value.items()]
    if isinstance(value, list):
        more = f" and {len(value) - 3:,} more" if len(value) > 3 else ""
        return ", ".join(map(str, value[:3])) + more
    return f"{value:,.10g}" if isinstance(value, float) else str(value)
