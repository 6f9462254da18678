from __future__ import annotations

import sys
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from crossrec_llm.errors import MissingExtra
from crossrec_llm.service import ServiceOptions, tracing
from crossrec_llm.service.app import create_app
from crossrec_llm.service.options import TracingOptions
from tests.service.conftest import client_of


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(tracing, "provider", lambda _: provider)
    return exporter


def traced(index: Path, **options) -> ServiceOptions:
    endpoint = {"endpoint": "http://127.0.0.1:1", **options}
    return ServiceOptions(tenants={"default": index}, tracing=TracingOptions(**endpoint))


def test_a_request_is_a_span_with_its_steps_below(service_index: Path, spans) -> None:
    app = create_app(traced(service_index))
    user_id = next(iter(app.state.service.tenants)).recommender.generation.users.ids[0]
    with client_of(app) as client:
        client.post("/v1/recommendations", json={"user_id": user_id})
        client.get("/healthz")

    *steps, request = spans.get_finished_spans()
    assert request.name == "POST /v1/recommendations"
    assert request.attributes["crossrec.tenant"] == "default"
    assert len(request.attributes["crossrec.request_id"]) == 32
    assert {"history", "candidates", "signals", "reasons"} <= {step.name for step in steps}
    for step in steps:
        assert step.parent.span_id == request.context.span_id
        assert request.start_time <= step.start_time <= step.end_time <= request.end_time


def test_spans_name_nobody(service_index: Path, spans) -> None:
    with client_of(create_app(traced(service_index))) as client:
        client.get("/v1/item", params={"item_id": "Zanzibar"})

    told = [str(value) for span in spans.get_finished_spans() for value in span.attributes.values()]
    assert not any("Zanzibar" in value for value in told)


@pytest.mark.parametrize(
    ("endpoint", "variables", "wanted"),
    [
        ("", {}, False),
        ("http://c:4317", {}, True),
        ("", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317"}, True),
        ("http://c:4317", {"OTEL_SDK_DISABLED": "true"}, False),
    ],
)
def test_it_is_off_until_somebody_says_where_to(monkeypatch, endpoint, variables, wanted) -> None:
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert tracing.wanted(TracingOptions(endpoint=endpoint)) is wanted


def test_spans_are_sent_by_otlp() -> None:
    provider = tracing.provider(TracingOptions(endpoint="http://127.0.0.1:1", share=0.5))

    assert "0.5" in provider.sampler.get_description()
    assert provider.resource.attributes["service.name"] == "crossrec"
    provider.shutdown()


@pytest.mark.parametrize(
    "missing",
    ["opentelemetry.instrumentation.fastapi", "opentelemetry.exporter.otlp.proto.grpc"],
)
def test_what_is_not_installed_names_its_extra(service_index, monkeypatch, missing) -> None:
    for name in [one for one in sys.modules if one.startswith(missing)]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)

    with pytest.raises(MissingExtra, match=r"crossrec-llm\[tracing\]"):
        create_app(traced(service_index))
