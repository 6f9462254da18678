"""What people were shown and what came of it; the experiments that it was part of."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, field
from typing import Any

from crossrec_llm.errors import DataError, QueryError, UnknownExposure, UnknownUser
from crossrec_llm.records import Offer
from crossrec_llm.store.database import Database, Execute

DAY = 86_400.0

_COLUMNS = (
    "exposure_id, user_id, at, experiment, arm, generation, recipe, history, change, question"
)


@dataclass(frozen=True)
class Exposure:
    """A list that a person was shown.

    at : epoch seconds (UTC).
    experiment, arm : that it was part of; "" = of none.
    generation, recipe : that made it, as in its receipt.
    history : digest of what was known of the person; change : the last live change taken in.
    question : what was asked beside the person: k, filter, cross_share, diversity (None = left to
        the recipe), explore.
    offers : every item that might have been in the list, those shown among them, best first.
    """

    user_id: str
    at: float
    experiment: str
    arm: str
    generation: str
    recipe: str
    history: str
    change: int
    question: Mapping[str, Any]
    offers: tuple[Offer, ...] = ()

    @property
    def exposure_id(self) -> str:
        """20 hex digits of what was shown to whom on which day (UTC).

        So the same list, shown again on that day, is the same exposure.
        """
        about = {**asdict(self), "at": self.at // DAY, "change": None}
        return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:20]

    @property
    def shown(self) -> list[Offer]:
        """In the order of their ranks."""
        return sorted((one for one in self.offers if one.rank), key=lambda one: one.rank)


@dataclass(frozen=True)
class Outcome:
    """What a person did with an item of an exposure.

    value : of it; 1 where it only counts.
    at : epoch seconds (UTC); None = now.
    """

    exposure_id: str
    item_id: str
    kind: str = "click"
    value: float = 1.0
    at: float | None = None


@dataclass(frozen=True)
class Recorded:
    """How many rows were new, and how many had been recorded before."""

    recorded: int
    repeated: int


@dataclass(frozen=True)
class Stated:
    """An experiment as it was begun: it does not change any more.

    definition : as `experimenting` writes it.
    began, ended : epoch seconds (UTC); None = it still runs.
    """

    name: str
    definition: Mapping[str, Any]
    began: float
    ended: float | None = None


@dataclass(frozen=True)
class Logged:
    """An exposure by the id it was recorded with, and its outcomes: (item id, kind) -> value."""

    exposure_id: str
    exposure: Exposure
    outcomes: Mapping[tuple[str, str], float] = field(default_factory=dict)


class Exposures:
    """The part of the records that experiments are made of."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # ------------------------------------------------------------------ experiments

    def experiments(self) -> tuple[Stated, ...]:
        """In the order in which they began."""
        if not self._exists:
            return ()
        rows = self._database.all(
            "SELECT name, definition, began, ended FROM experiments ORDER BY began, name"
        )
        return tuple(Stated(name, json.loads(said), *times) for name, said, *times in rows)

    def begin(self, name: str, definition: Mapping[str, Any]) -> Stated:
        """Write an experiment down, which runs from now on.

        Raises
        ------
        QueryError : there is one of that name, or one runs.
        IndexLocked, StoreUnavailable : it cannot be written now.
        """
        stated = Stated(name, definition, time.time())
        with self._database.transaction() as execute:
            there = execute("SELECT name, ended FROM experiments").fetchall()
            if name in [one for one, _ in there]:
                raise QueryError(f"there was an experiment {name!r} before: give it another name")
            if running := [one for one, ended in there if ended is None]:
                raise QueryError(
                    f"the experiment {running[0]!r} still runs; "
                    f"`crossrec experiment {running[0]} --stop` ends it"
                )
            row = (name, json.dumps(definition, sort_keys=True), stated.began)
            execute("INSERT INTO experiments VALUES (?, ?, ?, NULL)", row)
        return stated

    def end(self, name: str) -> bool:
        """End it; False where it had ended, or there is none. Raises as `begin`."""
        statement = "UPDATE experiments SET ended = ? WHERE name = ? AND ended IS NULL"
        with self._database.transaction() as execute:
            return execute(statement, (time.time(), name)).rowcount > 0

    # ------------------------------------------------------------------ exposures, outcomes

    def expose(self, exposure: Exposure) -> Recorded:
        """Write down what a person was shown; durable when it returns.

        Raises
        ------
        UnknownUser : nothing is recorded of the person, who may have been erased meanwhile.
        IndexLocked, StoreUnavailable : it cannot be written now.
        """
        row = (
            exposure.exposure_id,
            exposure.user_id,
            exposure.at,
            exposure.experiment,
            exposure.arm,
            exposure.generation,
            exposure.recipe,
            exposure.history,
            exposure.change,
            json.dumps(exposure.question),
        )
        with self._database.transaction() as execute:
            known = "SELECT 1 FROM users WHERE user_id = ?"
            if not execute(known, (exposure.user_id,)).fetchone():
                raise UnknownUser(exposure.user_id)
            found = execute(
                f"INSERT OR IGNORE INTO exposures ({_COLUMNS}) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                row,
            )
            if not found.rowcount:
                return Recorded(0, 1)
            offers = (
                (found.lastrowid, place, *astuple(one)) for place, one in enumerate(exposure.offers)
            )
            self._database.insert("INSERT INTO offers VALUES (?, ?, ?, ?, ?, ?, ?, ?)", offers)
        return Recorded(1, 0)

    def record(self, outcomes: Sequence[Outcome]) -> Recorded:
        """Write outcomes down in one transaction, each once by exposure, item and kind.

        Raises
        ------
        UnknownExposure : there is none of this id (any more); nothing was written.
        DataError : an item that the exposure did not show; nothing was written.
        IndexLocked, StoreUnavailable : it cannot be written now.
        """
        count = 0
        with self._database.transaction() as execute:
            for one in outcomes:
                key = _key(execute, one)
                at = time.time() if one.at is None else one.at
                row = (key, one.item_id, one.kind, one.value, at)
                count += execute(
                    "INSERT OR IGNORE INTO outcomes VALUES (?, ?, ?, ?, ?)", row
                ).rowcount
        return Recorded(count, len(outcomes) - count)

    def log(self, experiment: str | None = None, *, offers: bool = True) -> list[Logged]:
        """Exposures with their outcomes, in the order they were recorded.

        Parameters
        ----------
        experiment : only those of one; None = all.
        offers : whether they have what was shown, and what might have been.
        """
        if not self._exists:
            return []
        of_it = "WHERE experiment = ?" if experiment is not None else ""
        values = (experiment,) if experiment is not None else ()
        within = f"exposure IN (SELECT key FROM exposures {of_it})"
        shown: dict[int, list[Offer]] = {}
        if offers:
            rows = self._database.all(
                f"SELECT * FROM offers WHERE {within} ORDER BY exposure, place", *values
            )
            for key, _, *offer in rows:
                shown.setdefault(key, []).append(Offer(*offer))
        came: dict[int, dict[tuple[str, str], float]] = {}
        for key, item_id, kind, value, _ in self._database.all(
            f"SELECT * FROM outcomes WHERE {within}", *values
        ):
            came.setdefault(key, {})[item_id, kind] = value
        found = self._database.all(
            f"SELECT key, {_COLUMNS} FROM exposures {of_it} ORDER BY key", *values
        )
        return [
            Logged(id, _exposure(about, tuple(shown.get(key, ()))), came.get(key, {}))
            for key, id, *about in found
        ]

    def forget_older(self, days: int, now: float | None = None) -> int:
        """Remove exposures of more than so many days ago, with their outcomes; how many there were.

        0 days keeps all. Raises as `begin`.
        """
        if not days:
            return 0
        before = (time.time() if now is None else now) - days * DAY
        with self._database.transaction() as execute:
            keys = execute("SELECT key FROM exposures WHERE at < ?", (before,)).fetchall()
            _remove(execute, [key for (key,) in keys])
        return len(keys)

    @property
    def _exists(self) -> bool:
        return self._database.layout >= 4


