"""SPINE of the service: what an app is made of, in the order a request meets it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI

from crossrec_llm import __version__
from crossrec_llm.errors import CrossrecError
from crossrec_llm.service import (
    changes,
    comparisons,
    condition,
    describing,
    experiments,
    health,
    pages,
    paging,
    people,
    problems,
    questions,
    tracing,
    watching,
)
from crossrec_llm.service.asked import Service
from crossrec_llm.service.bounds import Bounds
from crossrec_llm.service.gate import Gate
from crossrec_llm.service.headers import SafeHeaders
from crossrec_llm.service.keys import Keys
from crossrec_llm.service.metrics import Metrics
from crossrec_llm.service.options import ServiceOptions
from crossrec_llm.service.rates import Rates
from crossrec_llm.service.tenants import Tenants
from crossrec_llm.service.working import RefuseEarly, Work


def create_app(options: ServiceOptions, shared: Path | None = None) -> FastAPI:
    """The HTTP service over the indexes of `options.tenants`, which it opens at once.

    Parameters
    ----------
    shared : folder that several workers have in common while they run.

    Raises
    ------
    CrossrecError : several tenants without keys.
    DataError : the file of the keys cannot be used.
    IndexMissing, IndexMismatch, IndexDamaged : of the first index, where none can be opened.
    MissingExtra : spans are wanted, and what makes them is not installed.
    """
    if options.keys is None and len(options.tenants) > 1:
        raise CrossrecError("several tenants need keys: `crossrec keys add` makes one for each")
    keys = Keys(options.keys) if options.keys is not None else None
    tenants, work = Tenants(options.tenants), Work(options.limits)
    metrics = Metrics(tenants, work, shared)
    service = Service(options, tenants, work, metrics, keys)

    @asynccontextmanager
    async def running(_: FastAPI) -> AsyncIterator[None]:
        async with metrics.shared():
            yield
        app.state.maps.close()
        app.state.kept.close()
        tenants.close()

    app = FastAPI(
        title="crossrec-llm",
        version=__version__,
        summary="A recommender that reads: within categories and across them, with reasons.",
        lifespan=running,
        docs_url=None,  # their pages load scripts from elsewhere
        redoc_url=None,
        openapi_url="/v1/openapi.json",
        redirect_slashes=False,
    )
    app.state.service = service
    problems.install(app)
    traced = None
    if tracing.wanted(options.tracing):
        traced = tracing.install(app, tracing.provider(options.tracing))
    # The last that is added is the first that a request meets.
    app.add_middleware(Bounds, body=options.limits.body, seconds=options.limits.sending)
    app.add_middleware(RefuseEarly, work=work, under="/v1/")
    rates = Rates(options.rates)
    app.add_middleware(
        Gate,
        tenants=tenants,
        keys=keys,
        rates=rates,
        hosts=options.hosts,
        metrics=options.metrics.open,
    )
    app.add_middleware(SafeHeaders)
    app.add_middleware(watching.Watch, tell=(watching.log, metrics.tell), answering=traced)
    health.install(app, service)
    for part in (condition, questions, paging, comparisons, changes, people, experiments):
        app.include_router(part.router)
    pages.install(app)
    describing.install(app)
    return app
