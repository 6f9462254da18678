"""What is recorded of the work behind an answer, where somebody asks for it.

    with recording() as record:
        recommender.for_user("u1")
    record.steps, record.answers

Nothing is recorded, and next to nothing spent, where nobody does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import wraps
from time import time_ns
from typing import Literal, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

StepName = Literal[
    "following", "history", "encoding", "candidates", "signals", "arranging", "reasons"
]
"""following: what is new in the index is taken in; history: what is known of a person, and their
interests; encoding: texts to vectors; candidates: the sources propose; signals: they score, and the
blend adds up; arranging: the list under its rules; reasons: what carried each item, in words."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of an answer; `began` and `ended` are in nanoseconds since the epoch.

    A step may come several times in one answer; none lies within another.
    """

    name: StepName
    began: int
    ended: int

    @property
    def seconds(self) -> float:
        return (self.ended - self.began) / 1e9


@dataclass(eq=False)
class Record:
    """What was done since it was begun.

    steps : in the order in which they ended.
    answers : what the questions gave.
    candidates : size of the pool that each list was made from.
    fallbacks : searches that the exact scan did, because the vector index was away.
    """

    steps: list[Step] = field(default_factory=list)
    answers: list[object] = field(default_factory=list)
    candidates: list[int] = field(default_factory=list)
    fallbacks: int = 0


_current: ContextVar[Record | None] = ContextVar("crossrec_record", default=None)


@contextmanager
def recording() -> Iterator[Record]:
    """A record of what this thread or task does meanwhile, and of what it hands to others."""
    record = Record()
    before = _current.set(record)
    try:
        yield record
    finally:
        _current.reset(before)


def recorded() -> Record | None:
    """The record that is being made, if there is one."""
    return _current.get()


class step:  # noqa: N801 - it reads as a statement
    """`with step("signals"):` what is inside is a step of an answer; as a decorator, every call."""

    def __init__(self, name: StepName) -> None:
        self._name = name
        self._began = 0

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        name = self._name

        @wraps(function)
        def stepped(*args: P.args, **named: P.kwargs) -> R:
            with step(name):
                return function(*args, **named)

        return stepped

    def __enter__(self) -> None:
        if _current.get() is not None:
            self._began = time_ns()

    def __exit__(self, *_: object) -> None:
        if self._began and (record := _current.get()) is not None:
            record.steps.append(Step(self._name, self._began, time_ns()))
