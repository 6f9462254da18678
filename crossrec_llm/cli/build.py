from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crossrec_llm.cli import show
from crossrec_llm.cli.options import Output, Where, command

ItemFiles = Annotated[
    list[Path],
    typer.Option("--items", help="CSV, JSON lines or parquet, also .gz, .zst; repeatable."),
]
InteractionFiles = Annotated[
    list[Path] | None, typer.Option("--interactions", help="The same, who took what; repeatable.")
]
RecipeName = Annotated[str, typer.Option(help="A shipped recipe's name, or a TOML file.")]
RejectsFile = Annotated[
    Path | None,
    typer.Option(
        help="CSV file for the rows that are not used. [default: build: rejects.csv in the index]"
    ),
]


@command
def build(
    items: ItemFiles,
    where: Where,
    output: Output,
    interactions: InteractionFiles = None,
    recipe: RecipeName = "default",
    rejects: RejectsFile = None,
    tune: Annotated[
        bool | None,
        typer.Option(
            "--tune/--no-tune", help="Fit how signals are blended. [default: as the recipe says]"
        ),
    ] = None,
) -> None:
    """Read, clean, encode, fit and publish an index; goes on where a killed build stopped."""
    from dataclasses import replace

    from crossrec_llm.builder import build
    from crossrec_llm.recipe import Recipe

    settings = Recipe.load(recipe)
    if tune is not None:
        settings = replace(settings, blend=replace(settings.blend, tune=tune))
    with show.progress(output.quiet or output.json) as progress:
        done = build(
            items,
            interactions or None,
            where.index,
            recipe=settings,
            rejects=rejects,
            progress=progress,
        )
    if output.json:
        return show.print_json(done.to_dict())
    if output.quiet:
        return
    if done.unchanged:
        show.say(f"{done.index}: nothing changed, generation {done.generation} stays active")
        return
    if done.report is None:
        show.say(f"{done.index}: generation {done.generation} has the same parts, new settings")
        return
    for line in done.report.lines():
        show.say(line)
    show.say(
        f"{done.index}: generation {done.generation} with {done.items:,} items, {done.users:,} "
        f"users and {done.events:,} events; {done.encoded:,} texts encoded, "
        f"{done.from_cache:,} from the cache"
    )
    for line in [*show.blend(done.blend), *show.left_out(done.left_out), *done.notes]:
        show.say(line)
    if done.report.rejected:
        place = rejects or where.index / "rejects.csv"
        show.say(f"the {done.report.rejected:,} rejected rows are in {place}")
    show.say(", ".join(f"{step} {seconds:.1f} s" for step, seconds in done.seconds.items()))
