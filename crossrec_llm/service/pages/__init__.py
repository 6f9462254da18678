"""The pages: rendered here, moved by htmx, without a host other than this one."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.staticfiles import StaticFiles

from crossrec_llm.service.pages import (
    bridging,
    compare,
    condition,
    foryou,
    mapping,
    people,
    problems,
    reporting,
    signing_in,
)
from crossrec_llm.service.pages.rendering import STATIC

_PAGES = (foryou, compare, people, mapping, bridging, reporting, condition, signing_in)


def install(app: FastAPI) -> None:
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    app.state.maps, app.state.kept = mapping.Maps(), compare.Kept()
    for page in _PAGES:
        app.include_router(page.router, include_in_schema=False)
    problems.install(app)
