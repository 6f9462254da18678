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
        policy = [recommender.policy(pair.home, pair.target) for pair in fitted.pairs]
    if output.json:
        document = fitted.summary()
        for pair, words in zip(document["bridges"], policy, strict=True):
            pair["policy"] = words
        return show.print_json(document)
    show.bridges(fitted, policy, options, quiet=output.quiet)
