from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from crossrec_llm.cli import show
from crossrec_llm.cli.options import Output, Where, command
from crossrec_llm.errors import MissingExtra, QueryError


@command
def mcp(
    where: Where,
    output: Output,
    write: Annotated[
        bool,
        typer.Option(
            "--write",
            help="Assistants may add events, and pin, strike and undo in profiles. Else they read.",
        ),
    ] = False,
    http: Annotated[
        bool, typer.Option("--http", help="Listen on HTTP, at /mcp, instead of stdin and stdout.")
    ] = False,
    host: Annotated[str | None, typer.Option(help="With --http: where. [default: 127.0.0.1]")] = (
        None
    ),
    port: Annotated[int | None, typer.Option(help="And on which port. [default: 8001]")] = None,
    keys: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="With --http: who may ask, as `crossrec keys` writes it. What changes something "
            "takes a key that may write, and profiles one of an admin.",
        ),
    ] = None,
    tenant: Annotated[
        str | None, typer.Option(help="With --keys: whose keys get in. [default: default]")
    ] = None,
) -> None:
    """Let an assistant recommend: a Model Context Protocol server."""
    try:
        from crossrec_llm.agents.listening import Gate, run_http
        from crossrec_llm.agents.server import create_server, run_stdio
    except ModuleNotFoundError as error:
        raise MissingExtra(error.name or "mcp", "mcp") from error
    from crossrec_llm.recommender import Recommender
    from crossrec_llm.service import DEFAULT_TENANT
    from crossrec_llm.service.keys import Keys

    if tenant is not None and keys is None:
        raise QueryError("--tenant says whose keys get in: give --keys too")
    if not http and (host, port, keys) != (None, None, None):
        raise QueryError("--host, --port and --keys say how to listen: give --http too")
    with Recommender.open(where.index) as recommender:
        server = create_server(recommender, where.index if write else None)
        if http:
            gate = Gate(Keys(keys), tenant or DEFAULT_TENANT) if keys else None
            return run_http(server, host or "127.0.0.1", port or 8001, gate, quiet=output.quiet)
        if sys.stdin.isatty():
            words = "speaks MCP on stdin and stdout: start it from an assistant's settings"
            show.notes((words,), output.quiet)
        run_stdio(server)
