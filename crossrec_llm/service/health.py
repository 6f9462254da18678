"""Whether the process runs, and whether it can answer."""

from __future__ import annotations

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from crossrec_llm.service.asked import Service
from crossrec_llm.service.problems import RESPONSES, Refused
from crossrec_llm.service.tenants import Caller, Tenant

router = APIRouter(tags=["health"], responses=RESPONSES)


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
    caller: Caller | None = request.state.caller

    def generations() -> list[tuple[Tenant, str | None]]:
        return [(tenant, tenant.generation) for tenant in service.tenants]

    found = await service.work.do(generations)
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
