"""Tables, notes and progress on a terminal; JSON for machines."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from crossrec_llm.records import CATEGORY_SEPARATOR, Audience, Recommendations

if TYPE_CHECKING:
    from rich.table import Table

    from crossrec_llm.answering import TunedBlend
    from crossrec_llm.evaluation import Evaluation

PLAIN_WIDTH = 120


def print_json(document: dict[str, Any]) -> None:
    json.dump(document, sys.stdout, ensure_ascii=False, indent=2, allow_nan=False)
    sys.stdout.write("\n")


def print_rich(*parts: Any) -> None:
    """To standard output, in the width of the terminal or of COLUMNS, else in a readable one."""
    from rich.console import Console

    fixed = None if sys.stdout.isatty() or "COLUMNS" in os.environ else PLAIN_WIDTH
    out = Console(width=fixed, highlight=False)
    if sys.stdout.isatty():
        out.print(*parts, sep="\n")
        return
    with out.capture() as capture:
        out.print(*parts, sep="\n")
    print("\n".join(line.rstrip() for line in capture.get().rstrip("\n").split("\n")))


def plain(text: str) -> str:
    """Without what could steer a terminal, and not longer than a line."""
    text = "".join(char if char.isprintable() else " " for char in text)
    return text if len(text) <= 200 else f"{text[:197]}..."


def notes(lines: Iterable[str | None], quiet: bool) -> None:
    """Labels and shortfalls, on stderr."""
    for line in () if quiet else lines:
        if line:
            print(f"note: {line}", file=sys.stderr)


def say(line: str) -> None:
    """A plain line, never interpreted as markup."""
    print(line)


def recommendations(
    answer: Recommendations, title: str, *, explain: bool, quiet: bool = False
) -> None:
    """One row an item: what it is, where it lies, and why it is there."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    table.add_column("#", justify="right", style="dim")
    table.add_column("item", ratio=5, overflow="fold")
    table.add_column("category", ratio=4, style="cyan")
    table.add_column("price", justify="right")
    table.add_column("why", ratio=5)
    for r in answer:
        name = Text(plain(r.title))
        name.append(f"  {r.item_id}", "dim")
        for mark, on in (("across", r.cross), ("new", r.cold)):
            if on:
                name.append(f" [{mark}]", "magenta")
        reasons = [f"{x.share:4.0%} {plain(x.text)}" for x in r.reasons]
        why = Text("\n".join(reasons) if explain else plain(r.why))
        if explain:
            signals = "  ".join(f"{key} {value:.3f}" for key, value in r.signals.items())
            why.append(f"\n{signals}", "dim")
        price = "" if r.item.price is None else f"{r.item.price:,.2f}"
        table.add_row(str(r.rank), name, Text(_short(r.item.category)), price, why)
    print_rich(Text(plain(title), "bold"), *([table] if answer.items else []))
    notes((*answer.notes, answer.shortfall), quiet)


def _short(category: tuple[str, ...]) -> str:
    """The ends of a category path; what lies between is left to `--json`."""
    shown = category if len(category) < 3 else (category[0], "…", category[-1])
    return CATEGORY_SEPARATOR.join(shown)


def audience(answer: Audience, *, quiet: bool = False) -> None:
    from rich.table import Table
    from rich.text import Text

    title = f"Who would want “{plain(answer.item.title)}”"
    table = Table(box=None, pad_edge=False)
    table.add_column("#", justify="right", style="dim")
    table.add_column("user")
    table.add_column("cosine", justify="right")
    table.add_column("nearest in the history")
    for member in answer:
        because = Text(plain(member.because.title))
        table.add_row(str(member.rank), Text(member.user_id), f"{member.score:.3f}", because)
    print_rich(Text(title, "bold"), *([table] if answer.members else []))
    notes([answer.shortfall], quiet)


def evaluation(found: Evaluation, *, quiet: bool = False) -> None:
    """One row a system, one column a measure; then its parts, and what guards against a leak."""
    from rich.text import Text

    systems = [("this index", found.system), *found.baselines.items()]
    main = [name for name in found.system if name.startswith(("recall", "ndcg", "hit", "mrr"))]
    shown = [name for name in main if found.protocol != "cases" or name.endswith(f"@{found.k}")]
    who = f"{found.users:,} {'queries' if found.protocol == 'search' else 'cases'}"
    print_rich(
        Text(f"{found.protocol}: {who}, 95 % intervals", "bold"),
        _measures(shown, systems),
        "",
        _measures([name for name in found.system if name not in main], systems),
        "",
        _measures(["coverage", "gini", "unreachable"], _beyond(found)),
    )
    parts: list[tuple[str, Mapping[str, Any]]] = [
        *((f"{name} ({part['users']:,})", part) for name, part in found.slices.items()),
        *((f"{b['home']} → {b['target']} ({b['users']:,})", b) for b in found.bridges),
    ]
    if parts:
        print_rich("", _measures([f"recall@{found.k}", f"ndcg@{found.k}"], parts))
    print_rich("")
    for name, measures in found.ahead.items():
        m = measures[f"ndcg@{found.k}"]
        if m is not None:
            told = f"{m.value:+.3f} ({m.low:+.3f} to {m.high:+.3f})"
            say(f"ahead of {name} by {told} in ndcg@{found.k}, paired")
    falls = {name: value for name, value in found.controls.items() if value is not None}
    if falls:
        told = ", ".join(f"{value:.3f} for {name} targets" for name, value in falls.items())
        say(f"controls: recall@{found.k} falls to {told}")
    left_out = [f"{name} was left out: {why}" for name, why in found.left_out.items()]
    notes([*found.notes, *left_out], quiet)


def _measures(names: list[str], rows: Iterable[tuple[str, Mapping[str, Any]]]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for name in names:
        table.add_column(name, justify="right")
    for label, measures in rows:
        table.add_row(Text(plain(label)), *(_cell(measures.get(name)) for name in names))
    return table


def _cell(m: Any) -> str:
    """A number, with its interval where it has one; a dash for none."""
    if m is None:
        return "-"
    return f"{m:.3f}" if isinstance(m, float) else f"{m.value:.3f} ({m.low:.3f}-{m.high:.3f})"


def _beyond(found: Evaluation) -> list[tuple[str, Mapping[str, Any]]]:
    shown = {"system": "this index"}
    return [(shown.get(name, name), measures) for name, measures in found.beyond.items()]


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


def blend(tuned: TunedBlend) -> list[str]:
    """One line for each situation that was looked at."""
    lines = []
    for name, one in tuned.situations.items():
        weights = ", ".join(f"{signal} {w:.2g}" for signal, w in one.situation.weights.items())
        before, after = one.figures["ndcg@10 default"], one.figures["ndcg@10 kept"]
        trees = " and trees" if one.trees else ""
        lines.append(
            f"blend for {name}: fitted weights{trees}, ndcg@10 {before:.3f} -> {after:.3f} on "
            f"{one.figures['people']:,} people not fitted on ({weights})"
        )
    return lines + [f"blend for {name}: defaults, {why}" for name, why in tuned.left_out.items()]
