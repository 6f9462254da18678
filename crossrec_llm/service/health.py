"""Whether the process runs, and whether it can answer."""

from __future__ import annotations

from fastapi import APIRouter, Request
from pydantic import BaseModel

from crossrec_llm.service.asked import Service

router = APIRouter(tags=["health"])


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
    """Whether every index answers; 503 where one does not."""
    service: Service = request.app.state.service

    def generations() -> dict[str, str]:
        return {tenant.name: tenant.recommender.receipt.generation for tenant in service.tenants}

    return Ready(generations=await service.work.do(generations))
