"""The OpenAPI document: who may ask, and how it is refused."""

from __future__ import annotations

from functools import partial
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from crossrec_llm.service.bounds import API
from crossrec_llm.service.gate import OPEN
from crossrec_llm.service.problems import ProblemDetails

_SCHEME = "key"


def install(app: FastAPI) -> None:
    app.openapi = partial(_document, app)  # type: ignore[method-assign]


def _document(app: FastAPI) -> dict[str, Any]:
    """Made when it is first asked for, and kept."""
    if app.openapi_schema is None:
        found = get_openapi(
            title=app.title, version=app.version, summary=app.summary, routes=app.routes
        )
        _, problems = models_json_schema(
            [(ProblemDetails, "serialization")], ref_template="#/components/schemas/{model}"
        )
        components = found.setdefault("components", {})
        components.setdefault("schemas", {}).update(problems["$defs"])
        components["securitySchemes"] = {
            _SCHEME: {
                "type": "http",
                "scheme": "bearer",
                "description": "A key of `crossrec keys add`. Not needed on loopback without keys.",
            }
        }
        for path, operations in found["paths"].items():
            if path.startswith(API) and path not in OPEN:
                for operation in operations.values():
                    operation["security"] = [{_SCHEME: []}]
        app.openapi_schema = found
    return app.openapi_schema
