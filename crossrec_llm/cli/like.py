from __future__ import annotations

from typing import Annotated

import typer

from crossrec_llm.cli import show
from crossrec_llm.cli.options import Narrow, Output, Where, command


@command
def like(
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What is wanted, in words.")],
    narrow: Narrow,
    where: Where,
    output: Output,
    user: Annotated[str | None, typer.Option(help="Bend toward this user's history.")] = None,
    liked: Annotated[
        list[str] | None, typer.Option(help="Bend toward this item id; repeatable.")
    ] = None,
    disliked: Annotated[
        list[str] | None, typer.Option(help="Bend away from this item id; repeatable.")
    ] = None,
) -> None:
    """Look up by free text."""
    from crossrec_llm.answering import shorten
    from crossrec_llm.recommender import Recommender

    with Recommender.open(where.index) as recommender:
        answer = recommender.like(
            text, user=user, liked=liked or (), disliked=disliked or (), **narrow.asking()
        )
        if output.json:
            return show.print_json(answer.to_dict())
        title = f"Like “{shorten(text)}”" + (f", for {user}" if user else "")
        show.recommendations(answer, title, explain=narrow.explain, quiet=output.quiet)
