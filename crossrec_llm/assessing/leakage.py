"""What would make a measurement better than the truth: copies, and times that are none."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from crossrec_llm.assessing.findings import Finding, found, part, shown
from crossrec_llm.evaluation.words import counted
from crossrec_llm.tables import Catalogue, Histories
from crossrec_llm.tables.clock import no_clock
from crossrec_llm.tables.events import REAL_TIME

LONG_HISTORY = 5  # two people with the same so many items in the same order are hardly two
REPEATS = 2.0  # so many times as many copies as the log's own repeats explain are a leak
LEAKS = (
    "found through a twin",
    "people twice",
    "held out, and in the log",
    "held out, its twin in the log",
    "log goes on after it",
)
"""The checks whose bad findings mean that something hidden is known."""

_DAY = 86_400.0


def leakage(
    catalogue: Catalogue, events: pa.Table, histories: Histories, twins: np.ndarray
) -> tuple[Finding, ...]:
    """Look at the log alone.

    Parameters
    ----------
    events : EVENTS_SCHEMA, on items of the catalogue.
    twins : (n_items,) int64 equal for items with the same text.
    """
    return (
        _twins_in_histories(catalogue, histories, twins),
        _people_twice(histories),
        *_times(events),
        _toss_ups(histories),
    )


def _twins_in_histories(catalogue: Catalogue, histories: Histories, twins: np.ndarray) -> Finding:
    """People whose last item is in their history under another id: it is found by its text."""
    examples, hit, asked = [], 0, 0
    for user in range(len(histories)):
        rows, weights, _ = histories.history(user)
        rows = rows[weights > 0]
        if len(rows) < 2:
            continue
        asked += 1
        same = np.flatnonzero(twins[rows[:-1]] == twins[rows[-1]])
        if len(same):
            hit += 1
            one, other = (catalogue.ids[rows[at]] for at in (int(same[0]), -1))
            examples.append(f"{histories.user_ids[user]}: {one} and {other}")
    people = part(hit, asked, "person", "people")
    words = f"{people} took their last item before, as another id with the same text"
    return found("found through a twin", hit / max(asked, 1), words, examples)


def _people_twice(histories: Histories) -> Finding:
    """People who are one another's copy; a leave-last-out split finds the item in the copy."""
    first: dict[bytes, str] = {}
    examples, copies = [], 0
    for user, user_id in enumerate(histories.user_ids):
        rows, weights, _ = histories.history(user)
        if len(rows) >= LONG_HISTORY:
            content = rows.tobytes() + np.sign(weights).tobytes()
            other = first.setdefault(hashlib.sha256(content).digest(), user_id)
            if other != user_id:
                copies += 1
                examples.append(f"{other} and {user_id}, {len(rows)} items")
    words = (
        f"{part(copies, len(histories), 'person', 'people')} have the same {LONG_HISTORY} or more "
        "items in the same order as somebody else"
    )
    return found("people twice", copies / max(len(histories), 1), words, examples)


def _times(events: pa.Table) -> list[Finding]:
    """Whether the timestamps are times, and of which kind."""
    clock = np.asarray(events["timestamp"].to_numpy(), np.float64)
    known = np.isfinite(clock)
    n, missing = len(clock), int((~known).sum())
    words = f"{part(missing, n, 'event')} have no time"
    findings = [found("no time", missing / max(n, 1), words)]
    clock = clock[known]
    if not len(clock):
        return findings
    if problem := no_clock(events):
        means = "so there is no cut in time, people's last items are hidden instead"
        findings.append(Finding("one clock for all", "look", problem, means))
    findings.append(_odd_times(clock))
    findings.append(_future(clock))
    return findings


def _odd_times(clock: np.ndarray) -> Finding:
    """Positions among times, and dates that were written as one number."""
    dates = _are_dates(clock)
    odd = clock < REAL_TIME
    if dates.mean() > 0.5:
        words = (
            f"{part(int(dates.sum()), len(clock), 'time')} look like dates written as one number "
            f"({clock[dates][0]:.0f})"
        )
        means = "their order is right, their distances are not; write them as 2024-01-31"
        return Finding("time of another kind", "bad", words, means, float(dates.mean()))
    if odd.all():
        return found("time of another kind", 0.0, "all timestamps are of one kind: positions")
    words = f"{part(int(odd.sum()), len(clock), 'timestamp')} lie before 1980, the others later"
    examples = [f"{value:.0f}" for value in clock[odd][:3]]
    return found("time of another kind", float(odd.mean()), words, examples)


def _are_dates(clock: np.ndarray) -> np.ndarray:
    """(n,) bool: numbers like 20240131."""
    whole = (clock == np.floor(clock)) & (clock >= 19_000_101) & (clock <= 21_001_231)
    number = np.where(whole, clock, 0).astype(np.int64)
    month, day = number // 100 % 100, number % 100
    dates: np.ndarray = whole & (month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)
    return dates


