"""Questions take processor time: so many at once, so many may wait, each with an end."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import anyio
from anyio.to_thread import run_sync
from starlette.types import ASGIApp, Receive, Scope, Send

from crossrec_llm.service.options import LimitOptions
from crossrec_llm.service.problems import Refused, problem
from crossrec_llm.service.watching import seen

T = TypeVar("T")


class Work:
    """Runs questions in threads, beside the loop that reads and writes requests."""

    def __init__(self, limits: LimitOptions) -> None:
        self.limits = limits
        self._places = anyio.CapacityLimiter(limits.at_once)
        self._changing = anyio.CapacityLimiter(limits.at_once)

    @property
    def running(self) -> int:
        """Questions that are being answered."""
        return int(self._places.borrowed_tokens)

    @property
    def waiting(self) -> int:
        """Questions that wait for their turn."""
        return self._places.statistics().tasks_waiting

    @property
    def full(self) -> bool:
        """Whether one more question is refused."""
        return self._is_full(self._places)

    @property
    def refusal(self) -> Refused:
        """What a question is told that finds no place."""
        return self._refusal(self._places)

    def _is_full(self, places: anyio.CapacityLimiter) -> bool:
        waiting = places.statistics().tasks_waiting
        return not places.available_tokens and waiting >= self.limits.waiting

    def _refusal(self, places: anyio.CapacityLimiter) -> Refused:
        kind = "changes" if places is self._changing else "questions"
        waiting = places.statistics().tasks_waiting
        return Refused(
            429,
            "too-many-requests",
            f"{waiting} {kind} are waiting already: ask again in a second",
            {"Retry-After": "1"},
        )

    async def do(
        self, work: Callable[[], T], seconds: float | None = None, *, changing: bool = False
    ) -> T:
        """What `work` gives.

        Parameters
        ----------
        seconds : until it is given up; None = `limits.answer`.
        changing : it may take minutes, and has places of its own: no question waits for it.

        Raises
        ------
        Refused : too many are waiting already (429), or it took too long (503); then it goes on in
            its thread, and keeps its place, until it is done.
        """
        places = self._changing if changing else self._places
        if self._is_full(places):
            raise self._refusal(places)
        seconds = self.limits.answer if seconds is None else seconds
        with anyio.move_on_after(seconds):
            return await run_sync(work, abandon_on_cancel=True, limiter=places)
        raise Refused(
            503,
            "took-too-long",
            f"no answer within {seconds:g} seconds",
            {"Retry-After": "5"},
        )


class RefuseEarly:
    """Refuses a question that would find no place, before anything of it is read."""

    def __init__(self, app: ASGIApp, work: Work, under: str) -> None:
        self.app, self.work, self.under = app, work, under

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = scope["type"] == "http" and scope["method"] == "POST"
        if asked and scope["path"].startswith(self.under) and self.work.full:
            seen().endpoint = self.under
            refusal = self.work.refusal
            told = problem(refusal.status, refusal.name, refusal.detail, headers=refusal.headers)
            await told(scope, receive, send)
        else:
            await self.app(scope, receive, send)
