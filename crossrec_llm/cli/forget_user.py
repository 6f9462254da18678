from __future__ import annotations

from typing import Annotated

import typer

from crossrec_llm.cli import show
from crossrec_llm.cli.options import Erasing, Output, Where, command, when_stopped


@command
@when_stopped("`crossrec forget-user` without an id finishes what was begun")
def forget_user(
    user_ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ID]..", help="The users' ids; none finishes what was cut off."),
    ] = None,
    *,
    where: Where,
    output: Output,
    erasing: Erasing,
) -> None:
    """Erase people for good, from everything that the index keeps; prints a receipt."""
    from crossrec_llm.erasing import forget_user

    with show.progress(output.quiet or output.json) as progress:
        receipt = forget_user(where.index, user_ids or [], **erasing.asking(), progress=progress)
    show.erasure(receipt, output)
