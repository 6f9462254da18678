"""Questions take processor time: so many at once, so many may wait, each with an end."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import anyio
from anyio.to_thread import run_sync

from crossrec_llm.service.options import LimitOptions
from crossrec_llm.service.problems import Refused

T = TypeVar("T")


class Work:
    """Runs questions in threads, beside the loop that reads and writes requests."""

    def __init__(self, limits: LimitOptions) -> None:
        self.limits = limits
        self._places = anyio.CapacityLimiter(limits.at_once)

    @property
    def waiting(self) -> int:
        """Questions that wait for their turn."""
        return self._places.statistics().tasks_waiting

    async def do(self, work: Callable[[], T], seconds: float | None = None) -> T:
        """What `work` gives.

        Parameters
        ----------
        seconds : until it is given up; None = `limits.answer`.

        Raises
        ------
        Refused : too many are waiting already (429), or it took too long (503); then it goes on in
            its thread, and keeps its place, until it is done.
        """
        if self.waiting >= self.limits.waiting and not self._places.available_tokens:
            raise Refused(
                429,
                "too-many-requests",
                f"{self.waiting} questions are waiting already: ask again in a second",
                {"Retry-After": "1"},
            )
        seconds = self.limits.answer if seconds is None else seconds
        with anyio.move_on_after(seconds):
            return await run_sync(work, abandon_on_cancel=True, limiter=self._places)
        raise Refused(
            503,
            "took-too-long",
            f"no answer within {seconds:g} seconds",
            {"Retry-After": "5"},
        )
