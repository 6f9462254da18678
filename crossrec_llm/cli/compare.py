from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from crossrec_llm.cli import show
from crossrec_llm.cli.options import Narrow, Output, Where, command, narrowed
from crossrec_llm.errors import QueryError


@command
def compare(
    user_id: Annotated[str, typer.Argument(metavar="ID", help="The user's id.")],
    narrow: Narrow,
    where: Where,
    output: Output,
    with_: Annotated[
        str | None,
        typer.Option(
            "--with",
            metavar="OPTIONS",
            help="Options of `user` for the second list, on top of those given beside it.",
        ),
    ] = None,
    other_index: Annotated[
        Path | None, typer.Option(help="Folder of the index that the second list comes from.")
    ] = None,
) -> None:
    """Two settings, or two indexes, side by side for one user."""
    if with_ is None and other_index is None:
        raise QueryError('nothing to compare with: give --with "OPTIONS" or --other-index FOLDER')
    from crossrec_llm import comparing
    from crossrec_llm.recommender import Recommender

    second = narrow if with_ is None else narrowed(narrow, with_, "--with")
    with ExitStack() as opened:
        one = opened.enter_context(Recommender.open(where.index))
        two = opened.enter_context(Recommender.open(other_index)) if other_index else one
        before = one.for_user(user_id, **narrow.asking())
        after = two.for_user(user_id, **second.asking())
    found = comparing.compare(before, after)
    if output.json:
        both = {"before": before.to_dict(), "after": after.to_dict()}
        return show.print_json({**found.to_dict(), **both})
    heading = " ".join(filter(None, [with_, str(other_index) if other_index else None]))
    show.say(show.plain(f"For {user_id}: first as asked, then {heading}"))
    show.comparison(found)
    show.notes((*after.notes, after.shortfall), output.quiet)
