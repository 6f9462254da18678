"""The HTTP service and its pages."""

from __future__ import annotations

from crossrec_llm.service.options import (
    DEFAULT_TENANT,
    LimitOptions,
    LogFormat,
    RateOptions,
    ServiceOptions,
)

__all__ = ["DEFAULT_TENANT", "LimitOptions", "LogFormat", "RateOptions", "ServiceOptions"]
