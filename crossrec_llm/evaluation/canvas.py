"""One plot as an SVG element that takes its colours and its font from the page."""

from __future__ import annotations

import io
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from crossrec_llm.errors import MissingExtra

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.axes import Axes

# matplotlib draws in colours that stand for those of the page, and with stand-ins for
# the labels, so that no text is ever read as mathematics or measured in a font that lacks it.

INK, MUTED, GRID, PAPER = "#000001", "#000002", "#000003", "#000004"
SIDES = {"ahead": "#000005", "behind": "#000006", "even": MUTED}
SERIES = [f"#0000{16 + i:02x}" for i in range(8)]
OWN = SERIES[0]
_NAMES = {INK: "currentColor", MUTED: "var(--muted)", GRID: "var(--grid)"}
_NAMES |= {PAPER: "var(--paper)", "#000005": "var(--good)", "#000006": "var(--bad)"}
_NAMES |= {colour: f"var(--line-{i})" for i, colour in enumerate(SERIES)}
_STYLE: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": GRID,
    "axes.labelcolor": INK,
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.size": 12,
    "grid.color": GRID,
    "svg.fonttype": "none",
    "svg.hashsalt": "crossrec",
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": GRID,
    "xtick.labelcolor": INK,
    "xtick.major.size": 0,
    "ytick.color": GRID,
    "ytick.labelcolor": INK,
    "ytick.major.size": 0,
}
_EM = 7.2  # pixels that a character of 12 takes on average
Paint = Callable[["Axes", Callable[[str], str]], None]


@dataclass(frozen=True)
class Frame:
    """Pixels of a plot, and of its edges left, top, right and bottom of the axes."""

    width: float
    height: float
    edges: tuple[float, float, float, float]


@dataclass(frozen=True)
class Plot:
    title: str
    svg: Markup


def draw(name: str, title: str, told: str, frame: Frame, paint: Paint) -> Plot:
    """An SVG element with a title and a description.

    Parameters
    ----------
    name : its ids start with it; no two plots of a page share one.
    told : what it shows, for who cannot see it.
    paint : draws on the axes; what its second argument gives for a text is the label to use.
    """
    from markupsafe import Markup, escape

    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtra("matplotlib", "report") from error
    texts: list[str] = []

    def label(text: str) -> str:
        texts.append(text)
        return f"@{len(texts) - 1}@"

    left, top, right, bottom = frame.edges
    across, up = frame.width - left - right, frame.height - top - bottom
    box = left / frame.width, bottom / frame.height, across / frame.width, up / frame.height
    file = io.StringIO()
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        figure = Figure(figsize=(frame.width / 72, frame.height / 72), dpi=72)
        axes = figure.add_axes(box)
        paint(axes, label)
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    body = file.getvalue().partition("</metadata>")[2].partition("</defs>")[2]
    body = re.sub(r' font-family: [^;"]*;|<!--.*?-->', "", body, flags=re.DOTALL)
    body = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", body).replace("xlink:href", "href")
    body = re.sub(r"#0000[0-9a-f]{2}", lambda m: _NAMES.get(m[0], "currentColor"), body)
    body = re.sub(r"@(\d+)@", lambda m: str(escape(texts[int(m[1])])), body)
    svg = Markup(  # noqa: S704 - the names are ours, the rest is escaped
        f'<svg viewBox="0 0 {frame.width:g} {frame.height:g}" style="--width: {frame.width:g}px" '
        f'role="img" aria-labelledby="{name}-title {name}-told"><title id="{name}-title">'
        f'{escape(title)}</title><desc id="{name}-told">{escape(told)}</desc>{body}'
    )
    return Plot(title, svg)


def _columns(text: str) -> float:
    """How wide a text is, in average characters."""
    wide = [unicodedata.east_asian_width(c) in "WF" for c in text]
    return sum(2 if w else 1.3 if c.isupper() else 1 for c, w in zip(text, wide, strict=True))


def short(text: str, most: int) -> str:
    """At most so many columns wide."""
    if _columns(text) <= most:
        return text
    kept = next(n for n in range(most, -1, -1) if _columns(text[:n]) < most)
    return f"{text[:kept].rstrip()}…"


def pixels(text: str) -> float:
    """How wide a label is."""
    return _columns(text) * _EM
