"""SPINE of the service: what an app is made of, in the order a request meets it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from crossrec_llm import __version__
from crossrec_llm.service import health, pages, problems, questions
from crossrec_llm.service.asked import Service
from crossrec_llm.service.options import ServiceOptions
from crossrec_llm.service.tenants import Tenants
from crossrec_llm.service.working import Work


def create_app(options: ServiceOptions) -> FastAPI:
    """The HTTP service over the indexes of `options.tenants`, which it opens at once.

    Raises
    ------
    IndexMissing, IndexMismatch, IndexDamaged : of the first that cannot be opened.
    """
    tenants = Tenants(options.tenants)

    @asynccontextmanager
    async def running(_: FastAPI) -> AsyncIterator[None]:
        yield
        tenants.close()

    app = FastAPI(
        title="crossrec-llm",
        version=__version__,
        summary="A recommender that reads: within categories and across them, with reasons.",
        lifespan=running,
        docs_url=None,  # their pages load scripts from elsewhere
        redoc_url=None,
        openapi_url="/v1/openapi.json",
    )
    app.state.service = Service(options, tenants, Work(options.limits))
    problems.install(app)
    app.include_router(health.router)
    app.include_router(questions.router)
    pages.install(app)
    return app
