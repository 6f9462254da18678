from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from time import gmtime, strftime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crossrec_llm.cli import show
from crossrec_llm.cli.options import Output, Where, command
from crossrec_llm.errors import QueryError
from crossrec_llm.resources import read_toml

if TYPE_CHECKING:
    from crossrec_llm.evaluation.measures import Interval
    from crossrec_llm.experimenting import ExperimentReport, Judged
    from crossrec_llm.store import Stated

_CANNOT_TELL = "the data cannot tell"


@command
def experiment(
    where: Where,
    output: Output,
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="The experiment's name; none lists all."),
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Begin it, with the arms that this TOML file states."),
    ] = None,
    stop: Annotated[bool, typer.Option("--stop", help="End it.")] = False,
    outcome: Annotated[
        str | None, typer.Option(help="Kind of outcome that counts. [default: the experiment's]")
    ] = None,
    effect: Annotated[
        float,
        typer.Option(help="Difference that is to be found, as a part of the first arm's."),
    ] = 0.05,
    target: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Tables of a recipe that nobody was answered by: what would it have brought? "
            "Without NAME from everything that was recorded.",
        ),
    ] = None,
) -> None:
    """Begin or end an experiment, report it, and judge a recipe from what was shown."""
    from crossrec_llm import experimenting
    from crossrec_llm.store import Index

    if name is None and (start or stop):
        raise QueryError("--start and --stop need the name of an experiment")
    if start and stop:
        raise QueryError("either --start or --stop")
    if effect <= 0:
        raise QueryError(f"effect must be above 0, not {effect:g}")
    settings = read_toml(target)[1] if target else None
    with show.progress(output.quiet or output.json) as progress:
        if name is None and settings is not None:
            judged = experimenting.judge_recipe(
                where.index, settings, outcome=outcome or "click", progress=progress
            )
            return _tell(judged.to_dict(), list(_judged(judged)), judged.notes, output)
        if name is None:
            with Index.open(where.index) as opened:
                stated = opened.ledger.exposures.experiments()
            lines = [_stated(one) for one in stated] or ["no experiment was begun"]
            return _tell({"experiments": [_told(one) for one in stated]}, lines, (), output)
        if start or stop:
            one = (
                experimenting.begin_experiment(where.index, name, start)
                if start
                else experimenting.end_experiment(where.index, name)
            )
            return _tell(_told(one), [_stated(one)], (), output)
        found = experimenting.report_experiment(
            where.index, name, outcome=outcome, effect=effect, target=settings, progress=progress
        )
    notes = (*found.notes, *(found.judged.notes if found.judged else ()))
    _tell(found.to_dict(), list(_lines(found)), notes, output)
    if found.mismatched:
        raise typer.Exit(1)


def _tell(
    document: dict[str, Any], lines: list[str], notes: tuple[str, ...], output: Output
) -> None:
    if output.json:
        return show.print_json(document)
    for line in lines:
        show.say(show.plain(line))
    show.notes(notes, output.quiet)


def _told(one: Stated) -> dict[str, Any]:
    return {
        "name": one.name,
        "began": one.began,
        "ended": one.ended,
        "definition": dict(one.definition),
    }


def _stated(one: Stated) -> str:
    arms = ", ".join(f"{arm['name']} {arm['share']:.0%}" for arm in one.definition["arms"])
    ended = f", ended {_day(one.ended)}" if one.ended else ""
    return f"{one.name}: {arms}; began {_day(one.began)}{ended}"


def _day(moment: float) -> str:
    return strftime("%Y-%m-%d %H:%M", gmtime(moment)) + " UTC"


def _lines(found: ExperimentReport) -> Iterator[str]:
    since = f"{_day(found.began)} to {_day(found.ended) if found.ended else 'now'}"
    yield f"{found.name}: {found.outcome} by person and by exposure, {since}"
    for arm in found.arms:
        yield (
            f"  {arm.name} ({arm.share:.0%}): {arm.people:,} people, {arm.exposures:,} exposures, "
            f"{arm.outcomes:,} outcomes; {_interval(arm.per_person)} a person, "
            f"{_interval(arm.per_exposure)} an exposure"
        )
    for one in found.differences:
        yield (
            f"  {one.arm} less {one.than}: {_interval(one.per_person)} a person, "
            f"{_interval(one.per_exposure)} an exposure"
        )
        if one.needed is not None:
            more = f"{one.needed:,} more people" if one.needed else "no more people"
            yield f"    to find a difference of {one.effect:.3g} a person: {more}"
    yield f"  split as stated: p = {found.mismatch:.2g}"
    if found.judged is not None:
        yield from _judged(found.judged)


def _judged(judged: Judged) -> Iterator[str]:
    yield (
        f"the target, from {judged.exposures:,} exposures of {judged.people:,} people: "
        f"{judged.support:.1%} of its places supported, effective sample size "
        f"{judged.effective:,.0f}, largest weight {judged.most:,.1f}"
    )
    yield f"  what was shown brought {_interval(judged.shown)} an exposure"
    if judged.why:
        yield f"  {_CANNOT_TELL}: {judged.why}"
        return
    yield f"  the target: {_interval(judged.snips)} by self-normalised weights"
    yield f"  the target: {_interval(judged.doubly_robust)} doubly robust"


def _interval(found: Interval | None) -> str:
    if found is None:
        return "not known"
    return f"{found.value:.4g} ({found.low:.4g} to {found.high:.4g})"
