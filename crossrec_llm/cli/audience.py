from __future__ import annotations

from typing import Annotated

import typer

from crossrec_llm.cli import show
from crossrec_llm.cli.options import Output, Where, command


@command
def audience(
    item_id: Annotated[str, typer.Argument(metavar="ID", help="The item's id.")],
    where: Where,
    output: Output,
    k: Annotated[int, typer.Option("-k", help="Length of the list.")] = 10,
) -> None:
    """Who would want this item; those who have it are left out."""
    from crossrec_llm.recommender import Recommender

    with Recommender.open(where.index) as recommender:
        answer = recommender.audience(item_id, k)
        if output.json:
            return show.print_json(answer.to_dict())
        show.audience(answer, quiet=output.quiet)
