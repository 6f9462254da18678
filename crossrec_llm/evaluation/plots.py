"""The plots of a report, as SVG that takes its colours and its font from the page."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from crossrec_llm.evaluation import words
from crossrec_llm.evaluation.canvas import (
    GRID,
    MUTED,
    OWN,
    PAPER,
    SERIES,
    SIDES,
    Frame,
    Plot,
    draw,
    pixels,
    short,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ACCURACY = ("ndcg", "recall", "hit", "mrr")
_TITLES = {"ndcg": "NDCG", "mrr": "MRR", "hit": "Hit rate", "ndcg_judged": "NDCG of judged"}
_LARGEST_MAP = 26
_DASHES: tuple[Any, ...] = ("-", "--", ":", "-.")
_WIDTH = 420


@dataclass(frozen=True)
class Estimate:
    """A value and its 95 % interval, which has no width where none is known."""

    value: float
    low: float
    high: float

    @property
    def side(self) -> str:
        """Of a difference: "ahead" or "behind" where the interval lies on one side of 0."""
        return "ahead" if self.low > 0 else "behind" if self.high < 0 else "even"


@dataclass(frozen=True)
class Bridge:
    home: str
    target: str
    users: int
    measures: dict[str, Estimate]


Named = list[tuple[str, dict[str, Estimate]]]


def rank(measure: str) -> int:
    """NDCG before recall before the rest."""
    name = measure.partition("@")[0]
    return _ACCURACY.index(name) if name in _ACCURACY else len(_ACCURACY)


def keys(named: Named) -> list[str]:
    """The measures of all, NDCG first."""
    return sorted({m: None for _, measures in named for m in measures}, key=rank)


def title_of(measure: str) -> str:
    name, at, cut = measure.partition("@")
    return _TITLES.get(name, name.replace("_", " ").capitalize()) + at + cut


def shown(name: str) -> str:
    return "crossrec" if name == "system" else name


def number(value: float) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return words.number(value, 4 if abs(value) < 1 else 2)


def _id(kind: str, measure: str) -> str:
    return f"{kind}-" + re.sub(r"[^A-Za-z0-9]", lambda m: f"-{ord(m[0]):x}", measure)


def _limits(values: Sequence[float]) -> tuple[float, float]:
    """Of an axis, a little wider than the values."""
    low, high = min(values), max(values)
    spare = (high - low) * 0.08 or abs(high) * 0.08 or 0.01
    return low - spare, high + spare


def _ticks(axes: Axes, which: Literal["x", "y"], most: int) -> None:
    axes.locator_params(axis=which, nbins=most)
    axes.ticklabel_format(axis=which, style="plain", useOffset=False)
    axes.grid(axis=which, linewidth=1)


def dots(
    measure: str, named: Named, kind: Literal["standing", "difference", "slice"] = "standing"
) -> Plot:
    """A dot with its interval for each name that has the measure.

    A standing is ordered by value, and a slice has the first name's value as a line through all;
    a difference has one at 0, and its dot is hollow where the interval holds 0.
    """
    rows = [(shown(name), measures[measure]) for name, measures in named if measure in measures]
    first = rows[0][0]
    if kind == "standing":
        rows.sort(key=lambda row: -row[1].value)
    names = [short(name, 30 if kind == "slice" else 22) for name, _ in rows]
    left = max(map(pixels, names)) + 14
    frame = Frame(_WIDTH, 27 * len(rows) + 40, (left, 8, 14, 32))

    def paint(axes: Axes, label: Callable[[str], str]) -> None:
        line = {"slice": rows[0][1].value, "difference": 0.0, "standing": None}[kind]
        ends = [end for _, estimate in rows for end in (estimate.low, estimate.high)]
        axes.set_xlim(*_limits(ends if line is None else [*ends, line]))
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_yticks(range(len(rows)), [label(name) for name in names])
        _ticks(axes, "x", 5)
        if line is not None:
            axes.axvline(line, color=MUTED, linewidth=1)
        for y, (name, estimate) in enumerate(rows):
            colour = OWN if name == first else MUTED
            if kind == "difference":
                colour = SIDES[estimate.side]
            hollow = kind == "difference" and estimate.side == "even"
            axes.plot([estimate.low, estimate.high], [y, y], color=colour, linewidth=2.5)
            face = PAPER if hollow else colour
            axes.plot(estimate.value, y, "o", color=colour, markerfacecolor=face, markersize=8)

    best, worst = (pick(rows, key=lambda row: row[1].value) for pick in (max, min))
    told = f"Highest: {best[0]}, {number(best[1].value)}. Lowest: {worst[0]}, "
    told += f"{number(worst[1].value)}. The table of this section has all numbers."
    of = {"standing": "", "difference": ", crossrec minus baseline", "slice": " by slice"}
    return draw(_id(kind, measure), title_of(measure) + of[kind], told, frame, paint)


def scatters(systems: Named, main: Sequence[str]) -> list[Plot]:
    """The first accuracy measure against diversity and novelty, where two systems have both."""
    found = []
    for measure in main:
        if measure.partition("@")[0] in ("diversity", "novelty") and rank(main[0]) < 2:
            points = [
                (short(shown(name), 22), m[measure].value, m[main[0]].value)
                for name, m in systems
                if measure in m and main[0] in m
            ]
            if len(points) > 1:
                found.append(_scatter(measure, main[0], points))
    return found


def _scatter(across: str, up: str, points: Sequence[tuple[str, float, float]]) -> Plot:
    frame = Frame(_WIDTH, 320, (62, 12, 14, 52))
    x_limits, y_limits = _limits([x for _, x, _ in points]), _limits([y for *_, y in points])
    size = (frame.width - 76, frame.height - 64)
    points_at = [
        (
            (x - x_limits[0]) / (x_limits[1] - x_limits[0]) * size[0],
            (y - y_limits[0]) / (y_limits[1] - y_limits[0]) * size[1],
        )
        for _, x, y in points
    ]
    places = _places(points_at, [pixels(name) for name, _, _ in points], size)

    def paint(axes: Axes, label: Callable[[str], str]) -> None:
        axes.set_xlim(*x_limits)
        axes.set_ylim(*y_limits)
        axes.set_xlabel(label(title_of(across)))
        axes.set_ylabel(label(title_of(up)), rotation_mode="anchor")
        for which in ("x", "y"):
            _ticks(axes, which, 5)
        for (name, x, y), place in zip(points, places, strict=True):
            colour = OWN if name == "crossrec" else MUTED
            axes.plot(x, y, "o", color=colour, markersize=9)
            axes.annotate(
                label(name), (x, y), place, textcoords="offset points", va="center", ha="left"
            )

    told = "; ".join(f"{name}: {number(x)}, {number(y)}" for name, x, y in points)
    title = f"{title_of(up)} against {title_of(across)}"
    return draw(_id("scatter", across), title, told, frame, paint)


def _places(
    points: Sequence[tuple[float, float]], widths: Sequence[float], size: tuple[float, float]
) -> list[tuple[float, float]]:
    """Where each label starts, in pixels from its point: where it hides least of what is there.

    Boxes are (left, bottom, right, top); each label in turn takes the best of ten places.
    """
    taken = [(x - 7, y - 7, x + 7, y + 7) for x, y in points]
    places = []
    for (x, y), width in zip(points, widths, strict=True):
        sides = [(11.0, 0.0), (-width - 11, 0.0)]
        sides += [(-width * part, dy) for dy in (17.0, -17.0, 32.0, -32.0) for part in (0.5, 0.05)]

        def hidden(
            side: tuple[float, float], x: float = x, y: float = y, w: float = width
        ) -> float:
            box = (x + side[0], y + side[1] - 8, x + side[0] + w, y + side[1] + 8)
            out = max(0, -box[0]) + max(0, box[2] - size[0])
            out += max(0, -box[1]) + max(0, box[3] - size[1])
            return 20 * out + sum(
                max(0, min(box[2], b[2]) - max(box[0], b[0]))
                * max(0, min(box[3], b[3]) - max(box[1], b[1]))
                for b in taken
            )

        best = min(sides, key=hidden)
        left, middle = x + best[0], y + best[1]
        taken.append((left, middle - 8, left + width, middle + 8))
        places.append(best)
    return places


def tail_lines(tail: Sequence[tuple[str, Sequence[float]]]) -> Plot:
    """Shares of the recommendations over tenths of the items, with a legend below."""
    rows = [(short(shown(name), 22), shares) for name, shares in tail[: len(SERIES)]]
    legend = (len(rows) + 2) // 2 * 22
    frame = Frame(_WIDTH + 80, 300 + legend, (56, 12, 14, 60 + legend))

    def paint(axes: Axes, label: Callable[[str], str]) -> None:
        from matplotlib.lines import Line2D

        axes.set_xlim(0.7, 10.3)
        axes.set_xticks(range(1, 11))
        _ticks(axes, "y", 6)
        axes.set_xlabel(label("tenth of the items, most popular first"))
        axes.set_ylabel(label("share of the recommendations"), rotation_mode="anchor")
        lines = [(name, shares, SERIES[i], _DASHES[i % 4]) for i, (name, shares) in enumerate(rows)]
        lines.append(("an even spread", [0.1] * 10, MUTED, (0, (1, 3))))
        for i, (name, shares, colour, dash) in enumerate(lines):
            width = 2 if i else 3.2
            axes.plot(range(1, 11), shares, linestyle=dash, color=colour, linewidth=width)
            x, y = (56 + i % 2 * 220) / frame.width, (legend - 8 - i // 2 * 22) / frame.height
            key = [x, x + 34 / frame.width], [y, y]
            axes.figure.add_artist(Line2D(*key, linestyle=dash, color=colour, linewidth=width))
            axes.figure.text(x + 42 / frame.width, y, label(name), va="center")

    heads = "; ".join(f"{name}: {number(float(shares[0]))}" for name, shares in rows)
    told = f"Share that falls on the most popular tenth: {heads}. Even would be 0.1."
    return draw("tail", "Recommendations over the catalogue", told, frame, paint)


def reliability(bins: Sequence[tuple[float, float]]) -> Plot:
    """The share that was taken against the probability, a dot for each bin, and the diagonal."""
    frame = Frame(_WIDTH, 320, (62, 12, 14, 52))
    most = max(max(both) for both in bins) * 1.08 or 1.0

    def paint(axes: Axes, label: Callable[[str], str]) -> None:
        axes.set_xlim(0, most)
        axes.set_ylim(0, most)
        axes.set_xlabel(label("probability"))
        axes.set_ylabel(label("share that was taken"), rotation_mode="anchor")
        for which in ("x", "y"):
            _ticks(axes, which, 5)
        axes.plot([0, most], [0, most], color=MUTED, linewidth=1)
        across, up = zip(*bins, strict=True)
        axes.plot(across, up, "o-", color=OWN, linewidth=1.5, markersize=8)

    told = "; ".join(f"{number(p)}: {number(share)}" for p, share in bins)
    return draw("reliability", "Probability of a jump's items", told, frame, paint)


def heat(bridges: Sequence[Bridge], called: str = "heat") -> dict[str, Any] | None:
    """The map home -> target category of the largest categories, and how many they are of all.

    `called` : the `name` of `draw`.
    """
    measure = min(
        keys([("", b.measures) for b in bridges]),
        key=lambda m: (not m.startswith("recall"), rank(m)),
        default="",
    )
    people: dict[str, int] = {}
    for bridge in bridges:
        for name in {bridge.home, bridge.target}:
            people[name] = people.get(name, 0) + bridge.users
    names = sorted(people, key=lambda name: (-people[name], name))
    shown = names if len(names) <= _LARGEST_MAP else names[: _LARGEST_MAP - 1]
    cells = [b for b in bridges if {b.home, b.target} <= set(shown) and measure in b.measures]
    if not cells:
        return None
    side = 58 if len(shown) <= 8 else 46 if len(shown) <= 16 else 38
    labels = [short(name, 24) for name in shown]
    edge = max(map(pixels, labels)) + 14
    frame = Frame(edge + side * len(shown) + 8, edge + side * len(shown) + 8, (edge, edge, 8, 8))
    most = max(cell.measures[measure].value for cell in cells)

    def paint(axes: Axes, label: Callable[[str], str]) -> None:
        from matplotlib.patches import Rectangle

        n = len(shown)
        axes.set_xlim(0, n)
        axes.set_ylim(n, 0)
        axes.spines["bottom"].set_visible(False)
        axes.xaxis.tick_top()
        axes.set_xticks([i + 0.5 for i in range(n)], [label(name) for name in labels])
        axes.tick_params(axis="x", pad=4)
        for text in axes.get_xticklabels():
            text.set(rotation=90, rotation_mode="anchor", ha="left", va="center")
        axes.set_yticks([i + 0.5 for i in range(n)], [label(name) for name in labels])
        for cell in cells:
            x, y, value = shown.index(cell.target), shown.index(cell.home), cell.measures[measure]
            strength = 0.06 + 0.42 * value.value / most if most > 0 else 0.06
            axes.add_patch(Rectangle((x, y), 1, 1, facecolor=OWN, alpha=strength, linewidth=0))
            axes.text(
                x + 0.5, y + 0.36, f"{100 * value.value:.1f}", size=11, ha="center", va="center"
            )
            axes.text(x + 0.5, y + 0.75, f"{cell.users:,}", size=9, ha="center", va="center")
        for i in range(n + 1):
            axes.plot([0, n], [i, i], color=GRID, linewidth=1)
            axes.plot([i, i], [0, n], color=GRID, linewidth=1)

    best = max(cells, key=lambda cell: cell.measures[measure].value)
    told = f"Highest from {best.home} to {best.target}: {number(best.measures[measure].value)}. "
    told += "The table below has all numbers."
    title = f"{title_of(measure)} in per cent, home category to target category"
    plot = draw(called, title, told, frame, paint)
    return {"plot": plot, "measure": measure, "shown": len(shown), "of": len(names)}
