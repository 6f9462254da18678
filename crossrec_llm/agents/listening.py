"""The server on HTTP: on loopback for whoever is there, elsewhere for who has a key."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

import uvicorn
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as Connection

from crossrec_llm.agents.server import Server
from crossrec_llm.errors import DataError, QueryError
from crossrec_llm.service.headers import SafeHeaders
from crossrec_llm.service.keys import Keys
from crossrec_llm.service.options import DEFAULT_TENANT, RateOptions
from crossrec_llm.service.problems import Refused
from crossrec_llm.service.rates import Rates

logger = logging.getLogger(__name__)

LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True)
class Gate:
    """Who gets in: a key of one tenant, not too often. What it may do is up to its scopes."""

    keys: Keys
    tenant: str = DEFAULT_TENANT
    rates: Rates = field(default_factory=lambda: Rates(RateOptions()))

    def refusal(self, request: Request) -> Response | None:
        """The answer to who may not ask; None for who may: `request.state.scopes` are theirs."""
        kind, _, secret = request.headers.get("authorization", "").partition(" ")
        try:
            key = self.keys.find(secret.strip()) if kind.lower() == "bearer" else None
        except DataError as error:
            logger.error("%s", error)
            return PlainTextResponse("the keys cannot be read; the log says why", 503)
        if key is None or key.tenant != self.tenant:
            words = "give a key that is known, as in `Authorization: Bearer KEY`"
            return PlainTextResponse(words, 401, {"WWW-Authenticate": "Bearer"})
        try:
            self.rates.count(key.name, key.tenant)
        except Refused as refused:
            return PlainTextResponse(refused.detail, refused.status, refused.headers)
        request.state.scopes = frozenset(key.scopes)
        return None

    def before(self, app: ASGIApp) -> ASGIApp:
        """`app`, for who gets in; nothing is read of the others' requests but their headers."""

        async def gated(connection: Connection, receive: Receive, send: Send) -> None:
            refused = self.refusal(Request(connection)) if connection["type"] == "http" else None
            await (refused or app)(connection, receive, send)

        return gated


def run_http(
    server: Server, host: str, port: int, gate: Gate | None = None, *, quiet: bool = False
) -> None:
    """Serve many clients by streamable HTTP at /mcp until stopped.

    Each request stands alone, so there are no sessions to keep. On loopback a request that names
    another host is refused: a page in a browser cannot reach it by a name of its own.

    Raises
    ------
    QueryError : another address than loopback without keys.
    """
    if gate is None and host not in LOOPBACK:
        raise QueryError(
            f"without keys only this machine is answered, and {host!r} is reached from others: "
            "`crossrec keys add NAME --file FILE` makes a key, --keys FILE takes it"
        )
    if gate is not None:
        server.keyless = frozenset()
    app: ASGIApp = server.streamable_http_app(host=host, stateless_http=True, json_response=True)
    uvicorn.run(
        SafeHeaders(gate.before(app) if gate else app),
        host=host,
        port=port,
        log_level="warning" if quiet else "info",
        server_header=False,
    )
