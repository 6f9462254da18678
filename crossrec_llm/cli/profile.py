from __future__ import annotations

from typing import Annotated

import typer

from crossrec_llm.cli import show
from crossrec_llm.cli.options import Output, Where, command
from crossrec_llm.errors import QueryError


@command
def profile(
    user_id: Annotated[str, typer.Argument(metavar="ID", help="The user's id.")],
    where: Where,
    output: Output,
    pin: Annotated[
        str | None,
        typer.Option(metavar="SENTENCE", help="Add a sentence that answers go by from now on."),
    ] = None,
    strike: Annotated[
        list[str] | None,
        typer.Option(metavar="ITEM", help="This item of the history counts no more; repeatable."),
    ] = None,
    strike_interest: Annotated[
        int | None, typer.Option(metavar="N", help="The items of interest N count no more.")
    ] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Take back the last correction.")] = False,
) -> None:
    """What is known of a user, as answers use it; and corrections, in effect at once."""
    from crossrec_llm import correcting
    from crossrec_llm.recommender import Recommender

    given = [pin is not None, bool(strike), strike_interest is not None, undo]
    if sum(given) > 1:
        raise QueryError("one correction at a time: --pin, --strike, --strike-interest or --undo")
    with Recommender.open(where.index) as recommender:
        if pin is not None:
            found = correcting.pin(recommender, user_id, pin)
        elif strike:
            found = correcting.strike(recommender, user_id, strike)
        elif strike_interest is not None:
            found = correcting.strike_interest(recommender, user_id, strike_interest)
        elif undo:
            found = correcting.undo(recommender, user_id)
        else:
            found = recommender.profile(user_id)
    if output.json:
        return show.print_json(found.to_dict())
    show.profile(found)
