from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crossrec_llm.cli import show
from crossrec_llm.cli.options import Output, Where, command


@command
def replay(
    receipt: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="What --json of user, like or similar printed."),
    ],
    where: Where,
    output: Output,
) -> None:
    """Ask again what an answer was given to, and say what has changed since; exits 1 if it has."""
    from crossrec_llm import comparing
    from crossrec_llm.recommender import Recommender

    before = comparing.read_answer(receipt)
    with Recommender.open(where.index) as recommender:
        found = comparing.replay(recommender, before)
    if output.json:
        show.print_json(found.to_dict())
    else:
        show.replayed(found)
    if not found.reproduced:
        raise typer.Exit(1)
