"""SPINE: a question -> an answer. for_user, like and similar all end in `Answers.to`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from threading import RLock
from typing import Any, get_args

import numpy as np

from crossrec_llm.answering import (
    Ask,
    Bridge,
    Company,
    Known,
    company_of,
    describe,
    make_query,
)
from crossrec_llm.answers import Answers
from crossrec_llm.errors import QueryError
from crossrec_llm.filter import Filter
from crossrec_llm.generation import Generation
from crossrec_llm.meaning import Encoder, Templates
from crossrec_llm.people import People
from crossrec_llm.profiles import Profile
from crossrec_llm.records import (
    Audience,
    Explain,
    Item,
    Receipt,
    Recommendations,
    SimilarMode,
)
from crossrec_llm.resources import default_index
from crossrec_llm.signals import Scorer
from crossrec_llm.store import Index, Ledger


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
        self._answers = Answers(generation)
        profiles = self._answers.planned("users", generation.users.vectors)
        self._people = People(generation, ledger, profiles)
        self._sentence_vector = lru_cache(1024)(self._encoded)
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
            without = [without] if isinstance(without, str) else without
            asked["without"] = list(dict.fromkeys(map(str, without)))
            if not filter.include_seen:
                seen = dict.fromkeys((*filter.exclude, *asked["without"]))
                filter = replace(filter, exclude=tuple(seen))
        ask = Ask(k, filter, cross_share, diversity, explain)
        side = self.generation.walls.side(filter)
        known = self._people.known(str(user_id), side, asked.get("without", ()))
        query = make_query("user", known.rows, known.weights, **self._corrected(known))
        return self._answers.to(query, ask, asked, history=known.digest)

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
        here, said = self._people.on_side(item_ids, self.generation.walls.side(filter))
        rows = list(dict.fromkeys(reversed(here)))[::-1]
        query = make_query("user", rows, [1.0] * len(rows))
        return self._answers.to(query, ask, {"history": list(item_ids)}, said=said)

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
        side = self.generation.walls.side(filter)
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
        return self._answers.to(query, ask, asked, history=known.digest, said=said + said_too)

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
            company = company_of(
                self.generation.signals, row, self.generation.walls.side(filter, row)
            )
        if company in ("unknown", "walled"):
            mode = "alike"
        query = make_query("similar", [row], [1.0], mode=mode)
        return self._answers.to(query, ask, asked, company=company)

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

    def policy(self, home: str, target: str) -> str:
        """What the recipe's policy says of crossing from one top category to another.

        "denied", "at most 20% of a list", "in part" where it tells apart what lies below them;
        empty where it holds nothing back.
        """
        return self._answers.policy(home, target)

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
            self._answers.interests(query),
            self.recipe.interests,
            self.catalogue.item,
            self.templates.history_text,
        )

    def item(self, item_id: str) -> Item:
        """One item of the catalogue; UnknownItem where there is none of this id."""
        return self.catalogue.item(self._row(item_id))

    @property
    def signals(self) -> dict[str, Scorer]:
        """By name, those that could be fitted."""
        return self._answers.signals

    @property
    def receipt(self) -> Receipt:
        """What makes its answers."""
        return self._answers.receipt

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
                encoder.expect(self.generation.canaries)
                self._encoder = encoder
            return self._encoder

    @property
    def templates(self) -> Templates:
        """Those that made the index's texts."""
        with self._loading:
            if self._templates is None:
                self._templates = self.generation.templates(self.encoder)
            return self._templates

    def _corrected(self, known: Known) -> dict[str, Any]:
        """What corrections add to a query."""
        vectors = [self._sentence_vector(sentence) for sentence in known.said]
        said = {"said": known.said, "said_vectors": np.stack(vectors)} if vectors else {}
        return {"struck": known.struck, **said}

    def _encoded(self, text: str) -> np.ndarray:
        """(dim,) float32 raw unit vector of a free text."""
        return self.encoder.encode_query(self.templates.query_text(text))

    def _row(self, item_id: str) -> int:
        """The row of an id; a number is taken for the text that files have it as."""
        return self.catalogue.row(str(item_id))
