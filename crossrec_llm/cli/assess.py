from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crossrec_llm.cli import show
from crossrec_llm.cli.build import InteractionFiles, ItemFiles, RecipeName
from crossrec_llm.cli.options import Output, command

if TYPE_CHECKING:
    from crossrec_llm.assessing.assess import Assessment
    from crossrec_llm.assessing.findings import Finding
    from crossrec_llm.assessing.overlap import Overlap
    from crossrec_llm.assessing.trial import Trial

_COLOURS = {"ok": "green", "look": "yellow", "bad": "red"}
_SYSTEMS = {
    "popularity": "popularity",
    "neighbours": "item neighbours",
    "text": "meaning alone",
    "system": "full blend",
}
_CROSSINGS = 12


@command
def assess(
    items: ItemFiles,
    output: Output,
    interactions: InteractionFiles = None,
    test: Annotated[
        list[Path] | None,
        typer.Option(help="Events held out of the interactions, to be searched for copies."),
    ] = None,
    index: Annotated[
        Path | None,
        typer.Option(
            help="Folder of an index whose cache of vectors is used and filled. [default: none]",
            show_default=False,
        ),
    ] = None,
    recipe: RecipeName = "default",
    seed: Annotated[int, typer.Option(help="Of all that is drawn.")] = 0,
    minutes: Annotated[
        float, typer.Option(help="About how long measuring may take on two cores, at least 1.")
    ] = 10.0,
    rules: Annotated[
        bool, typer.Option("--rules", help="Print the rules of the verdict too.")
    ] = False,
) -> None:
    """Say whether this is for your data, where it crosses, and where not.

    Looks at texts, overlap and leakage, and measures popularity, item neighbours, meaning alone and
    the full blend on a sample. Exit code 1 when the verdict is no, or when a leak was found.
    """
    from crossrec_llm.assessing.assess import assess

    with show.progress(output.quiet or output.json) as progress:
        found = assess(
            items,
            interactions or None,
            test=test or None,
            index=index,
            recipe=recipe,
            seed=seed,
            minutes=minutes,
            progress=progress,
        )
    if output.json:
        show.print_json(found.to_dict())
    else:
        _print(found, quiet=output.quiet, rules=rules)
    if not found.ok:
        raise typer.Exit(1)


def _print(found: Assessment, *, quiet: bool, rules: bool) -> None:
    _findings("Texts", found.text.findings)
    if found.overlap is not None:
        _people(found.overlap)
        _findings("Overlap", found.overlap.findings)
    if found.leakage:
        _findings("Leakage and times", found.leakage)
    if found.trial is not None:
        _measured(found.trial)
    _verdict(found)
    steps = ", ".join(f"{step} {seconds:.0f} s" for step, seconds in found.seconds.items())
    show.say(f"took: {steps}")
    if rules:
        show.say("")
        show.say(found.rules)
    show.notes((*found.notes, *(found.trial.notes if found.trial else ())), quiet)


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """The first column is text, the others are numbers."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for place, name in enumerate(columns):
        table.add_column(name, justify="right" if place else "left")
    for row in rows:
        table.add_row(*(Text(show.plain(str(cell))) for cell in row))
    show.print_rich(Text(f"\n{title}", "bold"), *([table] if rows else []))


def _findings(title: str, findings: Sequence[Finding]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column("grade")
    table.add_column("what", overflow="fold")
    for finding in findings:
        words = Text(_line(finding.words))
        if finding.grade != "ok":
            words.append(f": {finding.means}" if finding.means else "")
            words.append(f"  [{finding.limit}]" if finding.limit else "", "dim")
            for example in finding.examples:
                words.append(f"\n  {show.plain(example)}", "dim")
        table.add_row(Text(finding.grade, _COLOURS[finding.grade]), words)
    show.print_rich(Text(f"\n{title}", "bold"), table)


def _line(text: str) -> str:
    """Without what could steer a terminal, at full length."""
    return "".join(char if char.isprintable() else " " for char in text)


def _people(found: Overlap) -> None:
    from crossrec_llm.evaluation.words import counted, people

    lengths = ", ".join(f"{name} {n:g}" for name, n in found.lengths.items())
    _table(
        f"{people(found.people)}, {counted(found.items, 'item')}, {counted(found.pairs, 'pair')} "
        f"of them ({found.density:.4%} of all); items a person: {lengths}",
        ("top category", "items", "taken", "people"),
        [(c.category, f"{c.items:,}", f"{c.taken:,}", f"{c.people:,}") for c in found.categories],
    )
    show.say(
        f"items that nobody took: {found.untaken:,}, fewer than 5 people: {found.under_5:,}, "
        f"fewer than 10: {found.under_10:,}"
    )
    crossings = sorted(found.crossings, key=lambda c: -c.both)
    if crossings:
        left = len(crossings) - _CROSSINGS
        more = f" (the {_CROSSINGS} with most people of {len(crossings)})" if left > 0 else ""
        _table(
            f"Who is seen in both{more}",
            ("home -> target", "people in both", "of the home's", "of the target's items", ""),
            [
                (
                    f"{c.home} -> {c.target}",
                    f"{c.both:,}",
                    f"{c.share:.0%}",
                    f"{c.reach:.0%}",
                    "" if c.enough else "too few",
                )
                for c in crossings[:_CROSSINGS]
            ],
        )


def _measured(trial: Trial) -> None:
    from crossrec_llm.evaluation.words import counted, number, people, spread

    rows = []
    for name, label in _SYSTEMS.items():
        cells = trial.systems[name].values()
        rows.append((label, *("-" if name in trial.tied else spread(m) for m in cells)))
    _table(
        f"Measured ({trial.protocol}): {people(trial.users)} asked, over "
        f"{counted(trial.items, 'item')}; 95 % intervals",
        ("", *trial.systems["system"]),
        rows,
    )
    falls = ", ".join(
        f"{number(v)} for {n} targets" for n, v in trial.controls.items() if v is not None
    )
    show.say(f"controls: recall falls to {falls}")


def _verdict(found: Assessment) -> None:
    from rich.text import Text

    show.print_rich(Text("\nVerdict", "bold"))
    show.say(_line(found.verdict.words))
    for line in (*found.verdict.reasons, *(b.words for b in found.verdict.bridges)):
        show.say(f"  {_line(line)}")
    for leak in found.leaks:
        show.say(f"A leak was found: {_line(leak.words)}")
    bad = [f for f in found.text.findings if f.grade == "bad"]
    if bad:
        show.say(f"Mend first: {', '.join(f.check for f in bad)}")
