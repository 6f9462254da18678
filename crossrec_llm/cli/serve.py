from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer

from crossrec_llm.cli.options import Output, command
from crossrec_llm.errors import MissingExtra
from crossrec_llm.service import DEFAULT_TENANT, LogFormat, ServiceOptions


@command
def serve(
    output: Output,
    index: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the index. [default: $CROSSREC_INDEX, else index/store/default]",
            show_default=False,
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Settings of the service, as TOML.")
    ] = None,
    keys: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Who may ask, as `crossrec keys` writes it."),
    ] = None,
    host: Annotated[str | None, typer.Option(help="Where to listen. [default: 127.0.0.1]")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65_535, help="And on which port. [default: 8000]")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes. [default: 1]")] = None,
    log_format: Annotated[
        LogFormat | None,
        typer.Option(help="Of the lines on stderr. [default: auto: console on a terminal]"),
    ] = None,
) -> None:
    """Serve recommendations over HTTP, with pages."""
    try:
        from crossrec_llm.service.running import run
    except ModuleNotFoundError as error:
        raise MissingExtra(error.name or "fastapi", "serve") from error

    options = ServiceOptions.load(config) if config else ServiceOptions()
    given: dict[str, Any] = {"host": host, "port": port, "workers": workers, "keys": keys}
    if index is not None:
        given["tenants"] = {DEFAULT_TENANT: index}
    level = "debug" if output.verbose else "warning" if output.quiet else None
    logs: dict[str, Any] = {"format": log_format, "level": level}
    logs = {name: value for name, value in logs.items() if value is not None}
    given["logs"] = dataclasses.replace(options.logs, **logs)
    run(
        dataclasses.replace(
            options, **{name: value for name, value in given.items() if value is not None}
        )
    )
