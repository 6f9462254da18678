from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crossrec_llm.cli import show
from crossrec_llm.cli.add_events import RejectedFile, tell
from crossrec_llm.cli.options import Output, Where, command, when_stopped


@command
@when_stopped("what was acknowledged stays; give the same again")
def add_items(
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
    """Add items to an index, or change those it has; a row is the whole item."""
    from crossrec_llm.live import add_items

    with show.progress(output.quiet or output.json) as progress:
        done = add_items(where.index, files, rejects=rejects, progress=progress)
    tell(done, "items", output)
