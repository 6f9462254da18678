"""Problems as pages, for those who asked for a page: the same words, the same status."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request
from starlette.responses import Response

from crossrec_llm.service.pages.rendering import page
from crossrec_llm.service.problems import MEDIA_TYPE

_Told = Callable[[Request, Any], Awaitable[Response]]


def install(app: FastAPI) -> None:
    """Have every problem that the app tells of shown as a page, where a page was asked for."""
    for kind, told in list(app.exception_handlers.items()):
        app.add_exception_handler(kind, _shown(told))


def _shown(told: Any) -> _Told:
    async def shown(request: Request, error: Any) -> Response:
        answer: Response = await told(request, error)
        if answer.media_type != MEDIA_TYPE or not wants_page(request):
            return answer
        problem = json.loads(bytes(answer.body))
        found = page("problem.html", answer.status_code, here="", problem=problem)
        found.headers.update(
            {name: value for name, value in answer.headers.items() if name not in _OF_THE_BODY}
        )
        return found

    return shown


_OF_THE_BODY = ("content-type", "content-length")


def wants_page(request: Request) -> bool:
    """Whether a browser asks, for something that is no part of the interface for programs."""
    for_programs = request.url.path.startswith(("/v1/", "/static/"))
    return not for_programs and "text/html" in request.headers.get("accept", "")
