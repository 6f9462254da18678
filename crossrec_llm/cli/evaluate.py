from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crossrec_llm.cli import show
from crossrec_llm.cli.options import Output, Where, command


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
    show.evaluation(found, quiet=output.quiet)
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
