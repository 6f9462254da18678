"""Popularity, neighbours, meaning and the blend on a sample of a log, within minutes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from crossrec_llm.errors import DataError
from crossrec_llm.evaluation.measures import Interval, bootstrap
from crossrec_llm.evaluation.measuring import Data, Measuring, chosen_baselines
from crossrec_llm.evaluation.protocols import Split, split
from crossrec_llm.evaluation.slices import Asked
from crossrec_llm.evaluation.words import counted, people
from crossrec_llm.records import Progress
from crossrec_llm.tables import Catalogue
from crossrec_llm.tables.clock import no_clock
from crossrec_llm.tables.histories import ranked

K = 10
BLEND = "system"
ALONE = ("popularity", "neighbours", "text")
LEAST_CASES = 100  # with fewer people asked nothing is said
# What ten minutes on two cores are enough for; one minute is a sample of 1,200 texts.
PEOPLE, TEXTS, CASES, MINUTES, LEAST_MINUTES = 50_000, 12_000, 2_000, 10.0, 1.0


@dataclass(frozen=True, eq=False)
class Sample:
    """The part of a log that is measured on.

    asked : the people who may be asked, with their whole histories; None = everybody.
    no_clock : why the timestamps of the whole log are no common clock, "" = they are; a part of a
        log may not show it.
    words : what was taken, "" = all.
    """

    catalogue: Catalogue
    events: pa.Table
    asked: frozenset[str] | None
    no_clock: str
    words: str


@dataclass(frozen=True)
class Bridge:
    """One home category -> one target category.

    Attributes
    ----------
    recall : recall@10 of each system over the people whose hidden items lie there.
    ahead : the blend's minus popularity's, paired.
    chance : recall of a list drawn at random.
    """

    home: str
    target: str
    users: int
    recall: Mapping[str, Interval]
    ahead: Interval
    chance: float


@dataclass(frozen=True)
class Trial:
    """What was measured. Systems: "system" (the full blend) and ALONE.

    Attributes
    ----------
    users : people asked; items, events : what was measured on.
    drawn : whether more people could be asked in more minutes.
    systems : recall@10 and ndcg@10 of each.
    ahead : of each of ALONE, the blend's ndcg@10 minus its, paired.
    over_popularity : ndcg@10 of the others of ALONE minus popularity's, paired.
    controls : recall that a sound measurement must fall to.
    tied : of ALONE, those that score too many items alike to have lists.
    """

    protocol: str
    users: int
    items: int
    events: int
    drawn: bool
    systems: Mapping[str, Mapping[str, Interval]]
    ahead: Mapping[str, Interval]
    over_popularity: Mapping[str, Interval]
    bridges: tuple[Bridge, ...]
    controls: Mapping[str, float | None]
    tied: tuple[str, ...]
    notes: tuple[str, ...]
    seconds: Mapping[str, float]


def draw(catalogue: Catalogue, events: pa.Table, *, seed: int, minutes: float) -> Sample:
    """As much of a log as can be measured in the minutes.

    Where there are too many texts to encode, people are drawn until their items are as many as can
    be. These people are asked, and everybody else's events on these items are learned from: a log
    of the drawn people alone would be so thin that behaviour would seem to say nothing.

    Parameters
    ----------
    minutes : the limits are PEOPLE and TEXTS for MINUTES, and in proportion.
    """
    why = no_clock(events)
    share = minutes / MINUTES
    most_people, most_texts = max(1, int(PEOPLE * share)), int(TEXTS * share)
    users, names = ranked(events["user_id"])
    if len(names) <= most_people and len(catalogue) <= most_texts:
        return Sample(catalogue, events, None, why, "")
    place = np.random.default_rng(seed).permutation(len(names))
    core = most_people
    rows = catalogue.rows(events["item_id"])
    kept = np.ones(len(catalogue), bool)
    if len(catalogue) > most_texts:
        core = max(1, min(core, _fitting(place[users], rows, most_texts)))
        kept[:] = False
        kept[rows[place[users] < core]] = True
    there = (place[users] < most_people) & kept[rows]
    asked = names.take(pa.array(np.flatnonzero(place < core))).to_pylist()
    words = (
        f"measured on a sample of {int(kept.sum()):,} of {counted(len(catalogue), 'item')} and "
        f"{int(there.sum()):,} of {counted(len(events), 'event')}; with fewer items than the whole "
        f"catalogue has, all recalls are higher. {len(asked):,} of {people(len(names))} can be "
        "asked, those whose items are all in it"
    )
    part = Catalogue(catalogue.table.filter(pa.array(kept)))
    return Sample(part, events.filter(pa.array(there)), frozenset(asked), why, words)


def _fitting(place: np.ndarray, rows: np.ndarray, most: int) -> int:
    """How many of the first people have at most so many items together."""
    order = np.argsort(place, kind="stable")
    new = np.zeros(len(order), bool)
    new[np.unique(rows[order], return_index=True)[1]] = True
    over = np.flatnonzero(np.cumsum(new) > most)
    return int(place[order[over[0]]]) if len(over) else len(place)


def try_out(
    data: Data, sample: Sample, *, seed: int, minutes: float, progress: Progress | None = None
) -> Trial:
    """Hide, fit anew, ask, compare: with the evaluation's own parts.

    Parameters
    ----------
    data : the sample, encoded.

    Raises
    ------
    DataError : nothing can be hidden; why.
    """
    parts = _split(data, sample).sample(max(LEAST_CASES, int(CASES * minutes / MINUTES)), seed)
    measuring = Measuring(data, parts, K, seed, progress)
    found = measuring.run(chosen_baselines(parts.protocol, ALONE))
    wanted = (f"recall@{K}", f"ndcg@{K}")
    ndcg = {name: columns[f"ndcg@{K}"] for name, columns in measuring.columns.items()}

    def over(name: str, other: str) -> Interval:
        return bootstrap(ndcg[name] - ndcg[other], seed=seed)

    return Trial(
        protocol=parts.protocol,
        users=found.users,
        items=len(data.catalogue),
        events=len(data.events),
        drawn=sample.asked is not None,
        systems={
            name: {m: bootstrap(columns[m], seed=seed) for m in wanted}
            for name, columns in measuring.columns.items()
        },
        ahead={name: over(BLEND, name) for name in ALONE},
        over_popularity={name: over(name, "popularity") for name in ALONE[1:]},
        bridges=_bridges(measuring, seed),
        controls=found.controls,
        tied=tuple(measuring.tied),
        notes=tuple(found.notes),
        seconds=found.seconds,
    )


def _split(data: Data, sample: Sample) -> Split:
    """In time where one clock runs for all and enough people can be asked, else the last items."""
    weighing = data.recipe.histories.fitted(data.events)

    def hidden(protocol: str) -> Split:
        found = split(protocol, data.catalogue, data.events, weighing)
        if sample.asked is None:
            return found
        return replace(found, cases=tuple(c for c in found.cases if c.user_id in sample.asked))

    why = sample.no_clock
    if not why:
        try:
            found = hidden("temporal")
        except DataError as error:
            why = str(error)
        else:
            if len(found.cases) >= LEAST_CASES:
                return found
            why = f"a cut in time leaves {people(len(found.cases))} to ask"
    found = hidden("warm")
    if not found.cases:
        raise DataError("nobody of the sample has 3 items; give it more minutes")
    return replace(found, notes=(f"everybody's last item is hidden, because {why}", *found.notes))


def _bridges(measuring: Measuring, seed: int) -> tuple[Bridge, ...]:
    """Each pair that enough hidden items lie across, largest first."""
    nobody = np.zeros(len(measuring.table.catalogue), np.int64)
    asked = Asked(measuring.table, measuring.answers[BLEND], nobody, K, seed)
    chance = K / len(measuring.table.catalogue)
    bridges = []
    for home, target, there in asked.crossings():
        each = {name: of[f"recall@{K}"][there] for name, of in measuring.columns.items()}
        recall = {name: bootstrap(values, seed=seed) for name, values in each.items()}
        ahead = bootstrap(each[BLEND] - each["popularity"], seed=seed)
        bridges.append(Bridge(home, target, int(there.sum()), recall, ahead, chance))
    return tuple(bridges)
