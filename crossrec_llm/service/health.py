"""Whether the process runs, whether it can answer, and what it counted."""

from __future__ import annotations

from typing import Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, FastAPI, Request, Response
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4
from pydantic import BaseModel

from crossrec_llm.service.asked import Administering, Service
from crossrec_llm.service.problems import Refused

router = APIRouter(tags=["health"])

_TEXT: dict[str, Any] = {"include_in_schema": False, "response_class": Response}


class Healthy(BaseModel):
    """The process runs."""

    status: str = "ok"


class Ready(Healthy):
    """Every index answers; its active generation by tenant."""

    generations: dict[str, str]


@router.get("/healthz")
async def healthz() -> Healthy:
    """Whether the process runs."""
    return Healthy()


@router.get("/readyz")
async def readyz(request: Request) -> Ready:
    """Whether every index answers; 503 where one does not, or while the models are loaded."""
    service: Service = request.app.state.service
    if service.warming.is_set():
        raise Refused(503, "not-ready", "the models are being loaded", {"Retry-After": "1"})

    def generations() -> dict[str, str]:
        return {tenant.name: tenant.recommender.receipt.generation for tenant in service.tenants}

    return Ready(generations=await run_sync(generations))


def install(app: FastAPI, service: Service) -> None:
    """Health for everybody; metrics for admins, of their own tenant, unless they are open."""
    app.include_router(router)

    def told(text: bytes) -> Response:
        return Response(text, media_type=CONTENT_TYPE_PLAIN_0_0_4)

    if service.options.metrics.open:

        @app.get("/metrics", **_TEXT)
        async def of_all() -> Response:
            return told(await run_sync(service.metrics.text))

    else:

        @app.get("/metrics", **_TEXT)
        async def of_one(asked: Administering) -> Response:
            return told(await run_sync(service.metrics.text, asked.caller.tenant.name))
