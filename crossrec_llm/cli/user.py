from __future__ import annotations

from typing import Annotated

import typer

from crossrec_llm.cli import show
from crossrec_llm.cli.options import Narrow, Output, Where, command


@command
def user(
    user_id: Annotated[str, typer.Argument(metavar="ID", help="The user's id.")],
    narrow: Narrow,
    where: Where,
    output: Output,
) -> None:
    """Recommend for a user."""
    from crossrec_llm.recommender import Recommender

    with Recommender.open(where.index) as recommender:
        answer = recommender.for_user(user_id, **narrow.asking())
        if output.json:
            return show.print_json(answer.to_dict())
        home = ", ".join(answer.query["home"])
        title = f"For {user_id}" + (f", known in {home}" if home else "")
        show.recommendations(answer, title, explain=narrow.explain, quiet=output.quiet)
