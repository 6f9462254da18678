from __future__ import annotations

from crossrec_llm.cli import show
from crossrec_llm.cli.options import Output, Where, command


@command
def bridges(where: Where, output: Output) -> None:
    """How credible it is to cross, for each pair of top categories."""
    from crossrec_llm.recommender import Recommender

    with Recommender.open(where.index) as recommender:
        fitted = recommender.generation.tuned.bridges
        options = recommender.recipe.bridges
    if output.json:
        return show.print_json(fitted.summary())
    show.bridges(fitted, options, quiet=output.quiet)
