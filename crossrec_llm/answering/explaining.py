"""Why an item is in the list: the signals and history items that carried it, in words."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from crossrec_llm.answering.account import Account
from crossrec_llm.answering.wording import SENTENCES, Wording
from crossrec_llm.records import Item, Query, Reason
from crossrec_llm.signals import Said, Signal

KEPT_REASONS = 3

_OF_BEHAVIOUR = ("neighbours", "transitions", "graph")
_COUNTED = "neighbours"  # the signal into which later events are folded


def reasons(
    query: Query,
    rows: np.ndarray,
    account: Account,
    signals: Sequence[Signal],
    item_of: Callable[[int], Item],
    cold: np.ndarray,
    pinned: np.ndarray,
    wording: Wording,
    *,
    unknown: np.ndarray | None = None,
    before: np.ndarray | None = None,
) -> list[tuple[Reason, ...]]:
    """The strongest reasons of each row.

    They come by share; but the history item that is named first is the one without which the
    score would lose most, in all signals together. What speaks against the item is left out, and
    shares are taken of what speaks for it. A signal that has nothing on an item (nobody took
    both, nobody took it at all) is no reason, even where others of the pool have less.

    Parameters
    ----------
    rows : (n,) int64, those of the account.
    item_of : row -> record.
    cold : (n_items,) bool, nobody took the item: what behaviour says of it was filled in by its
        meaning.
    pinned : (n,) bool, the row is there because a rule says so, whatever else speaks for it.
    wording : the sentences.
    unknown : (n_items,) bool, the same for all signals but neighbours; None = as `cold`.
    before : (n, h) bool, whether people took the row rather before the history item; None where
        that is not told apart.
    """
    history = query.history[account.places]
    filled = [cold] * len(signals)
    if unknown is not None:
        filled = [cold if signal.name == _COUNTED else unknown for signal in signals]
    told = _told(history, rows, account, [s.kind for s in signals], filled)
    kinds = list(told)
    by_kind = np.stack([told[kind] for kind in kinds], axis=1)
    totals = by_kind.sum(axis=(1, 2))
    pins = next((signal for signal in signals if isinstance(signal, Said)), None)
    out: list[tuple[Reason, ...]] = []
    for i, row in enumerate(rows):
        item = item_of(int(row))
        if pinned[i] or not totals[i]:
            kind = "pinned" if pinned[i] else "fill"
            out.append((Reason(kind, 1.0, wording.sentence(kind, item)),))
            continue
        found = []
        for k, h in _strongest(by_kind[i], account.losses[i]):
            because = item_of(int(history[h])) if h < len(history) else None
            kind = said = kinds[k]
            if kind == "transitions" and because and before is not None:
                said = "transitions_before" if before[i, account.places[h]] else kind
            text = pins.sentence(query, int(row)) if kind == "said" and pins else query.text
            words = wording.sentence(said, item, because, text)
            share = float(by_kind[i, k, h] / totals[i])
            found.append(Reason(kind, share, words, because.item_id if because else None))
        out.append(tuple(found))
    return out


def _told(
    history: np.ndarray,
    rows: np.ndarray,
    account: Account,
    kinds: Sequence[str],
    filled: Sequence[np.ndarray],
) -> dict[str, np.ndarray]:
    """Kind -> (n, h + 1) float64, 0 or above: what speaks for each row in its words.

    The last place is of no history item.

    Parameters
    ----------
    filled : of each signal (n_items,) bool, of what it has only what was filled in.
    """
    speaks = np.where(account.grounds, np.maximum(account.parts, 0), 0)
    told: dict[str, np.ndarray] = {}
    for s, kind in enumerate(kinds):
        stand_in, imputed = np.zeros((2, len(rows), len(history) + 1), bool)
        stand_in[:, :-1] = filled[s][history]
        imputed[:, :-1] = filled[s][rows][:, None]
        named = {kind: speaks[:, s]}
        if "alone" not in SENTENCES[kind]:
            speaks[:, s, -1] = 0
        if kind in _OF_BEHAVIOUR and (stand_in | imputed).any():
            named = {
                "stand_in": np.where(stand_in, speaks[:, s], 0),
                "imputed": np.where(imputed & ~stand_in, speaks[:, s], 0),
                kind: np.where(imputed | stand_in, 0, speaks[:, s]),
            }
        for name, values in named.items():
            told[name] = told[name] + values if name in told else values
    return told


def _strongest(by_kind: np.ndarray, losses: np.ndarray) -> list[tuple[int, int]]:
    """At most `KEPT_REASONS` (kind, place), by value; of the history the greatest loss first.

    Parameters
    ----------
    by_kind : (kinds, h + 1) float64, 0 or above.
    losses : (h,) float64, what the score would lose without each item of the history.
    """
    flat = by_kind.ravel()
    order = np.argsort(-flat, kind="stable")[: min(KEPT_REASONS, np.count_nonzero(flat))]
    found = [(int(k), int(h)) for k, h in zip(*np.divmod(order, by_kind.shape[1]), strict=True)]
    history = [at for at, (_, h) in enumerate(found) if h < len(losses)]
    if history:
        told = by_kind[:, :-1]
        h = int(np.argmax(np.where(told.any(axis=0), losses, -np.inf)))
        lead = int(np.argmax(told[:, h])), h
        found = [one for one in found if one != lead]
        found.insert(history[0], lead)
    return found[:KEPT_REASONS]
