"""SPINE of the service: what an app is made of, in the order a request meets it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI

from crossrec_llm import __version__
from crossrec_llm.service import health, pages, problems, questions, tracing, watching
from crossrec_llm.service.asked import Service
from crossrec_llm.service.metrics import Metrics
from crossrec_llm.service.options import ServiceOptions
from crossrec_llm.service.tenants import Tenants
from crossrec_llm.service.working import RefuseEarly, Work


def create_app(options: ServiceOptions, shared: Path | None = None) -> FastAPI:
    """The HTTP service over the indexes of `options.tenants`, which it opens at once.

    Parameters
    ----------
    shared : folder that several workers have in common while they run.

    Raises
    ------
    IndexMissing, IndexMismatch, IndexDamaged : of the first that cannot be opened.
    MissingExtra : spans are wanted, and what makes them is not installed.
    """
    tenants, work = Tenants(options.tenants), Work(options.limits)
    metrics = Metrics(tenants, work, shared)
    service = Service(options, tenants, work, metrics)

    @asynccontextmanager
    async def running(_: FastAPI) -> AsyncIterator[None]:
        async with metrics.shared():
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
    app.state.service = service
    problems.install(app)
    traced = None
    if tracing.wanted(options.tracing):
        traced = tracing.install(app, tracing.provider(options.tracing))
    app.add_middleware(RefuseEarly, work=work, under="/v1/")
    # The last one is the first that a request meets.
    app.add_middleware(watching.Watch, tell=(watching.log, metrics.tell), answering=traced)
    health.install(app, service)
    app.include_router(questions.router)
    pages.install(app)
    return app
