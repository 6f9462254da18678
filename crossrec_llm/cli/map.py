from __future__ import annotations

from crossrec_llm.cli import show
from crossrec_llm.cli.options import Output, Where, command, when_stopped


@command
@when_stopped("the map was not made")
def map(where: Where, output: Output) -> None:
    """Make the map of the catalogue that the service shows; else it does so when first asked."""
    from crossrec_llm.atlas import MARKS, NOWHERE, make_map

    with show.progress(output.quiet or output.json) as progress:
        made = make_map(where.index, progress=progress)
    marked = {bit: int(((made.marks & bit) > 0).sum()) for bit in (*MARKS, NOWHERE)}
    items = len(made.marks) - marked.pop(NOWHERE)
    if output.json:
        document = {"items": items, "seconds": made.seconds}
        return show.print_json(
            {**document, "marked": {MARKS[bit]: count for bit, count in marked.items()}}
        )
    show.say(f"{where.index}: {items:,} items on the map, {made.seconds:.1f} s")
    for bit, count in marked.items():
        show.say(f"{count:>8,}  {MARKS[bit]}")
