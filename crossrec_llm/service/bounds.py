"""What is read of a request at all: so many bytes, and of the API nothing but JSON."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from crossrec_llm.service.problems import problem

API = "/v1/"
_WITHOUT_BODY = ("GET", "HEAD", "OPTIONS")


class Bounds:
    """Counts what arrives, whatever the header says that will.

    Parameters
    ----------
    body : bytes of a body, at most.
    """

    def __init__(self, app: ASGIApp, body: int) -> None:
        self.app, self.body = app, body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        request, words = Request(scope), f"a body has {self.body:,} bytes at most"
        said = request.headers.get("content-length", "0")
        if said.isdecimal() and len(said) < 20 and int(said) > self.body:
            return await problem(413, "content-too-large", words)(scope, receive, send)
        if scope["path"].startswith(API) and scope["method"] not in _WITHOUT_BODY:
            kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
            if kind and kind != "application/json":
                refused = problem(
                    415, "unsupported-media-type", f"send application/json, not {kind[:80]!r}"
                )
                return await refused(scope, receive, send)
        arrived = 0

        async def counted() -> Message:
            nonlocal arrived
            message = await receive()
            arrived += len(message.get("body", b""))
            if arrived > self.body:
                raise HTTPException(413, words)
            return message

        return await self.app(scope, counted, send)
