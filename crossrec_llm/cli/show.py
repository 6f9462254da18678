"""Tables, notes and progress on a terminal; JSON for machines."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from crossrec_llm.records import CATEGORY_SEPARATOR, Audience, Recommendations

if TYPE_CHECKING:
    from crossrec_llm.answering import Bridges, BridgesOptions, Tuned, TunedBlend
    from crossrec_llm.cli.options import Output
    from crossrec_llm.comparing import Comparison, Place, Replay
    from crossrec_llm.live import LiveReport
    from crossrec_llm.profiles import Profile
    from crossrec_llm.safekeeping import Copied
    from crossrec_llm.store import ErasureReceipt

PLAIN_WIDTH = 120

_ERASED = {"user": ("person", "people"), "item": ("item", "items")}


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
    text = printable(text)
    return text if len(text) <= 200 else f"{text[:197]}..."


def printable(text: str) -> str:
    """Without what could steer a terminal."""
    return "".join(char if char.isprintable() else " " for char in text)


def notes(lines: Iterable[str | None], quiet: bool) -> None:
    """Labels and shortfalls, on stderr."""
    for line in () if quiet else lines:
        if line:
            print(f"note: {line}", file=sys.stderr)


def say(line: str) -> None:
    """A plain line, never interpreted as markup."""
    print(line)


def copied(what: str, made: Copied, output: Output) -> None:
    """What a backup or a restored index holds."""
    if output.json:
        return print_json(made.to_dict())
    say(
        f"{what}: {made.folder}, generation {made.generation}, change {made.change:,}: "
        f"{made.items:,} items, {made.users:,} users, {made.events:,} events; verified, "
        f"{made.bytes / 2**20:,.1f} MB in {made.seconds:.1f} s"
    )
    notes(made.notes, output.quiet)


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
        marks = [mark for mark, on in (("across", r.cross), ("new", r.cold)) if on]
        # The number says which interest; the rule, that it would not have come without it.
        marks += [f"interest {r.interest}"] if r.interest else []
        for mark in (*marks, *(plain(rule) for rule in r.rules if rule != "interest")):
            name.append(f" [{mark}]", "magenta")
        reasons = [f"{x.share:4.0%} {plain(x.text)}" for x in r.reasons]
        why = Text("\n".join(reasons) if explain else plain(r.why))
        if explain:
            signals = "  ".join(f"{key} {value:.3f}" for key, value in r.signals.items())
            why.append(f"\n{signals}", "dim")
        price = "" if r.item.price is None else f"{r.item.price:,.2f}"
        table.add_row(str(r.rank), name, Text(_short(r.item.category)), price, why)
    told = [
        Text(f"Interest {n}, {one['share']:.0%}: {plain(one['name'])}", "magenta")
        for n, one in enumerate(answer.query.get("interests", ()), 1)
    ]
    print_rich(Text(plain(title), "bold"), *told, *([table] if answer.items else []))
    notes((*answer.notes, answer.shortfall), quiet)


def profile(found: Profile) -> None:
    """What is known of a person: interests, corrections, and the history, newest first."""
    from rich.table import Table
    from rich.text import Text

    lines = [Text(plain(f"{found.user_id}: {len(found.history)} items that count"), "bold")]
    for n, one in enumerate(found.interests, 1):
        lines.append(Text(f"Interest {n}, {one.share:.0%}: {plain(one.name)}", "magenta"))
    lines += [Text(plain(f"{one.number}. {one}"), "yellow") for one in found.corrections]
    table = Table(box=None, pad_edge=False)
    for heading in ("share", "weight", "interest"):
        table.add_column(heading, justify="right")
    table.add_column("item, newest first", ratio=5, overflow="fold")
    table.add_column("category", ratio=4, style="cyan")
    for entry in (*found.history[::-1], *found.disliked):
        name = Text(plain(entry.item.title))
        name.append(f"  {entry.item.item_id}", "dim")
        name.append(" [disliked]" if entry.weight < 0 else "", "magenta")
        numbers = (f"{entry.share:.1%}", f"{entry.weight:.2f}", str(entry.interest or ""))
        table.add_row(*numbers, name, Text(_short(entry.item.category)))
    for item in found.struck:
        name = Text(plain(item.title))
        name.append(f"  {item.item_id}", "dim").append(" [struck]", "magenta")
        table.add_row("", "", "", name, Text(_short(item.category)))
    print_rich(*lines, *([table] if table.row_count else []))


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
    notes([*answer.notes, answer.shortfall], quiet)


def comparison(found: Comparison) -> None:
    """Two lists side by side, and what became of each item."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    table.add_column("before", justify="right")
    table.add_column("after", justify="right")
    table.add_column("item", overflow="fold")
    table.add_column("")
    for place in found.places:
        name = Text(plain(place.title))
        name.append(f"  {place.item_id}", "dim")
        ranks = ("" if rank is None else str(rank) for rank in (place.before, place.after))
        table.add_row(*ranks, name, _change(place))
    print_rich(*([table] if found.places else []))
    say(
        f"overlap@{found.k} {found.overlap:.2f}: "
        f"{len(found.moved)} moved, {len(found.new)} new, {len(found.gone)} gone"
    )


