"""SPINE: a question -> an answer. for_user, like and similar all end in `_answer`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache, lru_cache
from pathlib import Path
from threading import RLock
from typing import Any, get_args

import numpy as np

from crossrec_llm.answering import (
    COMPANY_NOTES,
    Account,
    Ask,
    Blend,
    Bridge,
    Company,
    Gate,
    Interest,
    Known,
    OwnLists,
    PlannedSearch,
    Policy,
    Rules,
    SituationName,
    Standing,
    StatedBlend,
    WeightedBlend,
    Wording,
    alike,
    arrange,
    company_of,
    describe,
    find_interests,
    make_query,
    notes,
    reasons,
    record_of,
    situation_of,
)
from crossrec_llm.errors import QueryError
from crossrec_llm.filter import Filter
from crossrec_llm.generation import CollectionName, Generation
from crossrec_llm.meaning import Encoder, Templates
from crossrec_llm.people import People
from crossrec_llm.profiles import Profile
from crossrec_llm.records import (
    Audience,
    Contribution,
    Explain,
    Item,
    Query,
    Reason,
    Recommendation,
    Recommendations,
    SimilarMode,
)
from crossrec_llm.resources import default_index
from crossrec_llm.signals import Disliked, Said, Signal, Source, assemble, rather_before
from crossrec_llm.store import ExactSearch, Index, Ledger, Search
from crossrec_llm.tables import OUTSIDE

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
        self.catalogue, self.recipe = generation.catalogue, generation.recipe
        self.signals = assemble(
            generation.signals,
            self.recipe.signals,
            catalogue=self.catalogue,
            raw=generation.raw,
            vectors=generation.vectors,
            open_search=self._planned,
        )
        self._said = Said(generation.raw, self._planned("texts", generation.raw))
        self._scoring: dict[str, Signal] = {
            **self.signals,
            Said.name: self._said,
            Disliked.name: Disliked(generation.vectors),
        }
        self._sentence_vector = lru_cache(1024)(self._encoded)
        profiles = self._planned("users", generation.users.vectors)
        self._people = People(generation, ledger, profiles)
        self._blends: dict[SituationName, Blend] = {
            name: generation.blend(name, self.signals) for name in get_args(SituationName)
        }
        self._standing = Standing.of(
            self.recipe.rules, self.catalogue, generation.signals.popularity.cold
        )
        self._policy = Policy.of(self.recipe.policy, self.catalogue)
        self._walls = generation.walls
        self._wording = Wording.load(self.recipe.answering.language)
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
        self._people.close()

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
        explain: Explain = True,
        without: Sequence[str] = (),
    ) -> Recommendations:
        """What this person may want next.

        A person without a usable history gets what is popular, labelled as such.

        Parameters
        ----------
        explain : "full" has every contribution to the scores beside the reasons.
        without : item ids; the answer is the one for a history that never had them. Nothing is
            fitted anew, and they are still seen: they do not come.

        Raises
        ------
        UnknownUser : nothing is recorded of this id; similar ids are named.
        QueryError, UnknownItem : a value of the question makes no sense.
        """
        asked: dict[str, Any] = {"user_id": str(user_id)}
        if without:
            asked["without"] = list(dict.fromkeys(map(str, without)))
            if not filter.include_seen:
                seen = dict.fromkeys((*filter.exclude, *asked["without"]))
                filter = replace(filter, exclude=tuple(seen))
        ask = Ask(k, filter, cross_share, diversity, explain)
        side = self._walls.side(filter)
        known = self._people.known(str(user_id), side, asked.get("without", ()))
        query = make_query("user", known.rows, known.weights, **self._corrected(known))
        return self._answer(query, ask, asked, history=known.digest)

    def for_history(
        self,
        item_ids: Sequence[str],
        k: int = 10,
        *,
        filter: Filter = Filter(),
        cross_share: float | None = None,
        diversity: float | None = None,
        explain: Explain = True,
    ) -> Recommendations:
        """What somebody with these items, oldest first, may want next: a visitor, a session.

        Raises
        ------
        UnknownItem : not in the catalogue; similar ids are named.
        """
        ask = Ask(k, filter, cross_share, diversity, explain)
        here, said = self._people.on_side(item_ids, self._walls.side(filter))
        rows = list(dict.fromkeys(reversed(here)))[::-1]
        query = make_query("user", rows, [1.0] * len(rows))
        return self._answer(query, ask, {"history": list(item_ids)}, said=said)

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
        explain: Explain = True,
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
        side = self._walls.side(filter)
        known = Known.nobody() if user is None else self._people.known(str(user), side)
        (toward, said), (away, said_too) = (
            self._people.on_side(ids, side) for ids in (liked, disliked)
        )
        read = self.generation.signals.lexical.spelled(text)
        query = make_query(
            "like",
            known.rows,
            known.weights,
            liked=toward,
            disliked=away,
            text=text,
            text_vector=self._encoded(read),
            **self._corrected(known),
        )
        asked = {"text": text, "user_id": user, "liked": list(liked), "disliked": list(disliked)}
        asked |= {"read_as": read} if read != text else {}
        return self._answer(query, ask, asked, history=known.digest, said=said + said_too)

    def similar(
        self,
        item_id: str,
        k: int = 10,
        *,
        mode: SimilarMode = "both",
        filter: Filter = Filter(),
        cross_share: float | None = None,
        diversity: float | None = None,
        explain: Explain = True,
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
        company: Company = "known"
        if mode == "together":
            company = company_of(self.generation.signals, row, self._walls.side(filter, row))
        if company in ("unknown", "walled"):
            mode = "alike"
        query = make_query("similar", [row], [1.0], mode=mode)
        return self._answer(query, ask, asked, company=company)

    def audience(self, item_id: str, k: int = 10) -> Audience:
        """Who would want this item: the users whose profile is nearest to it.

        Those who have it already are left out.

        Raises
        ------
        UnknownItem : not in the catalogue; similar ids are named.
        QueryError : it lies behind a wall.
        """
        Ask(k)
        row = self._row(item_id)
        members = self._people.wanting(row, k)
        missing = None
        if len(members) < k:
            missing = f"{len(members)} of {k}: no more users have a profile and lack this item"
        return Audience(self.catalogue.item(row), tuple(members), self.receipt, missing)

    def bridges(self) -> tuple[Bridge, ...]:
        """How credible it is to cross, for each pair of categories that people were seen in.

        Empty where it was not fitted: then everything is open.
        """
        return self.generation.tuned.bridges.pairs

    def profile(self, user_id: str) -> Profile:
        """What is known of a person, as answers use it; `correcting` changes it.

        Raises
        ------
        UnknownUser : nothing is recorded of this id; similar ids are named.
        """
        known = self._people.known(str(user_id))
        query = make_query("user", known.rows, known.weights)
        return describe(
            str(user_id),
            known,
            query,
            self._interests(query),
            self.recipe.interests,
            self.catalogue.item,
            self.templates.history_text,
        )

    def item(self, item_id: str) -> Item:
        """One item of the catalogue; UnknownItem where there is none of this id."""
        return self.catalogue.item(self._row(item_id))

    @property
    def ledger(self) -> Ledger:
        """The records; refused with QueryError where there are none."""
        return self._people.ledger

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
        said: tuple[str, ...] = (),
    ) -> Recommendations:
        cold = self.generation.signals.popularity.cold
        ruling = self._policy.ruling(query)
        barred, views = self._barred(query, ask), ruling.views
        rules = Rules.of(
            self.catalogue, query, ask, self._standing, cold, barred=barred, ruling=ruling
        )
        gate = self.gate(query, rules.home)
        blend, sources = self._ranking(query, situation_of(query, ask))
        blend = StatedBlend.of(views.ranked_by(blend), query, self.recipe.profile)
        proposing: list[Source] = [self.signals[name] for name in sources if name in self.signals]
        proposing += [self._said] if query.said and query.kind == "user" else []
        signals = [self._scoring[name] for name in blend.names]
        diversity = self.recipe.answering.diversity if ask.diversity is None else ask.diversity

        size = min(max(self.recipe.answering.n_candidates, ask.k), len(self.catalogue))
        rows = views.pool(rules.pools(), gate.sources(proposing), size, rules.pinned)
        interests = self._interests(query) if not rules.split else ()

        def alone(asked: Query) -> tuple[np.ndarray, np.ndarray]:
            ruling = self._policy.ruling(asked)
            open = rules.allowed if ruling.barred is None else rules.allowed & ~ruling.barred
            rows = ruling.views.pool([open], proposing, size, rules.pinned[:0])
            parts = blend.parts(rows, ruling.views.score(rows, signals))
            return rows, blend.total(asked, rows, parts)

        own = OwnLists.of(
            interests, query, ask.k, alone, self.catalogue.top_codes, self.recipe.interests
        )
        rows = np.union1d(rows, own.any)
        while True:
            scores = views.score(rows, signals)
            parts = blend.parts(rows, scores)
            totals = blend.total(query, rows, parts)
            if gate.shuts(rows, totals):
                rows = views.pool(rules.pools(), gate.sources(proposing), size, rows)
                continue
            parts, totals = gate.exchange(rows, parts, totals)
            near = self.generation.raw[rows] if diversity else np.empty((len(rows), 0))
            demands = replace(rules.demands(rows), floors=own.floors(rows, gate.closed))
            arranged = arrange(totals, near, ask.k, demands, diversity=diversity)
            chosen = arranged.positions
            found, size = rows[chosen], 2 * size
            wanting = rules.wanting(rows, found)
            wider = views.pool([wanting], gate.sources(proposing), size, rows)
            if len(wider) == len(rows):
                break
            rows = wider

        item_of = cache(self.catalogue.item)
        why: list[tuple[Reason, ...]] = [()] * len(found)
        made_of: list[tuple[Contribution, ...]] = [()] * len(found)
        if ask.explain:
            account = Account.of(
                views, rows, scores, parts, totals, blend, signals, chosen, gate.closed[found]
            )
            pinned, before = np.isin(found, rules.pinned), self._before(query, found)
            words = self._wording
            why = reasons(
                query, found, account, signals, item_of, cold, pinned, words, before=before
            )
            why = gate.reasons(found, why, self._popular)
            if ask.explain == "full":
                ids = [self.catalogue.ids[row] for row in query.history]
                made_of = [account.contributions(at, blend.names, ids) for at in range(len(found))]
        scores = gate.heard(found, scores[chosen], blend.names)
        acted = rules.acted(found, arranged)
        of_interest = np.where(gate.closed[found], 0, own.numbers(found) + 1)
        told = [record_of(interests[n], query, item_of).to_dict() for n in range(len(own.rows))]
        standing = rules.standing.filter.set_fields()
        items = tuple(
            Recommendation(
                rank=at + 1,
                item=item_of(int(row)),
                score=float(totals[chosen[at]]),
                cross=bool(rules.outside[row]),
                cold=bool(cold[row] and self._walls.behind[row] == OUTSIDE),
                reasons=why[at],
                signals={
                    name: float(value)
                    for name, value in zip(blend.names, scores[at], strict=True)
                    if np.isfinite(value)
                },
                rules=acted[at],
                interest=int(of_interest[at]) or None,
                contributions=made_of[at],
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
                **({"interests": told} if told else {}),
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
                *self._walls.notes,
                *said,
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

    def _popular(self, row: int) -> Reason:
        """The reason of what is in the list because it is popular."""
        words = self._wording.sentence("popular", self.catalogue.item(row))
        return Reason("popular", 1.0, words)

    def _barred(self, query: Query, ask: Ask) -> dict[str, np.ndarray]:
        """In words -> (n_items,) bool: what does not come whatever the filter says.

        That is what lies on another side of a wall than the question, and what reads too much like
        the asked item to go together with it.
        """
        barred: dict[str, np.ndarray] = {}
        if self._walls.paths:
            asked = int(query.history[0]) if query.kind == "similar" else None
            side = self._walls.side(ask.filter, asked)
            barred["on the other side of a wall"] = self._walls.closed(side)
        if query.mode == "together":
            least = self.recipe.answering.too_alike
            barred["too much like it"] = alike(query, self.generation.raw, least)
        return barred

    def _interests(self, query: Query) -> tuple[Interest, ...]:
        parts, tops = self.generation, self.catalogue.top_codes
        return find_interests(query, parts.raw, parts.centre, tops, self.recipe.interests)

    def _corrected(self, known: Known) -> dict[str, Any]:
        """What corrections add to a query."""
        vectors = [self._sentence_vector(sentence) for sentence in known.said]
        said = {"said": known.said, "said_vectors": np.stack(vectors)} if vectors else {}
        return {"struck": known.struck, **said}

    def _encoded(self, text: str) -> np.ndarray:
        """(dim,) float32 raw unit vector of a free text."""
        return self.encoder.encode_query(self.templates.query_text(text))

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
