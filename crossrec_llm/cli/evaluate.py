from __future__ import annotations

from typing import Annotated, Literal

import typer

from crossrec_llm.cli import show
from crossrec_llm.cli.options import Output, Where, command


@command
def evaluate(
    where: Where,
    output: Output,
    protocol: Annotated[
        Literal["warm", "validation"],
        typer.Option(
            help="warm: each person's last item is hidden; validation: the one before it."
        ),
    ] = "warm",
    k: Annotated[int, typer.Option("-k", help="Length of the lists.")] = 10,
    users: Annotated[
        int | None, typer.Option(help="Ask about a sample of so many people. [default: all]")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the sample, the intervals and the control.")] = 0,
) -> None:
    """Hide items from the fit, ask for them, and say how many came, beside simple baselines.

    The index itself is not changed.
    """
    from crossrec_llm.evaluation import evaluate

    with show.progress(output.quiet or output.json) as progress:
        found = evaluate(where.index, protocol, k=k, users=users, seed=seed, progress=progress)
    if output.json:
        return show.print_json(found.to_dict())
    show.evaluation(found)
