"""How an answer should be made, and the words for what it could not be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from crossrec_llm.answering.blend import SituationName
from crossrec_llm.errors import QueryError
from crossrec_llm.filter import Filter
from crossrec_llm.records import Explain, Query
from crossrec_llm.signals import FittedSignals
from crossrec_llm.tables import OUTSIDE

Company = Literal["known", "imputed", "unknown", "walled"]
"""Whether it is known what an item is taken with: from people who took it; nobody took it, and it
was filled in from items that read like it; not at all; or not looked at behind a wall."""

COMPANY_NOTES: Mapping[Company, tuple[str, ...]] = {
    "known": (),
    "imputed": ("nobody took this item yet: these go with the items that read most like it",),
    "unknown": (
        "nobody took this item together with another: what goes with it is not known, "
        "these are alike",
    ),
    "walled": ("behind a wall it is not looked at what is taken with an item: these are alike",),
}


@dataclass(frozen=True)
class Ask:
    """How an answer should be made, whatever the question is.

    k : length of the list.
    filter : which items may be in it.
    cross_share : share of the list outside the home categories, 0..1; None leaves it to the
        scores.
    diversity : 0 (relevance only) to 1; None takes the recipe's.
    explain : whether reasons are worked out, and every contribution to the score ("full").
    why_not : id of an item of which the answer is to say why it is not in the list.
    """

    k: int = 10
    filter: Filter = Filter()
    cross_share: float | None = None
    diversity: float | None = None
    explain: Explain = True
    why_not: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.k, int):
            raise QueryError(f"k must be a whole number, not {self.k!r}")
        if self.k < 1:
            raise QueryError(f"k must be 1 or more, not {self.k}")
        if self.explain not in (True, False, "full"):
            raise QueryError(f"explain must be True, False or 'full', not {self.explain!r}")
        for name in ("cross_share", "diversity"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise QueryError(f"{name} must lie between 0 and 1, not {value}")
        if self.cross_share is not None and self.filter.cross != "any":
            raise QueryError(
                f"cross_share {self.cross_share:g} has no meaning with cross {self.filter.cross!r}:"
                " give one of the two"
            )
        if self.cross_share is not None and self.filter.quota:
            raise QueryError("cross_share and quota both split the list: give one of the two")


def situation_of(query: Query, ask: Ask) -> SituationName:
    """Which blend a question is answered by."""
    if query.kind == "similar" and query.mode != "both":
        return query.mode
    if query.kind != "user":
        return query.kind
    return "cross" if ask.filter.cross == "only" else "user"


def company_of(fitted: FittedSignals, row: int, side: int = OUTSIDE) -> Company:
    """How much is known of what the item of a row is taken with, by the wall that it is behind."""
    if side != OUTSIDE:
        return "walled"
    beside = [fitted.matrices.get(name) for name in ("neighbours", "transitions")]
    asked = np.array([row])
    if not any(m is not None and m.rows(asked).sizes[0] for m in beside):
        return "unknown"
    return "imputed" if fitted.popularity.cold[row] else "known"


def notes(
    query: Query,
    ask: Ask,
    homes: int,
    *,
    read_as: str | None = None,
    worded: bool = True,
    walled: bool = False,
) -> tuple[str, ...]:
    """Labels of every fallback that this answer took.

    Parameters
    ----------
    read_as : the text as it was mended, None as it was typed.
    worded : whether some item has some word of the text.
    walled : whether the question stands behind a wall.
    """
    notes = []
    if read_as is not None:
        notes.append(f"read as “{read_as}”: no item has the words as they were typed")
    if query.text is not None and not worded:
        notes.append("no item has any of these words: found by meaning alone")
    if query.kind == "user" and not len(query.history):
        by = "what was pinned, and what is popular" if query.said else "the most popular items"
        by = "items in no order, as nothing is known of what is popular there" if walled else by
        notes.append(f"no history to go by: these are {by} that pass the filter")
    if not homes and (ask.filter.cross != "any" or ask.cross_share is not None):
        notes.append("the history has no category: crossing was not restricted")
    return tuple(notes)