def _future(clock: np.ndarray) -> Finding:
    """Times after today; a later event has nothing to be compared with."""
    late = np.flatnonzero(clock > time.time() + _DAY)
    words = f"{part(len(late), len(clock), 'timestamp')} lie in the future"
    examples = [str(np.datetime64(int(min(value, 1e11)), "s")) for value in clock[late[:3]]]
    return found("in the future", len(late) / len(clock), words, examples)


def _toss_ups(histories: Histories) -> Finding:
    """People whose newest items share a time: which of them is the last is chance."""
    ends = histories.indptr[1:]
    long = np.diff(histories.indptr) > 1
    last, before = histories.timestamps[ends[long] - 1], histories.timestamps[ends[long] - 2]
    ties = int((last == before).sum())
    words = (
        f"{part(ties, int(long.sum()), 'person', 'people')} have two newest items of the same time "
        "(one basket, one day)"
    )
    return found("last item is a toss-up", ties / max(int(long.sum()), 1), words)


def held_out(
    catalogue: Catalogue, events: pa.Table, test: pa.Table, twins: np.ndarray
) -> tuple[Finding, ...]:
    """Compare a log with the events that were held out of it.

    A (person, item) pair in both is a copy, unless people take things again: up to REPEATS times
    the share of repeats in the log itself is taken for that. A row with the same time too is
    always a copy.
    """
    width = np.int64(len(catalogue) + 1)
    people = {name: code for code, name in enumerate(events["user_id"].unique().to_pylist())}
    names = test["user_id"].to_pylist()
    for name in names:
        people.setdefault(name, len(people))

    def keys(table: pa.Table, of_row: np.ndarray) -> np.ndarray:
        owner = np.array([people[name] for name in table["user_id"].to_pylist()], np.int64)
        return owner * width + of_row[catalogue.rows(table["item_id"])]

    own = np.arange(len(catalogue))
    log, asked = keys(events, own), keys(test, own)
    copied = np.isin(asked, log)
    twin = np.isin(keys(test, twins), keys(events, twins)) & ~copied
    when = np.asarray(test["timestamp"].to_numpy(), np.float64)
    exact = copied & _same_rows(log, events, asked, when)
    repeats = 1 - len(np.unique(log)) / max(len(log), 1)
    n = max(len(test), 1)
    ids = test["item_id"].to_pylist()

    def examples(mask: np.ndarray) -> Sequence[str]:
        return shown([f"{names[i]} took {ids[i]}" for i in np.flatnonzero(mask)[:3]])

    return (
        _copies(copied, exact, repeats, n, examples(exact if exact.any() else copied)),
        found(
            "held out, its twin in the log",
            twin.sum() / n,
            f"{part(int(twin.sum()), n, 'held-out event')} are in the log as another id with the "
            "same text",
            examples(twin),
        ),
        _goes_on(events, test, people),
    )


def _same_rows(
    log: np.ndarray, events: pa.Table, asked: np.ndarray, when: np.ndarray
) -> np.ndarray:
    """(n,) bool: held-out rows that the log has with the same known time."""
    clock = np.asarray(events["timestamp"].to_numpy(), np.float64)
    there = set(zip(log.tolist(), clock.tolist(), strict=True))  # NaN is equal to nothing
    return np.array([pair in there for pair in zip(asked.tolist(), when.tolist(), strict=True)])


def _copies(
    copied: np.ndarray, exact: np.ndarray, repeats: float, n: int, examples: Sequence[str]
) -> Finding:
    count, rows = int(copied.sum()), int(exact.sum())
    words = f"{part(count, n, 'held-out event')} are in the log too, {rows:,} with the same time"
    natural = rows == 0 and count / n <= REPEATS * repeats
    if count and natural:
        means = f"{repeats:.1%} of the log are repeats, so people may have taken them again"
        limit = f"bad above {REPEATS:g} times the log's own share of repeats"
        return Finding(
            "held out, and in the log", "look", words, means, count / n, limit, tuple(examples)
        )
    return found("held out, and in the log", count / n, words, examples)


def _goes_on(events: pa.Table, test: pa.Table, people: dict[str, int]) -> Finding:
    """Held-out people whose log has events later than their first held-out one."""
    latest = np.full(len(people), -np.inf)
    earliest = np.full(len(people), np.inf)
    for table, into, reduce in ((events, latest, np.maximum), (test, earliest, np.minimum)):
        clock = np.asarray(table["timestamp"].to_numpy(), np.float64)
        owner = np.array([people[name] for name in table["user_id"].to_pylist()], np.int64)
        known = np.isfinite(clock)
        reduce.at(into, owner[known], clock[known])
    asked = np.isfinite(earliest)
    later = asked & (latest > earliest)
    names = list(people)
    who = part(int(later.sum()), int(asked.sum()), "held-out person", "held-out people")
    words = f"{who} have events in the log after their first held-out one"
    if not asked.any():
        words = f"{counted(len(test), 'held-out event')}, none with a time to compare"
    examples = [names[i] for i in np.flatnonzero(later)[:3]]
    return found("log goes on after it", later.sum() / max(int(asked.sum()), 1), words, examples)
