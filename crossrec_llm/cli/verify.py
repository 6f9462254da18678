from __future__ import annotations

import typer

from crossrec_llm.cli import show
from crossrec_llm.cli.options import Output, Where, command


@command
def verify(where: Where, output: Output) -> None:
    """Is every byte of the index as it was written? Exit code 1 if not; nothing is changed."""
    from crossrec_llm.safekeeping import verify

    with show.progress(output.quiet or output.json) as progress:
        found = verify(where.index, progress=progress)
    if output.json:
        show.print_json(found.to_dict())
    else:
        show.notes(found.notes, output.quiet)
        for problem in found.problems:
            show.say(str(problem))
        count = len(found.problems)
        state = "whole" if found.ok else f"damaged in {count} place{'s' * (count > 1)}"
        show.say(
            f"{where.index}: {state}; {found.files:,} files, {found.bytes / 2**20:,.1f} MB looked "
            f"at in {found.seconds:.1f} s"
        )
        if any(problem.is_truth for problem in found.problems):
            show.say(
                "the truth is damaged: `crossrec restore BACKUP --force` puts a backup in place"
            )
        elif not found.ok:
            show.say("`crossrec repair` makes these parts anew")
    if not found.ok:
        raise typer.Exit(1)
