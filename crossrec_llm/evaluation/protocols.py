"""What is hidden from the fit, and who is asked about it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from crossrec_llm.errors import DataError
from crossrec_llm.tables import Catalogue, Histories, HistoryOptions

PROTOCOLS = {
    "warm": "each person's last item is hidden; people with at least 3 items",
    "validation": "the same one item earlier, the last one left out: what tuning may look at",
}


@dataclass(frozen=True)
class Case:
    """One question with a known answer.

    `history`: item ids, oldest first; `targets`: the hidden ones.
    """

    user_id: str
    history: tuple[str, ...]
    targets: tuple[str, ...]


@dataclass(frozen=True)
class Split:
    """`events`: what may be learned from (EVENTS_SCHEMA); `cases`: what is asked."""

    protocol: str
    events: pa.Table
    cases: tuple[Case, ...]


def split(protocol: str, catalogue: Catalogue, events: pa.Table, options: HistoryOptions) -> Split:
    """Hide what the protocol says.

    Repeats of an item count once, at the youngest age; dislikes are no targets. All events of a
    hidden (person, item) pair leave the training part.

    Raises
    ------
    DataError : nobody has enough items.
    """
    histories = Histories.from_events(events, catalogue, options)
    hidden_from = {"warm": 1, "validation": 2}[protocol]
    ids = catalogue.ids
    cases = []
    hidden: set[tuple[str, str]] = set()
    for u, user_id in enumerate(histories.user_ids):
        rows, weights, _ = histories.history(u)
        items = [ids[row] for row in rows[weights > 0]]
        if len(items) < 3:
            continue
        kept = items[:-hidden_from]
        cases.append(Case(user_id, tuple(kept), (items[len(kept)],)))
        hidden.update((user_id, item_id) for item_id in items[len(kept) :])
    if not cases:
        raise DataError(
            f"protocol {protocol}: nobody has 3 items, so nothing can be hidden; "
            "a longer log is needed"
        )
    pairs = zip(events["user_id"].to_pylist(), events["item_id"].to_pylist(), strict=True)
    training = np.fromiter((pair not in hidden for pair in pairs), bool, len(events))
    return Split(protocol, events.filter(pa.array(training)), tuple(cases))
