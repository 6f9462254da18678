from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crossrec_llm.cli import show
from crossrec_llm.cli.options import Output, Where, command

RejectedFile = Annotated[
    Path | None, typer.Option("--rejects", help="CSV file for the rows that are not used.")
]


@command
def add_events(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE..", help="CSV, JSON lines or parquet, also .gz, .zst; - is stdin."
        ),
    ],
    where: Where,
    output: Output,
    rejects: RejectedFile = None,
) -> None:
    """Add events to an index; they count in the next answer. The same again adds nothing."""
    from crossrec_llm.live import add_events

    with show.progress(output.quiet or output.json) as progress:
        done = add_events(where.index, files, rejects=rejects, progress=progress)
    show.live(done, "events", output)
