"""The process that serves: one app, by uvicorn."""

from __future__ import annotations

import uvicorn

from crossrec_llm.service.app import create_app
from crossrec_llm.service.options import ServiceOptions


def run(options: ServiceOptions, *, quiet: bool = False) -> None:
    """Serve until stopped.

    Raises
    ------
    IndexMissing, IndexMismatch, IndexDamaged : an index cannot be opened.
    """
    uvicorn.run(
        create_app(options),
        host=options.host,
        port=options.port,
        log_level="warning" if quiet else "info",
        server_header=False,
    )
