"""/v1/health: how the caller's index and this process are, for whoever runs them."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from crossrec_llm import __version__
from crossrec_llm.condition import Condition
from crossrec_llm.recommender import Recommender
from crossrec_llm.service.asked import Administering, Asked
from crossrec_llm.service.documents import DueDocument, ReceiptDocument
from crossrec_llm.service.problems import RESPONSES

router = APIRouter(prefix="/v1", responses=RESPONSES)

_PACKAGES = ("chromadb", "sentence-transformers", "torch", "fastapi", "uvicorn")


class KeptDocument(BaseModel):
    """A generation that is kept: "live", "before" or "waiting"."""

    name: str
    state: str
    built: str
    change: int
    counts: dict[str, int]
    recipe: str
    bytes: int


class AuditDocument(BaseModel):
    """What the check of a collection found when it was published: all found themselves."""

    checked: int
    recall_at_10: float


class BackupDocument(BaseModel):
    """The newest backup that was made of this index."""

    made: str
    folder: str
    change: int


class QueueDocument(BaseModel):
    """Questions of all tenants in this process."""

    running: int
    waiting: int
    at_once: int
    most_waiting: int


class HealthDocument(BaseModel):
    """How the index and the process are."""

    verdict: str = Field(examples=["All is well."])
    to_see_to: list[str] = Field(description="What somebody should look at, the gravest first.")
    tenant: str
    tenants: int = Field(description="How many indexes this process serves.")
    receipt: ReceiptDocument
    kept: list[KeptDocument]
    model: str
    encoder: str = Field(description="What exactly made the vectors.")
    dimensions: int
    version: str = Field(description="Of crossrec-llm, when the generation was built.")
    built: dict[str, int]
    records: dict[str, int]
    due: DueDocument
    audits: dict[str, AuditDocument]
    backup: BackupDocument | None
    writer: str = Field(description="Who writes to the index now; empty for nobody.")
    queue: QueueDocument
    versions: dict[str, str]


@router.get("/health", tags=["health"])
async def health(asked: Administering) -> HealthDocument:
    """What answers, what came since, what watches over it; `crossrec info` says part of it."""
    return await healthy(asked)


async def healthy(asked: Asked) -> HealthDocument:
    """How the caller's index and this process are."""
    work, limits = asked.service.work, asked.service.options.limits
    running, waiting = work.running, work.waiting
    index = asked.caller.tenant.index

    def condition(rec: Recommender) -> Condition:
        return Condition.of(index, rec.generation)

    found = await asked.do(condition)
    to_see_to = found.to_see_to()
    if waiting >= max(1, limits.waiting // 2):
        to_see_to.insert(0, f"{waiting} questions wait for their turn: more workers, or a limit")
    told: dict[str, Any] = found.to_dict()
    return HealthDocument.model_validate(
        {
            **{name: told[name] for name in HealthDocument.model_fields if name in told},
            "verdict": verdict(to_see_to),
            "to_see_to": to_see_to,
            "tenant": asked.caller.tenant.name,
            "tenants": len(asked.service.tenants),
            "queue": {
                "running": running,
                "waiting": waiting,
                "at_once": limits.at_once,
                "most_waiting": limits.waiting,
            },
            "versions": {
                "crossrec-llm": __version__,
                "python": platform.python_version(),
                **{name: version(name) for name in _PACKAGES},
            },
        }
    )


def verdict(to_see_to: list[str]) -> str:
    """In one sentence."""
    if not to_see_to:
        return "All is well."
    many = len(to_see_to)
    return f"It answers. {'One thing needs' if many == 1 else f'{many} things need'} a look."