def _exposure(row: Sequence[Any], offers: tuple[Offer, ...]) -> Exposure:
    """Of a row of `_COLUMNS` without its id."""
    about = dict(zip(_COLUMNS.split(", ")[1:], row, strict=True))
    return Exposure(**{**about, "question": json.loads(about["question"]), "offers": offers})


def _key(execute: Execute, outcome: Outcome) -> int:
    """Of the exposure that an outcome is of."""
    id = outcome.exposure_id
    found = execute("SELECT key FROM exposures WHERE exposure_id = ?", (id,)).fetchone()
    if found is None:
        raise UnknownExposure(id)
    shown = "SELECT 1 FROM offers WHERE exposure = ? AND item_id = ? AND rank > 0"
    if not execute(shown, (found[0], outcome.item_id)).fetchone():
        raise DataError(f"the exposure {id!r} did not show an item {outcome.item_id!r}")
    return int(found[0])


def erase_exposures_of(execute: Execute, user_ids: Iterable[str]) -> dict[str, int]:
    """Take out what people were shown, and what came of it; within a transaction.

    Gives how many of each, by the names of `Removed`.
    """
    exposures = outcomes = 0
    for user_id in user_ids:
        keys = execute("SELECT key FROM exposures WHERE user_id = ?", (user_id,)).fetchall()
        exposures += len(keys)
        outcomes += _remove(execute, [key for (key,) in keys])
    return {"exposures": exposures, "outcomes": outcomes}


def erase_offers_of(execute: Execute, item_ids: Iterable[str]) -> dict[str, int]:
    """Take items out of what people were shown; within a transaction.

    An exposure whose question names one of them goes as a whole; the others have a place less, and
    what their other places say stays true. Gives counts as `erase_exposures_of`.
    """
    gone = set(item_ids)
    named = [key for key, asked in _questions(execute) if gone & set(_texts(asked))]
    outcomes = _remove(execute, named)
    offers = 0
    for item_id in gone:
        offers += execute("DELETE FROM offers WHERE item_id = ?", (item_id,)).rowcount
        outcomes += execute("DELETE FROM outcomes WHERE item_id = ?", (item_id,)).rowcount
    return {"exposures": len(named), "offers": offers, "outcomes": outcomes}


def _remove(execute: Execute, keys: Sequence[int]) -> int:
    """Exposures by their keys; how many outcomes they had."""
    outcomes = 0
    for key in keys:
        outcomes += execute("DELETE FROM outcomes WHERE exposure = ?", (key,)).rowcount
        execute("DELETE FROM offers WHERE exposure = ?", (key,))
        execute("DELETE FROM exposures WHERE key = ?", (key,))
    return outcomes


def _questions(execute: Execute) -> Iterator[tuple[int, Any]]:
    for key, question in execute("SELECT key, question FROM exposures").fetchall():
        yield key, json.loads(question)


def _texts(value: Any) -> Iterator[str]:
    """Every text in nested lists and mappings, the keys too; of "item:ID" the id as well."""
    if isinstance(value, str):
        yield value
        yield value.removeprefix("item:")
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _texts(key)
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)
