"""The golden figures of relevance: docs/relevance.json, and the page made of it.

`scripts/bench relevance --update` writes the file, scripts/docs.py the page.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from crossrec_llm.evaluation.words import number
from crossrec_llm.store.files import write_atomically

SHOWN = ("recall@10", "ndcg@10", "ndcg_judged@10", "recall@100")


def entry_of(
    data: str, protocol: str, options: Mapping[str, Any], found: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """What is kept of the evaluations (`Evaluation.to_dict`) of one trial: means over its seeds."""

    def means(place: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> dict[str, list[float]]:
        kept = {}
        for measure in place(found[0]):
            each = [place(evaluation)[measure] for evaluation in found]
            if measure in SHOWN and all(each):
                ends = [[one[end] for end in ("value", "low", "high")] for one in each]
                kept[measure] = [round(float(x), 5) for x in np.mean(ends, axis=0)]
        return kept

    rows = {"index": means(lambda e: e["system"])}
    for name in found[0]["baselines"]:
        rows[name] = means(lambda e, name=name: e["baselines"][name])  # type: ignore[misc]
    for name in found[0]["slices"]:
        if protocol == "cold-items" and name.startswith(("cold_only", "warm")):
            rows[name] = means(lambda e, name=name: e["slices"][name])  # type: ignore[misc]
    controls = found[0]["controls"] or {}
    return {
        "data": data,
        "protocol": protocol,
        "options": {k: v for k, v in options.items() if k != "only"},
        "seeds": len(found),
        "people": found[0]["users"],
        "rows": {name: row for name, row in rows.items() if row},
        "controls": {name: value for name, value in controls.items() if value is not None},
    }


def update(path: Path, entries: Iterable[Mapping[str, Any]]) -> list[str]:
    """Put entries in the place of older ones of the same trial; what moved beyond its interval."""
    known = {_key(entry): entry for entry in json.loads(path.read_text())} if path.exists() else {}
    moved = []
    for entry in entries:
        before = known.get(_key(entry), entry)["rows"]
        for row, measures in entry["rows"].items():
            for measure, (value, *_) in measures.items():
                old, low, high = before.get(row, measures).get(measure, (value, value, value))
                if not low <= value <= high:
                    moved.append(f"{_key(entry)}, {row}, {measure}: {old:.4f} -> {value:.4f}")
        known[_key(entry)] = entry
    write_atomically(path, (json.dumps(list(known.values()), indent=1) + "\n").encode())
    return moved


def page(path: Path) -> Iterator[str]:
    """The lines of docs/relevance.md."""
    yield "# Relevance, measured"
    yield ""
    yield "<!-- Written by scripts/docs.py from docs/relevance.json; change it there. -->"
    yield ""
    yield "Default recipe, all-MiniLM-L6-v2 as it is, the whole catalogue ranked; means and 95 %"
    yield "intervals over people (several seeds: means of both). `scripts/bench relevance --update`"
    yield "measures all of it again and says what moved; the words are those of"
    yield "[evaluation.md](evaluation.md)."
    for entry in json.loads(path.read_text()):
        options = ", ".join(f"{name} {value}" for name, value in entry["options"].items())
        seeds = f", {entry['seeds']} seeds" if entry["seeds"] > 1 else ""
        measures = list(entry["rows"]["index"])
        yield from ("", f"## {_key(entry)}", "")
        yield f"{entry['people']:,} cases{seeds}{', ' if options else ''}{options}."
        yield from ("", f"| | {' | '.join(measures)} |", f"|---|{'---|' * len(measures)}")
        for name, row in entry["rows"].items():
            cells = (_cell(row.get(measure)) for measure in measures)
            yield f"| {name} | {' | '.join(cells)} |"
        if entry["controls"]:
            words = ", ".join(f"{n} {v:.4f}" for n, v in entry["controls"].items())
            yield from ("", f"Recall@10 of controls: {words}.")


def _key(entry: Mapping[str, Any]) -> str:
    thorough = ", tuned thoroughly" if entry["options"].get("thorough") else ""
    return f"{entry['data']}, {entry['protocol']}{thorough}"


def _cell(interval: Sequence[float] | None) -> str:
    if interval is None:
        return ""
    value, low, high = (re.sub(r"\b0\.", ".", number(x)) for x in interval)
    return f"{value} ({low} to {high})"
