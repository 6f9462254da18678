"""What the service logs: one line an event on stderr, its own and that of all packages alike."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog

from crossrec_llm.service.options import LogOptions

_NOISY = ("chromadb", "httpx", "httpx2", "sentence_transformers", "transformers", "uvicorn")
"""Packages that tell of every step where what is worth knowing is in the lines of requests."""


def set_up(options: LogOptions) -> None:
    """Log to stderr as `options` say, from here on, in place of what was set up before."""
    level = logging.getLevelNamesMapping()[options.level.upper()]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_formatter(console=_console(options)))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for noisy in _NOISY:
        logging.getLogger(noisy).setLevel(level if level <= logging.DEBUG else logging.WARNING)


def _console(options: LogOptions) -> bool:
    return options.format == "console" or (options.format == "auto" and sys.stderr.isatty())


def _formatter(*, console: bool) -> structlog.stdlib.ProcessorFormatter:
    shared: list[Any] = [
        structlog.stdlib.ExtraAdder(),
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    shown: list[Any] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if console:
        shown.append(structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()))
    else:
        shown += [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    return structlog.stdlib.ProcessorFormatter(processors=shown, foreign_pre_chain=shared)
