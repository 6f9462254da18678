from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crossrec_llm.cli import show
from crossrec_llm.cli.build import InteractionFiles, MaybeItemFiles, MaybeRecipeName
from crossrec_llm.cli.options import Output, Where, command, when_stopped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crossrec_llm.rehearsing import Rehearsal

_SHOWN = 5


@command
@when_stopped("what answers is as it was; texts that were encoded are kept")
def rehearse(
    where: Where,
    output: Output,
    recipe: MaybeRecipeName = None,
    items: MaybeItemFiles = None,
    interactions: InteractionFiles = None,
    protocol: Annotated[
        list[str] | None,
        typer.Option(
            help="What is hidden and asked for, as of `evaluate`; repeatable. [default: temporal "
            "where timestamps are times, else warm]"
        ),
    ] = None,
    users: Annotated[int, typer.Option(help="Ask about a sample of so many people.")] = 300,
    k: Annotated[int, typer.Option("-k", "--k", help="Length of the lists.")] = 10,
    seed: Annotated[int, typer.Option(help="Of the draw of these people.")] = 0,
) -> None:
    """Build a generation beside the one that answers, and show what it would change.

    Nothing that answers is touched; `crossrec publish` makes the new generation live.
    """
    from crossrec_llm.rehearsing import rehearse

    with show.progress(output.quiet or output.json) as progress:
        found = rehearse(
            where.index,
            recipe,
            items=items or None,
            interactions=interactions or None,
            protocols=protocol or (),
            users=users,
            k=k,
            seed=seed,
            progress=progress,
        )
    if output.json:
        return show.print_json(found.to_dict())
    for line in _lines(found, where.index):
        show.say(line)
    show.notes(found.notes, output.quiet)
    show.say(f"`crossrec publish {found.generation} --index {where.index}` makes it answer")


def _lines(found: Rehearsal, index: Path) -> Iterator[str]:
    yield f"{index}: generation {found.generation} beside {found.live}, which still answers"
    changes = (
        f"{name} {found.live_counts.get(name, 0):,} -> {number:,}"
        for name, number in found.counts.items()
    )
    yield ", ".join(changes)
    for one in found.measures:
        yield f"{one.protocol}, {one.users:,} people, before -> after (difference, 95 % interval):"
        for name in [name for name in one.difference if name.startswith(("recall", "ndcg"))]:
            was, now, apart = one.before[name], one.after[name], one.difference[name]
            if was and now and apart:
                yield (
                    f"  {name:<12}{was.value:.4f} -> {now.value:.4f}  ({apart.value:+.4f}, "
                    f"{apart.low:+.4f} to {apart.high:+.4f})"
                )
    if found.overlap is None:
        yield "nobody has a profile in both: there are no lists to compare"
    else:
        yield (
            f"lists of {found.people:,} people: overlap@{found.k} {found.overlap.value:.3f} "
            f"({found.overlap.low:.3f} to {found.overlap.high:.3f}), {found.same:.0%} the same"
        )
        yield f"lists that cross: {found.crossing[0]:.1%} -> {found.crossing[1]:.1%}"
        for bridge in found.bridges[:_SHOWN]:
            yield (
                f"  {show.plain(bridge.home)} -> {show.plain(bridge.target)}: "
                f"{bridge.before:.1%} -> {bridge.after:.1%} of {bridge.lists:,} lists"
            )
        for words, items in (("gain", found.gained), ("lose", found.lost)):
            if items:
                yield f"items that {words} most places:"
            for item in items[:_SHOWN]:
                yield (
                    f"  {item.places:+5,}  {show.plain(item.title)} ({item.item_id}), in "
                    f"{item.before:,} -> {item.after:,} lists"
                )
        if found.movers:
            yield "people whose lists change most:"
        for person in found.movers[:_SHOWN]:
            yield f"  {show.plain(person.user_id)}: {person.gone} of {found.k} are others"
        yield (f"p50 of an answer: {found.milliseconds[0]:.1f} -> {found.milliseconds[1]:.1f} ms")
