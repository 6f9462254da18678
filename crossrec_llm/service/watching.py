"""What is seen of each request: its id, how it went, and what was done for it."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from crossrec_llm.recording import Record, recording
from crossrec_llm.records import Audience, Recommendations

logger = logging.getLogger(__name__)

REQUEST_ID = "X-Request-ID"
_SANE = re.compile(r"[A-Za-z0-9._-]{1,64}")
_QUIET = ("/healthz", "/readyz", "/metrics", "/static")
"""Asked by machines every few seconds, or many times a page: logged where everything is."""


@dataclass(eq=False)
class Seen:
    """A request, as far as it has come.

    id : the caller's where it is a sane one, else made here.
    tenant : whose it is, once that is known.
    endpoint : the path as it was declared, which names nobody; "" where none was found.
    problem : name of what went wrong.
    """

    id: str
    method: str
    endpoint: str = ""
    tenant: str = ""
    problem: str = ""
    status: int = 0
    seconds: float = 0.0
    record: Record = field(default_factory=Record)

    @property
    def lists(self) -> list[Recommendations | Audience]:
        """The lists that were made for it."""
        return [one for one in self.record.answers if isinstance(one, Recommendations | Audience)]


_seen: ContextVar[Seen | None] = ContextVar("crossrec_seen", default=None)


def seen() -> Seen:
    """The request that is being answered; one of nobody's outside of any."""
    return _seen.get() or Seen("", "")


class Watch:
    """Sees every request: gives it an id, and tells of it when it is answered.

    Parameters
    ----------
    tell : called with each request when its answer has been sent.
    answering : called with each when its answer is about to be sent; None = nobody.
    """

    def __init__(
        self,
        app: ASGIApp,
        tell: Sequence[Callable[[Seen], None]],
        answering: Callable[[Seen], None] | None = None,
    ) -> None:
        self.app, self.tell, self.answering = app, tell, answering

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get(REQUEST_ID, "")
        request = Seen(given if _SANE.fullmatch(given) else uuid4().hex, scope["method"])
        _seen.set(request)  # for good: a bug is made a problem outside of here
        began = perf_counter()

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                request.status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID] = request.id
                if self.answering is not None:
                    self.answering(request)
            await send(message)

        try:
            with recording() as request.record:
                await self.app(scope, receive, marked)
        except Exception:
            request.status, request.problem = 500, "internal-error"
            raise
        finally:
            request.seconds = perf_counter() - began
            request.endpoint = request.endpoint or _endpoint(scope)
            for tell in self.tell:
                tell(request)


def log(request: Seen) -> None:
    """One line; no id, no text and no body of anybody is in it."""
    said: dict[str, Any] = {
        "request_id": request.id,
        "tenant": request.tenant,
        "method": request.method,
        "endpoint": request.endpoint,
        "status": request.status,
        "ms": round(1_000 * request.seconds, 1),
    }
    if request.problem:
        said["problem"] = request.problem
    if asked := [one for one in request.lists if isinstance(one, Recommendations)]:
        said["k"] = sum(one.query["k"] for one in asked)
    if lists := request.lists:
        said["n"] = sum(map(len, lists))
        said["notes"] = sum(len(one.notes) for one in lists)
    quiet = request.endpoint in _QUIET and request.status != 500
    level = logging.DEBUG if quiet else logging.ERROR if request.status == 500 else logging.INFO
    logger.log(level, "request", extra=said)


def _endpoint(scope: Scope) -> str:
    """How the path was declared; the folder of a file; empty where nothing is there."""
    route = scope.get("route")
    return getattr(route, "path", "") or scope.get("root_path", "")
