from __future__ import annotations

from typing import Annotated

import typer

from crossrec_llm.cli.add_events import tell
from crossrec_llm.cli.options import Output, Where, command


@command
def remove_items(
    item_ids: Annotated[list[str], typer.Argument(metavar="ID..", help="The items' ids.")],
    where: Where,
    output: Output,
) -> None:
    """Take items out of every answer and history; `add-items` brings them back."""
    from crossrec_llm.live import remove_items

    tell(remove_items(where.index, item_ids), "items", output)
