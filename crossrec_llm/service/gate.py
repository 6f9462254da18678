"""Who gets in: the right host, the right page, a key that is known, not too often."""

from __future__ import annotations

import logging
from urllib.parse import quote, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from crossrec_llm.errors import DataError
from crossrec_llm.service.bounds import API
from crossrec_llm.service.headers import STATIC
from crossrec_llm.service.keys import Keys, borne
from crossrec_llm.service.loopback import is_loopback
from crossrec_llm.service.problems import Refused, problem
from crossrec_llm.service.rates import Rates
from crossrec_llm.service.tenants import ALL_SCOPES, Caller, Tenants

logger = logging.getLogger(__name__)

COOKIE = "crossrec_key"
SIGN_IN = "/sign-in"
OPEN = ("/healthz", "/readyz", SIGN_IN, "/v1/openapi.json")
"""What is answered without a key, beside /static."""

_SAFE = ("GET", "HEAD", "OPTIONS")
_BEARER = {"WWW-Authenticate": "Bearer"}


class Gate:
    """Stands before everything else, so that who may not ask has no body read.

    Whoever gets in is `request.state.caller`; None where nothing that is asked needs one.

    Parameters
    ----------
    keys : None = everybody may do everything with the one tenant there is.
    hosts : as of `ServiceOptions`.
    metrics : whether /metrics needs no key.
    """

    def __init__(
        self,
        app: ASGIApp,
        tenants: Tenants,
        keys: Keys | None,
        rates: Rates,
        hosts: tuple[str, ...],
        metrics: bool,
    ) -> None:
        self.app, self.tenants, self.keys, self.rates = app, tenants, keys, rates
        self.open = (*OPEN, "/metrics") if metrics else OPEN
        self.hosts = tuple(host.lower() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        request = Request(scope)
        told: dict[str, str] = {}
        try:
            self._require_host(request)
            self._require_own_page(request)
            caller = self._caller(request)
            if caller is None and not self._is_open(request):
                return await _ask_for_key(request)(scope, receive, send)
            if caller is not None and self.keys is not None:
                told = self.rates.count(caller.name, caller.tenant.name)
        except Refused as refused:
            answer = problem(refused.status, refused.name, refused.detail, headers=refused.headers)
            return await answer(scope, receive, send)
        request.state.caller = caller

        async def telling(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(told)
            await send(message)

        return await self.app(scope, receive, telling if told else send)

    def _require_host(self, request: Request) -> None:
        """A page elsewhere whose name leads to this machine is not ours (DNS rebinding)."""
        name = _without_port(request.headers.get("host", ""))
        ours = name in self.hosts or is_loopback(name) or (self.keys is not None and not self.hosts)
        if not ours:
            raise Refused(
                421,
                "unknown-host",
                f"{name[:100]!r} is no name of this service: `hosts` in its settings has them",
            )

    def _require_own_page(self, request: Request) -> None:
        """What changes something comes from a page of ours, or from no page at all.

        A key in the header is no page's to send. Browsers tell where a request comes from.
        """
        if request.method in _SAFE or "authorization" in request.headers:
            return
        site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
        if site is not None:
            ours = site == "same-origin"
        elif origin is not None:
            ours = urlsplit(origin).netloc == request.headers.get("host", "")
        else:
            ours = COOKIE not in request.cookies
        if not ours:
            raise Refused(403, "cross-site", "this was sent by a page that is not this service's")

    def _caller(self, request: Request) -> Caller | None:
        """Who this is; None where no key is given, or none that is known."""
        if self.keys is None:
            return Caller(next(iter(self.tenants)), ALL_SCOPES) if len(self.tenants) else None
        if "authorization" in request.headers:
            secret = borne(request.headers["authorization"])
        else:
            secret = request.cookies.get(COOKIE, "")
        return known(secret, self.keys, self.tenants) if secret else None

    def _is_open(self, request: Request) -> bool:
        path = request.scope["path"]
        return path in self.open or path.startswith(STATIC)


def known(secret: str, keys: Keys, tenants: Tenants) -> Caller | None:
    """Whose key it is; None where it is none, or of a tenant that is not served.

    Raises
    ------
    Refused : the keys cannot be read, so nobody is known (503).
    """
    try:
        key = keys.find(secret)
    except DataError as error:
        logger.error("%s", error)
        raise Refused(
            503, "keys-unavailable", "the keys cannot be read; the log says why"
        ) from error
    if key is None or key.tenant not in tenants:
        return None
    return Caller(tenants[key.tenant], frozenset(key.scopes), key.name)


def _ask_for_key(request: Request) -> Response:
    """A browser that opens a page is led to the form; everybody else is told."""
    path = request.scope["path"]
    shows = "text/html" in request.headers.get("accept", "")
    if request.method == "GET" and not path.startswith(API) and shows:
        query = f"?{request.url.query}" if request.url.query else ""
        return RedirectResponse(f"{SIGN_IN}?next={quote(path + query, safe='')}", 303)
    words = "give a key that is known, as in `Authorization: Bearer KEY`"
    return problem(401, "key-needed", words, headers=_BEARER)


def _without_port(host: str) -> str:
    name = host.lower()
    if name.startswith("["):
        return name.partition("]")[0] + "]"
    return name.partition(":")[0]