def _change(place: Place) -> str:
    if place.before is None:
        return "new"
    if place.after is None:
        return "gone"
    up = place.before - place.after
    return f"{'up' if up > 0 else 'down'} {abs(up)}" if up else ""


def replayed(found: Replay) -> None:
    """Whether an answer could be reproduced, and if not, why, and what is in its place."""
    receipt = found.before.receipt
    if found.reproduced:
        say(f"reproduced: the same {len(found.before)} items, scores and reasons")
    else:
        say(f"not reproduced: {plain('; '.join(found.differences))}")
    for cause in found.causes:
        say(f"  {plain(cause)}")
    if not (found.reproduced or found.causes):
        say(
            f"  generation {receipt.generation}, recipe, blend, version and history are the same: "
            "the file or the code was changed, or this machine computes otherwise"
        )
    if not found.comparison.same:
        comparison(found.comparison)


@contextmanager
def progress(quiet: bool) -> Iterator[Callable[[str, int, int], None] | None]:
    """A bar for the step that runs, on stderr when that is a terminal; None otherwise."""
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
            for other, task in tasks.items():
                bar.update(task, visible=other == step)
            bar.update(tasks[step], completed=done, total=total)

        yield report


def blend(tuned: TunedBlend) -> list[str]:
    """One line for each situation that was looked at."""
    if not (tuned.situations or tuned.left_out):
        why = "--no-tune, or tune = false under [blend] in the recipe"
        return [f"blend: defaults, not fitted because of {why}; `crossrec tune` fits it"]
    lines = [line for name, one in tuned.situations.items() for line in _fitted(name, one)]
    return lines + [f"blend for {name}: defaults, {why}" for name, why in tuned.left_out.items()]


def _fitted(name: str, one: Tuned) -> Iterator[str]:
    found = one.figures
    weights = ", ".join(f"{signal} {w:.2g}" for signal, w in one.situation.weights.items())
    what = "fitted weights" if found["weights kept"] else "default weights"
    trees = ""
    if one.trees:
        trees = " and trees" if found["weights kept"] else " and fitted trees"
    yield (
        f"blend for {name}: {what}{trees}, ndcg@10 {found['ndcg@10 default']:.3f} -> "
        f"{found['ndcg@10 kept']:.3f} on {found['people']:,} people not fitted on ({weights})"
    )
    for signal in one.situation.weights:
        if (without := found.get(f"ndcg@10 without {signal}")) is not None:
            yield (
                f"blend for {name}: {signal} stays, ndcg@10 {without:.4f} without it and "
                f"{found['ndcg@10 kept']:.4f} with it (error of the difference "
                f"{found[f'error of the gain by {signal}']:.4f})"
            )
    if found.get("cold weights kept"):
        yield (
            f"blend for {name}, new items: fitted weights, ndcg@10 "
            f"{found['cold ndcg@10 default']:.3f} -> {found['cold ndcg@10 weighted']:.3f} on "
            f"{found['cold people']:,} people, at a cost of {found['cost weighted']:.1%} for other "
            f"items (before {found['cost default']:.1%}, allowed {found['cost allowed']:.1%})"
        )


