"""The one path of every answer: what may come, what ranks it, the list, the reasons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any, get_args

import numpy as np

from crossrec_llm.answering import (
    COMPANY_NOTES,
    Account,
    Arranged,
    Ask,
    Blend,
    Company,
    Gate,
    Interest,
    OwnLists,
    PlannedSearch,
    Policy,
    Ranked,
    Ranking,
    Rules,
    Ruling,
    SituationName,
    Standing,
    StatedBlend,
    Views,
    WeightedBlend,
    alike,
    explain_absence,
    find_interests,
    notes,
    reasons,
    record_of,
    situation_of,
)
from crossrec_llm.generation import CollectionName, Generation
from crossrec_llm.records import (
    Contribution,
    Explain,
    Query,
    Reason,
    Recommendation,
    Recommendations,
)
from crossrec_llm.signals import Disliked, Said, Signal, Source, assemble, rather_before
from crossrec_llm.store import ExactSearch, Search
from crossrec_llm.tables import OUTSIDE

SAID = 50
"""So many items nearest to pinned sentences are theirs, wherever they lie."""

_POPULAR = WeightedBlend({"popularity": 1.0})
_NOTHING = np.empty(0, np.int64)


class Answers:
    """From a query to an answer, over one generation."""

    def __init__(self, generation: Generation) -> None:
        self.generation = generation
        self.catalogue, self.recipe = generation.catalogue, generation.recipe
        self.signals = assemble(
            generation.signals,
            self.recipe.signals,
            catalogue=self.catalogue,
            raw=generation.raw,
            vectors=generation.vectors,
            open_search=self.planned,
        )
        self._said = Said(generation.raw, self.planned("texts", generation.raw))
        self._scoring: dict[str, Signal] = {
            **self.signals,
            Said.name: self._said,
            Disliked.name: Disliked(generation.vectors),
        }
        self._blends: dict[SituationName, Blend] = {
            name: generation.blend(name, self.signals) for name in get_args(SituationName)
        }
        # Of what lies behind a wall nothing was learned: that nobody took it is not known.
        outside = generation.walls.behind == OUTSIDE
        self._cold = np.asarray(generation.signals.popularity.cold & outside)
        self._standing = Standing.of(self.recipe.rules, self.catalogue, self._cold)
        self._policy = Policy.of(self.recipe.policy, self.catalogue)
        self._walls = generation.walls
        self._wording = generation.wording
        self.receipt = generation.receipt

    def to(
        self,
        query: Query,
        ask: Ask,
        asked: dict[str, Any],
        *,
        history: str | None = None,
        company: Company = "known",
        said: tuple[str, ...] = (),
    ) -> Recommendations:
        """The answer to a query.

        Parameters
        ----------
        asked : what the query was made from, for the answer to tell.
        history : digest of what is recorded of the person, for the receipt.
        company : how much is known of what the asked item is taken with.
        said : notes on how the query was made.
        """
        self.generation.standby.begin()
        ruling = self._policy.ruling(query)
        cold, barred = self._cold, self._barred(query, ask)
        rules = Rules.of(
            self.catalogue, query, ask, self._standing, cold, barred=barred, ruling=ruling
        )
        situation = situation_of(query, ask)
        gate = self._gate(query, rules.home, across=situation == "cross")
        ranking = self._ranking(query, situation, self._views(ruling, gate), gate, ask.k)
        interests = self.interests(query) if not rules.split else ()
        rows = ranking.pool(rules.pools(), ranking.size, rules.pinned)
        diversity = self.recipe.answering.diversity if ask.diversity is None else ask.diversity
        if diversity and query.kind == "user":
            rows = ranking.widened(rules.pools(), self.generation.signals.popularity, rows)
        own = self._own_lists(interests, ranking, rules, rows, ask.k)
        ranked, arranged = ranking.fill(rules, own, rows, ask.k, diversity)
        found = ranked.rows[arranged.positions]
        absence = None
        if ask.why_not is not None:
            absence = explain_absence(
                self.catalogue.row(ask.why_not),
                self.catalogue.item,
                rules,
                ranking,
                ranked,
                arranged,
                diversity,
            )
        standing = rules.standing.filter.set_fields()
        told = [self._record_of(interests[n], query) for n in range(len(own.rows))]
        return Recommendations(
            query={
                "kind": query.kind,
                **asked,
                "k": ask.k,
                "home": [self.catalogue.top_names[code] for code in rules.home],
                "filter": ask.filter.set_fields(),
                "cross_share": ask.cross_share,
                "diversity": diversity,
                **({"standing": standing} if standing else {}),
                **({"interests": told} if told else {}),
                **gate.told(),
            },
            items=self._recommended(ranking, ranked, arranged, rules, own, ask.explain),
            receipt=replace(self.receipt, history=history),
            shortfall=rules.shortfall(found),
            notes=(
                *COMPANY_NOTES[company],
                *notes(
                    query,
                    ask,
                    len(rules.home),
                    read_as=asked.get("read_as"),
                    worded=self.generation.signals.lexical.knows(query),
                    walled=self._side(query, ask) != OUTSIDE,
                ),
                *self._walls.notes,
                *self.generation.live.notes,
                *said,
                *gate.notes(found[~np.isin(found, rules.pinned)]),
                *rules.notes(found),
                *self.generation.standby.notes,
            ),
            absence=absence,
        )

    def _recommended(
        self,
        ranking: Ranking,
        ranked: Ranked,
        arranged: Arranged,
        rules: Rules,
        own: OwnLists,
        explain: Explain,
    ) -> tuple[Recommendation, ...]:
        """The items of a list, best first."""
        chosen = arranged.positions
        found, names = ranked.rows[chosen], ranking.blend.names
        closed = ranking.gate.closed[found]
        scores = ranking.gate.heard(found, ranked.scores[chosen], names)
        of_interest = np.where(closed, 0, own.numbers(found) + 1)
        why: list[tuple[Reason, ...]] = [()] * len(found)
        made_of: list[tuple[Contribution, ...]] = [()] * len(found)
        if explain:
            account = Account.of(ranking, ranked, chosen)
            why = self._reasons(ranking, account, found, np.isin(found, rules.pinned))
            if explain == "full":
                ids = [self.catalogue.ids[row] for row in ranking.query.history]
                made_of = [account.contributions(at, names, ids) for at in range(len(found))]
        return tuple(
            Recommendation(
                rank=at + 1,
                item=self.catalogue.item(int(row)),
                score=float(ranked.totals[chosen[at]]),
                cross=bool(rules.outside[row]),
                cold=bool(self._cold[row]),
                reasons=why[at],
                signals={
                    name: float(value)
                    for name, value in zip(names, scores[at], strict=True)
                    if np.isfinite(value)
                },
                rules=acted,
                interest=int(of_interest[at]) or None,
                contributions=made_of[at],
            )
            for at, (row, acted) in enumerate(zip(found, rules.acted(found, arranged), strict=True))
        )

    def _reasons(
        self, ranking: Ranking, account: Account, found: np.ndarray, pinned: np.ndarray
    ) -> list[tuple[Reason, ...]]:
        item_of, query = cache(self.catalogue.item), ranking.query
        why = reasons(
            query,
            found,
            account,
            ranking.signals,
            item_of,
            self.generation.signals.popularity.cold,
            pinned,
            self._wording,
            unknown=self.generation.signals.unknown,
            before=self._before(query, found),
        )
        return ranking.gate.reasons(found, why, self._popular)

    def interests(self, query: Query) -> tuple[Interest, ...]:
        """Those of a person, the largest share first."""
        parts, tops = self.generation, self.catalogue.top_codes
        return find_interests(query, parts.raw, parts.centre, tops, self.recipe.interests)

    def policy(self, home: str, target: str) -> str:
        """As `Policy.between`."""
        return self._policy.between(home, target)

    def _gate(self, query: Query, home: np.ndarray, *, across: bool) -> Gate:
        """What a question with these home categories may not cross into."""
        return Gate(
            self.generation.tuned.bridges,
            self.recipe.bridges,
            self.catalogue,
            self.signals,
            self.generation.signals.popularity.people,
            self.generation.vectors,
            query,
            home,
            denied=self._policy.denied,
            across=across,
            said=self._said.propose(query, SAID, self.catalogue.present)
            if query.said
            else _NOTHING,
        )

    def _views(self, ruling: Ruling, gate: Gate) -> Views:
        """A question as each item may see it, by the policy and by bridges."""
        tops = self._policy.tops.tolist()
        homes = [tops[kind] for kind in ruling.homes]
        return replace(ruling, led=gate.leads(homes, tops)).views

    def _popular(self, row: int) -> Reason:
        """The reason of what is in the list without the history; nobody may have taken it."""
        kind = "popular" if self.generation.signals.popularity.people[row] else "fill"
        return Reason(kind, 1.0, self._wording.sentence(kind, self.catalogue.item(row)))

    def _side(self, query: Query, ask: Ask) -> int:
        """Where a question stands."""
        asked = int(query.history[0]) if query.kind == "similar" else None
        return self._walls.side(ask.filter, asked)

    def _barred(self, query: Query, ask: Ask) -> dict[str, np.ndarray]:
        """In words -> (n_items,) bool: what does not come whatever the filter says.

        That is what lies on another side of a wall than the question, and what reads too much like
        the asked item to go together with it.
        """
        barred: dict[str, np.ndarray] = {}
        if self._walls.paths:
            barred["on the other side of a wall"] = self._walls.closed(self._side(query, ask))
        if query.mode == "together":
            least = self.recipe.answering.too_alike
            barred["too much like it"] = alike(query, self.generation.raw, least)
        return barred

    def _ranking(
        self, query: Query, situation: SituationName, views: Views, gate: Gate, k: int
    ) -> Ranking:
        """What ranks a question, and what proposes; what is popular where nothing else is known."""
        blend: Blend = self._blends[situation]
        names: Sequence[str] = self.generation.situation(situation).sources
        if query.kind == "user" and not len(query.history):
            blend, names = _POPULAR, _POPULAR.names
        blend = StatedBlend.of(views.ranked_by(blend), query, self.recipe.profile)
        sources: list[Source] = [self.signals[name] for name in names if name in self.signals]
        sources += [self._said] if query.said and query.kind == "user" else []
        return Ranking(
            query,
            views,
            gate,
            blend,
            [self._scoring[name] for name in blend.names],
            sources,
            min(max(self.recipe.answering.n_candidates, k), len(self.catalogue)),
            self.generation.raw,
        )

    def _own_lists(
        self,
        interests: Sequence[Interest],
        ranking: Ranking,
        rules: Rules,
        rows: np.ndarray,
        k: int,
    ) -> OwnLists:
        """What each interest alone would bring, under the same policy."""

        def alone(asked: Query, inside: np.ndarray) -> np.ndarray:
            ruling, allowed = self._policy.ruling(asked), rules.allowed & inside
            if ruling.barred is not None:
                allowed &= ~ruling.barred
            return ranking.alone(asked, self._views(ruling, ranking.gate), allowed, rows, k)

        tops, options = self.catalogue.top_codes, self.recipe.interests
        return OwnLists.of(interests, ranking.query, k, alone, tops, options)

    def _record_of(self, interest: Interest, query: Query) -> dict[str, Any]:
        return record_of(interest, query, self.catalogue.item).to_dict()

    def _before(self, query: Query, rows: np.ndarray) -> np.ndarray | None:
        """Which of `rows` people took before the asked item, where that is asked."""
        fitted, options = self.generation.signals, self.recipe.signals.transitions
        if query.mode != "together" or "transitions" not in fitted.matrices:
            return None
        matrix, people = fitted.matrices["transitions"], fitted.popularity.people
        return rather_before(matrix, people, options.shrink, query.history, rows)

    def planned(self, collection: CollectionName, vectors: np.ndarray) -> Search:
        """Nearest neighbours, by the vector index where that is quicker than a scan."""
        generation = self.generation
        if generation.stored is None:
            return ExactSearch(vectors)
        return PlannedSearch(
            ExactSearch(vectors),
            lambda: generation.chroma_search(collection),  # holds no Answers, which hold it
            self.recipe.search,
            generation.standby,
        )
