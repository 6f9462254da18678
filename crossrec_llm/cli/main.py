"""The `crossrec` command; each verb has a file of its own beside this one."""

from __future__ import annotations

import sys

import typer

from crossrec_llm import __version__
from crossrec_llm.cli import (
    add_events,
    add_items,
    assess,
    audience,
    backup,
    bridges,
    build,
    check,
    compare,
    doctor,
    evaluate,
    experiment,
    forget_user,
    generations,
    info,
    keys,
    like,
    map,
    mcp,
    profile,
    rehearse,
    remove_items,
    repair,
    replay,
    restore,
    serve,
    similar,
    tune,
    upgrade,
    user,
    verify,
    why_not,
)
from crossrec_llm.cli.options import app

__all__ = [
    "add_events",
    "add_items",
    "assess",
    "audience",
    "backup",
    "bridges",
    "build",
    "check",
    "compare",
    "doctor",
    "evaluate",
    "experiment",
    "forget_user",
    "generations",
    "info",
    "keys",
    "like",
    "map",
    "mcp",
    "profile",
    "rehearse",
    "remove_items",
    "repair",
    "replay",
    "restore",
    "run",
    "serve",
    "similar",
    "tune",
    "upgrade",
    "user",
    "verify",
    "why_not",
]


def _version(asked: bool) -> None:
    if asked:
        print(f"crossrec-llm {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version."
    ),
) -> None:
    pass


def run() -> None:
    """What the entry point does."""
    try:
        app()
    except BrokenPipeError:
        # The reader of our output went away, as `head` does.
        sys.stderr.close()
        sys.exit(1)
