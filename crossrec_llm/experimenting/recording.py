"""What people are shown, written down as it is answered; and what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import Any, TypeVar

from crossrec_llm.errors import QueryError, StoreUnavailable
from crossrec_llm.experimenting.arms import Arm, Experiment
from crossrec_llm.recommender import Recommender
from crossrec_llm.records import Offer, Recommendations
from crossrec_llm.store import Exposure, Ledger, Outcome, Recorded

T = TypeVar("T")


@dataclass(frozen=True)
class Shown:
    """An answer that is written down.

    exposure_id : what outcomes name.
    experiment, arm : that it is part of; "" = of none.
    """

    answer: Recommendations
    exposure_id: str
    experiment: str = ""
    arm: str = ""

    def to_dict(self) -> dict[str, str]:
        """What is told beside the answer."""
        return {"exposure_id": self.exposure_id, "experiment": self.experiment, "arm": self.arm}


class Recorder:
    """Answers people as the experiment that runs says, and writes down what they were shown.

    Many threads may share one. It keeps the records open to write, until it is closed.

    Parameters
    ----------
    recommender : of an index on disk, which stays open longer than this.
    """

    def __init__(self, recommender: Recommender) -> None:
        self._recommender = recommender
        self._arms: dict[str, Recommender] = {}
        self._arms_of = ""
        self._open: tuple[Ledger, int] | None = None
        self._closed = False
        self._writing = RLock()

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        with self._writing:
            self._closed = True
            self._let_go()
            self._arms.clear()

    def _let_go(self) -> None:
        if self._open is not None:
            self._open[0].close()
            self._open = None

    def for_user(self, user_id: str, k: int = 10, **asked: Any) -> Shown:
        """What this person may want next, by the arm they are in, with the day's exploration.

        Parameters
        ----------
        asked : as `Recommender.for_user` takes it, but `without` and `explore`.

        Raises
        ------
        IndexLocked, StoreUnavailable : it cannot be written down now; it was closed.
        Others as `Recommender.for_user`.
        """
        if {"without", "explore"} & asked.keys():
            raise QueryError("a recorded answer is the one of today, for the whole history")
        name, experiment = self._running()
        arm = experiment.arm_of(str(user_id)) if experiment else None
        recommender = self._answering(name, arm) if arm else self._recommender
        day = time.strftime("%Y-%m-%d", time.gmtime())
        answer = recommender.for_user(user_id, k, explore=day, **asked)
        in_arm = {"experiment": name, "arm": arm.name} if arm else {}
        return self.expose(answer, diversity=asked.get("diversity"), **in_arm)

    def expose(
        self,
        answer: Recommendations,
        *,
        experiment: str = "",
        arm: str = "",
        diversity: float | None = None,
    ) -> Shown:
        """Write down that a person is shown an answer of `for_user`; durable when it returns.

        The same list on the same day (UTC) is written down once.

        Parameters
        ----------
        diversity : as it was asked for; None where it was left to the recipe.

        Raises
        ------
        QueryError : it is the answer to another question, or for a part of the history.
        UnknownUser, IndexLocked, StoreUnavailable : it cannot be written down.
        """
        exposure = exposure_of(answer, experiment, arm, diversity)
        self._write(lambda ledger: ledger.exposures.expose(exposure))
        return Shown(answer, exposure.exposure_id, experiment, arm)

    def record(self, outcomes: Outcome | Sequence[Outcome]) -> Recorded:
        """Write down what people did with what they were shown, in one transaction.

        Each is there once by exposure, item and kind: what is told again changes nothing. They are
        no events: what counts in histories is added by `add_events`.

        Raises
        ------
        UnknownExposure : there is none of this id (any more). DataError : an item that it did not
            show. Nothing was written then. IndexLocked, StoreUnavailable : as `expose`.
        """
        told = [outcomes] if isinstance(outcomes, Outcome) else outcomes
        return self._write(lambda ledger: ledger.exposures.record(told))

    def _running(self) -> tuple[str, Experiment | None]:
        stated = self._write(lambda ledger: ledger.exposures.experiments())
        running = next((one for one in stated if one.ended is None), None)
        if running is None:
            with self._writing:
                self._arms.clear()
            return "", None
        return running.name, Experiment.from_dict(running.definition)

    def _answering(self, experiment: str, arm: Arm) -> Recommender:
        with self._writing:
            if self._arms_of != experiment:
                self._arms, self._arms_of = {}, experiment
            if arm.name not in self._arms:
                self._arms[arm.name] = self._recommender.asked_by(arm.recipe)
            return self._arms[arm.name]

    def _write(self, work: Callable[[Ledger], T]) -> T:
        """With the records as they are now: a backup may have been put in their place."""
        with self._writing:
            try:
                return work(self._ledger(self._recommender.ledger.path))
            except StoreUnavailable:
                self._let_go()
                raise

    def _ledger(self, path: Path) -> Ledger:
        if self._closed:
            raise StoreUnavailable("nothing is recorded any more: this recorder was closed")
        now = path.stat().st_ino
        if self._open is not None and self._open[1] != now:
            self._let_go()
        if self._open is None:
            self._open = Ledger.open(path, write=True), now
        return self._open[0]


def exposure_of(
    answer: Recommendations, experiment: str, arm: str, diversity: float | None
) -> Exposure:
    """What is written down of an answer. Raises QueryError as `Recorder.expose`."""
    query, receipt = answer.query, answer.receipt
    if query["kind"] != "user" or "user_id" not in query or "without" in query:
        raise QueryError("only what a known person is shown, for the whole history, is recorded")
    if receipt.change is None:
        raise QueryError("an answer of an index in memory is not recorded: open one on disk")
    asked: Mapping[str, Any] = {
        **{name: query[name] for name in ("k", "filter", "cross_share")},
        "diversity": diversity,
        "explore": query.get("explore"),
    }
    whole = (Offer(one.item_id, 0, one.rank, one.rank, 1.0, 0.0) for one in answer)
    return Exposure(
        user_id=query["user_id"],
        at=time.time(),
        experiment=experiment,
        arm=arm,
        generation=receipt.generation,
        recipe=receipt.recipe,
        history=receipt.history or "",
        change=receipt.change,
        question=asked,
        offers=answer.offers or tuple(whole),
    )
