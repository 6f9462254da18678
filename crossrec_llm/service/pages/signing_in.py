"""A key for the pages: in a cookie that no script reads and no other page sends."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from crossrec_llm.service.asked import Service
from crossrec_llm.service.gate import COOKIE, SIGN_IN, known
from crossrec_llm.service.pages.rendering import page

router = APIRouter()


@router.get(SIGN_IN)
async def form(request: Request, next: str = "/") -> HTMLResponse:
    """The form; or, with a key, whose it is and a way out."""
    return _form(request, next)


@router.post(SIGN_IN)
async def sign_in(
    request: Request, key: Annotated[str, Form()] = "", next: Annotated[str, Form()] = "/"
) -> Response:
    """Take a key; on to the page that was asked for."""
    service: Service = request.app.state.service
    keys, tenants = service.keys, service.tenants
    if keys is None or known(key.strip(), keys, tenants) is None:
        return _form(request, next, wrong=True)
    answer = RedirectResponse(_here(next), 303)
    answer.set_cookie(
        COOKIE,
        key.strip(),
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return answer


@router.post("/sign-out")
async def sign_out() -> Response:
    """Forget the key; it is valid as before."""
    answer = RedirectResponse(SIGN_IN, 303)
    answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return answer


def _form(request: Request, next: str, *, wrong: bool = False) -> HTMLResponse:
    service: Service = request.app.state.service
    caller = request.state.caller
    return page(
        "sign_in.html",
        401 if wrong else 200,
        here=SIGN_IN,
        next=_here(next),
        needed=service.keys is not None,
        name=caller.name if caller else "",
        wrong=wrong,
    )


def _here(address: str) -> str:
    """A page of this service, whatever was asked for."""
    inside = address.startswith("/") and not address.startswith(("//", "/\\"))
    return address if inside and address.isprintable() else "/"
