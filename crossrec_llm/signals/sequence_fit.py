"""Learns a `Network` from histories; the only place where a signal needs torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from crossrec_llm.records import Progress
from crossrec_llm.signals.base import NO_PAIRS, NOBODY, LeftOut
from crossrec_llm.signals.sequence import Network, SequenceOptions
from crossrec_llm.tables import Histories

_FLOPS = 25e9
"""Operations in a second of processor time that a budget counts on: measured 35e9 on one core."""

_JUDGED = 1_000
_WARM_UP = 0.05
_PATIENCE = 3
_WIDENING = 2
_LEAST_PASSES = 4
_K = 10

OFF = "it is not tried: minutes = 0 under [signals.sequence]"


def fit_sequence(
    histories: Histories,
    vectors: np.ndarray,
    options: SequenceOptions,
    progress: Progress | None = None,
) -> Network:
    """A network that tells the next item of a history from those before it.

    Cross-entropy over all items that somebody took; or, where the time does not allow all passes
    like that, over the next one and a sample of the others, drawn by the root of their frequency,
    whose scores are corrected by the logarithm of how often they are drawn (Bengio and Senecal
    2008, eq. 11; Yi et al. 2019). An item is P f + r: its text f, centred, through a projection P
    that begins as the first principal axes, and r, which begins as 0; AdamW (Loshchilov and Hutter
    2019) with a rate that warms up and falls to 0.

    Of up to 1,000 people the last item is held back, and the pass after which it was found best
    (ndcg@10) is the one that counts; three passes without a better one end it. It is learned on a
    graphics card where torch finds one. The same log, options, machine and number of threads give
    the same numbers.

    Parameters
    ----------
    vectors : (n_items, dim) float32 unit rows in the space.

    Raises
    ------
    LeftOut : it may take no time (`OFF`), or the log is too small, or too large for the time.
    """
    if not options.minutes:
        raise LeftOut(OFF)
    log = _Log.of(histories, len(vectors), options)
    plan = _Plan.of(log, vectors.shape[1], options)
    return _Fit(log, vectors, options, plan).run(progress)


@dataclass(frozen=True, eq=False)
class _Log:
    """The histories of those who took two items or more, over the items that somebody took.

    known : (m,) int64 rows of these items, ascending.
    people : (m,) int64, how many took each.
    learned : places in `known`, oldest first, of each person; at most `last` + 1 in one part.
    judged, hidden : histories that are asked, and the (j,) items that should come.
    """

    known: np.ndarray
    people: np.ndarray
    learned: Sequence[np.ndarray]
    judged: Sequence[np.ndarray]
    hidden: np.ndarray

    @classmethod
    def of(cls, histories: Histories, n_items: int, options: SequenceOptions) -> _Log:
        people = histories.counts_per_item(n_items)
        known = np.flatnonzero(people)
        if not len(known):
            raise LeftOut(NOBODY)
        place = np.full(n_items, -1)
        place[known] = np.arange(len(known))
        wanted = histories.weights > 0
        starts = np.concatenate([[0], np.cumsum(wanted)])[histories.indptr]
        taken = np.split(place[histories.rows[wanted]], starts[1:-1])
        several = [one for one in taken if len(one) > 1]
        steps = sum(len(one) - 1 for one in several)
        if not steps:
            raise LeftOut(NO_PAIRS)
        if steps < options.least_steps:
            raise LeftOut(
                f"the log has {steps:,} steps from an item to the next, and it is learned from "
                f"{options.least_steps:,} or more (least_steps under [signals.sequence])"
            )
        rng = np.random.default_rng(options.seed)
        long = [at for at, one in enumerate(several) if len(one) > 2]
        drawn = rng.permutation(long)[: min(_JUDGED, len(long) // 10)].tolist()
        judged = [several[at][-options.last - 1 : -1] for at in drawn]
        hidden = np.array([several[at][-1] for at in drawn], np.int64)
        for at in drawn:
            several[at] = several[at][:-1]
        parts = [
            one[max(0, end - options.last - 1) : end]
            for one in several
            for end in range(len(one), 1, -options.last)
        ]
        return cls(known, people[known], parts, judged, hidden)

    @property
    def steps(self) -> int:
        return sum(len(one) - 1 for one in self.learned)

    def batches(self, rng: np.random.Generator, size: int) -> Iterator[list[np.ndarray]]:
        """Histories of nearly one length together, in an order of their own each time."""
        lengths = np.array([len(one) - 1 for one in self.learned])
        order = rng.permutation(len(lengths))
        order = order[np.argsort(lengths[order], kind="stable")]
        batches: list[list[np.ndarray]] = []
        room = 0
        for at in order:
            # The longest comes last, so the batch so far is as wide as this one makes it.
            if not batches or (len(batches[-1]) + 1) * lengths[at] > room:
                batches.append([])
                room = max(size, lengths[at])
            batches[-1].append(self.learned[at])
        for at in rng.permutation(len(batches)):
            yield batches[at]


@dataclass(frozen=True)
class _Plan:
    """How many passes fit into the time, at most those that are wanted, and over which items.

    sampled : whether each batch draws the items that it is compared with.
    batch : steps in one.
    """

    passes: int
    sampled: bool
    batch: int

    @classmethod
    def of(cls, log: _Log, dim: int, options: SequenceOptions) -> _Plan:
        n, drawn = len(log.known), options.negatives
        batch = options.batch_of(log.steps)
        projected = min(n, 2 * batch + drawn)
        whole = cls._flops(log, dim, options, scored=n, projected=n)
        sampled = cls._flops(log, dim, options, scored=drawn + 1, projected=projected)
        time = options.minutes * 60 * _FLOPS
        if time >= options.passes * whole or whole <= sampled:
            flops, is_sampled = whole, False
        else:
            flops, is_sampled = sampled, True
        passes = int(time / flops)
        if passes < min(_LEAST_PASSES, options.passes):
            needed = np.ceil(_LEAST_PASSES * flops / _FLOPS / 60)
            raise LeftOut(
                f"the log would take {needed:,.0f} minutes, and it may take {options.minutes:g}: "
                "raise minutes under [signals.sequence], or lower width"
            )
        return cls(min(passes, options.passes), is_sampled, batch)

    @staticmethod
    def _flops(
        log: _Log, dim: int, options: SequenceOptions, *, scored: int, projected: int
    ) -> float:
        """Of a pass; gradients take twice what they are of."""
        width = options.width
        layer = (4 + 2 * _WIDENING) * width**2 + 2 * options.last * width
        batches = log.steps / options.batch_of(log.steps) + 1
        each = scored * width + options.layers * layer
        return 6 * (log.steps * each + batches * projected * dim * width)


class _Fit:
    """One fit: parameters, their gradients, and the numbers that are drawn for them."""

    def __init__(
        self, log: _Log, vectors: np.ndarray, options: SequenceOptions, plan: _Plan
    ) -> None:
        import torch

        self.torch, self.log, self.options, self.plan = torch, log, options, plan
        self.vectors = vectors
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.rng = np.random.default_rng(options.seed)
        self.drawn = torch.Generator(self.device).manual_seed(options.seed)
        known = np.asarray(vectors[log.known], np.float32)
        self.centre = known.mean(axis=0)
        texts = known - self.centre
        self.texts = torch.tensor(texts, device=self.device)
        start = {"text": _projection(texts, options.width), **_start(options, self.rng)}
        start["beyond"] = np.zeros((len(known), options.width), np.float32)
        self.weights = {
            name: torch.tensor(value, device=self.device, requires_grad=True)
            for name, value in start.items()
        }
        share = np.sqrt(log.people) / np.sqrt(log.people).sum()
        self.share = torch.tensor(share, dtype=torch.float32, device=self.device)

    def run(self, progress: Progress | None) -> Network:
        torch, options, passes = self.torch, self.options, self.plan.passes
        beyond = [self.weights["beyond"]]
        others = [value for name, value in self.weights.items() if name != "beyond"]
        optimiser = torch.optim.AdamW(
            [
                {"params": beyond, "weight_decay": options.decay},
                {"params": others, "weight_decay": 0.0},
            ],
            lr=options.rate,
            betas=(0.9, 0.98),
        )
        total = passes * sum(1 for _ in self.log.batches(np.random.default_rng(0), self.plan.batch))
        best_values, best_found, best_pass, step = self._copy(), self._judge(), 0, 0
        text_only = best_found
        for number in range(1, passes + 1):
            for batch in self.log.batches(self.rng, self.plan.batch):
                share = min(1.0, (step + 1) / (_WARM_UP * total)) * (1 - step / total)
                for group in optimiser.param_groups:
                    group["lr"] = options.rate * share
                optimiser.zero_grad()
                self._loss(batch).backward()
                optimiser.step()
                step += 1
                if progress is not None:
                    progress("learning sequence", step, total)
            found = self._judge()
            if found >= best_found:
                best_values, best_found, best_pass = self._copy(), found, number
            elif number - best_pass >= _PATIENCE:
                break
        figures = {
            "passes": best_pass,
            "most_passes": passes,
            "sampled": self.plan.sampled,
            "steps": self.log.steps,
            "people": len(self.log.judged),
            "ndcg@10": float(best_found),
            "ndcg@10 begun": float(text_only),
        }
        return self._network(best_values, figures)

    def _loss(self, batch: Sequence[np.ndarray]) -> Any:
        torch, options = self.torch, self.options
        width = max(len(one) for one in batch) - 1
        before = np.zeros((len(batch), width), np.int64)
        after = np.full((len(batch), width), -1, np.int64)
        for at, one in enumerate(batch):
            before[at, : len(one) - 1], after[at, : len(one) - 1] = one[:-1], one[1:]
        there = torch.tensor(after >= 0, device=self.device)
        if not self.plan.sampled:
            items = self._items()
            states = self._states(items[self._on_device(before)], train=True)[there]
            wanted = self._on_device(after)[there]
            return torch.nn.functional.cross_entropy(states @ items.T, wanted)
        drawn = torch.multinomial(
            self.share, options.negatives, replacement=True, generator=self.drawn
        )
        often = torch.log(self.share[drawn] * options.negatives)
        used, place = np.unique(
            np.concatenate([before.ravel(), after[after >= 0], drawn.cpu().numpy()]),
            return_inverse=True,
        )
        items, place = self._items(self._on_device(used)), self._on_device(place)
        n_before, n_after = before.size, int((after >= 0).sum())
        states = self._states(items[place[:n_before].view(before.shape)], train=True)[there]
        wanted, others = place[n_before : n_before + n_after], place[n_before + n_after :]
        scores = (states @ items[others].T - often).masked_fill(
            others[None] == wanted[:, None], -1e9
        )
        own = (states * items[wanted]).sum(dim=-1, keepdim=True)
        scores = torch.cat([own, scores], dim=1)
        return torch.nn.functional.cross_entropy(scores, torch.zeros_like(wanted))

    def _on_device(self, values: np.ndarray) -> Any:
        return self.torch.tensor(values, device=self.device)

    def _items(self, places: Any = slice(None)) -> Any:
        return self.texts[places] @ self.weights["text"] + self.weights["beyond"][places]

    def _states(self, x: Any, *, train: bool) -> Any:
        """(b, l, width) after each of (b, l, width) items: `Network.states`, with gradients."""
        torch, options, w = self.torch, self.options, self.weights
        b, n, width = x.shape
        heads = options.heads
        steps = torch.arange(n, device=self.device)
        distance = steps[:, None] - steps[None]

        def dropped(values: Any, share: float) -> Any:
            if not train or not share:
                return values
            kept = torch.empty_like(values).bernoulli_(1 - share, generator=self.drawn)
            return values * kept.div_(1 - share)

        def normed(values: Any, of: str, at: str) -> Any:
            norm = torch.nn.functional.layer_norm
            return norm(values, (width,), w[f"{at}scale{of}"], w[f"{at}shift{of}"])

        x = dropped(x, options.item_dropout)
        for layer in range(options.layers):
            at = f"{layer}."
            three = normed(x, "_in", at) @ w[f"{at}attend"] + w[f"{at}attend_bias"]
            query, key, value = three.view(b, n, 3, heads, -1).permute(2, 0, 3, 1, 4)
            added = w[f"{at}distance"][:, distance.clamp(0)].masked_fill(distance < 0, -1e9)
            attention = query @ key.transpose(-1, -2) / (width // heads) ** 0.5 + added
            attention = dropped(attention.softmax(dim=-1), options.dropout)
            mixed = (attention @ value).transpose(1, 2).reshape(b, n, width)
            x = x + dropped(mixed @ w[f"{at}mix"] + w[f"{at}mix_bias"], options.dropout)
            inner = torch.relu(normed(x, "_out", at) @ w[f"{at}widen"] + w[f"{at}widen_bias"])
            x = x + dropped(inner @ w[f"{at}narrow"] + w[f"{at}narrow_bias"], options.dropout)
        return normed(x, "", "")

    def _judge(self) -> float:
        """The ndcg@10 of those held back, over all items but those of the history."""
        torch, log = self.torch, self.log
        if not log.judged:
            return 0.0
        gains = 0.0
        with torch.no_grad():
            items = self._items()
            for start in range(0, len(log.judged), 256):
                part = log.judged[start : start + 256]
                ends = np.array([len(one) for one in part])
                x = np.zeros((len(part), ends.max()), np.int64)
                for at, one in enumerate(part):
                    x[at, : len(one)] = one
                states = self._states(items[torch.tensor(x, device=self.device)], train=False)
                last = states[torch.arange(len(part)), torch.tensor(ends - 1)]
                scores = (last @ items.T).cpu().numpy()
                for at, one in enumerate(part):
                    own = scores[at, log.hidden[start + at]]
                    scores[at, one] = -np.inf
                    rank = 1 + int((scores[at] > own).sum())
                    gains += 1 / np.log2(1 + rank) if rank <= _K else 0.0
        return gains / len(log.judged)

    def _copy(self) -> dict[str, np.ndarray]:
        return {name: value.detach().cpu().numpy().copy() for name, value in self.weights.items()}

    def _network(self, values: dict[str, np.ndarray], figures: dict[str, Any]) -> Network:
        beyond = values.pop("beyond")
        weights = {"centre": self.centre, **values}
        plain = Network(np.empty((0, self.options.width), np.float32), weights)
        items = plain.of_texts(self.vectors)
        items[self.log.known] += beyond
        return Network(items, weights, figures)


def _projection(texts: np.ndarray, width: int) -> np.ndarray:
    """(dim, width) float32: the first principal axes, scaled so that items have a mean norm of 1.

    Where there are fewer axes than the width, the rest of it begins as 0.
    """
    values, vectors = np.linalg.eigh(texts.T.astype(np.float64) @ texts)
    axes = vectors[:, ::-1][:, :width]
    spread = float(np.sqrt(np.maximum(values[::-1][:width].sum(), 1e-12) / len(texts)))
    # The sign of an axis is of the library's choosing; the largest entry decides it here.
    largest = np.abs(axes).argmax(axis=0)
    axes = axes * np.sign(axes[largest, np.arange(axes.shape[1])])
    found = np.zeros((texts.shape[1], width), np.float32)
    found[:, : axes.shape[1]] = axes / spread
    return found


def _start(options: SequenceOptions, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """The layers, which begin by passing on the newest item nearly as it is."""
    width = options.width

    def normal(rows: int, columns: int, spread: float) -> np.ndarray:
        return (spread * rng.standard_normal((rows, columns))).astype(np.float32)

    start = {"scale": np.ones(width, np.float32), "shift": np.zeros(width, np.float32)}
    small = 0.02 / np.sqrt(options.layers)
    for layer in range(options.layers):
        made = {
            "scale_in": np.ones(width, np.float32),
            "shift_in": np.zeros(width, np.float32),
            "attend": normal(width, 3 * width, width**-0.5),
            "attend_bias": np.zeros(3 * width, np.float32),
            "distance": np.zeros((options.heads, options.last), np.float32),
            "mix": normal(width, width, small),
            "mix_bias": np.zeros(width, np.float32),
            "scale_out": np.ones(width, np.float32),
            "shift_out": np.zeros(width, np.float32),
            "widen": normal(width, _WIDENING * width, width**-0.5),
            "widen_bias": np.zeros(_WIDENING * width, np.float32),
            "narrow": normal(_WIDENING * width, width, small),
            "narrow_bias": np.zeros(width, np.float32),
        }
        start |= {f"{layer}.{name}": value for name, value in made.items()}
    return start
