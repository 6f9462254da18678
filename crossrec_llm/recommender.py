"""SPINE: a question -> an answer. for_user, like and similar all end in `_answer`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from threading import RLock
from typing import Any, get_args

import numpy as np

from crossrec_llm.answering import (
    COMPANY_NOTES,
    Ask,
    Blend,
    Bridge,
    Company,
    Gate,
    PlannedSearch,
    Rules,
    SituationName,
    Standing,
    WeightedBlend,
    alike,
    arrange,
    carry_all,
    company_of,
    make_query,
    notes,
    pool,
    reasons,
    score_all,
    situation_of,
)
from crossrec_llm.errors import QueryError, UnknownUser
from crossrec_llm.filter import Filter
from crossrec_llm.generation import CollectionName, Generation
from crossrec_llm.meaning import Encoder, Templates
from crossrec_llm.records import (
    Audience,
    AudienceMember,
    Item,
    Query,
    Reason,
    Recommendation,
    Recommendations,
    SimilarMode,
)
from crossrec_llm.resources import default_index
from crossrec_llm.signals import assemble, rather_before
from crossrec_llm.store import ExactSearch, Index, Ledger, Search
from crossrec_llm.tables import Histories, history_digest

_POPULAR = WeightedBlend({"popularity": 1.0})


class Recommender:
    """Answers questions over one generation of an index.

    Parameters
    ----------
    generation : the fitted parts.
    ledger : where users' histories are read; without one, questions by user id have no answer.
    """

    def __init__(self, generation: Generation, ledger: Ledger | None = None) -> None:
        self.generation = generation
        self._ledger = ledger
        self.catalogue, self.recipe = generation.catalogue, generation.recipe
        self.signals = assemble(
            generation.signals,
            self.recipe.signals,
            catalogue=self.catalogue,
            raw=generation.raw,
            vectors=generation.vectors,
            open_search=self._planned,
        )
        self._users = self._planned("users", generation.users.vectors)
        self._blends: dict[SituationName, Blend] = {
            name: generation.blend(name, self.signals) for name in get_args(SituationName)
        }
        self._standing = Standing.of(
            self.recipe.rules, self.catalogue, generation.signals.popularity.cold
        )
        self.receipt = generation.receipt
        self._loading = RLock()
        self._encoder: Encoder | None = None
        self._templates: Templates | None = None

    @classmethod
    def open(cls, index: str | Path | None = None) -> Recommender:
        """The active generation of an index; by default of the one that CROSSREC_INDEX names.

        Raises
        ------
        IndexMissing, IndexMismatch, IndexDamaged : what is wrong with it and what to run.
        """
        opened = Index.open(Path(index) if index is not None else default_index())
        try:
            return cls(Generation.load(opened.generation), opened.ledger)
        except BaseException:
            opened.close()
            raise

    def close(self) -> None:
        self.generation.close()
        if self._ledger is not None:
            self._ledger.close()

    def __enter__(self) -> Recommender:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- questions -------------------------------------------------------------------------------

    def for_user(
        self,
        user_id: str,
        k: int = 10,
        *,
        filter: Filter = Filter(),
        cross_share: float | None = None,
        diversity: float | None = None,
        explain: bool = True,
    ) -> Recommendations:
        """What this person may want next.

        A person without a usable history gets what is popular, labelled as such.

        Raises
        ------
        UnknownUser : nothing is recorded of this id; similar ids are named.
        QueryError, UnknownItem : a value of the question makes no sense.
        """
        ask = Ask(k, filter, cross_share, diversity, explain)
        rows, weights, digest = self._history(user_id)
        query = make_query("user", rows, weights)
        return self._answer(query, ask, {"user_id": str(user_id)}, history=digest)

    def for_history(
        self,
        item_ids: Sequence[str],
        k: int = 10,
        *,
        filter: Filter = Filter(),
        cross_share: float | None = None,
        diversity: float | None = None,
        explain: bool = True,
    ) -> Recommendations:
        """What somebody with these items, oldest first, may want next: a visitor, a session.

        Raises
        ------
        UnknownItem : not in the catalogue; similar ids are named.
        """
        ask = Ask(k, filter, cross_share, diversity, explain)
        newest_first = dict.fromkeys(self._row(item_id) for item_id in reversed(item_ids))
        rows = list(newest_first)[::-1]
        query = make_query("user", rows, [1.0] * len(rows))
        return self._answer(query, ask, {"history": list(item_ids)})

    def like(
        self,
        text: str,
        k: int = 10,
        *,
        user: str | None = None,
        liked: Sequence[str] = (),
        disliked: Sequence[str] = (),
        filter: Filter = Filter(),
        cross_share: float | None = None,
        diversity: float | None = None,
        explain: bool = True,
    ) -> Recommendations:
        """What matches a free text, bent toward a person or examples where given.

        Parameters
        ----------
        user : whose history bends the order.
        liked, disliked : item ids to bend toward and away from.

        Raises
        ------
        QueryError : an empty text. Others as for `for_user`.
        """
        ask = Ask(k, filter, cross_share, diversity, explain)
        if not isinstance(text, str) or not text.strip():
            raise QueryError("the text to look up is empty")
        rows, weights, digest = ((), (), None) if user is None else self._history(user)
        read = self.generation.signals.lexical.spelled(text)
        query = make_query(
            "like",
            rows,
            weights,
            liked=[self._row(item_id) for item_id in liked],
            disliked=[self._row(item_id) for item_id in disliked],
            text=text,
            text_vector=self.encoder.encode_query(self.templates.query_text(read)),
        )
        asked = {"text": text, "user_id": user, "liked": list(liked), "disliked": list(disliked)}
        asked |= {"read_as": read} if read != text else {}
        return self._answer(query, ask, asked, history=digest)

    def similar(
        self,
        item_id: str,
        k: int = 10,
        *,
        mode: SimilarMode = "both",
        filter: Filter = Filter(),
        cross_share: float | None = None,
        diversity: float | None = None,
        explain: bool = True,
    ) -> Recommendations:
        """More like this item; its own top category is the home category.

        Parameters
        ----------
        mode : "alike" asks what could be taken instead of it, by meaning; "together" what is
            taken with it, by behaviour, without what reads nearly the same
            (`answering.too_alike`); "both" mixes the two.

        Raises
        ------
        UnknownItem : not in the catalogue; similar ids are named.
        QueryError : a value of the question makes no sense.
        """
        ask = Ask(k, filter, cross_share, diversity, explain)
        if mode not in get_args(SimilarMode):
            raise QueryError(f"mode must be both, alike or together, not {mode!r}")
        row = self._row(item_id)
        asked = {"item_id": str(item_id)} | ({"mode": mode} if mode != "both" else {})
        company = company_of(self.generation.signals, row) if mode == "together" else "known"
        query = make_query("similar", [row], [1.0], mode="alike" if company == "unknown" else mode)
        return self._answer(query, ask, asked, company=company)

    def audience(self, item_id: str, k: int = 10) -> Audience:
        """Who would want this item: the users whose profile is nearest to it.

        Those who have it already are left out.

        Raises
        ------
        UnknownItem : not in the catalogue; similar ids are named.
        """
        Ask(k)
        row = self._row(item_id)
        users = self.generation.users
        allowed = np.ones(len(users.ids), bool)
        allowed[users.rows(self.ledger.users_of(str(item_id)))] = False
        asked = self.generation.vectors[row][None]
        found, scores = self._users.nearest(asked, min(k, len(users.ids)), allowed)
        members: list[AudienceMember] = []
        for u, score in zip(found[0], scores[0], strict=True):
            because = self._nearest_of(users.ids[u], row) if u >= 0 else None
            if because is not None:
                rank = len(members) + 1
                members.append(AudienceMember(rank, users.ids[u], float(score), because))
        missing = None
        if len(members) < k:
            missing = f"{len(members)} of {k}: no more users have a profile and lack this item"
        return Audience(self.catalogue.item(row), tuple(members), self.receipt, missing)

    def bridges(self) -> tuple[Bridge, ...]:
        """How credible it is to cross, for each pair of categories that people were seen in.

        Empty where it was not fitted: then everything is open.
        """
        return self.generation.tuned.bridges.pairs

    def item(self, item_id: str) -> Item:
        """One item of the catalogue; UnknownItem where there is none of this id."""
        return self.catalogue.item(self._row(item_id))

    @property
    def ledger(self) -> Ledger:
        if self._ledger is None:
            raise QueryError("this recommender knows no users: ask for_history, like or similar")
        return self._ledger

    # -- parts, loaded when first needed, by one thread while others wait --------------------------

    @property
    def encoder(self) -> Encoder:
        """Refused with IndexMismatch unless it is the one that made the index's vectors."""
        with self._loading:
            if self._encoder is None:
                encoder = Encoder(self.recipe.encoder)
                self.generation.require(encoder=encoder.name)
                self._encoder = encoder
            return self._encoder

    @property
    def templates(self) -> Templates:
        """Those that made the index's texts."""
        with self._loading:
            if self._templates is None:
                self._templates = self.generation.templates(self.encoder)
            return self._templates

    # -- the one path of every answer -------------------------------------------------------------

    def _answer(
        self,
        query: Query,
        ask: Ask,
        asked: dict[str, Any],
        *,
        history: str | None = None,
        company: Company = "known",
    ) -> Recommendations:
        cold = self.generation.signals.popularity.cold
        rules = Rules.of(
            self.catalogue, query, ask, self._standing, cold, too_alike=self._too_alike(query)
        )
        gate = self.gate(query, rules.home)
        blend, sources = self._ranking(query, situation_of(query, ask))
        proposing = [self.signals[name] for name in sources if name in self.signals]
        signals = [self.signals[name] for name in blend.names]
        diversity = self.recipe.answering.diversity if ask.diversity is None else ask.diversity

        size = min(max(self.recipe.answering.n_candidates, ask.k), len(self.catalogue))
        rows = pool(query, rules.pools(), gate.sources(proposing), size, rules.pinned)
        while True:
            scores = score_all(query, rows, signals)
            parts = blend.parts(rows, scores)
            totals = blend.total(query, rows, parts)
            if gate.shuts(rows, totals):
                rows = pool(query, rules.pools(), gate.sources(proposing), size, rules.pinned)
                continue
            totals = gate.exchange(rows, scores, parts, totals, blend.names)
            near = self.generation.vectors[rows] if diversity else np.empty((len(rows), 0))
            arranged = arrange(totals, near, ask.k, rules.demands(rows), diversity=diversity)
            chosen = arranged.positions
            found, size = rows[chosen], 2 * size
            wanting = rules.wanting(rows, found)
            wider = pool(query, [wanting], gate.sources(proposing), size, rows)
            if len(wider) == len(rows):
                break
            rows = wider

        scores, parts = scores[chosen], parts[chosen]
        item_of = cache(self.catalogue.item)
        why: list[tuple[Reason, ...]] = [()] * len(found)
        if ask.explain:
            pinned, before = np.isin(found, rules.pinned), self._before(query, found)
            carried = carry_all(query, found, signals)
            why = reasons(
                query, found, scores, parts, carried, signals, item_of, cold, pinned, before=before
            )
            why = gate.reasons(found, why, item_of)
        acted = rules.acted(found, arranged)
        standing = rules.standing.filter.set_fields()
        items = tuple(
            Recommendation(
                rank=at + 1,
                item=item_of(int(row)),
                score=float(totals[chosen[at]]),
                cross=bool(rules.outside[row]),
                cold=bool(cold[row]),
                reasons=why[at],
                signals={
                    name: float(value)
                    for name, value in zip(blend.names, scores[at], strict=True)
                    if np.isfinite(value)
                },
                rules=acted[at],
            )
            for at, row in enumerate(found)
        )
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
                **gate.told(),
            },
            items=items,
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
                ),
                *gate.notes(found),
                *rules.notes(found),
            ),
        )

    def gate(self, query: Query, home: np.ndarray) -> Gate:
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
        )

    def _too_alike(self, query: Query) -> np.ndarray | None:
        """(n_items,) bool, what reads too much like the asked item to go together with it."""
        if query.mode != "together":
            return None
        return alike(query, self.generation.raw, self.recipe.answering.too_alike)

    def _ranking(self, query: Query, situation: SituationName) -> tuple[Blend, Sequence[str]]:
        """What ranks a question, and what proposes; what is popular where nothing else is known."""
        if query.kind == "user" and not len(query.history):
            return _POPULAR, _POPULAR.names
        return self._blends[situation], self.generation.situation(situation).sources

    def _before(self, query: Query, rows: np.ndarray) -> np.ndarray | None:
        """Which of `rows` people took before the asked item, where that is asked."""
        fitted, options = self.generation.signals, self.recipe.signals.transitions
        if query.mode != "together" or "transitions" not in fitted.matrices:
            return None
        matrix, people = fitted.matrices["transitions"], fitted.popularity.people
        return rather_before(matrix, people, options.shrink, query.history, rows)

    def _planned(self, collection: CollectionName, vectors: np.ndarray) -> Search:
        if self.generation.stored is None:
            return ExactSearch(vectors)
        return PlannedSearch(
            ExactSearch(vectors),
            lambda: self.generation.chroma_search(collection),
            self.recipe.search,
        )

    def _row(self, item_id: str) -> int:
        """The row of an id; a number is taken for the text that files have it as."""
        return self.catalogue.row(str(item_id))

    def _history(self, user_id: str) -> tuple[np.ndarray, np.ndarray, str]:
        """Rows and weights of a person's history, oldest first, and the digest of a receipt."""
        events = self.ledger.events_of(str(user_id))
        histories = Histories.from_events(events, self.catalogue, self.generation.histories)
        digest = history_digest(events)
        if not len(histories):
            return np.empty(0, np.int64), np.empty(0, np.float32), digest
        rows, weights, _ = histories.history(0)
        return rows, weights, digest

    def _nearest_of(self, user_id: str, row: int) -> Item | None:
        """The history item that lies nearest to an item; None for who has left since the build."""
        try:
            history = make_query("user", *self._history(user_id)[:2]).history
        except UnknownUser:
            return None
        if not len(history):
            return None
        cosines = self.generation.vectors[history] @ self.generation.vectors[row]
        return self.catalogue.item(int(history[int(np.argmax(cosines))]))
