"""Whether the process runs, whether it can answer, and what it counted."""

from __future__ import annotations

from typing import Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, FastAPI, Request, Response
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4
from pydantic import BaseModel, Field

from crossrec_llm.service.asked import Administering, Service
from crossrec_llm.service.problems import RESPONSES, Refused
from crossrec_llm.service.tenants import Caller, Tenant

router = APIRouter(tags=["health"], responses=RESPONSES)

_TEXT: dict[str, Any] = {"include_in_schema": False, "response_class": Response}


class Healthy(BaseModel):
    """The process runs."""

    status: str = "ok"


class Ready(Healthy):
    """Indexes answer. Of the caller's tenant only, where there are keys."""

    generations: dict[str, str] = Field(
        {}, description="The active one, by tenant.", examples=[{"default": "000001"}]
    )
    broken: list[str] = Field([], description="Tenants whose index does not answer.", examples=[[]])


@router.get("/healthz")
async def healthz() -> Healthy:
    """Whether the process runs."""
    return Healthy()


@router.get("/readyz")
async def readyz(request: Request) -> Ready:
    """Whether an index answers; 503 where none does. One that is broken takes no other down."""
    service: Service = request.app.state.service
    if service.warming.is_set():
        raise Refused(503, "not-ready", "the models are being loaded", {"Retry-After": "1"})
    caller: Caller | None = request.state.caller

    def generations() -> list[tuple[Tenant, str | None]]:
        return [(tenant, tenant.generation) for tenant in service.tenants]

    found = await run_sync(generations)
    if found and not any(generation for _, generation in found):
        raise Refused(503, "not-ready", "no index answers; the log says why")
    seen = [
        (tenant.name, generation)
        for tenant, generation in found
        if service.keys is None or (caller is not None and caller.tenant is tenant)
    ]
    return Ready(
        generations={name: generation for name, generation in seen if generation},
        broken=[name for name, generation in seen if not generation],
    )


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
