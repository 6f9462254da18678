"""The server on HTTP: on loopback for whoever is there, elsewhere for who has a key."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

import uvicorn
from mcp.server.transport_security import TransportSecuritySettings
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as Connection

from crossrec_llm.agents.server import Server
from crossrec_llm.errors import DataError, QueryError
from crossrec_llm.service.headers import SafeHeaders
from crossrec_llm.service.keys import Keys, borne
from crossrec_llm.service.loopback import is_loopback, refusal
from crossrec_llm.service.options import DEFAULT_TENANT, RateOptions
from crossrec_llm.service.problems import Refused
from crossrec_llm.service.rates import Rates

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Gate:
    """Who gets in: a key of one tenant, not too often. What it may do is up to its scopes."""

    keys: Keys
    tenant: str = DEFAULT_TENANT
    rates: Rates = field(default_factory=lambda: Rates(RateOptions()))

    def refusal(self, request: Request) -> Response | None:
        """The answer to who may not ask; None for who may: `request.state.scopes` are theirs."""
        secret = borne(request.headers.get("authorization", ""))
        try:
            key = self.keys.find(secret) if secret else None
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


def _own_names(host: str) -> TransportSecuritySettings | None:
    """On loopback its names and no others; elsewhere a key is needed, whatever the name."""
    if not is_loopback(host):
        return None
    own = f"[{host}]" if ":" in host else host
    names = sorted({own, "localhost", "127.0.0.1", "[::1]"})
    return TransportSecuritySettings(
        allowed_hosts=[f"{name}:*" for name in names],
        allowed_origins=[f"http://{name}:*" for name in names],
    )


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
    if gate is None and not is_loopback(host):
        raise QueryError(refusal(host, "--keys FILE"))
    if gate is not None:
        server.keyless = frozenset()
    app: ASGIApp = server.streamable_http_app(
        host=host, stateless_http=True, json_response=True, transport_security=_own_names(host)
    )
    uvicorn.run(
        SafeHeaders(gate.before(app) if gate else app),
        host=host,
        port=port,
        log_level="warning" if quiet else "info",
        server_header=False,
    )
