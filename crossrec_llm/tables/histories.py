"""Users' items, oldest first, as CSR arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from crossrec_llm.records import STRICT
from crossrec_llm.tables.catalogue import Catalogue

EVENTS_SCHEMA = pa.schema(
    [
        ("user_id", pa.string()),
        ("item_id", pa.string()),
        ("timestamp", pa.float64()),
        ("event", pa.string()),
        ("value", pa.float64()),
    ]
)
"""One row an event: timestamp in epoch seconds (UTC, null = unknown), event "" = none, value null =
none (a rating, a quantity ...)."""

RATING = "rating"

_WEIGHTS = {
    **dict.fromkeys(("purchase", "buy", "order", "transaction", "checkout", "rating"), 1.0),
    **dict.fromkeys(("like", "favorite", "favourite", "wishlist", "add_to_wishlist", "share"), 0.8),
    **dict.fromkeys(("add_to_cart", "addtocart", "cart", "basket", "add_to_basket"), 0.6),
    **dict.fromkeys(("view", "view_item", "pageview", "page_view", "pv", "click", "detail"), 0.3),
    **dict.fromkeys(("impression", "exposure", "remove_from_cart", "removefromcart"), 0.0),
    **dict.fromkeys(("dislike", "thumbs_down", "hide", "not_interested", "block"), -1.0),
    **dict.fromkeys(("skip", "return", "refund", "unlike"), -0.5),
    **dict.fromkeys(("retoure", "rückgabe", "rücksendung", "storno", "erstattung"), -0.5),
}


@dataclass(frozen=True)
class HistoryOptions:
    """How events become weights.

    Parameters
    ----------
    event_weights : weight of each event name, compared without case, spaces and hyphens as
        underscores; below 0 is a dislike, 0 is left out; a name that is not in it weighs 1. What
        is given here adds to the usual names, which have weights already.
    rating_dislike_at_most : an event "rating" (compared as the names above are) whose value is at
        most this is a dislike. None: two fifths of the scale, which is the smallest of 1, 5, 10
        and 100 that holds the largest rating (so 2 of 5 stars, 4 of 10); `fitted` writes the
        number down.
    walls : category paths around which a wall stands: what people did there neither causes nor
        explains anything outside, and is not learned from (docs/crossing.md).
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    event_weights: Mapping[str, float] = field(default_factory=dict)
    rating_dislike_at_most: float | None = None
    walls: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "walls", tuple(self.walls))  # JSON knows only lists
        for path in self.walls:
            if not path.strip() or "*" in path:
                raise ValueError(
                    f"a wall stands around a category path, which {path!r} is not; "
                    'give one as in ["Health", "Finance > Debt"]'
                )

    def fitted(self, events: pa.Table) -> HistoryOptions:
        """The same options with `rating_dislike_at_most` read off the ratings in `events`.

        Part of the events (one user's) may not show the scale: fit on all of them once.
        """
        if self.rating_dislike_at_most is not None:
            return self
        codes, names = encoded(events["event"])
        ratings = events["value"].filter(pa.array(are_ratings(names)[codes]))
        largest = pc.max(ratings).as_py()
        if largest is None:
            return self
        scale = next((scale for scale in (1.0, 5.0, 10.0) if largest <= scale), 100.0)
        return replace(self, rating_dislike_at_most=0.4 * scale)

    def weight(self, event: str) -> float:
        """The weight of an event name."""
        name = _plain(event)
        return self._plain_weights.get(name, _WEIGHTS.get(name, 1.0))

    @cached_property
    def _plain_weights(self) -> dict[str, float]:
        return {_plain(name): float(weight) for name, weight in self.event_weights.items()}


