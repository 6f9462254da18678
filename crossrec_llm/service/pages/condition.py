"""Health: what the operator needs at a glance."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import HTMLResponse

from crossrec_llm.service.asked import Administering
from crossrec_llm.service.condition import healthy
from crossrec_llm.service.pages.rendering import page

router = APIRouter()

STATES = {"live": "answers", "before": "was live", "waiting": "waits"}
"""What the state of a generation is called."""


@router.get("/health")
async def health(asked: Administering) -> HTMLResponse:
    return page("health.html", here="/health", found=await healthy(asked), states=STATES)
