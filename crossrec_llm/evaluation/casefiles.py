"""Questions with known answers that come from files: published splits, judged searches."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from crossrec_llm.errors import DataError
from crossrec_llm.evaluation.protocols import Case, Split
from crossrec_llm.evaluation.words import counted
from crossrec_llm.filter import Filter
from crossrec_llm.tables import Catalogue, FormatOptions, near_matches
from crossrec_llm.tables.formats import read_source
from crossrec_llm.tables.raw import RawTable

CASE_COLUMNS = ("history", "targets", "candidates", "user_id")
QUERY_COLUMNS = ("query_id", "text")

_WRITTEN = "write them as JSON, or separated by | or spaces"


def read_cases(path: str | Path, catalogue: Catalogue, events: pa.Table, *, own_log: bool) -> Split:
    """Cases of a file (CSV, JSON lines or parquet), one a row.

    Columns: `history` (ids, oldest first) and `targets`; `candidates` narrows what may be in the
    list, `user_id` takes the person's targets out of the training part. A list is JSON, or ids
    separated by | or spaces.

    Parameters
    ----------
    events : what may be learned from.
    own_log : whether they are the index's own log, which may well hold the targets.

    Raises
    ------
    DataError : with file and line, a column or cell that cannot be used.
    """
    raw = _read(path, CASE_COLUMNS, needed=("history", "targets"))
    rows = zip(raw.table.to_pylist(), raw.lines.tolist(), strict=True)
    cases = [_case(row, f"case {i}", raw.source, line) for i, (row, line) in enumerate(rows, 1)]
    named = "user_id" in raw.table.column_names
    hidden = {(case.user_id, target) for case in cases if named for target in case.targets}
    if not cases:
        raise DataError("holds no case; one row a case is needed", source=raw.source)
    pairs = zip(events["user_id"].to_pylist(), events["item_id"].to_pylist(), strict=True)
    kept = np.fromiter((pair not in hidden for pair in pairs), bool, len(events))
    notes = _told(cases, catalogue)
    if own_log and not named and len(events):
        notes.append(
            "the index's own log was learned from: if it holds the targets the numbers are too "
            "good; give the training log with --log, or a column user_id"
        )
    return Split("cases", events.filter(pa.array(kept)), _known(cases, catalogue), tuple(notes))


def _case(row: Mapping[str, object], number: str, source: str, line: int) -> Case:
    history, targets, candidates = (
        _ids(row.get(name), source, line, name) for name in ("history", "targets", "candidates")
    )
    if not targets:
        raise DataError("no target; name at least one", source=source, line=line)
    filter = Filter(only=candidates) if candidates else Filter()
    user_id = str(row.get("user_id") or number)
    return Case(user_id, history, tuple(dict.fromkeys(targets)), filter)


def _told(cases: list[Case], catalogue: Catalogue) -> list[str]:
    """What of the cases cannot be used, counted."""
    targets = sum(item not in catalogue for case in cases for item in case.targets)
    outside = sum(_outside(case, catalogue) for case in cases)
    lost = sum(not any(item in catalogue for item in case.targets) for case in cases)
    items = sum(item not in catalogue for case in cases for item in case.history)
    empty = sum(not any(item in catalogue for item in case.history) for case in cases)
    seen = sum(bool(set(case.history) & set(case.targets)) for case in cases)
    told = (
        (targets, "target", "not in the catalogue, counted as missed"),
        (outside, "target", "outside the candidates of the row, counted as missed"),
        (lost, "case", "without a target in the catalogue: no answer can be right"),
        (items, "item", "of histories not in the catalogue: left out"),
        (empty, "case", "without a history left: answered with what is popular"),
        (seen, "case", "with a target in the history, which never comes again: counted as missed"),
    )
    return [f"{counted(count, one)} {words}" for count, one, words in told if count]


def _outside(case: Case, catalogue: Catalogue) -> int:
    """How many targets there are that the row's candidates leave out."""
    if case.filter.only is None:
        return 0
    candidates = set(case.filter.only)
    return sum(item in catalogue and item not in candidates for item in case.targets)


