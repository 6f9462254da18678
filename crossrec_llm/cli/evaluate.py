from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crossrec_llm.cli import show
from crossrec_llm.cli.options import Output, Where, command

if TYPE_CHECKING:
    from rich.table import Table

    from crossrec_llm.evaluation import Evaluation

_COLUMNS = 4


@command
def evaluate(
    where: Where,
    output: Output,
    protocol: Annotated[
        str | None,
        typer.Option(
            help="What is hidden: warm, temporal, cold-items, cross-cold, cross-warm, search, "
            "cases, validation. [default: temporal where timestamps are times, else warm]"
        ),
    ] = None,
    items: Annotated[
        list[Path] | None,
        typer.Option(help="Evaluate on these files instead of an index; repeatable."),
    ] = None,
    interactions: Annotated[
        list[Path] | None, typer.Option(help="The log that goes with --items; repeatable.")
    ] = None,
    recipe: Annotated[
        str, typer.Option(help="With --items: a shipped recipe's name, or a TOML file.")
    ] = "default",
    k: Annotated[int, typer.Option("-k", "--k", help="Length of the lists.")] = 10,
    users: Annotated[
        int | None, typer.Option(help="Ask about a sample of so many people. [default: all]")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of all that is drawn: people, cold items ...")] = 0,
    target_category: Annotated[
        str | None,
        typer.Option(
            help="cross-*: the top category to be recommended. [default: most people cross to it]"
        ),
    ] = None,
    cases: Annotated[
        Path | None,
        typer.Option(help="cases: file with columns history, targets and, if wanted, candidates."),
    ] = None,
    log: Annotated[
        Path | None, typer.Option(help="cases: the log to learn from. [default: the index's own]")
    ] = None,
    queries: Annotated[
        Path | None, typer.Option(help="search: file with columns query_id and text.")
    ] = None,
    qrels: Annotated[
        Path | None, typer.Option(help="search: judgements as in TREC (query 0 item grade).")
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Only this baseline beside the system; repeatable. [default: all]"),
    ] = None,
    thorough: Annotated[
        bool, typer.Option("--thorough", help="Fit the blend as `tune` does, not as `build` does.")
    ] = False,
    report: Annotated[
        Path | None, typer.Option(help="Folder for a page with plots, and evaluation.json.")
    ] = None,
) -> None:
    """Hide items from the fit, ask for them, and say how many came, beside strong baselines.

    The index itself is not changed.
    """
    from crossrec_llm.evaluation import evaluate
    from crossrec_llm.store.files import disk_errors

    if report:  # a folder that cannot be written to is better known before an hour than after
        with disk_errors(report):
            report.mkdir(parents=True, exist_ok=True)
    with show.progress(output.quiet or output.json) as progress:
        found = evaluate(
            where.index,
            protocol,
            items=items or None,
            interactions=interactions or None,
            recipe=recipe,
            k=k,
            users=users,
            seed=seed,
            target_category=target_category,
            cases=cases,
            log=log,
            queries=queries,
            qrels=qrels,
            only=only or (),
            thorough=thorough,
            progress=progress,
        )
    page = _report(found.to_dict(), report) if report else None
    if output.json:
        return show.print_json(found.to_dict())
    _print(found, quiet=output.quiet)
    if page:
        show.say(f"report: {page}")


def _report(found: dict[str, object], folder: Path) -> Path:
    """The page, and evaluation.json beside it."""
    import json

    from crossrec_llm.evaluation.report import write_report
    from crossrec_llm.store.files import write_atomically

    page = write_report(found, folder)
    document = json.dumps(found, ensure_ascii=False, indent=2, allow_nan=False)
    write_atomically(folder / "evaluation.json", document.encode("utf-8", "replace"))
    return page


def _print(found: Evaluation, *, quiet: bool) -> None:
    """One row a system, one column a measure; then its parts, and what guards against a leak."""
    from rich.text import Text

    from crossrec_llm.evaluation.protocols import telling
    from crossrec_llm.evaluation.words import apart, counted, number

    systems = [("this index", found.system), *found.baselines.items()]
    known = [
        m for m in telling(found.protocol, found.system) if any(row.get(m) for _, row in systems)
    ]
    main = [name for name in known if name.startswith(("recall", "ndcg", "hit", "mrr"))]
    shown = [name for name in main if found.protocol != "cases" or name.endswith(f"@{found.k}")]
    one, many = ("query", "queries") if found.protocol == "search" else ("case", "cases")
    groups = [*_fitting(shown), *_fitting([name for name in known if name not in main])]
    tables = [_table(names, systems) for names in groups]
    show.print_rich(
        Text(f"{found.protocol}: {counted(found.users, one, many)}, 95 % intervals", "bold"),
        *(part for table in tables for part in (table, "")),
        _table(["coverage", "gini", "unreachable"], _beyond(found)),
    )
    parts: list[tuple[str, Mapping[str, Any]]] = [
        *((f"{name} ({part['users']:,})", part) for name, part in found.slices.items()),
        *((f"{b['home']} → {b['target']} ({b['users']:,})", b) for b in found.bridges),
    ]
    if parts:
        show.print_rich("", _table([f"recall@{found.k}", f"ndcg@{found.k}"], parts))
    show.print_rich("")
    for name, measures in found.ahead.items():
        m = measures[f"ndcg@{found.k}"]
        if m is not None:
            show.say(f"ahead of {name} by {apart(m)} in ndcg@{found.k}, paired")
    falls = {name: value for name, value in found.controls.items() if value is not None}
    if falls:
        told = ", ".join(f"{number(value)} for {name} targets" for name, value in falls.items())
        show.say(f"controls: recall@{found.k} falls to {told}")
    left_out = [f"{name} was left out: {why}" for name, why in found.left_out.items()]
    show.notes([*found.notes, *left_out], quiet)


def _fitting(names: list[str]) -> list[list[str]]:
    """Parts that fit beside each other in a line."""
    return [names[at : at + _COLUMNS] for at in range(0, len(names), _COLUMNS)]


def _table(names: list[str], rows: Iterable[tuple[str, Mapping[str, Any]]]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for name in names:
        table.add_column(name, justify="right")
    for label, measures in rows:
        table.add_row(Text(show.plain(label)), *(_cell(measures.get(name)) for name in names))
    return table


def _cell(m: Any) -> str:
    """A number, with its interval where it has one; a dash for none."""
    from crossrec_llm.evaluation.words import number, spread

    if m is None:
        return "-"
    return number(m) if isinstance(m, float) else spread(m)


def _beyond(found: Evaluation) -> list[tuple[str, Mapping[str, Any]]]:
    shown = {"system": "this index"}
    return [(shown.get(name, name), measures) for name, measures in found.beyond.items()]
