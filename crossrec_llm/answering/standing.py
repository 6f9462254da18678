"""The standing rules of a shop, which its recipe sets."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge, Gt, Le

from crossrec_llm.answering.asking import Ask
from crossrec_llm.errors import CrossrecError, QueryError
from crossrec_llm.filter import Filter
from crossrec_llm.records import STRICT
from crossrec_llm.tables import Catalogue


@dataclass(frozen=True)
class RulesOptions:
    """Standing rules: they hold in every answer, beside those of the question, which come first.

    A name that the catalogue does not have is passed over, and every answer has a note of it.
    docs/rules.md tells what each rule does and which wins.

    pin : item ids for the first places, in this order, after those of the question.
    boost : what comes higher ("brand:Acme", "category:A > B", "fresh:30", "new", an item id), and
        how much: above 0, up to 1.
    bury : what comes only where nothing else fits, named in the same way.
    exclude : item ids that never come.
    available : only items that can be had now.
    added_within : only items added within so many days of the one added last.
    max_per_brand, max_per_category, max_per_top_category : at most so many items of one brand, of
        one category path, of one top category.
    quota : category path -> share of the list that lies at or below it, exactly.
    new_share : least share of the list that nobody took yet.
    calibration : 0..1, how much the list follows the shares of categories in the history.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    pin: tuple[str, ...] = ()
    boost: dict[str, Annotated[float, Gt(0), Le(1)]] = field(default_factory=dict)
    bury: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    available: bool = False
    added_within: Annotated[float, Gt(0)] | None = None
    max_per_brand: Annotated[int, Ge(1)] | None = None
    max_per_category: Annotated[int, Ge(1)] | None = None
    max_per_top_category: Annotated[int, Ge(1)] | None = None
    quota: dict[str, Annotated[float, Ge(0), Le(1)]] = field(default_factory=dict)
    new_share: Annotated[float, Ge(0), Le(1)] | None = None
    calibration: Annotated[float, Ge(0), Le(1)] | None = None

    def __post_init__(self) -> None:
        self.filter()

    def filter(self) -> Filter:
        """The same rules as those of a question."""
        return Filter(**{f.name: getattr(self, f.name) for f in dataclasses.fields(self)})


@dataclass(frozen=True)
class Standing:
    """The standing rules that can be kept with a catalogue, and a note for each that cannot."""

    filter: Filter = Filter()
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, options: RulesOptions, catalogue: Catalogue, cold: np.ndarray) -> Standing:
        """What the catalogue does not have is passed over."""
        rules, notes = options.filter(), list[str]()

        def known(name: str, look_up: Callable[[Any], object]) -> tuple[Any, ...]:
            found = []
            for entry in getattr(rules, name):
                try:
                    look_up(entry[0] if isinstance(entry, tuple) else entry)
                except CrossrecError as error:
                    notes.append(f"standing rule {name} passed over: {error}")
                else:
                    found.append(entry)
            return tuple(found)

        def target(text: str) -> np.ndarray:
            return target_rows(catalogue, text, cold)

        kept: dict[str, Any] = {
            "pin": known("pin", catalogue.row),
            "boost": known("boost", target),
            "bury": known("bury", target),
            "quota": known("quota", catalogue.under),
        }
        try:
            quota_codes(catalogue, kept["quota"])
        except QueryError as error:
            kept["quota"] = ()
            notes.append(f"standing rule quota passed over: {error}")
        within = rules.added_within
        if within is not None and np.isnan(catalogue.added).all():
            within = None
            notes.append("standing rule added_within passed over: no item has a date")
        return cls(dataclasses.replace(rules, added_within=within, **kept), tuple(notes))

    def joined(self, ask: Ask) -> Filter:
        """A question's filter with these rules; the question's own come first.

        Standing quotas make way for a cross share or quotas of the question.
        """
        ours, theirs = ask.filter, self.filter
        if theirs == Filter():
            return ours
        merged: dict[str, Any] = {
            "available": ours.available or theirs.available,
            "boost": {**dict(theirs.boost), **dict(ours.boost)},
            "quota": ours.quota or (theirs.quota if ask.cross_share is None else ()),
        }
        for name in ("exclude", "pin", "bury"):
            both = (*getattr(ours, name), *getattr(theirs, name))
            merged[name] = tuple(dict.fromkeys(both))
        for option in dataclasses.fields(RulesOptions):
            if (name := option.name) not in merged:
                own = getattr(ours, name)
                merged[name] = getattr(theirs, name) if own is None else own
        return dataclasses.replace(ours, **merged)


def target_rows(catalogue: Catalogue, target: str, cold: np.ndarray) -> np.ndarray:
    """(n_items,) bool: what a boost or bury means.

    Raises
    ------
    UnknownItem, QueryError : there is no such item, category or brand; names near ones.
    """
    kind, _, name = target.partition(":")
    if target == "new":
        return cold
    if kind == "category" and name:
        return catalogue.under(name)
    if kind == "brand" and name:
        return catalogue.brand_mask([name])
    if kind == "fresh" and name:
        try:
            return catalogue.added_within(float(name))
        except ValueError as error:
            if isinstance(error, QueryError):
                raise
            raise QueryError(f"{target!r}: give a number of days, as in fresh:30") from error
    mask = np.zeros(len(catalogue), bool)
    mask[catalogue.row(name if kind == "item" and name else target)] = True
    return mask


def quota_codes(catalogue: Catalogue, paths: Sequence[tuple[str, float]]) -> np.ndarray:
    """(n_items,) int64: p + 1 at or below the path p, 0 elsewhere.

    Raises
    ------
    QueryError : no item is in such a category; or two paths hold the same items.
    """
    codes = np.zeros(len(catalogue), np.int64)
    for part, (path, _) in enumerate(paths, 1):
        under = catalogue.under(path)
        if codes[under].any():
            other = paths[int(codes[under].max()) - 1][0]
            raise QueryError(f"quota: {path!r} and {other!r} overlap: give paths that lie apart")
        codes[under] = part
    return codes
