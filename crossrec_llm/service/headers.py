"""What every answer tells a browser: load nothing from elsewhere, run nothing that is written in.

Pictures are the one thing that may come from another host: their addresses are the catalogue's,
and its pictures lie wherever a shop keeps them. No page inlines one, so `data:` is not needed.
"""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' http: https:",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    ]
)

SAFE = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    # Not "no-referrer": with it browsers send "Origin: null" with our own forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}

STATIC = "/static/"
_KEPT = "public, max-age=86400"  # no longer: the names stay the same when the package is upgraded
_NOT_KEPT = "no-store"


class SafeHeaders:
    """Adds them to every answer, refusals too."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        static = scope["path"].startswith(STATIC)

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SAFE.items():
                    headers[name] = value
                found = static and message["status"] < 400
                headers.setdefault("Cache-Control", _KEPT if found else _NOT_KEPT)
            await send(message)

        return await self.app(scope, receive, answer)
