"""The people of an index: what is known of each, and who would want an item."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from crossrec_llm.answering import Known, make_query
from crossrec_llm.errors import QueryError, UnknownUser
from crossrec_llm.generation import Generation
from crossrec_llm.profiles import Correction
from crossrec_llm.recording import step
from crossrec_llm.records import AudienceMember, Query
from crossrec_llm.signals import Text
from crossrec_llm.store import Ledger, Search
from crossrec_llm.tables import OUTSIDE, near_matches


class People:
    """Who is in the records, with corrections in effect and walls in between.

    Parameters
    ----------
    profiles : search over the profiles of the build.
    """

    def __init__(self, generation: Generation, ledger: Ledger | None, profiles: Search) -> None:
        self.generation, self._ledger, self._profiles = generation, ledger, profiles
        self.catalogue, self.walls = generation.catalogue, generation.walls

    @property
    def ledger(self) -> Ledger:
        if self._ledger is None:
            raise QueryError("this recommender knows no users: ask for_history, like or similar")
        return self._ledger

    def over(self, generation: Generation) -> People:
        """The same people, asked of a generation that has the same parts."""
        return People(generation, self._ledger, self._profiles)

    def close(self) -> None:
        if self._ledger is not None:
            self._ledger.close()

    @step("history")
    def known(self, user_id: str, side: int = OUTSIDE, without: Sequence[str] = ()) -> Known:
        """What is known of a person on one side of the walls.

        Parameters
        ----------
        without : item ids that are left out of the history, which the digest still covers.

        Raises
        ------
        UnknownUser : nothing is recorded; or nothing outside, where that is asked, as if nothing
            had been recorded.
        UnknownItem, QueryError : what is to be left out is not in the history.
        """
        if self.walls.paths and not self.ledger.has_user(user_id):
            raise self._unknown(user_id)
        recorded = self.ledger.events_of(user_id)
        events = self.walls.visible(recorded, side)
        if side == OUTSIDE and len(recorded) and not len(events):
            raise self._unknown(user_id)
        made = (self._on(one, side) for one in self.ledger.corrections_of(user_id))
        corrections = [one for one in made if one.sentence or one.items]
        known = Known.of(events, corrections, self.catalogue, self.generation.histories)
        if not without:
            return known
        taken = self.catalogue.rows(events["item_id"])
        never = [self.catalogue.row(item_id) for item_id in without]
        for row, item_id in zip(never, without, strict=True):
            if row not in taken:
                raise QueryError(f"{item_id!r} is not in the history of {user_id!r}")
        events = events.filter(pa.array(~np.isin(taken, never)))
        fewer = Known.of(events, corrections, self.catalogue, self.generation.histories)
        return replace(fewer, digest=known.digest)

    def on_side(self, item_ids: Sequence[str], side: int) -> tuple[list[int], tuple[str, ...]]:
        """Rows of ids that lie on a side of the walls, and a note of those that do not.

        Raises
        ------
        UnknownItem : not in the catalogue; similar ids are named.
        """
        rows = {str(item_id): self.catalogue.row(str(item_id)) for item_id in item_ids}
        away = [item_id for item_id, row in rows.items() if self.walls.behind[row] != side]
        said = f"on the other side of a wall, and left out: {', '.join(map(repr, away))}"
        kept = [rows[item_id] for item_id in map(str, item_ids) if item_id not in away]
        return kept, (said,) if away else ()

    def wanting(self, row: int, k: int) -> list[AudienceMember]:
        """At most `k` people whose profile is nearest to an item, without those who have it.

        Raises
        ------
        QueryError : it lies behind a wall.
        """
        item_id, users = self.catalogue.ids[row], self.generation.users
        if self.walls.behind[row] != OUTSIDE:
            raise QueryError(f"{item_id!r} lies behind a wall: who would want it is not told")
        buyers, others = self.ledger.users_of(item_id), self._others()
        allowed = np.ones(len(users.ids), bool)
        allowed[users.rows([*buyers, *others])] = False
        asked = self.generation.vectors[row]
        found, scores = self._profiles.nearest(asked[None], min(k, len(users.ids)), allowed)
        near = [
            (users.ids[u], float(s)) for u, s in zip(found[0], scores[0], strict=True) if u >= 0
        ]
        near += [
            (user_id, float(profile @ asked))
            for user_id in sorted(set(others) - set(buyers))
            if (profile := self._pooled(user_id, others[user_id])) is not None
        ]
        members: list[AudienceMember] = []
        for user_id, score in sorted(near, key=lambda entry: -entry[1])[:k]:
            history = self._taken(user_id).history
            if len(history):
                nearest = history[int(np.argmax(self.generation.vectors[history] @ asked))]
                because = self.catalogue.item(int(nearest))
                members.append(AudienceMember(len(members) + 1, user_id, score, because))
        return members

    def _unknown(self, user_id: str) -> UnknownUser:
        """Names near ids, of those only whom something is known of outside the walls."""
        return UnknownUser(user_id, near_matches(user_id, self.generation.users.ids))

    def _on(self, correction: Correction, side: int) -> Correction:
        """What of a correction is about one side of the walls; a sentence lies on all of them."""
        if not self.walls.paths or not correction.items:
            return correction
        there = np.append(self.walls.behind, OUTSIDE)[self.catalogue.rows(list(correction.items))]
        items = zip(correction.items, there.tolist(), strict=True)
        return replace(correction, items=tuple(item_id for item_id, at in items if at == side))

    def _taken(self, user_id: str) -> Query:
        """The history that counts of a person; empty of who has left since the build."""
        try:
            known = self.known(user_id)
        except UnknownUser:
            known = Known.nobody()
        return make_query("user", known.rows, known.weights)

    def _others(self) -> dict[str, tuple[np.ndarray, np.ndarray] | None]:
        """Whose profile is not the one of the build, with the history where that is at hand.

        They have events since, or took what has another text now or was removed, or struck items.
        """
        live, taken = self.generation.live, self.generation.signals.taken
        found: dict[str, tuple[np.ndarray, np.ndarray] | None] = {}
        if taken is not None:
            built = np.zeros(taken.n_items, bool)
            built[live.late[live.late < taken.n_items]] = True
            built |= ~self.catalogue.present[: taken.n_items]
            if built.any():
                found |= dict.fromkeys(taken.users_of(np.flatnonzero(built)))
        found |= live.histories
        return found | dict.fromkeys(self.ledger.users_with_strikes())

    def _pooled(
        self, user_id: str, history: tuple[np.ndarray, np.ndarray] | None
    ) -> np.ndarray | None:
        """(dim,) float32 unit profile as of now, as `Users.pool` makes it at a build."""
        if history is None:
            query = self._taken(user_id)
        else:
            there = self.catalogue.present[history[0]]
            query = make_query("user", history[0][there], history[1][there])
        options = self.generation.recipe.signals.text
        return Text(self.generation.vectors, self._profiles, options).profile(query)
