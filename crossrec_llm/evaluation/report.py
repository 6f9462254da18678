"""An evaluation as one page that stands alone: a verdict, tables, plots, what the numbers mean.

`_page` reads the evaluation, the words are in report.html.jinja. A part that is missing, or that
holds no number, is left out.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from crossrec_llm.evaluation.canvas import Plot
from crossrec_llm.evaluation.plots import (
    Bridge,
    Estimate,
    Named,
    dots,
    heat,
    keys,
    number,
    rank,
    reliability,
    scatters,
    shown,
    tail_lines,
    title_of,
)
from crossrec_llm.evaluation.protocols import PROTOCOLS, telling
from crossrec_llm.evaluation.words import MINUS, signed
from crossrec_llm.store.files import disk_errors, write_atomically

_BRIDGES_SHOWN = 200
_WHO = {"search": "searches", "cases": "cases"}
_ONE = {"people": "person", "searches": "search", "categories": "category"}
# These change the direction of what follows; text that runs right to left needs none of them.
_OVERRIDES = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def write_report(evaluation: Mapping[str, Any], folder: Path) -> Path:
    """Write folder/index.html, which needs no other file, no host and no script.

    The same evaluation gives the same bytes, with the same version of matplotlib.

    Parameters
    ----------
    evaluation : `Evaluation.to_dict()`, or what its JSON holds.

    Raises
    ------
    MissingExtra : matplotlib is not installed.
    StoreUnavailable : the folder cannot be written.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "measure": title_of,
        "number": number,
        "of_count": lambda many, n: _ONE.get(many, many.removesuffix("s")) if n == 1 else many,
        "percent": lambda value: f"{signed(value, 1)} %",
        "plain": _plain,
        "shown": shown,
        "signed": _signed,
    }
    source = Path(__file__).with_name("report.html.jinja").read_text("utf-8")
    page = environment.from_string(source).render(_page(_clean(evaluation)))
    path = folder / "index.html"
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    write_atomically(path, page.encode())
    return path


