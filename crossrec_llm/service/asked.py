"""What every handler gets from the request: who asks, and how work is done for them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from threading import Event
from typing import Annotated, TypeVar

from fastapi import Depends, Request

from crossrec_llm.recommender import Recommender
from crossrec_llm.service.keys import Keys, Scope
from crossrec_llm.service.metrics import Metrics
from crossrec_llm.service.options import ServiceOptions
from crossrec_llm.service.problems import Refused
from crossrec_llm.service.tenants import Caller, Tenants
from crossrec_llm.service.watching import seen
from crossrec_llm.service.working import Work

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Service:
    """What an app holds while it runs; `app.state.service`.

    keys : None = everybody may do everything.
    warming : set while its models are being loaded.
    """

    options: ServiceOptions
    tenants: Tenants
    work: Work
    metrics: Metrics
    keys: Keys | None = None
    warming: Event = field(default_factory=Event)


@dataclass(frozen=True, eq=False)
class Asked:
    """A request that may be answered."""

    service: Service
    caller: Caller

    @property
    def recommender(self) -> Recommender:
        return self.caller.tenant.recommender

    def may(self, scope: Scope) -> bool:
        return scope in self.caller.scopes

    async def do(self, work: Callable[[Recommender], T]) -> T:
        """What `work` gives of the caller's own index, as `Work.do` does it."""
        return await self.service.work.do(lambda: work(self.recommender))

    async def change(self, work: Callable[[Recommender], T], seconds: float | None = None) -> T:
        """The same of a change; `seconds`: until it is given up, None = `limits.change`."""
        seconds = self.service.options.limits.change if seconds is None else seconds
        return await self.service.work.do(lambda: work(self.recommender), seconds, changing=True)


def _may(*scopes: Scope) -> Callable[[Request], Awaitable[Asked]]:
    async def asked(request: Request) -> Asked:
        caller: Caller = request.state.caller  # the gate let nobody else in
        seen().tenant = caller.tenant.name
        for scope in scopes:
            if scope not in caller.scopes:
                raise Refused(403, "not-allowed", f"this key has no {scope!r} scope")
        return Asked(request.app.state.service, caller)

    return asked


Reading = Annotated[Asked, Depends(_may("read"))]
Writing = Annotated[Asked, Depends(_may("write"))]
Exposing = Annotated[Asked, Depends(_may("read", "write"))]
Administering = Annotated[Asked, Depends(_may("admin"))]
