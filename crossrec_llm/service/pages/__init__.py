"""The pages: rendered here, moved by htmx, without a host other than this one."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.staticfiles import StaticFiles

from crossrec_llm.service.pages import foryou, signing_in
from crossrec_llm.service.pages.rendering import STATIC


def install(app: FastAPI) -> None:
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    for page in (foryou, signing_in):
        app.include_router(page.router, include_in_schema=False)
