"""What is read of a request at all: so many bytes, and of the API nothing but JSON."""

from __future__ import annotations

from math import inf

import anyio
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from crossrec_llm.service.problems import problem

API = "/v1/"

UNKNOWN = 16_384
"""Bytes of a body, at most, of whom the gate does not know: a key in a form is the longest."""

_WITHOUT_BODY = ("GET", "HEAD", "OPTIONS")


class Bounds:
    """Counts what arrives, whatever the header says that will.

    Parameters
    ----------
    body : bytes of a body, at most.
    seconds : until all of it has come.
    """

    def __init__(self, app: ASGIApp, body: int, seconds: float) -> None:
        self.app, self.body, self.seconds = app, body, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        request = Request(scope)
        most = self.body if request.state.caller else min(self.body, UNKNOWN)
        words = f"a body has {most:,} bytes at most"
        said = request.headers.get("content-length", "0")
        if said.isdecimal() and len(said) < 20 and int(said) > most:
            return await problem(413, "content-too-large", words)(scope, receive, send)
        if scope["path"].startswith(API) and scope["method"] not in _WITHOUT_BODY:
            kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
            if kind and kind != "application/json":
                refused = problem(
                    415, "unsupported-media-type", f"send application/json, not {kind[:80]!r}"
                )
                return await refused(scope, receive, send)
        arrived, until = 0, anyio.current_time() + self.seconds

        async def counted() -> Message:
            nonlocal arrived, until
            with anyio.CancelScope(deadline=until) as waiting:
                message = await receive()
            if waiting.cancelled_caught:
                late = f"the body did not come within {self.seconds:g} seconds"
                raise HTTPException(408, late, {"Connection": "close"})
            arrived += len(message.get("body", b""))
            if arrived > most:
                raise HTTPException(413, words)
            if not message.get("more_body", False):
                until = inf  # what comes later tells that the caller has gone
            return message

        return await self.app(scope, counted, send)
