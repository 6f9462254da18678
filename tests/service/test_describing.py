"""The OpenAPI document."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from crossrec_llm.service import ServiceOptions
from crossrec_llm.service.app import create_app

WRITTEN = Path(__file__).resolve().parents[2] / "docs" / "openapi.json"
DOCUMENT = create_app(ServiceOptions(tenants={})).openapi()
OPERATIONS = [
    (f"{method} {path}", operation)
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
]


def test_the_one_in_docs_is_current(client: TestClient) -> None:
    assert json.loads(WRITTEN.read_text("utf-8")) == DOCUMENT, "run scripts/docs.py"
    assert client.get("/v1/openapi.json").json() == DOCUMENT


@pytest.mark.parametrize(("name", "operation"), OPERATIONS, ids=[name for name, _ in OPERATIONS])
def test_an_operation_has_words_examples_and_problems(name: str, operation: dict) -> None:
    assert operation["description"]
    assert operation["tags"]
    for status, response in operation["responses"].items():
        kinds = {"application/json"} if status == "200" else {"application/problem+json"}
        assert set(response["content"]) == kinds
    if body := operation.get("requestBody"):
        schema = body["content"]["application/json"]["schema"]
        assert _found(schema)["examples"]
    for parameter in operation.get("parameters", ()):
        assert parameter["schema"].get("examples"), parameter["name"]


def test_every_reference_leads_somewhere() -> None:
    def walk(node: object) -> None:
        if isinstance(node, dict):
            if "$ref" in node:
                assert _found(node)
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    walk(DOCUMENT)
    assert DOCUMENT["components"]["securitySchemes"]["key"]["scheme"] == "bearer"


def test_a_document_has_the_name_of_its_class() -> None:
    """Two classes of one name would be told apart by the modules that they are in."""
    assert not [name for name in DOCUMENT["components"]["schemas"] if "__" in name]


def test_the_examples_can_be_asked(own: TestClient) -> None:
    """They are read: what they name is not in this index."""
    for name, operation in OPERATIONS:
        method, _, path = name.partition(" ")
        if body := operation.get("requestBody"):
            example = _found(body["content"]["application/json"]["schema"])["examples"][0]
            given = own.request(method, path, json=example)
            assert given.status_code in (200, 404) or given.json()["type"].endswith(
                (":data-error", ":query-error")
            ), (name, given.text)


def _found(schema: dict) -> dict:
    return DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
