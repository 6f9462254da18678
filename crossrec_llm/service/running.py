"""The process that serves: one app, by uvicorn."""

from __future__ import annotations

from ipaddress import ip_address

import uvicorn

from crossrec_llm.errors import CrossrecError
from crossrec_llm.service.app import create_app
from crossrec_llm.service.options import ServiceOptions


def run(options: ServiceOptions, *, quiet: bool = False) -> None:
    """Serve until stopped.

    Raises
    ------
    CrossrecError : another address than loopback without keys. Others as `create_app`.
    """
    require_safe(options)
    uvicorn.run(
        create_app(options),
        host=options.host,
        port=options.port,
        log_level="warning" if quiet else "info",
        server_header=False,
    )


def require_safe(options: ServiceOptions) -> None:
    """Refuse to answer other machines without keys.

    Raises
    ------
    CrossrecError : what to run.
    """
    if options.keys is None and not _is_loopback(options.host):
        raise CrossrecError(
            f"without keys only this machine is answered, and {options.host!r} is reached from "
            "others: `crossrec keys add NAME --file FILE` makes a key, `crossrec serve --keys FILE`"
            " takes it"
        )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
