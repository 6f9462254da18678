"""Errors as RFC 9457 problem details, in the words of the command line."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from crossrec_llm.errors import (
    CrossrecError,
    DataError,
    IndexLocked,
    NotFound,
    QueryError,
    StoreUnavailable,
)
from crossrec_llm.service.headers import SAFE
from crossrec_llm.service.watching import REQUEST_ID, seen

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"

_STATUS: tuple[tuple[type[CrossrecError], int], ...] = (
    (NotFound, 404),
    (QueryError, 422),
    (DataError, 422),
    (IndexLocked, 503),
    (StoreUnavailable, 503),
    (CrossrecError, 503),
)


class WrongField(BaseModel):
    """One field of a body or an address that cannot be used."""

    field: str = Field(examples=["k"])
    message: str = Field(examples=["Input should be greater than or equal to 1"])


class ProblemDetails(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str = Field(examples=["urn:crossrec:problem:unknown-user"])
    title: str = Field(examples=["Unknown user"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["no user 'u1x' in this index; did you mean 'u1'?"])
    request_id: str | None = Field(default=None, description="Of the request, as it was logged.")
    near: list[str] | None = Field(default=None, description="Ids that look like the asked one.")
    errors: list[WrongField] | None = Field(default=None, description="Every field that is wrong.")


class Refused(Exception):
    """A request that the service does not take: another status than our errors have.

    Parameters
    ----------
    name : of the problem, "too-many-requests"; its last part of the type.
    headers : of the answer, `Retry-After`.
    """

    def __init__(
        self, status: int, name: str, detail: str, headers: Mapping[str, str] | None = None
    ) -> None:
        self.status, self.name, self.detail = status, name, detail
        self.headers = dict(headers or {})
        super().__init__(detail)


def problem(
    status: int,
    name: str,
    detail: str,
    *,
    headers: Mapping[str, str] | None = None,
    near: Sequence[str] | None = None,
    errors: Sequence[WrongField] | None = None,
) -> JSONResponse:
    """The answer that tells of a problem."""
    request = seen()
    request.problem = name
    document = ProblemDetails(
        type=f"urn:crossrec:problem:{name}",
        title=name.replace("-", " ").capitalize(),
        status=status,
        detail=detail,
        request_id=request.id or None,
        near=list(near) if near is not None else None,
        errors=list(errors) if errors is not None else None,
    )
    return JSONResponse(
        document.model_dump(exclude_none=True),
        status,
        {REQUEST_ID: request.id, **(headers or {})} if request.id else dict(headers or {}),
        media_type=MEDIA_TYPE,
    )


_OURS_TO_MEND = (
    "the index of {tenant!r} cannot answer now; who runs the service finds why in its log"
)
_WAIT = "the index of {tenant!r} is being written to, or its store does not answer: ask again"


def told(error: CrossrecError, tenant: str = "") -> JSONResponse:
    """Of one of our errors.

    What is wrong with the index is told without the error's own words, which have places on this
    machine and commands for who runs it: those are logged.

    Parameters
    ----------
    tenant : whose index it is.
    """
    status = next(status for kind, status in _STATUS if isinstance(error, kind))
    name = re.sub(r"(?<!^)(?=[A-Z])", "-", type(error).__name__).lower()
    passing = isinstance(error, IndexLocked | StoreUnavailable)
    words, near = str(error), error.near if isinstance(error, NotFound) else None
    if status >= 500:
        logger.error("the index of %r: %s", tenant, error)
        words = (_WAIT if passing else _OURS_TO_MEND).format(tenant=tenant)
    headers = {"Retry-After": "1"} if passing else None
    return problem(status, name, words, headers=headers, near=near)


def install(app: FastAPI) -> None:
    """Every error of an app as a problem."""

    @app.exception_handler(CrossrecError)
    async def _ours(request: Request, error: CrossrecError) -> JSONResponse:
        caller = getattr(request.state, "caller", None)
        return told(error, caller.tenant.name if caller else "")

    @app.exception_handler(Refused)
    async def _refused(_: Request, error: Refused) -> JSONResponse:
        return problem(error.status, error.name, error.detail, headers=error.headers)

    @app.exception_handler(RequestValidationError)
    async def _invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        wrong = [
            WrongField(
                field=".".join(map(str, entry["loc"][1:])) or "body",
                message=entry["msg"].removeprefix("Value error, "),
            )
            for entry in error.errors()
        ]
        words = "; ".join(f"{one.field}: {one.message}" for one in wrong[:3])
        return problem(422, "invalid-request", words, errors=wrong)

    @app.exception_handler(HTTPException)
    async def _http(_: Request, error: HTTPException) -> JSONResponse:
        phrase = HTTPStatus(error.status_code).phrase.lower().replace(" ", "-")
        name = "content-too-large" if error.status_code == 413 else phrase  # 3.11 has its old one
        return problem(error.status_code, name, str(error.detail), headers=error.headers)

    @app.exception_handler(Exception)
    async def _bug(_: Request, error: Exception) -> JSONResponse:
        logger.error("a bug", exc_info=error)
        words = "something is wrong here; it was logged"
        return problem(500, "internal-error", words, headers=SAFE)  # outside the other layers


RESPONSES: dict[int | str, dict[str, Any]] = {
    "4XX": {
        "description": "What is wrong with the request.",
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}},
    },
    "5XX": {
        "description": "Why it cannot be answered now.",
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}},
    },
}
