"""A change that is sent again is made once: `Idempotency-Key` (draft-ietf-httpapi-idempotency)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Self, TypeVar

from fastapi import Header, Response
from pydantic import BaseModel

from crossrec_llm.recommender import Recommender
from crossrec_llm.service.asked import Asked
from crossrec_llm.service.bodies import Body
from crossrec_llm.service.problems import Refused
from crossrec_llm.store import Ledger

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        description="With the same key and body again within 24 hours nothing is done, and the "
        "answer is the one that was given.",
        examples=["7f3a1d6e-9b52-4f3c-8a70-2f1f6a0c55d1"],
    ),
]
REPLAYED = "Idempotency-Replayed"


class Answer(BaseModel):
    """What a change is answered with."""

    def nameless(self) -> Self:
        """What of it may be kept: without anything that names a person, or quotes."""
        return self


A = TypeVar("A", bound=Answer)


async def once(
    asked: Asked,
    response: Response,
    key: str | None,
    body: Body,
    kind: type[A],
    work: Callable[[Recommender], A],
    seconds: float | None = None,
) -> A:
    """What `work` gives, or gave when the same body came with this key before.

    The key is of the caller: another one's is another key. What was done and could not be written
    down, because the process was killed in between, is tried again: most changes then do nothing,
    or are refused (docs/service.md). An answer that was refused is not kept.

    Parameters
    ----------
    kind : of the answer.
    seconds : until it is given up; None = `limits.change`.

    Raises
    ------
    Refused : the key came with another body (422).
    """
    if key is None:
        return await asked.change(work, seconds)
    own = f"{asked.caller.name}\n{key}"
    content = f"{type(body).__name__}\n{body.model_dump_json()}".encode()
    replayed = False

    def do(recommender: Recommender) -> A:
        nonlocal replayed
        with Ledger.open(recommender.ledger.path, write=True) as ledger:
            kept = ledger.answered.find(own, content)
        if kept is not None and not kept.same:
            raise Refused(
                422, "idempotency-key-reused", "this Idempotency-Key came with another body"
            )
        if kept is not None:
            replayed = True
            return kind.model_validate_json(kept.answer)
        answer = work(recommender)
        with Ledger.open(recommender.ledger.path, write=True) as ledger:
            ledger.answered.keep(own, content, answer.nameless().model_dump_json())
        return answer

    answer = await asked.change(do, seconds)
    if replayed:
        response.headers[REPLAYED] = "true"
    return answer
