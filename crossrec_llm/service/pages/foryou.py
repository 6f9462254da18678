"""For you: pick a person or type a text."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import HTMLResponse

from crossrec_llm.service.pages.rendering import page

router = APIRouter()


@router.get("/")
async def for_you() -> HTMLResponse:
    return page("foryou.html", here="/")
