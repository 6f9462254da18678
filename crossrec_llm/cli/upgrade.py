from __future__ import annotations

from typing import Annotated

import typer

from crossrec_llm.cli import show
from crossrec_llm.cli.options import Output, Where, command, when_stopped


@command
@when_stopped("run it again for what is left")
def upgrade(
    where: Where,
    output: Output,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be brought up to date.")
    ] = False,
) -> None:
    """Bring the files of an older index to the formats of this version."""
    from crossrec_llm.upgrading import upgrade

    done = upgrade(where.index, dry_run=dry_run)
    if output.json:
        return show.print_json(done.to_dict())
    for one in done.migrations:
        show.say(f"{one.part}: {one.was} -> {one.becomes} ({one.words})")
    for line in () if output.quiet else done.notes:
        show.say(line)
    if not done.migrations:
        show.say(f"{where.index}: everything has the format of this version")
    else:
        show.say(f"{where.index}: {'upgraded' if done.done else 'nothing was changed (dry run)'}")
