"""SPINE: a question -> an answer. for_user, like and similar all end in `Answers.to`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import update_wrapper
from inspect import signature
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar, get_args

import numpy as np

from crossrec_llm.answering import (
    Ask,
    BridgeList,
    Company,
    Known,
    company_of,
    describe,
    make_query,
)
from crossrec_llm.errors import QueryError
from crossrec_llm.filter import Filter
from crossrec_llm.generation import Generation
from crossrec_llm.meaning import Encoder, Templates
from crossrec_llm.moments import Moment, Moments, Overlaid
from crossrec_llm.profiles import Profile
from crossrec_llm.recipe import Recipe
from crossrec_llm.recording import recorded, step
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
from crossrec_llm.store import Ledger
from crossrec_llm.tables import Catalogue

P = ParamSpec("P")
R = TypeVar("R")


def _question(
    answered: Callable[Concatenate[Recommender, Moment, P], R],
) -> Callable[Concatenate[Recommender, P], R]:
    """A method that is answered from one moment of the index, the newest when it was called."""

    def asked(self: Recommender, /, *args: P.args, **named: P.kwargs) -> R:
        given = self._moments.ask(lambda now: answered(self, now, *args, **named))
        if (record := recorded()) is not None:
            record.answers.append(given)
        return given

    update_wrapper(asked, answered)
    del asked.__dict__["__wrapped__"]
    shown = signature(answered)
    seen = [one for name, one in shown.parameters.items() if name != "now"]
    asked.__signature__ = shown.replace(parameters=seen)  # type: ignore[attr-defined]
    return asked


class Recommender:
    """Answers questions over an index as it is when they are asked, or over a generation in memory.

    Many threads may share one. Each question sees what was acknowledged before it: events, items,
    a generation that was published or rolled back to; and all of it at one moment.

    Parameters
    ----------
    generation : the fitted parts.
    ledger : where users' histories are read; without one, questions by user id have no answer.
    """

    def __init__(self, generation: Generation, ledger: Ledger | None = None) -> None:
        self._moments: Moments | Overlaid = Moments.still(generation, ledger)

    @classmethod
    def open(cls, index: str | Path | None = None) -> Recommender:
        """The index of a folder; by default the one that CROSSREC_INDEX names.

        Raises
        ------
        IndexMissing, IndexMismatch, IndexDamaged : what is wrong with it and what to run.
        """
        opened = cls.__new__(cls)
        opened._moments = Moments.follow(Path(index) if index is not None else default_index())
        return opened

    def asked_by(self, settings: Mapping[str, Any]) -> Recommender:
        """One that answers from the same index, as long as this is open, by other settings.

        Parameters
        ----------
        settings : tables of a recipe, laid over those of the index: {"answering": {"diversity":
            0.4}}. They say how answers are made; what is fitted stays.

        Raises
        ------
        RecipeError : a setting is wrong, or cannot be changed without fitting anew.
        """
        self.recipe.overlaid(settings)
        other = type(self).__new__(type(self))
        other._moments = Overlaid(self._moments, lambda recipe: recipe.overlaid(settings))
        return other

    def close(self) -> None:
        self._moments.close()

    def __enter__(self) -> Recommender:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- questions -------------------------------------------------------------------------------

    @_question
    def for_user(
        self,
        now: Moment,
        user_id: str,
        k: int = 10,
        *,
        filter: Filter = Filter(),
        cross_share: float | None = None,
        diversity: float | None = None,
        explain: Explain = True,
        why_not: str | None = None,
        without: Sequence[str] = (),
        explore: str | None = None,
    ) -> Recommendations:
        """What this person may want next.

        A person without a usable history gets what is popular, labelled as such.

        Parameters
        ----------
        explain : "full" has every contribution to the scores beside the reasons.
        why_not : id of an item; the answer's `absence` says why it is not in the list.
        without : item ids; the answer is the one for a history that never had them. Nothing is
            fitted anew, and they are still seen: they do not come.
        explore : names a draw, the day say: some places are filled by chance, as `[experiments]` of
            the recipe says, and the answer has the propensity of each place. The same name gives
            the same list again.

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
        ask = Ask(k, filter, cross_share, diversity, explain, explore, why_not)
        side = now.generation.walls.side(filter)
        known = now.people.known(str(user_id), side, asked.get("without", ()))
        query = make_query("user", known.rows, known.weights, **_corrected(now, known))
        return now.answers.to(query, ask, asked, history=known.digest)

    @_question
    def for_history(
        self,
        now: Moment,
        item_ids: Sequence[str],
        k: int = 10,
        *,
        filter: Filter = Filter(),
        cross_share: float | None = None,
        diversity: float | None = None,
        explain: Explain = True,
        why_not: str | None = None,
    ) -> Recommendations:
        """What somebody with these items, oldest first, may want next: a visitor, a session.

        Raises
        ------
        UnknownItem : not in the catalogue; similar ids are named.
        """
        ask = Ask(k, filter, cross_share, diversity, explain, why_not=why_not)
        here, said = now.people.on_side(item_ids, now.generation.walls.side(filter))
        rows = list(dict.fromkeys(reversed(here)))[::-1]
        query = make_query("user", rows, [1.0] * len(rows))
        return now.answers.to(query, ask, {"history": list(item_ids)}, said=said)

    @_question
    def like(
        self,
        now: Moment,
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
        why_not: str | None = None,
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
        ask = Ask(k, filter, cross_share, diversity, explain, why_not=why_not)
        if not isinstance(text, str) or not text.strip():
            raise QueryError("the text to look up is empty")
        side = now.generation.walls.side(filter)
        known = Known.nobody() if user is None else now.people.known(str(user), side)
        (toward, said), (away, said_too) = (
            now.people.on_side(ids, side) for ids in (liked, disliked)
        )
        read = now.generation.signals.lexical.spelled(text)
        with step("encoding"):
            vector = now.reader.query(read)
        query = make_query(
            "like",
            known.rows,
            known.weights,
            liked=toward,
            disliked=away,
            text=text,
            text_vector=vector,
            **_corrected(now, known),
        )
        asked = {"text": text, "user_id": user, "liked": list(liked), "disliked": list(disliked)}
        asked |= {"read_as": read} if read != text else {}
        return now.answers.to(query, ask, asked, history=known.digest, said=said + said_too)

    @_question
    def similar(
        self,
        now: Moment,
        item_id: str,
        k: int = 10,
        *,
        mode: SimilarMode = "both",
        filter: Filter = Filter(),
        cross_share: float | None = None,
        diversity: float | None = None,
        explain: Explain = True,
        why_not: str | None = None,
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
        ask = Ask(k, filter, cross_share, diversity, explain, why_not=why_not)
        if mode not in get_args(SimilarMode):
            raise QueryError(f"mode must be both, alike or together, not {mode!r}")
        row = now.generation.catalogue.row(str(item_id))
        asked = {"item_id": str(item_id)} | ({"mode": mode} if mode != "both" else {})
        company: Company = "known"
        if mode == "together":
            company = company_of(
                now.generation.signals, row, now.generation.walls.side(filter, row)
            )
        if company in ("unknown", "walled"):
            mode = "alike"
        query = make_query("similar", [row], [1.0], mode=mode)
        return now.answers.to(query, ask, asked, company=company)

    @_question
    def audience(self, now: Moment, item_id: str, k: int = 10) -> Audience:
        """Who would want this item: the users whose profile is nearest to it.

        Those who have it already are left out.

        Raises
        ------
        UnknownItem : not in the catalogue; similar ids are named.
        QueryError : it lies behind a wall.
        """
        Ask(k)
        row = now.generation.catalogue.row(str(item_id))
        standby = now.generation.standby
        standby.begin()
        members = now.people.wanting(row, k)
        missing = None
        if len(members) < k:
            missing = f"{len(members)} of {k}: no more users have a profile and lack this item"
        return Audience(
            now.generation.catalogue.item(row),
            tuple(members),
            now.answers.receipt,
            missing,
            standby.notes,
        )

    @_question
    def bridges(self, now: Moment) -> BridgeList:
        """How credible it is to cross, for each pair of categories that people were seen in.

        Empty where it was not fitted: then everything is open.
        """
        return BridgeList(now.generation.tuned.bridges.pairs)

    @_question
    def policy(self, now: Moment, home: str, target: str) -> str:
        """What the recipe's policy says of crossing from one top category to another.

        "denied", "at most 20% of a list", "in part" where it tells apart what lies below them;
        empty where it holds nothing back.
        """
        return now.answers.policy(home, target)

    @_question
    def profile(self, now: Moment, user_id: str) -> Profile:
        """What is known of a person, as answers use it; `correcting` changes it.

        Raises
        ------
        UnknownUser : nothing is recorded of this id; similar ids are named.
        """
        known = now.people.known(str(user_id))
        query = make_query("user", known.rows, known.weights)
        return describe(
            str(user_id),
            known,
            query,
            now.answers.interests(query),
            now.generation.recipe.interests,
            now.generation.catalogue.item,
            now.reader.templates.history_text,
        )

    @_question
    def changes(self, now: Moment) -> int:
        """How many items and events came, changed or went since the generation was built.

        They count in answers, and the next build folds them in. 0 in memory.
        """
        built = now.generation.stored
        return now.people.ledger.count_since(built.change) if built else 0

    @_question
    def item(self, now: Moment, item_id: str) -> Item:
        """One item of the catalogue; UnknownItem where there is none of this id."""
        return now.generation.catalogue.item(now.generation.catalogue.row(str(item_id)))

    # -- what answers, as it is now ----------------------------------------------------------------

    @property
    def generation(self) -> Generation:
        return self._moments.newest.generation

    @property
    def catalogue(self) -> Catalogue:
        """An item that was removed has a row, which no id leads to."""
        return self.generation.catalogue

    @property
    def recipe(self) -> Recipe:
        return self.generation.recipe

    @property
    def signals(self) -> dict[str, Scorer]:
        """By name, those that could be fitted."""
        return self._moments.newest.answers.signals

    @property
    def receipt(self) -> Receipt:
        """What makes its answers."""
        return self._moments.newest.answers.receipt

    @property
    def ledger(self) -> Ledger:
        """The records; refused with QueryError where there are none."""
        return self._moments.newest.people.ledger

    @property
    def encoder(self) -> Encoder:
        """Refused with IndexMismatch unless it is the one that made the index's vectors."""
        return self._moments.newest.reader.encoder

    @property
    def templates(self) -> Templates:
        """Those that made the index's texts."""
        return self._moments.newest.reader.templates


def _corrected(now: Moment, known: Known) -> dict[str, Any]:
    """What corrections add to a query."""
    if not known.said:
        return {"struck": known.struck}
    with step("encoding"):
        vectors = [now.reader.sentence(sentence) for sentence in known.said]
    return {"struck": known.struck, "said": known.said, "said_vectors": np.stack(vectors)}
