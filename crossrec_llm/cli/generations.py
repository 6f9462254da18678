from __future__ import annotations

from typing import Annotated

import typer

from crossrec_llm.cli import show
from crossrec_llm.cli.options import Output, Where, command

_STATES = {"live": "answers", "before": "was live", "waiting": "waits"}


@command
def generations(where: Where, output: Output) -> None:
    """The generations that are kept: which one answers, how old each is, what it holds."""
    from crossrec_llm import publishing

    found = publishing.generations(where.index)
    if output.json:
        return show.print_json({"generations": [one.to_dict() for one in found]})
    show.notes(publishing.unfinished(where.index), output.quiet)
    for one in found:
        counts = ", ".join(f"{number:,} {name}" for name, number in one.counts.items())
        parts = [_STATES[one.state], one.built or "built before this was written down", counts]
        show.say(f"{one.name}  {'; '.join(parts)}; {one.bytes / 2**20:,.1f} MB")


@command
def publish(
    where: Where,
    output: Output,
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="As `generations` lists it. [default: newest waiting]"),
    ] = None,
) -> None:
    """Have a generation answer that was rehearsed or rolled back from, in one step."""
    from crossrec_llm import publishing

    now = publishing.publish(where.index, name)
    if output.json:
        return show.print_json(now.to_dict())
    show.say(f"{where.index}: generation {now.name} answers now")


@command
def rollback(where: Where, output: Output) -> None:
    """Have the generation answer that answered before this one; the records stay."""
    from crossrec_llm import publishing

    now = publishing.rollback(where.index)
    if output.json:
        return show.print_json(now.to_dict())
    show.say(f"{where.index}: generation {now.name} answers again")


@command
def gc(
    where: Where,
    output: Output,
    keep: Annotated[
        int, typer.Option(help="Generations that stay, the one that answers included.")
    ] = 2,
    waiting: Annotated[
        bool, typer.Option("--waiting", help="Those that wait to be published go too.")
    ] = False,
) -> None:
    """Remove generations that are no longer needed, and what killed builds left."""
    from crossrec_llm import publishing

    done = publishing.gc(where.index, keep, waiting=waiting)
    if output.json:
        return show.print_json(done.to_dict())
    removed = ", ".join(done.removed) or "nothing"
    show.say(f"{where.index}: removed {removed} ({done.freed / 2**20:,.1f} MB freed)")
    if done.exposures:
        show.say(f"{done.exposures:,} exposures removed, older than the recipe keeps them")
    kept = (f"{name} waits and was kept; --waiting removes it" for name in done.waiting)
    show.notes([*kept, *done.notes], output.quiet)
