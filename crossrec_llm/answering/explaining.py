"""Why an item is in the list: the signals and history items that carried it, in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from crossrec_llm.records import Item, Query, Reason
from crossrec_llm.signals import Said, Signal

KEPT_REASONS = 3

# What a kind says with a history item, and without one.
WORDS = {
    "text": ("reads like “{}”", "far from what was disliked"),
    "neighbours": ("people who took “{}” also took it", ""),
    "transitions": ("people who took “{}” took it soon after", ""),
    "transitions before": ("people who took “{}” took it soon before", ""),
    "imputed": ("people who took “{}” took what reads like it", ""),
    "stand_in": ("goes with what reads like “{}”", ""),
    "category": ("of the same kind as “{}”", ""),
    "graph": ("goes with “{}” in what people take and in how it reads", ""),
    "taste": ("of a taste with “{}”", ""),
    "transport": ("reads like “{}”, or like what people took with it", ""),
    "trending": ("", "trending{}"),
    "asked": ("", "matches “{}”"),
    "said": ("", "you said: “{}”"),
    "popular": ("", "popular{}"),
    "pinned": ("", "pinned by a rule"),
    "fill": ("", "fills the list: nothing in particular speaks for it"),
}
_OF_BEHAVIOUR = ("neighbours", "transitions", "graph")


def reasons(
    query: Query,
    rows: np.ndarray,
    scores: np.ndarray,
    parts: np.ndarray,
    carried: Sequence[np.ndarray],
    signals: Sequence[Signal],
    item_of: Callable[[int], Item],
    cold: np.ndarray,
    pinned: np.ndarray,
    *,
    before: np.ndarray | None = None,
) -> list[tuple[Reason, ...]]:
    """The strongest reasons of each row, strongest first.

    What a signal adds to the score is split over the history items by `Signal.carriers`; what
    speaks against the item is left out, and shares are taken of what speaks for it. A signal that
    has nothing on an item (nobody took both, nobody took it at all) is no reason, even where
    others of the pool have less.

    Parameters
    ----------
    rows : (n,) int64.
    scores, parts : (n, s) float32, the signals' scores, and what each adds to the blend.
    carried : of each signal (n, h) float32, as by `carry_all`.
    item_of : row -> record.
    cold : (n_items,) bool, nobody took the item: what behaviour says of it was filled in by its
        meaning.
    pinned : (n,) bool, the row is there because a rule says so, whatever else speaks for it.
    before : (n, h) bool, whether people took the row rather before the history item; None where
        that is not told apart.
    """
    out = []
    pins = next((signal for signal in signals if isinstance(signal, Said)), None)
    for i, row in enumerate(rows):
        shares: dict[tuple[str, int | None], float] = {}
        if pinned[i]:
            shares["pinned", None] = 1.0
        for s, signal in enumerate(signals):
            if parts[i, s] > 0 and not pinned[i]:
                for h, part in _split(carried[s][i], float(scores[i, s])):
                    kind = signal.kind
                    if kind in _OF_BEHAVIOUR and h is not None and cold[query.history[h]]:
                        kind = "stand_in"
                    elif kind in _OF_BEHAVIOUR and cold[row]:
                        kind = "imputed"
                    key = (kind, h)
                    shares[key] = shares.get(key, 0) + float(parts[i, s]) * part
        total = sum(shares.values())
        if not total:
            shares, total = {("fill", None): 1.0}, 1.0
        top = sorted(shares.items(), key=lambda entry: -entry[1])[:KEPT_REASONS]
        item = item_of(int(row))
        found = []
        for (kind, h), share in top:
            because = None if h is None else item_of(int(query.history[h]))
            said = kind
            if kind == "transitions" and before is not None and h is not None and before[i, h]:
                said = "transitions before"
            text = pins.sentence(query, int(row)) if kind == "said" and pins else query.text
            words = sentence(said, item, because, text)
            found.append(Reason(kind, share / total, words, because.item_id if because else None))
        out.append(tuple(found))
    return out


def shorten(text: str) -> str:
    """At most 60 characters."""
    return text if len(text) <= 60 else f"{text[:57]}..."


def _split(carriers: np.ndarray, score: float) -> Iterator[tuple[int | None, float]]:
    """(history item or None, its part), the parts summing to 1; nothing without a ground."""
    total = float(carriers.sum())
    if total > 0:
        for h in np.flatnonzero(carriers):
            yield int(h), float(carriers[h]) / total
    elif score > 0:
        yield None, 1.0


def sentence(kind: str, item: Item, because: Item | None, text: str | None) -> str:
    """One reason in words."""
    with_item, alone = WORDS[kind]
    here = item.category[:1]
    if because is None:
        place = f" in {here[0]}" if here else ""
        return alone.format(shorten(text or "") if kind in ("asked", "said") else place)
    title = shorten(because.title)
    there = because.category[:1]
    crossing = f" ({there[0]} → {here[0]})" if here and there and here != there else ""
    return with_item.format(title) + crossing
