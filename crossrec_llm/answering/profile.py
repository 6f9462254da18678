"""From what is known of a person, or typed, to a Query."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa

from crossrec_llm.answering.interests import Interest, InterestsOptions
from crossrec_llm.answering.wording import shorten
from crossrec_llm.profiles import Correction, HistoryItem, InterestRecord, Profile
from crossrec_llm.records import Item, Query, SimilarMode
from crossrec_llm.signals import weigh
from crossrec_llm.tables import Catalogue, Histories, HistoryOptions, history_digest

NAMED_BY = 2
"""How many titles an interest is named by."""


def make_query(
    kind: Literal["user", "like", "similar"],
    rows: np.ndarray | Sequence[int] = (),
    weights: np.ndarray | Sequence[float] = (),
    *,
    liked: Sequence[int] = (),
    disliked: Sequence[int] = (),
    text: str | None = None,
    text_vector: np.ndarray | None = None,
    mode: SimilarMode = "both",
    struck: np.ndarray | None = None,
    said: tuple[str, ...] = (),
    said_vectors: np.ndarray | None = None,
) -> Query:
    """A query from a history and examples.

    Parameters
    ----------
    rows, weights : the history, oldest first; a weight below 0 marks a dislike. Weights are
        scaled so that the largest is 1.
    liked : rows that count as the newest items of the history, at its largest weight.
    disliked : rows to move away from; they win over the history and over `liked`.
    text : the free text as typed; `text_vector`, (dim,) float32, is its raw vector.
    mode : of a "similar" query.
    struck : rows that count no more, and never come.
    said : pinned sentences; `said_vectors`, (len(said), dim) float32, are their raw vectors.
    """
    rows = np.asarray(rows, np.int64)
    weights = np.asarray(weights, np.float32)
    away = np.unique(np.concatenate([rows[weights < 0], np.asarray(disliked, np.int64)]))
    examples = np.asarray(list(dict.fromkeys(liked)), np.int64)
    wanted = (weights > 0) & ~np.isin(rows, examples) & ~np.isin(rows, away)
    history, strength = rows[wanted], weights[wanted]
    if len(strength):
        strength = strength / strength.max()
    examples = examples[~np.isin(examples, away)]
    return Query(
        kind=kind,
        history=np.concatenate([history, examples]),
        weights=np.concatenate([strength, np.ones(len(examples), np.float32)]),
        disliked=away,
        text=text,
        text_vector=text_vector,
        mode=mode,
        struck=struck,
        said=said,
        said_vectors=said_vectors,
    )


@dataclass(frozen=True, eq=False)
class Known:
    """What is known of a person, with the corrections in effect.

    rows, weights : (h,) the history, oldest first; a weight below 0 marks a dislike.
    struck : (s,) int64 rows that were struck from it.
    said : pinned sentences, oldest first.
    corrections : those that made it so, in their order.
    digest : of the events and the corrections, for a receipt; None of nobody.
    """

    rows: np.ndarray
    weights: np.ndarray
    struck: np.ndarray
    said: tuple[str, ...] = ()
    corrections: tuple[Correction, ...] = ()
    digest: str | None = None

    @classmethod
    def of(
        cls,
        events: pa.Table,
        corrections: Sequence[Correction],
        catalogue: Catalogue,
        options: HistoryOptions,
    ) -> Known:
        """From one person's events (EVENTS_SCHEMA) and corrections."""
        rows, weights = np.empty(0, np.int64), np.empty(0, np.float32)
        histories = Histories.from_events(events, catalogue, options)
        if len(histories):
            rows, weights, _ = histories.history(0)
        struck = catalogue.rows([item_id for one in corrections for item_id in one.items])
        kept = ~np.isin(rows, struck)
        return cls(
            rows[kept].astype(np.int64),
            weights[kept],
            np.unique(struck[struck >= 0]),
            tuple(dict.fromkeys(one.sentence for one in corrections if one.sentence)),
            tuple(corrections),
            history_digest(events, corrections),
        )

    @classmethod
    def nobody(cls) -> Known:
        return cls(np.empty(0, np.int64), np.empty(0, np.float32), np.empty(0, np.int64))


def record_of(interest: Interest, query: Query, item_of: Callable[[int], Item]) -> InterestRecord:
    """An interest by its most central items."""
    items = [item_of(int(query.history[place])) for place in interest.central]
    name = " and ".join(f"“{shorten(item.title)}”" for item in items[:NAMED_BY])
    return InterestRecord(interest.share, name, tuple(item.item_id for item in items))


def describe(
    user_id: str,
    known: Known,
    query: Query,
    interests: Sequence[Interest],
    options: InterestsOptions,
    item_of: Callable[[int], Item],
    text_of: Callable[[Sequence[Item]], str],
) -> Profile:
    """What a person is shown of themselves.

    Parameters
    ----------
    query : that their history makes.
    text_of : items, oldest first -> the text of a history.
    """
    counted = weigh(query, options.decay, options.last)
    total = max(float(counted.sum()), 1e-12)
    number = {int(p): n for n, one in enumerate(interests, 1) for p in one.places}
    items = [item_of(int(row)) for row in query.history]
    away = known.weights < 0
    largest = float(np.abs(known.weights).max(initial=0)) or 1.0
    return Profile(
        user_id=user_id,
        text=text_of(items),
        history=tuple(
            HistoryItem(item, float(query.weights[p]), float(counted[p]) / total, number.get(p))
            for p, item in enumerate(items)
        ),
        disliked=tuple(
            HistoryItem(item_of(int(row)), float(weight) / largest, 0.0, None)
            for row, weight in zip(known.rows[away], known.weights[away], strict=True)
        ),
        struck=tuple(item_of(int(row)) for row in known.struck),
        interests=tuple(record_of(one, query, item_of) for one in interests),
        corrections=known.corrections,
    )
