"""From a split to what was found: every system is fitted on its training part and asked."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa

from crossrec_llm.answering import SituationName
from crossrec_llm.errors import QueryError
from crossrec_llm.evaluation.baselines import BASELINES, SEARCH_BASELINES, Fit, Training
from crossrec_llm.evaluation.lists import Describer, coverage, exposure, gini, long_tail
from crossrec_llm.evaluation.measures import Interval, interval, measure, measured, resampled
from crossrec_llm.evaluation.protocols import CROSSING, LAST_ITEMS, Split
from crossrec_llm.evaluation.record import Evaluation
from crossrec_llm.evaluation.slices import Asked, loss
from crossrec_llm.evaluation.systems import CaseTable, FullRanking, Ranked, Served, System
from crossrec_llm.meaning import Templates
from crossrec_llm.recipe import Recipe
from crossrec_llm.recommender import Recommender
from crossrec_llm.records import Progress
from crossrec_llm.signals import LeftOut
from crossrec_llm.tables import Catalogue, near_matches
from crossrec_llm.training import HideBy, TuneOptions, fit

CASE_CUTOFFS = (1, 3, 5, 10, 20)
SEARCH_DEPTH = 100
SEARCH_GRADE = 2
REACH = 100
REACH_PEOPLE = 2_000

_FOR_NEW_ITEMS = ("llmseqsim", "text")  # baselines that can rank what nobody took
_SYSTEM = "system"


@dataclass(frozen=True, eq=False)
class Data:
    """What is evaluated on.

    raw : (n_items, dim) float32 unit rows, the items' texts as encoded.
    events : the whole log (EVENTS_SCHEMA).
    served : answers over all of it, for questions that need nothing hidden.
    prompts : the templates that made the texts; None where `served` knows them.
    tuning : how much work goes into the blend.
    """

    recipe: Recipe
    catalogue: Catalogue
    raw: np.ndarray
    events: pa.Table
    served: Recommender | None = None
    prompts: Templates | None = None
    tuning: TuneOptions = field(default_factory=TuneOptions)


def chosen_baselines(protocol: str | None, only: Sequence[str]) -> dict[str, Fit]:
    """Those of a protocol, or those of them that are named.

    Raises
    ------
    QueryError : a name that is none of them.
    """
    there = SEARCH_BASELINES if protocol == "search" else BASELINES
    for name in only:
        if name not in there and name != _SYSTEM:
            near = near_matches(name, list(there)) or list(there)
            raise QueryError(f"there is no system {name!r} here; there is {', '.join(near)}")
    return {name: there[name] for name in there if not only or name in only}


class Measuring:
    """One evaluation under way."""

    def __init__(
        self, data: Data, parts: Split, k: int, seed: int, progress: Progress | None
    ) -> None:
        self.data, self.parts, self.k, self.seed = data, parts, k, seed
        self.progress = progress
        self.seconds: dict[str, float] = {}
        self.notes = list(parts.notes)
        self.table = CaseTable.of(data.catalogue, parts.cases)
        self.beside = {n: CaseTable.of(data.catalogue, c) for n, c in parts.beside.items()}
        rng = np.random.default_rng(seed)
        some = np.sort(rng.permutation(len(parts.cases))[:REACH_PEOPLE])
        self.reach = CaseTable.of(data.catalogue, [parts.cases[i] for i in some])
        cutoffs = CASE_CUTOFFS if parts.protocol == "cases" else ()
        self.cutoffs = sorted({*cutoffs, k})
        self.depth = max(*self.cutoffs, SEARCH_DEPTH if parts.protocol == "search" else 1)
        self.candidates = np.flatnonzero(self.table.candidates())
        self.answers: dict[str, Ranked] = {}
        self.columns: dict[str, dict[str, np.ndarray]] = {}
        self.unreachable: dict[str, float | None] = {}
        self.further: dict[str, dict[str, Ranked]] = {}
        self.tied: list[str] = []
        self.left_out: dict[str, str] = {}

    def run(self, baselines: Mapping[str, Fit]) -> Evaluation:
        """Fit, ask, compare."""
        with self._timed(f"fit {_SYSTEM}"):
            fitted = self._served()
        missing = fitted.generation.signals.left_out
        situation = fitted.generation.situation(self._situation())
        asked = {*situation.weights, *situation.cold, *situation.sources}
        self.notes += [
            f"{name} could not be fitted: {why}" for name, why in missing.items() if name in asked
        ]
        training = self._training(fitted)
        people = training.histories.counts_per_item(len(self.data.catalogue))
        about = Describer(self.data.catalogue, self.data.raw, people, len(training.histories))
        self._ask(Served(fitted), about, list(self.beside))
        for name, fit_baseline in baselines.items():
            try:
                with self._timed(f"fit {name}"):
                    system = FullRanking(name, fit_baseline(training))
            except LeftOut as why:
                self.left_out[name] = str(why)
                continue
            wanted = ["judged"] + ["cold_only"] * (name in _FOR_NEW_ITEMS)
            self._ask(system, about, [kind for kind in wanted if kind in self.beside])
        further = self._further_slices(fitted, people)
        with self._timed("intervals"):
            return self._found(fitted, people, further)

    def _situation(self) -> SituationName:
        """Which blend the protocol asks."""
        if self.parts.protocol == "search":
            return "like"
        return "cross" if self.parts.protocol in CROSSING else "user"

    def _served(self) -> Recommender:
        """The system: everything is learned anew, from the training part only.

        The blend is fitted on what the protocol asks for: a cut in time, or last items.
        """
        if self.parts.protocol == "search" and self.data.served is not None:
            return self.data.served
        data = self.data
        by: HideBy | None = "last" if self.parts.protocol in LAST_ITEMS else None
        return Recommender(
            fit(
                data.recipe,
                data.catalogue,
                data.raw,
                self.parts.events,
                data.prompts,
                options=replace(data.tuning, by=data.tuning.by or by),
                progress=self.progress,
            )
        )

    def _training(self, fitted: Recommender) -> Training:
        return Training(
            self.data.catalogue,
            self.data.raw,
            fitted.generation.vectors,
            self.parts.events,
            fitted.generation.histories,
            self.data.recipe.signals.text,
            lambda text: fitted.encoder.encode_query(fitted.templates.query_text(text)),
            self.seed,
            "".join(self.parts.cases[0].filter.category),
        )

    def _ask(self, system: System, about: Describer, kinds: Sequence[str]) -> None:
        name = system.name
        with self._timed(f"asking {name}"):
            ranked = system.rank(self.table, self.depth, self.progress)
            lists = ranked.lists[:, : self.k]
            if not (lists >= 0).any() and np.isfinite(ranked.ranks).any():
                self.tied.append(name)
            self.answers[name] = ranked
            self.further[name] = {
                kind: system.rank(self.beside[kind], self.k, self.progress) for kind in kinds
            }
            found = measured(ranked.ranks, self.table.gains, self.cutoffs)
            found |= self._of_searches(name) if self.parts.protocol == "search" else {}
            described = about.describe(lists, self.table.indptr, self.table.history)
            self.columns[name] = found | {f"{n}@{self.k}": v for n, v in described.items()}
            self.unreachable[name] = None
            if self.parts.protocol != "search":
                first = system.rank(self.reach, REACH, self.progress).lists
                self.unreachable[name] = 1 - coverage(self._shown(first))

    def _shown(self, lists: np.ndarray) -> np.ndarray:
        """In how many lists each item is that may be in any."""
        return exposure(lists, len(self.data.catalogue))[self.candidates]

    def _of_searches(self, name: str) -> dict[str, np.ndarray]:
        """NDCG among the judged items only, and recall of what is well graded."""
        gains = self.table.gains
        judged = measure(self.further[name]["judged"].ranks, gains, self.k)["ndcg"]
        good = np.where(gains >= SEARCH_GRADE, gains, 0)
        recall = measure(self.answers[name].ranks, good, SEARCH_DEPTH)["recall"]
        return {f"ndcg_judged@{self.k}": judged, f"recall@{SEARCH_DEPTH}": recall}

    def _found(
        self, fitted: Recommender, people: np.ndarray, further: Mapping[str, Mapping[str, object]]
    ) -> Evaluation:
        intervals, ahead = self._intervals()
        asked = Asked(self.table, self.answers[_SYSTEM], people, self.k, self.seed)
        shown = {
            name: self._shown(ranked.lists[:, : self.k])
            for name, ranked in self.answers.items()
            if name not in self.tied
        }
        slices = asked.slices() if len(self.table.history) else {}
        return Evaluation(
            protocol=self.parts.protocol,
            k=self.k,
            seed=self.seed,
            users=len(self.table),
            data=self._data(),
            system=intervals.pop(_SYSTEM),
            baselines=intervals,
            ahead=ahead,
            beyond={name: self._beyond(name, shown.get(name)) for name in self.answers},
            slices={**slices, **further},
            bridges=asked.bridges(),
            long_tail={n: long_tail(s, people[self.candidates]) for n, s in shown.items()},
            worst=asked.worst(),
            controls=asked.controls(),
            blend=fitted.generation.tuned.summary(),
            credibility=fitted.generation.tuned.bridges.summary(),
            left_out=self.left_out,
            notes=[*self.notes, *self._told_of_ties()],
            seconds=self.seconds,
        )

    def _beyond(self, name: str, shown: np.ndarray | None) -> dict[str, float | None]:
        """`shown` : in how many lists each candidate is; None = there are no lists."""
        if shown is None:
            return dict.fromkeys(("coverage", "gini", "unreachable"))
        unreachable = self.unreachable[name]
        return {"coverage": coverage(shown), "gini": gini(shown), "unreachable": unreachable}

    def _intervals(
        self,
    ) -> tuple[dict[str, dict[str, Interval | None]], dict[str, dict[str, Interval | None]]]:
        """Every measure of every system, and how far the system is ahead, from the same draws.

        A system without lists has no measures: its 0 would say that it ranks, and badly.
        """
        names = [(system, name) for system, found in self.columns.items() for name in found]
        values = np.stack([self.columns[system][name] for system, name in names], axis=1)
        means = resampled(values, seed=self.seed)
        place = {key: i for i, key in enumerate(names)}
        found: dict[str, dict[str, Interval | None]] = {system: {} for system in self.columns}
        for (system, name), i in place.items():
            alike = system in self.tied
            found[system][name] = None if alike else interval(values[:, i], means[:, i])
        ahead: dict[str, dict[str, Interval | None]] = {}
        for system in [name for name in self.columns if name != _SYSTEM]:
            ahead[system] = {}
            for name in self.columns[system]:
                if name.startswith(("recall", "ndcg")):
                    ours, theirs = place[_SYSTEM, name], place[system, name]
                    apart = (a[:, ours] - a[:, theirs] for a in (values, means))
                    ahead[system][name] = None if system in self.tied else interval(*apart)
        return found, ahead

    def _told_of_ties(self) -> list[str]:
        if not self.tied:
            return []
        return [
            f"{', '.join(self.tied)} cannot tell the candidates apart (more have the same score "
            "than a list holds), so there are no lists to measure"
        ]

    def _further_slices(
        self, fitted: Recommender, people: np.ndarray
    ) -> dict[str, dict[str, object]]:
        """Of cold items: among themselves, and what letting them in costs the others."""
        if self.parts.protocol != "cold-items":
            return {}

        def asked(system: str, kind: str) -> Asked:
            answers = self.further[system][kind]
            return Asked(self.beside[kind], answers, people, self.k, self.seed)

        def whole(of: Asked) -> dict[str, object]:
            return of.part(np.ones(len(of.table), bool))

        slices = {"cold_only": whole(asked(_SYSTEM, "cold_only"))}
        for name in _FOR_NEW_ITEMS:
            if name in self.further:
                slices[f"cold_only, {name}"] = whole(asked(name, "cold_only"))
        warm = asked(_SYSTEM, "warm")
        with self._timed("without new items"):
            plain = replace(warm, ranked=self._without_new(fitted, warm.table))
        lost = loss(warm.values(), plain.values(), seed=self.seed)
        slices |= {"warm": whole(warm), "warm, without new items": whole(plain)}
        slices["warm_loss"] = {"users": len(warm.table), **lost}
        return slices

    def _without_new(self, fitted: Recommender, table: CaseTable) -> Ranked:
        """The same system where no cold item may be in a list."""
        cold = np.flatnonzero(fitted.generation.signals.popularity.cold)
        new = tuple(self.data.catalogue.ids[row] for row in cold)
        cases = [replace(case, filter=replace(case.filter, exclude=new)) for case in table.cases]
        asked = CaseTable.of(self.data.catalogue, cases)
        return Served(fitted).rank(asked, self.k, self.progress)

    def _data(self) -> dict[str, int]:
        catalogue, events = self.data.catalogue, self.data.events
        return {
            "items": len(catalogue),
            "users": len(events["user_id"].unique()),
            "events": len(events),
            "categories": sum(bool(name) for name in catalogue.top_names),
        }

    @contextmanager
    def _timed(self, step: str) -> Iterator[None]:
        started = time.perf_counter()
        if self.progress is not None:
            self.progress(step, 0, 1)
        yield
        if self.progress is not None:
            self.progress(step, 1, 1)
        self.seconds[step] = round(time.perf_counter() - started, 3)
