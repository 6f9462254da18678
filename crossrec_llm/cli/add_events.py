from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crossrec_llm.cli import show
from crossrec_llm.cli.options import Output, Where, command, when_stopped

if TYPE_CHECKING:
    from crossrec_llm.live import LiveReport

LiveFiles = Annotated[
    list[Path],
    typer.Argument(
        metavar="FILE..", help="CSV, JSON lines or parquet, also .gz, .zst; - is stdin."
    ),
]
RejectedFile = Annotated[
    Path | None, typer.Option("--rejects", help="CSV file for the rows that are not used.")
]


@command
@when_stopped("what was acknowledged stays; give the same again")
def add_events(
    files: LiveFiles,
    where: Where,
    output: Output,
    rejects: RejectedFile = None,
) -> None:
    """Add events to an index; they count in the next answer. The same again adds nothing."""
    from crossrec_llm.live import add_events

    with show.progress(output.quiet or output.json) as progress:
        done = add_events(where.index, files, rejects=rejects, progress=progress)
    tell(done, "events", output)


def tell(done: LiveReport, what: str, output: Output) -> None:
    """Start a build where enough has changed, and say what was done."""
    from crossrec_llm.publishing import start_build

    show.live(done, what, start_build(done.index) if done.due.due else None, output)
