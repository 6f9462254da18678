"""What may be in an answer, and the rules that its list keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime
from typing import Any, Literal

from crossrec_llm.errors import QueryError

Cross = Literal["any", "only", "none"]

# A mapping from names to numbers, pairs, or names alone; a filter keeps it as a tuple of pairs.
Weighted = Any

BOOST = 0.25
"""How much a boost adds where it does not say."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which items may be in an answer, and the rules that its list keeps.

    The first fields narrow what may come; those from `pin` on say how the list is made up of it,
    in an order of precedence (docs/rules.md). A target of `boost` or `bury` is an item id,
    "item:ID", "category:PATH", "brand:NAME", "fresh:DAYS" (added within so many days) or "new"
    (nobody took it yet).

    Parameters
    ----------
    category : paths ("Electronics > Audio"); an item passes under any of them.
    not_category : paths; an item under any of them is out.
    cross : "only" keeps what lies outside the home categories (the top categories of the
        history), "none" what lies inside, "any" both.
    price_min, price_max : inclusive; an item without a price fails either.
    brand : brands, compared without case; an item passes with any of them.
    available : only items that can be had now.
    exclude : item ids that must not come.
    only : when not None, item ids outside it must not come.
    include_seen : whether items of the history may come again.
    since : epoch seconds, a date or an ISO 8601 text (UTC unless it says so); only items added
        then or later (items without a date fail).
    added_within : only items added within so many days of the one added last.
    pin : item ids for the first places, in this order.
    boost : targets, with what to add to their relevance (above 0, up to 1, where 1 is the way from
        the weakest to the strongest candidate; `BOOST` without a number).
    bury : targets that come only where nothing else fits.
    max_per_brand, max_per_category, max_per_top_category : at most so many items of one brand, of
        one category (its whole path), of one top category; items without one are not counted.
    quota : category paths and the share of the list that lies at or below each, exactly.
    new_share : least share of the list that nobody took yet.
    calibration : 0..1, how much the list follows the shares of categories in the history.
    standing : whether the recipe's rules hold too; what is set here comes before theirs.
    """

    category: tuple[str, ...] = ()
    not_category: tuple[str, ...] = ()
    cross: Cross = "any"
    price_min: float | None = None
    price_max: float | None = None
    brand: tuple[str, ...] = ()
    available: bool = False
    exclude: tuple[str, ...] = ()
    only: tuple[str, ...] | None = None
    include_seen: bool = False
    since: float | str | date | None = None
    added_within: float | None = None
    pin: tuple[str, ...] = ()
    boost: Weighted = ()
    bury: tuple[str, ...] = ()
    max_per_brand: int | None = None
    max_per_category: int | None = None
    max_per_top_category: int | None = None
    quota: Weighted = ()
    new_share: float | None = None
    calibration: float | None = None
    standing: bool = True

    def __post_init__(self) -> None:
        if self.cross not in ("any", "only", "none"):
            raise QueryError(f"cross must be any, only or none, not {self.cross!r}")
        for name in ("category", "not_category", "brand", "exclude", "only", "pin", "bury"):
            value = getattr(self, name)
            if isinstance(value, str):
                value = (value,)
            if value is not None:
                object.__setattr__(self, name, tuple(value))
        # A number is taken for the text that files have the id as.
        object.__setattr__(self, "pin", tuple(map(str, self.pin)))
        object.__setattr__(self, "bury", tuple(map(str, self.bury)))
        object.__setattr__(self, "boost", _weighted("boost", self.boost, BOOST))
        object.__setattr__(self, "quota", _weighted("quota", self.quota, None))
        object.__setattr__(self, "since", _epoch(self.since))
        for name in ("price_min", "price_max", "since"):
            value = getattr(self, name)
            if value is not None and value != value:
                raise QueryError(f"{name} must be a number, not NaN")
        if (
            self.price_min is not None
            and self.price_max is not None
            and self.price_min > self.price_max
        ):
            raise QueryError(f"price_min {self.price_min:g} is above price_max {self.price_max:g}")
        self._check_rules()

    def _check_rules(self) -> None:
        for name in ("max_per_brand", "max_per_category", "max_per_top_category"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value < 1):
                raise QueryError(f"{name} must be a whole number from 1 on, not {value!r}")
        for name in ("new_share", "calibration"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise QueryError(f"{name} must lie between 0 and 1, not {value}")
        if self.added_within is not None and not self.added_within > 0:
            raise QueryError(f"added_within must be a number of days above 0: {self.added_within}")
        for target, strength in self.boost:
            if not 0 < strength <= 1:
                raise QueryError(
                    f"boost {target!r} must lie above 0 and up to 1, not {strength:g}: "
                    "`bury` puts back"
                )
        if any(not 0 <= share <= 1 for _, share in self.quota):
            raise QueryError("quota: every share must lie between 0 and 1")
        if (total := sum(share for _, share in self.quota)) > 1 + 1e-9:
            raise QueryError(f"quota: the shares sum to {total:g}, which is more than 1")

    def set_fields(self) -> dict[str, Any]:
        """The fields that differ from their defaults, for showing and for receipts."""
        return {
            f.name: _shown(value)
            for f in fields(self)
            if (value := getattr(self, f.name)) != f.default
        }


def _shown(value: Any) -> Any:
    if isinstance(value, tuple):
        return dict(value) if value and isinstance(value[0], tuple) else list(value)
    return value


def _weighted(name: str, given: Weighted, default: float | None) -> tuple[tuple[str, float], ...]:
    """(name, number) pairs from a mapping, pairs, or names alone where there is a default."""
    if isinstance(given, str):
        given = (given,)
    pairs: dict[str, float] = {}
    for entry in given.items() if isinstance(given, Mapping) else given:
        if isinstance(entry, str) and default is None:
            raise QueryError(f"{name} {entry!r} needs a number")
        key, number = (entry, default) if isinstance(entry, str) else entry
        if not isinstance(number, int | float) or number != number:
            raise QueryError(f"{name} {key!r} must be a number, not {number!r}")
        pairs[str(key)] = float(number)
    return tuple(pairs.items())


def _epoch(moment: float | str | date | None) -> float | None:
    """Epoch seconds of a moment in any of the usual shapes."""
    if isinstance(moment, str):
        try:
            moment = datetime.fromisoformat(moment)
        except ValueError as error:
            raise QueryError(f"since {moment!r} is not a date like 2026-01-31") from error
    if isinstance(moment, date) and not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day)
    if isinstance(moment, datetime):
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return moment
