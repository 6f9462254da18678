from __future__ import annotations

from typing import Annotated

import typer

from crossrec_llm.cli import show
from crossrec_llm.cli.options import Narrow, Output, Where, command

_SHOWN = 3  # history items that an explained list is asked again without


@command
def user(
    user_id: Annotated[str, typer.Argument(metavar="ID", help="The user's id.")],
    narrow: Narrow,
    where: Where,
    output: Output,
    without: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ITEM",
            help="Show what changes in the list without this item of the history; repeatable.",
        ),
    ] = None,
) -> None:
    """Recommend for a user."""
    from crossrec_llm.comparing import counterfactual, first_named
    from crossrec_llm.errors import QueryError
    from crossrec_llm.recommender import Recommender

    if without and narrow.explain:
        raise QueryError("--without shows two lists side by side, without reasons: drop --explain")
    with Recommender.open(where.index) as recommender:
        answer = recommender.for_user(user_id, **narrow.asking())
        if without:
            changed = counterfactual(recommender, answer, without)
            if output.json:
                return show.print_json({**changed.to_dict(), "before": answer.to_dict()})
            show.say(show.plain(f"For {user_id}: as it is, then {changed.heading}"))
            show.comparison(changed.comparison)
            return show.notes((*changed.after.notes, changed.after.shortfall), output.quiet)
        named = first_named(answer)[:_SHOWN] if narrow.explain else []
        found = [counterfactual(recommender, answer, [item_id]) for item_id in named]
        if output.json:
            told = {"counterfactual": [one.to_dict() for one in found]} if narrow.explain else {}
            return show.print_json({**answer.to_dict(), **told})
        home = ", ".join(answer.query["home"])
        title = f"For {user_id}" + (f", known in {home}" if home else "")
        show.recommendations(answer, title, explain=narrow.explain, quiet=output.quiet)
        for one in found:
            show.say(show.printable(str(one)))
