"""Spans for OpenTelemetry: one a request, and one for each step of its answer."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI

from crossrec_llm.errors import MissingExtra
from crossrec_llm.service.options import TracingOptions
from crossrec_llm.service.watching import Seen

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_NAMING = ("http.url", "http.target", "url.full", "url.path", "url.query", "net.peer.ip")
_NAMING_TOO = ("client.address", "http.client_ip", "http.user_agent", "user_agent.original")
"""Attributes of a request that may name a person."""


def wanted(options: TracingOptions) -> bool:
    """Whether spans go anywhere: by the settings, or by the usual OTEL_ variables."""
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    return bool(options.endpoint or any(os.environ.get(name) for name in _ENDPOINTS))


def provider(options: TracingOptions) -> TracerProvider:
    """Sends spans, in batches, by OTLP over gRPC; an address in the settings comes first.

    Raises
    ------
    MissingExtra : the packages are not installed.
    """
    try:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio
    except ModuleNotFoundError as error:
        raise MissingExtra(error.name or "opentelemetry-sdk", "tracing") from error

    found = TracerProvider(
        resource=Resource.create({SERVICE_NAME: os.environ.get("OTEL_SERVICE_NAME", "crossrec")}),
        sampler=ParentBasedTraceIdRatio(options.share),
    )
    found.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(options.endpoint or None)))
    return found


def install(app: FastAPI, traced: TracerProvider) -> Callable[[Seen], None]:
    """A span for each request of an app; what is given makes those of its steps, before it ends.

    Raises
    ------
    MissingExtra : the package is not installed.
    """
    try:
        from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
    except ModuleNotFoundError as error:
        raise MissingExtra("opentelemetry-instrumentation-fastapi", "tracing") from error
    from opentelemetry import trace

    tracer = traced.get_tracer("crossrec_llm")

    def nameless(span: Any, _: dict[str, Any]) -> None:
        """Paths and queries have ids of people in them."""
        for name in (*_NAMING, *_NAMING_TOO):
            if name in (span.attributes or {}):
                span.set_attribute(name, "")

    def tell(request: Seen) -> None:
        span = trace.get_current_span()
        span.set_attribute("crossrec.request_id", request.id)
        if request.tenant:
            span.set_attribute("crossrec.tenant", request.tenant)
        for step in request.record.steps:
            tracer.start_span(step.name, start_time=step.began).end(step.ended)

    FastAPIInstrumentor.instrument_app(
        app,
        tracer_provider=traced,
        server_request_hook=nameless,
        excluded_urls="healthz,readyz,metrics,static",
        exclude_spans=["receive", "send"],
    )
    return tell
