from __future__ import annotations

import typer

from crossrec_llm.cli import show
from crossrec_llm.cli.options import Output, Where, command, when_stopped


@command
@when_stopped("what was mended stays; run it again")
def repair(where: Where, output: Output) -> None:
    """Make the damaged parts of the index anew from the truth, which is never guessed at."""
    from crossrec_llm.safekeeping import repair

    with show.progress(output.quiet or output.json) as progress:
        found = repair(where.index, progress=progress)
    if output.json:
        show.print_json(found.to_dict())
    else:
        for problem in found.problems:
            show.say(f"was: {problem}")
        for done in found.done or ["nothing to repair"]:
            show.say(done)
        show.notes(map(str, found.after.problems), False)
    if not found.after.ok:
        raise typer.Exit(1)
