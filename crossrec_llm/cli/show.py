"""Tables, notes and progress on a terminal; JSON for machines."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from crossrec_llm.records import CATEGORY_SEPARATOR, Audience, Recommendations

if TYPE_CHECKING:
    from rich.console import Console

PLAIN_WIDTH = 120


def print_json(document: dict[str, Any]) -> None:
    json.dump(document, sys.stdout, ensure_ascii=False, indent=2, allow_nan=False)
    sys.stdout.write("\n")


def console() -> Console:
    """Standard output; a fixed width where it is not a terminal, so that logs stay readable."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH, highlight=False)


def say(line: str) -> None:
    """A plain line, never interpreted as markup."""
    print(line)


def recommendations(answer: Recommendations, title: str, *, explain: bool) -> None:
    """One row an item: what it is, where it lies, and why it is there."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title, "bold"), title_justify="left", box=None, pad_edge=False)
    table.add_column("#", justify="right", style="dim")
    table.add_column("item", ratio=5, overflow="fold")
    table.add_column("category", ratio=4, style="cyan")
    table.add_column("price", justify="right")
    table.add_column("why", ratio=5)
    for r in answer:
        name = Text(r.title)
        name.append(f"  {r.item_id}", "dim")
        for mark, on in (("across", r.cross), ("new", r.cold)):
            if on:
                name.append(f" [{mark}]", "magenta")
        why = Text("\n".join(f"{x.share:4.0%} {x.text}" for x in r.reasons) if explain else r.why)
        if explain:
            signals = "  ".join(f"{key} {value:.3f}" for key, value in r.signals.items())
            why.append(f"\n{signals}", "dim")
        price = "" if r.item.price is None else f"{r.item.price:,.2f}"
        table.add_row(str(r.rank), name, Text(_short(r.item.category)), price, why)
    out = console()
    out.print(table)
    for note in (*answer.notes, *([answer.shortfall] if answer.shortfall else [])):
        out.print(Text(f"note: {note}", "yellow"))


def _short(category: tuple[str, ...]) -> str:
    """The ends of a category path; what lies between is left to `--json`."""
    shown = category if len(category) < 3 else (category[0], "…", category[-1])
    return CATEGORY_SEPARATOR.join(shown)


def audience(answer: Audience) -> None:
    from rich.table import Table
    from rich.text import Text

    title = f"Who would want “{answer.item.title}”"
    table = Table(title=Text(title, "bold"), title_justify="left", box=None, pad_edge=False)
    table.add_column("#", justify="right", style="dim")
    table.add_column("user")
    table.add_column("cosine", justify="right")
    table.add_column("nearest in the history")
    for member in answer:
        because = Text(member.because.title)
        table.add_row(str(member.rank), Text(member.user_id), f"{member.score:.3f}", because)
    out = console()
    out.print(table)
    if answer.shortfall:
        out.print(Text(f"note: {answer.shortfall}", "yellow"))


@contextmanager
def progress(quiet: bool) -> Iterator[Callable[[str, int, int], None] | None]:
    """A progress bar on stderr when that is a terminal; None otherwise."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress, TaskID

    with Progress(console=Console(stderr=True), transient=True) as bar:
        tasks: dict[str, TaskID] = {}

        def report(step: str, done: int, total: int) -> None:
            if step not in tasks:
                tasks[step] = bar.add_task(step, total=total)
            bar.update(tasks[step], completed=done, total=total)

        yield report