def _known(cases: list[Case], catalogue: Catalogue) -> tuple[Case, ...]:
    """The cases with those items of their histories that there are."""
    return tuple(
        replace(case, history=tuple(item for item in case.history if item in catalogue))
        for case in cases
    )


def read_queries(
    queries: str | Path, qrels: str | Path, catalogue: Catalogue, events: pa.Table
) -> Split:
    """Free texts (`query_id`, `text`) and judgements (TREC: query, 0, item, grade) as cases.

    Nothing is hidden: judgements are no part of what is learned from. A query without an item of
    grade above 0 cannot be measured and is left out.

    Raises
    ------
    DataError : with file and line, what cannot be read; or no query is left.
    """
    raw = _read(queries, QUERY_COLUMNS, needed=QUERY_COLUMNS)
    texts = dict(
        zip(*(map(str, raw.table[name].to_pylist()) for name in QUERY_COLUMNS), strict=True)
    )
    judged = _read_qrels(Path(qrels))
    cases, narrowed, missing = [], [], 0
    for query_id, text in texts.items():
        grades = judged.get(query_id, {})
        missing += sum(item not in catalogue for item in grades)
        wanted = {item: grade for item, grade in grades.items() if grade > 0}
        if not wanted or not text.strip():
            continue
        case = Case(query_id, (), tuple(wanted), text=text, grades=tuple(wanted.values()))
        cases.append(case)
        narrowed.append(replace(case, filter=Filter(only=tuple(grades))))
    if not cases:
        raise DataError(
            "no query of this file has a judged item of grade 1 or more; do the ids match?",
            source=str(queries),
        )
    left = len(texts) - len(cases)
    notes = [
        f"{left:,} of {counted(len(texts), 'query', 'queries')} left out: no judged item above "
        "grade 0",
        f"{counted(missing, 'judged item')} not in the catalogue, counted as missed",
    ]
    told = tuple(note for note, count in zip(notes, (left, missing), strict=True) if count)
    return Split("search", events, tuple(cases), told, {"judged": tuple(narrowed)})


def _read_qrels(path: Path) -> Mapping[str, dict[str, float]]:
    """Grades by query and item."""
    judged: dict[str, dict[str, float]] = {}
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot be read: {error}", source=str(path)) from error
    for number, line in enumerate(lines, 1):
        parts = line.split()
        if not parts:
            continue
        try:
            query, _, item, grade = parts
            judged.setdefault(query, {})[item] = float(grade)
        except ValueError as error:
            raise DataError(
                f"expected `query 0 item grade` as in TREC, not {line[:60]!r}",
                source=str(path),
                line=number,
            ) from error
    return judged


def _read(path: str | Path, wanted: tuple[str, ...], needed: tuple[str, ...]) -> RawTable:
    def choose(names: list[str]) -> list[str]:
        for name in needed:
            if name not in names:
                near = near_matches(name, names)
                hint = f"did you mean {near[0]!r}?" if near else f"there is {', '.join(names)}"
                raise DataError(f"no column {name!r}; {hint}", source=str(path), line=1)
        return [name for name in wanted if name in names]

    raw = read_source(path, str(path), FormatOptions(), choose)
    if raw.bad:
        bad = raw.bad[0]
        raise DataError(f"{bad.reason}: mend this line", source=raw.source, line=bad.line)
    return raw


def _ids(cell: object, source: str, line: int, column: str) -> tuple[str, ...]:
    """The ids of one cell."""
    values = cell if isinstance(cell, list) else _parsed(str(cell or "").strip())
    if not all(isinstance(v, str | int) and not isinstance(v, bool) for v in values):
        raise DataError(f"not a list of ids: {_WRITTEN}", source=source, line=line, column=column)
    return tuple(str(value) for value in values)


def _parsed(text: str) -> list[object]:
    """A written list; [None] for one in brackets that is no JSON."""
    if text.startswith("["):
        try:
            return list(json.loads(text))
        except ValueError:
            return [None]
    parts = text.split("|") if "|" in text else text.split()
    return [part.strip() for part in parts if part.strip()]
