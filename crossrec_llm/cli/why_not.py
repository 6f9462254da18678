from __future__ import annotations

from typing import Annotated

import typer

from crossrec_llm.cli import show
from crossrec_llm.cli.options import Narrow, Output, Where, command


@command
def why_not(
    user_id: Annotated[str, typer.Argument(metavar="USER", help="The user's id.")],
    item_id: Annotated[str, typer.Argument(metavar="ITEM", help="The item's id.")],
    narrow: Narrow,
    where: Where,
    output: Output,
) -> None:
    """Why an item is not in a user's list."""
    from crossrec_llm.recommender import Recommender

    with Recommender.open(where.index) as recommender:
        asked = {**narrow.asking(), "explain": False}
        answer = recommender.for_user(user_id, why_not=item_id, **asked)
    absence = answer.absence
    assert absence is not None, "it was asked for"
    if output.json:
        return show.print_json({**absence.to_dict(), "receipt": answer.receipt.to_dict()})
    show.say(show.printable(str(absence)))
    show.notes(answer.notes, output.quiet)
