"""What a score is made of: the part of every signal and history item, adding up to the score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from crossrec_llm.answering.blend import Blend
from crossrec_llm.answering.candidates import carry_all
from crossrec_llm.records import Contribution, Query
from crossrec_llm.signals import Signal

ORDER = "order"
"""The contribution of a learned order: its score less that of the weighted sum."""

_SAMPLE = 50  # candidates that stand for all of them: carriers of all would cost too much


@dataclass(frozen=True, eq=False)
class Account:
    """What the scores of n items are made of.

    Of a signal's score x_i of item i, history item h carried x_ih = x_i c_ih / sum_h c_ih, by the
    `carriers` c. A blend weighs how far x_i lies above the mean of the candidates, and to that h
    adds b_i (x_ih - mean_r x_rh), with the blend's slope b_i, and r over a sample of candidates:
    what h brings to all of them speaks for none. The rest of the signal's part no single item of
    the history brought: popularity, a text, dislikes, how far the sample is off.

    parts : (n, s, h + 1) float64, of each signal and history item; the last place is the rest.
    grounds : (n, s, h + 1) bool, which of them may speak for the item: the history item carried
        some of the score; or, in the last place, none did and there is a score above 0.
    order : (n,) float64, what a learned order adds; 0 without one.
    """

    parts: np.ndarray
    grounds: np.ndarray
    order: np.ndarray

    @classmethod
    def of(
        cls,
        query: Query,
        rows: np.ndarray,
        scores: np.ndarray,
        parts: np.ndarray,
        totals: np.ndarray,
        blend: Blend,
        signals: Sequence[Signal],
        chosen: np.ndarray,
    ) -> Account:
        """The account of the `chosen` positions ((n,) int64) of a pool.

        Parameters
        ----------
        rows, scores, parts, totals : (m,) int64, (m, s), (m, s) and (m,) float32: the pool, what
            each signal says of it, and what the blend makes of that.
        """
        slopes = blend.slopes(rows, scores)[chosen].astype(np.float64)
        sample = np.linspace(0, len(rows) - 1, min(_SAMPLE, len(rows))).astype(np.int64)
        places, n = np.concatenate([chosen, sample]), len(chosen)
        said = np.nan_to_num(scores[places], posinf=0, neginf=0).astype(np.float64)
        shape = (n, len(signals), len(query.history) + 1)
        split, grounds = np.zeros(shape), np.zeros(shape, bool)
        for s, carried in enumerate(carry_all(query, rows[places], signals) if n else ()):
            live = np.flatnonzero(carried.any(axis=0))
            shares = carried[:, live].astype(np.float64)
            sums = shares.sum(axis=1, keepdims=True)
            shares *= said[:, s, None] / np.where(sums > 0, sums, 1)
            split[:, s, live] = slopes[:, s, None] * (shares[:n] - shares[n:].mean(axis=0))
            grounds[:, s, live] = (carried[:n, live] > 0) & (slopes[:, s, None] > 0)
            grounds[:, s, -1] = (sums[:n, 0] <= 0) & (said[:n, s] > 0)
        ours = parts[chosen].astype(np.float64)
        split[..., -1] = ours - split[..., :-1].sum(axis=-1)
        return cls(split, grounds, totals[chosen] - ours.sum(axis=1))

    @property
    def of_history(self) -> np.ndarray:
        """(n, h) float64, what each item of the history adds to each score, in all signals."""
        added: np.ndarray = self.parts[..., :-1].sum(axis=1)
        return added

    def contributions(
        self, i: int, signals: Sequence[str], history: Sequence[str]
    ) -> tuple[Contribution, ...]:
        """Those of item i that are not 0, which add up to its score; the greatest effect first.

        Parameters
        ----------
        signals, history : the names and ids that the axes stand for.
        """
        ids = [*history, None]
        found = [
            Contribution(signals[s], ids[h], float(self.parts[i, s, h]))
            for s, h in zip(*np.nonzero(self.parts[i]), strict=True)
        ]
        if self.order[i]:
            found.append(Contribution(ORDER, None, float(self.order[i])))
        return tuple(sorted(found, key=lambda c: -abs(c.value)))
