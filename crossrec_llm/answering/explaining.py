"""Why an item is in the list: the signals and history items that carried it, in words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from crossrec_llm.records import Item, Query, Reason
from crossrec_llm.signals import Signal

KEPT_REASONS = 3


def reasons(
    query: Query,
    rows: np.ndarray,
    parts: np.ndarray,
    signals: Sequence[Signal],
    items: Sequence[Item],
    history: Sequence[Item],
    text: str | None,
) -> list[tuple[Reason, ...]]:
    """The strongest reasons of each row, strongest first.

    What a signal adds to the score is split over the history items by `Signal.carriers`; what
    speaks against the item is left out, and shares are taken of what speaks for it. Where
    nothing speaks for it, the signal that speaks least against it is named.

    Parameters
    ----------
    rows : (n,) int64, and `items` the same as records.
    parts : (n, s) float32, what each signal adds to the score.
    history : the items of `query.history` as records.
    text : what was typed, None where nothing was.
    """
    carried = [signal.carriers(query, rows) for signal in signals]
    out = []
    for i, item in enumerate(items):
        weights = np.maximum(parts[i], 0)
        if not weights.any():
            weights = (parts[i] == parts[i].max()).astype(np.float32)
        shares: dict[tuple[str, int | None], float] = {}
        for s, signal in enumerate(signals):
            share = float(weights[s] / weights.sum())
            if share == 0:
                continue
            by_item = carried[s][i]
            total = float(by_item.sum())
            if total <= 0:
                shares[signal.kind, None] = shares.get((signal.kind, None), 0) + share
                continue
            for h in np.flatnonzero(by_item):
                key = (signal.kind, int(h))
                shares[key] = shares.get(key, 0) + share * float(by_item[h]) / total
        top = sorted(shares.items(), key=lambda entry: -entry[1])[:KEPT_REASONS]
        out.append(
            tuple(
                Reason(
                    kind,
                    share,
                    sentence(kind, item, None if h is None else history[h], text, query.kind),
                    None if h is None else history[h].item_id,
                )
                for (kind, h), share in top
            )
        )
    return out


def sentence(kind: str, item: Item, because: Item | None, text: str | None, asked: str) -> str:
    """One reason in words."""
    if because is not None:
        title = because.title if len(because.title) <= 60 else f"{because.title[:57]}..."
        words = {
            "text": f"reads like “{title}”",
            "neighbours": f"people who took “{title}” also took it",
        }[kind]
        here, there = because.category[:1], item.category[:1]
        bridge = f" ({here[0]} → {there[0]})" if here and there and here != there else ""
        return words + bridge
    if kind == "asked":
        return f"matches “{text}”"
    if kind == "popular":
        return f"popular in {item.category[0]}" if item.category else "popular"
    if kind == "text":
        return "reads like the history as a whole" if asked == "user" else "reads alike"
    return "taken by the same people"