class Histories:
    """Each user's items, each (user, item) once, at its youngest age, oldest first.

    A pair with several events: the sign of the latest event decides, and the largest absolute
    weight among the events of that sign counts. Events without a timestamp come before those with
    one, in the order of the table.

    Attributes
    ----------
    user_ids : sorted; every user here has at least one item.
    indptr : (users + 1,) int64; user u owns the entries indptr[u]:indptr[u + 1].
    rows : (m,) int32 catalogue rows.
    weights : (m,) float32, below 0 = disliked, never 0.
    timestamps : (m,) float64 epoch seconds of the latest event, NaN = unknown.
    counts : (m,) int32 events merged into the entry.
    """

    def __init__(
        self,
        user_ids: list[str],
        indptr: np.ndarray,
        rows: np.ndarray,
        weights: np.ndarray,
        timestamps: np.ndarray,
        counts: np.ndarray,
    ) -> None:
        self.user_ids = user_ids
        self.indptr = indptr
        self.rows = rows
        self.weights = weights
        self.timestamps = timestamps
        self.counts = counts

    @classmethod
    def from_events(
        cls, events: pa.Table, catalogue: Catalogue, options: HistoryOptions
    ) -> Histories:
        """Merges events (EVENTS_SCHEMA); those on unknown items are left out."""
        rows = catalogue.rows(events["item_id"])
        weights = _event_weights(events, options)
        users, names = ranked(events["user_id"])
        times = np.asarray(events["timestamp"].to_numpy(), np.float64)
        keep = (rows >= 0) & (weights != 0)
        if not keep.all():
            rows, weights, users, times = rows[keep], weights[keep], users[keep], times[keep]

        order = np.lexsort((np.nan_to_num(times, nan=-np.inf), users))  # stable: table order last
        rows, weights, users, times = rows[order], weights[order], users[order], times[order]
        # Groups of equal (user, row), each in time order; the group's last event is its latest.
        pair = users * np.int64(max(len(catalogue), 1)) + rows
        grouped = np.argsort(pair, kind="stable")
        starts = np.flatnonzero(np.diff(pair[grouped], prepend=-1))
        counts = np.diff(starts, append=len(grouped))
        last = grouped[starts + counts - 1]
        sign = np.sign(weights[last])
        same = np.sign(weights[grouped]) == np.repeat(sign, counts)
        strength = np.where(same, np.abs(weights[grouped]), 0.0)
        strongest = np.maximum.reduceat(strength, starts) if len(starts) else strength

        by_age = np.argsort(last)
        last = last[by_age]
        owners, sizes = np.unique(users[last], return_counts=True)
        return cls(
            user_ids=names.take(pa.array(owners)).to_pylist(),
            indptr=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
            rows=rows[last].astype(np.int32),
            weights=(sign * strongest)[by_age].astype(np.float32),
            timestamps=times[last],
            counts=counts[by_age].astype(np.int32),
        )

    def __len__(self) -> int:
        return len(self.user_ids)

    def history(self, user: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(rows, weights, timestamps) of one user, oldest first."""
        part = slice(self.indptr[user], self.indptr[user + 1])
        return self.rows[part], self.weights[part], self.timestamps[part]

    def matrix(self, n_items: int) -> Any:
        """(n_users, n_items) scipy CSR float32: 1 where a user has an item with positive weight."""
        import scipy.sparse as sp

        users = np.repeat(np.arange(len(self)), np.diff(self.indptr))
        wanted = self.weights > 0
        ones = np.ones(int(wanted.sum()), np.float32)
        places = (users[wanted], self.rows[wanted])
        return sp.csr_matrix((ones, places), shape=(len(self), n_items))

    def counts_per_item(self, n_items: int) -> np.ndarray:
        """(n_items,) int64 users who have the item with a positive weight."""
        return np.bincount(self.rows[self.weights > 0], minlength=n_items).astype(np.int64)


def _plain(event: str) -> str:
    return event.strip().lower().replace(" ", "_").replace("-", "_")


def are_ratings(names: pa.Array) -> np.ndarray:
    """(n,) bool whether each event name says "rating", however it is written."""
    return np.array([_plain(name) == RATING for name in names.to_pylist()], bool)


def encoded(column: pa.ChunkedArray) -> tuple[np.ndarray, pa.Array]:
    """(n,) int64 codes and the distinct values they stand for; the column has no nulls."""
    encoded = column.combine_chunks().dictionary_encode()
    return encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64), encoded.dictionary


def ranked(column: pa.ChunkedArray) -> tuple[np.ndarray, pa.Array]:
    """(n,) int64 rank of each value, and the distinct values, sorted."""
    codes, values = encoded(column)
    order = pc.sort_indices(values).to_numpy()
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return rank[codes], values.take(pa.array(order))


def without(
    events: pa.Table,
    catalogue: Catalogue,
    histories: Histories,
    hidden: Sequence[tuple[int, np.ndarray]],
    items: np.ndarray,
) -> pa.Table:
    """The events but those of some (person, item) pairs, and those of anybody on some items.

    Parameters
    ----------
    histories : whose numbers the people of `hidden` go by.
    hidden : (person, (m,) int64 rows) pairs.
    items : (n,) int64 rows.
    """
    users, names = ranked(events["user_id"])
    rows = catalogue.rows(events["item_id"])
    number = pc.index_in(pa.array(histories.user_ids, pa.string()), value_set=names)
    numbers = number.to_numpy(zero_copy_only=False).astype(np.int64)
    width = np.int64(len(catalogue) + 1)  # one more for the row -1 of an unknown item
    keys = [numbers[person] * width + mine + 1 for person, mine in hidden]
    away = np.isin(users * width + rows + 1, np.concatenate([np.empty(0, np.int64), *keys]))
    away |= np.isin(rows, items)
    return events.filter(pa.array(~away))


def _event_weights(events: pa.Table, options: HistoryOptions) -> np.ndarray:
    """(n,) float64 signed weight of each event; events without a name weigh 1."""
    codes, names = encoded(events["event"])
    listed = names.to_pylist()
    weights = np.array([options.weight(name) if name else 1.0 for name in listed], np.float64)
    result: np.ndarray = weights[codes]
    rated = are_ratings(names)
    if rated.any():
        limit = options.fitted(events).rating_dislike_at_most
        if limit is not None:
            values = np.asarray(events["value"].to_numpy(), np.float64)
            low = rated[codes] & (values <= limit)
            result[low] = -np.abs(result[low])
    return result
