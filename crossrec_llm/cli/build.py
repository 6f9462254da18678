from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crossrec_llm.cli import show
from crossrec_llm.cli.options import Output, Where, command, when_stopped

ItemFiles = Annotated[
    list[Path],
    typer.Option("--items", help="CSV, JSON lines or parquet, also .gz, .zst; repeatable."),
]
MaybeItemFiles = Annotated[
    list[Path] | None,
    typer.Option(
        "--items",
        help="CSV, JSON lines or parquet, also .gz, .zst; repeatable. Without: from the records "
        "of the index, with what came live.",
    ),
]
MaybeRecipeName = Annotated[
    str | None,
    typer.Option(
        help="A shipped recipe's name, or a TOML file. [default: default; without --items that of "
        "the index]"
    ),
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
@when_stopped("a build goes on from here when run again")
def build(
    where: Where,
    output: Output,
    items: MaybeItemFiles = None,
    interactions: InteractionFiles = None,
    recipe: MaybeRecipeName = None,
    rejects: RejectsFile = None,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="The files are all there is: drop what came live."),
    ] = False,
    tune: Annotated[
        bool | None,
        typer.Option(
            "--tune/--no-tune", help="Fit how signals are blended. [default: as the recipe says]"
        ),
    ] = None,
) -> None:
    """Read, clean, encode, fit and publish an index; goes on where a killed build stopped.

    Without --items a new generation is made from the records of the index.
    """
    from crossrec_llm.builder import build

    with show.progress(output.quiet or output.json) as progress:
        done = build(
            items or None,
            interactions or None,
            where.index,
            recipe=recipe,
            rejects=rejects,
            replace=replace,
            tune=tune,
            progress=progress,
        )
    if output.json:
        return show.print_json(done.to_dict())
    if done.unchanged:
        show.notes(done.notes, output.quiet)
        show.say(f"{done.index}: nothing changed, generation {done.generation} stays active")
        return
    if not done.refitted:
        show.say(f"{done.index}: generation {done.generation} has the same parts, new settings")
        show.notes(done.notes, output.quiet)
        return
    for line in done.report.lines() if done.report and not output.quiet else ():
        show.say(line)
    show.say(
        f"{done.index}: generation {done.generation} with {done.items:,} items, {done.users:,} "
        f"users and {done.events:,} events; {done.encoded:,} texts encoded, "
        f"{done.from_cache:,} from the cache"
    )
    if output.quiet:
        return
    for line in [*show.blend(done.blend), *show.left_out(done.left_out), *done.notes]:
        show.say(line)
    if done.dropped:
        show.say(f"{done.dropped:,} items and events that had come live were dropped")
    if done.report and done.report.rejected:
        place = rejects or where.index / "rejects.csv"
        show.say(f"the {done.report.rejected:,} rejected rows are in {place}")
    show.say(", ".join(f"{step} {seconds:.1f} s" for step, seconds in done.seconds.items()))
