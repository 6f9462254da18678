from __future__ import annotations

from typing import Annotated

import typer

from crossrec_llm.cli import show
from crossrec_llm.cli.add_events import tell
from crossrec_llm.cli.options import Erasing, Output, Where, command, when_stopped
from crossrec_llm.errors import QueryError


@command
@when_stopped("run it again, it goes on from here")
def remove_items(
    item_ids: Annotated[list[str], typer.Argument(metavar="ID..", help="The items' ids.")],
    where: Where,
    output: Output,
    erasing: Erasing,
    erase: Annotated[
        bool,
        typer.Option("--erase", help="For good, with all that people did with them; a receipt."),
    ] = False,
) -> None:
    """Take items out of every answer and history; `add-items` brings them back."""
    from crossrec_llm.erasing import erase_items
    from crossrec_llm.live import remove_items

    if not erase:
        if erasing != Erasing():
            raise QueryError("--refit, --no-refill and --prove go with --erase")
        return tell(remove_items(where.index, item_ids), "items", output)
    with show.progress(output.quiet or output.json) as progress:
        receipt = erase_items(where.index, item_ids, **erasing.asking(), progress=progress)
    return show.erasure(receipt, output)