def bridges(
    fitted: Bridges, policy: Sequence[str], options: BridgesOptions, *, quiet: bool = False
) -> None:
    """One row a pair, the open ones first; what holds for the others, and how jumps did.

    `policy` says of each pair what the recipe holds back.
    """
    from rich.table import Table
    from rich.text import Text

    if not fitted.pairs:
        say(
            "no bridges were fitted: everything is open. They need people enough for a blend to be "
            "fitted (200 or so), and 50 who were seen in two categories"
        )
        return
    table = Table(box=None, pad_edge=False)
    policed = ("policy",) if any(policy) else ()
    for title in ("home", "target", "credibility", "95 %", "people", "by", "", *policed):
        table.add_column(title, justify="right" if title in ("credibility", "people") else "left")
    pairs = zip(fitted.pairs, policy, strict=True)
    for pair, said in sorted(
        pairs, key=lambda p: (not p[0].open, -p[0].credibility, p[0].home, p[0].target)
    ):
        table.add_row(
            Text(plain(pair.home)),
            Text(plain(pair.target)),
            f"{pair.credibility:.2f}",
            f"{pair.low:.2f} to {pair.high:.2f}",
            f"{pair.evidence:,}",
            pair.basis,
            "open" if pair.open else "closed",
            *((said,) if policed else ()),
        )
    print_rich(table)
    opened = sum(pair.open for pair in fitted.pairs)
    others = "open" if fitted.untested_open else "closed"
    say(f"{opened} of {len(fitted.pairs)} pairs are open; pairs that cannot be judged are {others}")
    if found := fitted.jumps.figures:
        say(
            f"jumps: of {found['items']:,} recommended items {found['precision']:.1%} were taken, "
            f"of the half with the highest probability {found['precision at half']:.1%}; "
            f"calibration error {found['ece']:.3f}"
        )
    notes([None if options.gate else "[bridges] gate is off: nothing is held back"], quiet)


def live(done: LiveReport, what: str, building: int | None, output: Output) -> None:
    """What a live change did, the rows it did not use, and what is due.

    `building` is the process that a build was started in, None = none was.
    """
    if output.json:
        return print_json({**done.to_dict(), "building": building})
    counts = ("added", "changed", "removed", "unchanged", "repeated", "rejected")
    told = [f"{n:,} {name}" for name in counts if (n := getattr(done, name))]
    say(f"{done.index}: {what}: {', '.join(told) or 'nothing to do'}")
    if output.quiet:
        return None
    for source in done.report.sources if done.report else ():
        for reject in source.examples:
            place = f"{plain(source.source)}:{reject.line}"
            print(f"rejected: {place}: {reject.reason}", file=sys.stderr)
    shown = sum(len(source.examples) for source in done.report.sources) if done.report else 0
    if done.rejected > shown:
        print(f"rejected: {done.rejected - shown:,} more", file=sys.stderr)
    started = f"a build was started in process {building}; build.log in the index says how it goes"
    notes([*done.notes, done.due.advice], output.quiet)
    notes([started if building else None], output.quiet)
    return None


def erasure(receipt: ErasureReceipt, output: Output) -> None:
    """The receipt of an erasure; exit 1 where a scan found something all the same."""
    if output.json:
        print_json(receipt.to_dict())
    else:
        lines = list(_erasure_lines(receipt))
        for line in (lines[0], lines[-1]) if output.quiet else lines:
            say(line)
    if receipt.scan and receipt.scan["hits"]:
        raise SystemExit(1)


def _erasure_lines(receipt: ErasureReceipt) -> Iterator[str]:
    """What was done first, the receipt last."""
    n, names = len(receipt.subjects), _ERASED[receipt.kind]
    what = names[n != 1]
    again = " (and what was cut off is finished)" if receipt.resumed else ""
    yield f"{n:,} {what} erased in {receipt.seconds['erased']:.1f} s{again}"
    for place, count in receipt.removed.items():
        yield f"  {place}: {count:,}"
    gone = ", ".join(receipt.generations_removed)
    yield f"generation {receipt.generation} answers; gone, also for a rollback: {gone}"
    yield "what had learned from them:"
    for one in receipt.learned:
        when = f" ({one.fitted_in})" if one.fitted_in else "; the next build fits it anew"
        yield f"  {one.part}: {one.holds}; {one.done}{when}"
    if receipt.to_fill:
        yield f"scanned until Chroma is filled again: {', '.join(receipt.to_fill)}"
    for place in receipt.out_of_reach:
        yield f"out of reach: {place}"
    if scan := receipt.scan:
        looked, found = sum(scan["traces"].values()), sum(scan["hits"].values())
        yield (
            f"{scan['files']:,} files, {scan['size'] / 1e6:,.0f} MB: of {looked:,} ids, texts and "
            f"vectors that only they had, {found:,} found"
        )
    yield f"receipt {receipt.number}, in the folder erasures of the index"


def left_out(signals: Mapping[str, str]) -> list[str]:
    """One line for each reason why signals could not be fitted; what is off is not missed."""
    from crossrec_llm.signals import OFF

    reasons: dict[str, list[str]] = {}
    for name, why in signals.items():
        if why != OFF:
            reasons.setdefault(why, []).append(name)
    return [f"without {', '.join(names)}: {why}" for why, names in reasons.items()]
