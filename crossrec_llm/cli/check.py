from __future__ import annotations

import typer

from crossrec_llm.cli import show
from crossrec_llm.cli.build import InteractionFiles, ItemFiles, RecipeName, RejectsFile
from crossrec_llm.cli.options import Output, command


@command
def check(
    items: ItemFiles,
    output: Output,
    interactions: InteractionFiles = None,
    recipe: RecipeName = "default",
    rejects: RejectsFile = None,
) -> None:
    """Read the files as build would, and say what was found; builds nothing.

    Exit code 1 when rows were rejected.
    """
    from crossrec_llm.recipe import Recipe
    from crossrec_llm.tables import read_tables

    with show.progress(output.quiet or output.json) as progress:
        tables = read_tables(
            items,
            interactions or None,
            Recipe.load(recipe).tables,
            rejects=rejects,
            progress=progress,
        )
    if output.json:
        show.print_json(tables.report.to_dict())
    else:
        for line in tables.report.lines():
            show.say(line)
    if tables.report.rejected:
        raise typer.Exit(1)
