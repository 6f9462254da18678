from __future__ import annotations

from typing import Annotated

import typer

from crossrec_llm.cli import show
from crossrec_llm.cli.options import Narrow, Output, Where, command
from crossrec_llm.records import SimilarMode

_TITLES: dict[SimilarMode, str] = {
    "both": "More like",
    "alike": "Instead of",
    "together": "Goes with",
}


@command
def similar(
    item_id: Annotated[str, typer.Argument(metavar="ID", help="The item's id.")],
    narrow: Narrow,
    where: Where,
    output: Output,
    mode: Annotated[
        SimilarMode,
        typer.Option(
            help="alike: what could be taken instead; together: what goes with it; or both."
        ),
    ] = "both",
) -> None:
    """More like this item: instead of it, along with it, or both."""
    from crossrec_llm.recommender import Recommender

    with Recommender.open(where.index) as recommender:
        answer = recommender.similar(item_id, mode=mode, **narrow.asking())
        if output.json:
            return show.print_json(answer.to_dict())
        title = f"{_TITLES[mode]} “{recommender.item(item_id).title}”"
        show.recommendations(answer, title, explain=narrow.explain, quiet=output.quiet)