def _page(found: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that the template shows."""
    systems = [
        (name, {m: of[m] for m in telling(str(found.get("protocol")), of)})
        for name, of in _systems(found)
    ]
    ahead, slices = _named(found, "ahead"), _named(found, "slices")
    groups = _groups(keys(systems), found.get("k"))
    main = groups[0][1] if groups else []
    differences = [m for m in keys(ahead) if m in main] or keys(ahead)
    own = dict(systems).get("system", {})
    # A loss is a ratio, which does not belong on the axis of the measure itself.
    parts = [(name, measures) for name, measures in slices if name != "warm_loss"]
    everybody = [("everybody", own)] if own else []
    bridges, tail = _bridges(found), _long_tail(found)
    return {
        **{name: found.get(name) for name in ("protocol", "k", "seed", "users")},
        **{name: _part(found, name) for name in ("data", "blend", "left_out", "seconds")},
        "who": _WHO.get(str(found.get("protocol")), "people"),
        "protocol_words": PROTOCOLS.get(str(found.get("protocol")), ""),
        "notes": [note for note in _list(found, "notes") if note],
        "verdict": _verdict(systems, ahead, differences),
        "systems": systems,
        "groups": groups,
        "plots": [dots(m, systems) for m in main],
        "ahead": ahead,
        "ahead_measures": keys(ahead),
        "ahead_plots": [dots(m, ahead, "difference") for m in differences],
        "scatters": scatters(systems, main),
        "beyond": _named(found, "beyond"),
        "slices": [(name, found["slices"][name].get("users"), m) for name, m in slices],
        "slice_measures": keys(slices),
        "slice_plots": [dots(m, everybody + parts, "slice") for m in keys(parts) if m in main],
        "tail": tail,
        "tail_plot": tail_lines(tail) if tail else None,
        "heat": heat(bridges),
        "bridges": bridges[:_BRIDGES_SHOWN],
        "bridge_count": len(bridges),
        "bridge_measures": keys([("", bridge.measures) for bridge in bridges]),
        "credibility": heat(_credibility(found), "credibility"),
        "reliability": _reliability(found),
        "worst": [row for row in _list(found, "worst") if isinstance(row, Mapping)],
        "controls": _measures(_part(found, "controls")),
        "recall": own.get(f"recall@{found.get('k')}"),
    }


def _clean(value: Any) -> Any:
    """The same without numbers that are none (they become None) and without what cannot be shown.

    Control characters, lone surrogates and overrides of the direction become U+FFFD.
    """
    if isinstance(value, str):
        value = re.sub(r"[\t\r\n]+", " ", value)
        hidden = (unicodedata.category(c) in ("Cc", "Cs") or c in _OVERRIDES for c in value)
        return "".join("\ufffd" if hide else c for c, hide in zip(value, hidden, strict=True))
    if isinstance(value, Mapping):
        return {_clean(str(name)): _clean(entry) for name, entry in value.items()}
    if isinstance(value, Sequence):
        return [_clean(entry) for entry in value]
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value) if math.isfinite(value) else None
    return None if value is None else _clean(str(value))


def _part(found: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = found.get(name)
    return part if isinstance(part, Mapping) else {}


def _list(found: Mapping[str, Any], name: str) -> list[Any]:
    rows = found.get(name)
    return rows if isinstance(rows, list) else []


def _estimate(raw: Any) -> Estimate | None:
    """Of a number, or of a value with or without its interval."""
    whole = raw if isinstance(raw, Mapping) else {"value": raw}
    read = [whole.get(name) for name in ("value", "low", "high")]
    value, low, high = (float(n) if isinstance(n, int | float) else None for n in read)
    if value is None:
        return None
    if low is None or high is None:
        low = high = value
    return Estimate(value, low, high)


def _measures(part: Mapping[str, Any]) -> dict[str, Estimate]:
    read = {name: _estimate(raw) for name, raw in part.items() if name != "users"}
    return {name: estimate for name, estimate in read.items() if estimate is not None}


def _named(found: Mapping[str, Any], name: str) -> Named:
    part = _part(found, name)
    read = [(entry, _measures(_part(part, entry))) for entry in part]
    return [(entry, measures) for entry, measures in read if measures]


def _systems(found: Mapping[str, Any]) -> Named:
    """The system, then the baselines, the best first."""
    own, baselines = _measures(_part(found, "system")), _named(found, "baselines")
    main = min(keys(baselines), key=rank, default="")
    baselines.sort(key=lambda named: -named[1][main].value if main in named[1] else math.inf)
    return [("system", own), *baselines] if own else baselines


def _groups(measures: Sequence[str], k: Any) -> list[tuple[str, list[str]]]:
    """(cut-off, its measures): the evaluation's own k first, then the others in ascending order."""
    groups: dict[str, list[str]] = {}
    for measure in measures:
        groups.setdefault(measure.partition("@")[2], []).append(measure)
    order = sorted(groups, key=lambda cut: (cut != str(k), len(cut), cut))
    return [(cut, sorted(groups[cut], key=rank)) for cut in order]


def _verdict(systems: Named, ahead: Named, measures: Sequence[str]) -> dict[str, Any] | None:
    """The system beside the best baseline of the first accuracy measure that both have.

    `unclear`: the other baselines that it is not ahead of beyond the interval.
    """
    values, differences = dict(systems), dict(ahead)
    for measure in sorted(measures, key=rank):
        rivals = [
            n for n, m in differences.items() if measure in m and measure in values.get(n, {})
        ]
        if not rivals or measure not in values.get("system", {}):
            continue
        best = max(rivals, key=lambda name: values[name][measure].value)
        other, by = values[best][measure], differences[best][measure]
        return {
            "measure": measure,
            "best": best,
            "own": values["system"][measure],
            "other": other,
            "by": by,
            "percent": 100 * by.value / other.value if other.value > 0 else None,
            "unclear": [n for n in rivals if n != best and differences[n][measure].side != "ahead"],
            "count": len(rivals),
        }
    return None


def _bridges(found: Mapping[str, Any]) -> list[Bridge]:
    """Most people first."""
    bridges = [
        Bridge(
            _plain(row.get("home")),
            _plain(row.get("target")),
            row["users"],
            _measures({name: row[name] for name in row if name not in ("home", "target")}),
        )
        for row in _list(found, "bridges")
        if isinstance(row, Mapping) and isinstance(row.get("users"), int)
    ]
    return sorted((b for b in bridges if b.measures), key=lambda b: (-b.users, b.home, b.target))


def _credibility(found: Mapping[str, Any]) -> list[Bridge]:
    """Pairs of categories, most people first."""
    bridges = [
        Bridge(
            _plain(row.get("home")),
            _plain(row.get("target")),
            row["evidence"],
            _measures({"credibility": {**row, "value": row.get("credibility")}}),
        )
        for row in _list(_part(found, "credibility"), "bridges")
        if isinstance(row, Mapping) and isinstance(row.get("evidence"), int)
    ]
    return sorted((b for b in bridges if b.measures), key=lambda b: (-b.users, b.home, b.target))


def _reliability(found: Mapping[str, Any]) -> Plot | None:
    bins = _list(_part(_part(found, "credibility"), "jumps"), "reliability")
    read = [tuple(row[:2]) for row in bins if isinstance(row, list) and len(row) == 3]
    known = [(p, share) for p, share in read if isinstance(p, float) and isinstance(share, float)]
    return reliability(known) if known else None


def _long_tail(found: Mapping[str, Any]) -> list[tuple[str, list[float]]]:
    part = _part(found, "long_tail")
    rows = [(name, [n for n in _list(part, name) if isinstance(n, int | float)]) for name in part]
    return [(name, shares) for name, shares in rows if len(shares) == 10]


def _signed(value: float) -> str:
    return ("+" if value > 0 else "") + number(value)


def _plain(value: Any) -> str:
    """Any value of an evaluation in words."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_plain(entry)}" for name, entry in value.items())
    if isinstance(value, list):
        return ", ".join(map(_plain, value))
    if value is None:
        return "unknown"
    if isinstance(value, str):
        return value
    return (f"{value:,.4g}" if isinstance(value, float) else f"{value:,}").replace("-", MINUS)
