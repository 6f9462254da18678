from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crossrec_llm.cli import show
from crossrec_llm.cli.options import Output, Where, command, when_stopped


@command
@when_stopped("no backup was made")
def backup(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A new folder for the copy.")],
    where: Where,
    output: Output,
    cache: Annotated[
        bool, typer.Option("--cache/--no-cache", help="With the encoded texts of a later build.")
    ] = True,
) -> None:
    """Copy the index as of one moment, verified, while others go on reading and writing."""
    from crossrec_llm.safekeeping import backup

    with show.progress(output.quiet or output.json) as progress:
        made = backup(folder, where.index, cache=cache, progress=progress)
    show.copied("backup", made, output)
