from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crossrec_llm.cli import show
from crossrec_llm.cli.options import Output, Where, command, when_stopped

if TYPE_CHECKING:
    from crossrec_llm.answering import TunedBlend


@command
@when_stopped("one blend or the other answers; run it again")
def tune(
    where: Where,
    output: Output,
    people: Annotated[
        int | None, typer.Option(help="Hide something of at most so many. [default: 20000]")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the draw of these people.")] = 0,
) -> None:
    """Fit how signals are blended, with more people than `build` takes, and publish it.

    Some of what people took is hidden, the signals are fitted without it, and the weights and
    trees that find it best are kept where they help people that they were not fitted on.
    """
    from dataclasses import replace

    from crossrec_llm.builder import tune
    from crossrec_llm.training import THOROUGH

    options = replace(THOROUGH, seed=seed)
    if people is not None:
        options = replace(options, n_user=people, n_cross=people // 2)
    before, _ = _active(where.index)
    with show.progress(output.quiet or output.json) as progress:
        tuned = tune(where.index, options=options, progress=progress)
    after, answers = _active(where.index)
    if output.json:
        found = {"generation": after, "published": after != before, "blend": tuned.summary()}
        return show.print_json(found)
    for line in show.blend(tuned):
        show.say(line)
    if after != before:
        show.say(f"generation {after}: this blend answers now")
    elif answers == tuned:
        same = "this blend is the one that answers already"
        show.say(f"generation {after}: {same}, nothing was published")
    else:
        few = "too few people could be asked to put this blend in the place of the one that answers"
        show.say(f"generation {after}: {few}, nothing was published")


def _active(index: Path) -> tuple[str, TunedBlend]:
    """The generation that answers, and its blend."""
    from crossrec_llm.answering import TunedBlend
    from crossrec_llm.store import Index

    with Index.open(index) as opened:
        generation = opened.generation
        return generation.name, TunedBlend.load(generation.folder / "blend.json")
