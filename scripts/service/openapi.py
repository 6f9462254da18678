"""Questions that nobody would ask, made from the OpenAPI document, and what is answered."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import schemathesis
from fastapi import FastAPI
from fastapi.testclient import TestClient
from httpx2 import InvalidURL
from hypothesis import HealthCheck, Phase, given, reject, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis.generation import GenerationMode


@dataclass
class Found:
    """Counts, and the first of each kind of trouble."""

    cases: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    failed: int = 0
    other_errors: int = 0
    other_schemas: int = 0
    examples: list[str] = field(default_factory=list)

    def note(self, kind: str, case: Any, answer: Any, why: str = "") -> None:
        if len(self.examples) < 20:
            asked = f"{case.method} {case.formatted_path} {case.query} {case.body!r}"[:600]
            self.examples.append(f"{kind}: {asked} -> {answer.status_code} {why[:600]}")


def fuzzed(app: FastAPI, n: int, known: dict[str, list[str]], *, first: int = 0) -> Found:
    """Ask `n` questions, as many of each operation; half of what they say is not allowed.

    Parameters
    ----------
    known : ids that are there by the name of their field: some questions have them.
    first : seed.
    """
    document = app.openapi()
    schema = schemathesis.openapi.from_dict(document)
    operations = [one.ok() for one in schema.get_all_operations()]
    found = Found()
    with TestClient(app, "http://127.0.0.1", raise_server_exceptions=False) as client:
        while operations and found.cases < n:
            each = max(1, (n - found.cases) // len(operations) // 2)
            for operation in list(operations):
                before = found.cases
                for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                    _ask(client, operation, mode, min(each, n - found.cases), known, found, first)
                    first += 1
                if found.cases - before < each:  # one without a body, say: there is no more to ask
                    operations.remove(operation)
    return found


def _ask(
    client: TestClient,
    operation: Any,
    mode: GenerationMode,
    n: int,
    known: dict[str, list[str]],
    found: Found,
    number: int,
) -> None:
    if n <= 0:
        return

    @seed(number)
    @settings(
        max_examples=n,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def run(data: Any) -> None:
        case = data.draw(operation.as_strategy(generation_mode=mode))
        if data.draw(st.booleans()):
            case.body = _with_known(case.body, known, data)
        answer = _put(client, case)
        found.cases += 1
        found.statuses[answer.status_code] += 1
        if answer.status_code >= 500:
            found.failed += 1
            found.note("5xx", case, answer, answer.text)
        if answer.status_code >= 400:
            problem = answer.headers.get("content-type") == "application/problem+json"
            if not problem or answer.json().get("status") != answer.status_code:
                found.other_errors += 1
                found.note("no problem", case, answer, answer.text)
        try:
            operation.validate_response(answer, case=case)
        except Exception as error:
            found.other_schemas += 1
            found.note("schema", case, answer, str(error))

    with suppress(Unsatisfiable):
        run()


def _put(client: TestClient, case: Any) -> Any:
    """The question as it is, through the app in this process."""
    given = case.as_transport_kwargs(base_url="http://127.0.0.1")
    for name in ("timeout", "allow_redirects", "verify", "cert", "proxies"):
        given.pop(name, None)
    if "json" in given:  # as text of ASCII: half characters get through
        given["content"] = json.dumps(given.pop("json")).encode()
        given["headers"] = {**given.get("headers", {}), "Content-Type": "application/json"}
    try:
        return client.request(**given)
    except (InvalidURL, UnicodeEncodeError):  # longer than the client sends, or no header
        reject()


def _with_known(body: Any, known: dict[str, list[str]], data: Any) -> Any:
    """The same with ids that are there, so that more than refusals is answered."""
    if isinstance(body, dict):
        return {
            name: data.draw(st.sampled_from(known[name]))
            if name in known and isinstance(value, str)
            else [data.draw(st.sampled_from(known[name])) for _ in value]
            if name in known and isinstance(value, list)
            else _with_known(value, known, data)
            for name, value in body.items()
        }
    if isinstance(body, list):
        return [_with_known(one, known, data) for one in body[:20]]
    return body
