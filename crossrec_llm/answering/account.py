"""What a score is made of: the part of every signal and history item, adding up to the score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from crossrec_llm.answering.blend import moments
from crossrec_llm.answering.ranking import Ranked, Ranking
from crossrec_llm.records import Contribution

ORDER = "order"
"""The contribution of the place: a score less the weighted sum. A learned order gives other items
the scores of the weighted one; a closed category (`Gate`) gives them to what is popular there."""

_SAMPLE = 100  # candidates that stand for all of them: what carried those takes time to work out


@dataclass(frozen=True, eq=False)
class Account:
    """What the scores of n items are made of.

    Of a signal's score x_i of item i, history item h carried x_ih = x_i c_ih / sum_h c_ih, by the
    `carriers` c. A blend weighs z_i = (x_i - mean_r x_r) / sd_r x_r over the candidates r, and to
    that h adds (x_ih - mean_r x_rh) / sd_r x_r: what h brings to all candidates speaks for none.
    The mean of x_rh is taken over a sample of them. The rest of z_i no single history item
    brought: popularity, a text, dislikes, how far the sample is off.

    Without h the spread is another one too. A score loses by it the weight times z_i less the
    same of x_i - x_ih, both over the sample; the other items of the history keep their ages.

    Items of the history that no signal says carried anything are not among the h, and what an item
    may not see of the history (`Views`) brings nothing to it.

    places : (h,) int64, which items of the history these are.
    parts : (n, s, h + 1) float64, of each signal and history item; the last place is the rest.
    grounds : (n, s, h + 1) bool, which of them may speak for the item: the history item carried
        some of the score; or, in the last place, none did and there is a score above 0.
    losses : (n, h) float64, what each score would lose without each item of the history.
    order : (n,) float64, what the place adds; 0 where the weighted sum orders.
    """

    places: np.ndarray
    parts: np.ndarray
    grounds: np.ndarray
    losses: np.ndarray
    order: np.ndarray

    @classmethod
    def of(cls, ranking: Ranking, ranked: Ranked, chosen: np.ndarray) -> Account:
        """The account of the `chosen` positions ((n,) int64) of a pool.

        What lies in a closed category the history says nothing of: the whole score is the place's.
        """
        rows, scores, signals = ranked.rows, ranked.scores, ranking.signals
        views, closed = ranking.views, ranking.gate.closed[ranked.rows[chosen]]
        n = len(chosen)
        sample = np.linspace(0, len(rows) - 1, min(_SAMPLE, len(rows))).astype(np.int64)
        looked = np.concatenate([chosen, sample])
        carriers = views.carry(rows[looked], signals)
        live = np.zeros(views.seen.shape[1], bool)
        for carried in carriers:
            live |= carried.any(axis=0)
        places = np.flatnonzero(live)
        seen = views.sees(rows[chosen])[:, places] & ~closed[:, None]
        split, losses = np.zeros((n, len(signals), len(places) + 1)), np.zeros((n, len(places)))
        grounds = np.zeros(split.shape, bool)
        said = np.where(np.isfinite(scores[looked]), scores[looked], 0).astype(np.float64)
        weights, (_, _, spread) = ranking.blend.weighing(rows[chosen]), moments(scores)
        for s, carried in enumerate(carriers):
            weight, scored, brought = weights[:, [s]], said[:, [s]], carried[:, places]
            sums = brought.sum(axis=1, keepdims=True)
            grounds[:, s, :-1] = (brought[:n] > 0) & (weight > 0)
            grounds[:, s, -1] = (sums[:n, 0] <= 0) & (said[:n, s] > 0)
            if spread[s] > 0 and sums.any():
                brought = brought * (scored / np.where(sums > 0, sums, 1))
                more = brought[:n] - brought[n:].mean(axis=0)
                split[:, s, :-1] = weight * seen * more / spread[s]
                losses += weight * (_standing(scored, n) - _standing(scored - brought, n))
        ours = ranked.parts[chosen].astype(np.float64)
        split[..., -1] = ours - split[..., :-1].sum(axis=-1)
        return cls(places, split, grounds, losses * seen, ranked.totals[chosen] - ours.sum(axis=1))

    def contributions(
        self, i: int, signals: Sequence[str], history: Sequence[str]
    ) -> tuple[Contribution, ...]:
        """Those of item i that are not 0, which add up to its score; the greatest first.

        Parameters
        ----------
        signals, history : names of the signals, and ids of the whole history.
        """
        ids = [*(history[place] for place in self.places), None]
        found = [
            Contribution(signals[s], ids[h], float(self.parts[i, s, h]))
            for s, h in zip(*np.nonzero(self.parts[i]), strict=True)
        ]
        if self.order[i]:
            found.append(Contribution(ORDER, None, float(self.order[i])))
        return tuple(sorted(found, key=lambda c: -abs(c.value)))


def _standing(values: np.ndarray, n: int) -> np.ndarray:
    """(n, h) z-scores of the first n of (n + m, h) values by the m others; 0 without spread."""
    mean, spread = values[n:].mean(axis=0), values[n:].std(axis=0)
    flat = spread <= 1e-6 * np.maximum(np.abs(mean), 1e-6)
    return np.where(flat, 0, (values[:n] - mean) / np.where(flat, 1, spread))
