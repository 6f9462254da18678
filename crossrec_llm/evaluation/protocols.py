"""What is hidden from the fit, and who is asked about it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa

from crossrec_llm.errors import DataError, QueryError
from crossrec_llm.evaluation.words import counted, people
from crossrec_llm.filter import Filter
from crossrec_llm.tables import Catalogue, Histories, HistoryOptions, near_matches
from crossrec_llm.tables.clock import cut_in_time
from crossrec_llm.tables.histories import without

PROTOCOLS = {
    "warm": "each person's last item is hidden; people with at least 3 items",
    "validation": "the same one item earlier, the last one left out: what tuning may look at",
    "temporal": "one cut in time for everybody: before it is learned from, after it asked for",
    "cold-items": "15 % of the items are hidden from everybody, and asked for as new ones",
    "cross-cold": "nobody's items of a target category are learned from; they are asked for",
    "cross-warm": "the same, hidden for a fifth of those who have items there and elsewhere",
    "search": "free texts with judged items",
    "cases": "a file of histories and the items that should come",
}

CROSSING = ("cross-cold", "cross-warm")
# Those that say nothing of a time that all share.
LAST_ITEMS = ("warm", "validation", "cold-items", *CROSSING)

COLD_SHARE = 0.15
HIDDEN_SHARE = 0.2
MOST_TARGETS = 10
LATER_SHARE = 0.2

_NOTHING = np.empty(0, np.int64)


def telling(protocol: str, measures: Iterable[str]) -> list[str]:
    """The measures that can differ; these two cannot where every list must cross."""
    fixed = ("calibration@", "cross_share@") if protocol in CROSSING else ()
    return [name for name in measures if not name.startswith(fixed)]


@dataclass(frozen=True)
class Case:
    """One question with a known answer.

    user_id : who asks; the case's number or the query's id where there is no person.
    history : item ids, oldest first.
    targets : the hidden ones.
    filter : what the question is asked with.
    text : the free text, "" without one.
    grades : of the targets, above 0; empty = all 1.
    """

    user_id: str
    history: tuple[str, ...]
    targets: tuple[str, ...]
    filter: Filter = Filter()
    text: str = ""
    grades: tuple[float, ...] = ()


@dataclass(frozen=True)
class Split:
    """What a protocol makes of a log.

    events : what may be learned from (EVENTS_SCHEMA).
    cases : what is asked.
    notes : what was hidden and left out, in words.
    beside : further cases by name, measured apart: "cold_only" (cold-items, the same people with
        the cold items for candidates), "warm" (cold-items, people whose hidden item is no cold
        one), "judged" (search, with the judged items for candidates).
    """

    protocol: str
    events: pa.Table
    cases: tuple[Case, ...]
    notes: tuple[str, ...] = ()
    beside: Mapping[str, tuple[Case, ...]] = field(default_factory=dict)

    def sample(self, users: int | None, seed: int) -> Split:
        """With at most so many cases, drawn by `seed`; equally long sets keep the same people."""

        def drawn(cases: tuple[Case, ...]) -> tuple[Case, ...]:
            if users is None or users >= len(cases):
                return cases
            rng = np.random.default_rng(seed)
            chosen = np.sort(rng.choice(len(cases), users, replace=False))
            return tuple(cases[i] for i in chosen)

        beside = {name: drawn(cases) for name, cases in self.beside.items()}
        return replace(self, cases=drawn(self.cases), beside=beside)


def split(
    protocol: str,
    catalogue: Catalogue,
    events: pa.Table,
    options: HistoryOptions,
    *,
    seed: int = 0,
    target_category: str | None = None,
) -> Split:
    """Hide what a protocol over a log says ("search" and "cases" come from files).

    Repeats of an item count once, at the youngest age; dislikes are no targets. All events of a
    hidden (person, item) pair leave the training part.

    Parameters
    ----------
    seed : of the cold items, and of the people whose items are hidden in "cross-warm".
    target_category : top category of the cross protocols; None takes the one that most people
        have items in beside others.

    Raises
    ------
    DataError : the log is not enough for the protocol.
    QueryError : no item is in the target category.
    """
    log = _Log(catalogue, events, options)
    if protocol in ("warm", "validation"):
        return _last_items(log, protocol)
    if protocol == "temporal":
        return _temporal(log)
    if protocol == "cold-items":
        return _cold_items(log, seed)
    if protocol in CROSSING:
        return _cross(log, protocol, seed, target_category)
    raise QueryError(f"there is no protocol {protocol!r} over a log; {', '.join(PROTOCOLS)}")


class _Log:
    """Events beside everybody's liked items, as numbers.

    Attributes
    ----------
    histories : of all events.
    liked : per person of `histories`, (h,) rows of the items that are no dislikes, oldest first.
    """

    def __init__(self, catalogue: Catalogue, events: pa.Table, options: HistoryOptions) -> None:
        self.catalogue, self.events, self.options = catalogue, events, options
        self.histories = Histories.from_events(events, catalogue, options)
        self.ids = np.array(catalogue.ids, object)
        wanted = self.histories.weights > 0
        starts = np.concatenate([[0], np.cumsum(wanted)])[self.histories.indptr]
        self.liked = np.split(self.histories.rows[wanted].astype(np.int64), starts[1:-1])
        if not len(self.histories):
            raise DataError("the log has no usable event; give interactions to evaluate on")

    def people(self) -> Iterator[tuple[int, str, np.ndarray]]:
        """(number, id, liked rows) of everybody."""
        for person, (user_id, rows) in enumerate(
            zip(self.histories.user_ids, self.liked, strict=True)
        ):
            yield person, user_id, rows

    def named(self, rows: np.ndarray) -> tuple[str, ...]:
        return tuple(self.ids[rows].tolist())

    def without(
        self, hidden: Sequence[tuple[int, np.ndarray]], items: np.ndarray = _NOTHING
    ) -> pa.Table:
        """The events but those of (person, rows) pairs, and those of anybody on some rows."""
        return without(self.events, self.catalogue, self.histories, hidden, items)


def _last_items(log: _Log, protocol: str) -> Split:
    hidden_from = {"warm": 1, "validation": 2}[protocol]
    cases, hidden = [], []
    for person, user_id, rows in log.people():
        if len(rows) >= 3:
            asked = rows[: len(rows) - hidden_from]
            target = rows[len(asked) : len(asked) + 1]
            cases.append(Case(user_id, log.named(asked), log.named(target)))
            hidden.append((person, rows[len(asked) :]))
    _require_two(len(cases), protocol, "no 2 people have 3 items", "a longer log is needed")
    short = len(log.histories) - len(cases)
    notes = [f"learned from, not asked: {people(short)} with fewer than 3 items"]
    return Split(protocol, log.without(hidden), tuple(cases), tuple(notes if short else ()))


def _temporal(log: _Log) -> Split:
    cut = cut_in_time(log.catalogue, log.events, log.options, later=LATER_SHARE)
    cases = tuple(
        Case(one.user_id, log.named(one.history), log.named(one.new[:MOST_TARGETS]))
        for one in cut.people
    )
    words = "no 2 people have items before the cut and new ones after it"
    _require_two(len(cases), "temporal", words, "take protocol warm, or a longer log")
    day = np.datetime64(int(cut.time), "s")
    notes = [
        f"cut at {day} UTC: {counted(len(cut.before), 'event')} before it, {cut.after:,} after it",
        f"not asked: {people(cut.unknown)} who came only after the cut",
    ]
    return Split("temporal", cut.before, cases, tuple(notes[: 2 if cut.unknown else 1]))


def _cold_items(log: _Log, seed: int) -> Split:
    taken = np.unique(np.concatenate(log.liked))
    count = round(COLD_SHARE * len(taken))
    rng = np.random.default_rng(seed)
    cold = np.sort(rng.choice(taken, count, replace=False))
    only = Filter(only=log.named(cold))
    is_cold = np.zeros(len(log.catalogue), bool)
    is_cold[cold] = True
    cases: list[Case] = []
    warm: list[Case] = []
    hidden = []
    for person, user_id, rows in log.people():
        asked = rows[:-1][~is_cold[rows[:-1]]]
        if len(rows) < 3 or not len(asked):
            continue
        case = Case(user_id, log.named(asked), log.named(rows[-1:]))
        (cases if is_cold[rows[-1]] else warm).append(case)
        hidden.append((person, rows[-1:]))
    words = "no 2 people have a cold item for their last"
    _require_two(min(len(cases), len(warm)), "cold-items", words, "a longer log is needed")
    narrowed = tuple(replace(case, filter=only) for case in cases)
    notes = (
        f"hidden from everybody: {count:,} of {counted(len(taken), 'item')} (seed {seed}); asked "
        f"for one of them: {people(len(cases))}, for another item: {len(warm):,}",
    )
    beside = {"cold_only": narrowed, "warm": tuple(warm)}
    return Split("cold-items", log.without(hidden, cold), tuple(cases), notes, beside)


def _cross(log: _Log, protocol: str, seed: int, wanted: str | None) -> Split:
    codes, none = log.catalogue.top_codes, log.catalogue.no_category
    code = _target(log, wanted)
    both = []
    for person, user_id, rows in log.people():
        there, named = codes[rows] == code, codes[rows] != none
        if there.any() and (~there & named).any():
            both.append((person, user_id, rows[~there & named], rows[there]))
    name = log.catalogue.top_names[code]
    words = f"no 2 people have items both in {name!r} and in another category"
    _require_two(len(both), protocol, words, "name another target category")
    filter = Filter(category=(name,), cross="only")
    if protocol == "cross-warm":
        rng = np.random.default_rng(seed)
        count = max(2, round(HIDDEN_SHARE * len(both)))
        chosen = np.sort(rng.choice(len(both), count, replace=False))
        hidden = [both[i] for i in chosen]
        training = log.without([(person, there) for person, _, _, there in hidden])
    else:
        hidden = both
        training = log.without([], np.flatnonzero(codes == code))
    cases = tuple(
        Case(user_id, log.named(history), log.named(there[-MOST_TARGETS:]), filter)
        for _, user_id, history, there in hidden
    )
    chosen_by = "" if wanted else " (most people have items there and elsewhere)"
    notes = (
        f"target category {name!r}{chosen_by}: {people(len(both))} with items there and elsewhere, "
        f"hidden for {len(hidden):,} of them",
    )
    return Split(protocol, training, cases, notes)


def _target(log: _Log, wanted: str | None) -> int:
    """Code of the target category."""
    names = log.catalogue.top_names
    known = [code for code, name in enumerate(names) if name]
    if len(known) < 2:
        raise DataError(
            f"crossing needs two top categories, this catalogue has {len(known)}; "
            "take protocol warm or temporal"
        )
    if wanted is None:
        visitors = np.zeros(len(names), np.int64)
        for _, _, rows in log.people():
            here = np.unique(log.catalogue.top_codes[rows])
            here = here[here != log.catalogue.no_category]
            if len(here) > 1:
                visitors[here] += 1
        return int(visitors.argmax()) if visitors.any() else known[0]
    folded = wanted.strip().casefold()
    for code in known:
        if names[code].casefold() == folded:
            return code
    near = near_matches(wanted, [names[code] for code in known]) or [names[c] for c in known][:8]
    raise QueryError(f"there is no top category {wanted!r}; there is {', '.join(map(repr, near))}")


def _require_two(count: int, protocol: str, words: str, fix: str) -> None:
    """Intervals and controls compare people, so they need two."""
    if count < 2:
        there = "nobody can" if not count else "only 1 person can"
        raise DataError(f"protocol {protocol}: {words} ({there} be asked); {fix}")
