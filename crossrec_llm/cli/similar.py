from __future__ import annotations

from typing import Annotated

import typer

from crossrec_llm.cli import show
from crossrec_llm.cli.options import Narrow, Output, Where, command


@command
def similar(
    item_id: Annotated[str, typer.Argument(metavar="ID", help="The item's id.")],
    narrow: Narrow,
    where: Where,
    output: Output,
) -> None:
    """More like this item."""
    from crossrec_llm.recommender import Recommender

    with Recommender.open(where.index) as recommender:
        answer = recommender.similar(item_id, **narrow.asking())
        if output.json:
            return show.print_json(answer.to_dict())
        title = f"More like “{recommender.item(item_id).title}”"
        show.recommendations(answer, title, explain=narrow.explain, quiet=output.quiet)
