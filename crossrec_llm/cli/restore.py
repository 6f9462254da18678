from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crossrec_llm.cli import show
from crossrec_llm.cli.options import Output, Where, command, when_stopped


@command
@when_stopped("the index is whole, the old one or the backup")
def restore(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A backup.")],
    where: Where,
    output: Output,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the index that is there; it is removed.")
    ] = False,
) -> None:
    """Put a backup in the place of the index, in one step and after it was verified."""
    from crossrec_llm.safekeeping import restore

    with show.progress(output.quiet or output.json) as progress:
        made = restore(folder, where.index, force=force, progress=progress)
    show.copied("restored", made, output)
