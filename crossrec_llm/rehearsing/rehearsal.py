"""A new generation beside the one that answers, and what would change if it were published."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from crossrec_llm.builder import counted
from crossrec_llm.drafting import Clock, Means, clearing, make_draft, require_server
from crossrec_llm.errors import DataError, QueryError
from crossrec_llm.evaluation.measures import Interval, interval, resampled
from crossrec_llm.evaluation.measuring import Data, Measuring
from crossrec_llm.evaluation.protocols import PROTOCOLS, split
from crossrec_llm.generation import Generation
from crossrec_llm.origins import Made, source_of
from crossrec_llm.recipe import Recipe
from crossrec_llm.recommender import Recommender
from crossrec_llm.records import Progress
from crossrec_llm.rehearsing.lists import BridgeShare, ItemMove, Lists, UserMove
from crossrec_llm.resources import default_index
from crossrec_llm.store import IndexWriter, Ledger, StoredGeneration
from crossrec_llm.store.lock import require_free
from crossrec_llm.tables import Inputs, Walls, near_matches
from crossrec_llm.tables.clock import no_clock

FILED = ("search", "cases")
"""Protocols that need files of their own: `crossrec evaluate` has them."""


@dataclass(frozen=True)
class Measured:
    """One protocol for both recipes, on the same records and the same hidden items.

    users : how many were asked.
    before, after : measures of the recipe that answers now and of the new one.
    difference : after minus before, paired by person.
    """

    protocol: str
    users: int
    before: Mapping[str, Interval | None]
    after: Mapping[str, Interval | None]
    difference: Mapping[str, Interval | None]


@dataclass(frozen=True)
class Rehearsal:
    """What a new generation would change.

    generation, live : the new one, which waits for `crossrec publish`, and the one that answers.
    counts, live_counts : items, users and events of both.
    measures : of each protocol.
    people : how many people's lists were compared.
    overlap : overlap@k of their lists, mean over people; None where nobody could be asked.
    same : share of the lists that have the same items in the same order.
    movers : people whose lists change most.
    gained, lost : items that gain and lose most places.
    crossing : share of the lists that leave their home categories, before and after.
    bridges : the same for each pair of categories, those that change most first.
    milliseconds : p50 of one answer, before and after.
    notes : what was not measured, and why.
    seconds : of each step.
    """

    generation: str
    live: str
    counts: Mapping[str, int]
    live_counts: Mapping[str, int]
    k: int
    seed: int
    people: int
    measures: tuple[Measured, ...]
    overlap: Interval | None
    same: float
    movers: tuple[UserMove, ...]
    gained: tuple[ItemMove, ...]
    lost: tuple[ItemMove, ...]
    crossing: tuple[float, float]
    bridges: tuple[BridgeShare, ...]
    milliseconds: tuple[float, float]
    notes: tuple[str, ...]
    seconds: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """The shape that `--json` prints."""
        return asdict(self)


def rehearse(
    index: str | Path | None = None,
    recipe: str | Path | Recipe | None = None,
    *,
    items: Inputs | None = None,
    interactions: Inputs | None = None,
    protocols: Sequence[str] = (),
    users: int = 300,
    k: int = 10,
    seed: int = 0,
    progress: Progress | None = None,
) -> Rehearsal:
    """Build a generation beside the live one, without publishing it, and compare the two.

    It waits: `publish` makes it live, the next rehearsal takes its place.

    Parameters
    ----------
    recipe, items, interactions : as for `build`.
    protocols : what is hidden and asked for (`evaluate`); by default "temporal" where timestamps
        are times, else "warm".
    users : people who are asked, of each protocol and for the lists; drawn by `seed`.

    Raises
    ------
    QueryError : a value makes no sense.
    Others as for `build`.
    """
    _check(protocols, users, k)
    place = Path(index) if index is not None else default_index()
    require_free(place)
    source = source_of(items, interactions)
    clock = Clock()
    means = source.means(place, recipe)
    require_server(means.recipe)
    inputs = source.fingerprint(means.recipe)
    with IndexWriter.open(place, make=False) as writer:
        live = writer.active or writer.stored(_active(writer))
        parts = {"inputs": inputs or live.parts.get("inputs", ""), **means.parts}
        clock.step("read")
        made = source.read(writer, means.recipe, place, progress)
        parts["records"] = made.digest
        draft, fitted = make_draft(
            writer, means, made.catalogue, made.events, parts, clock=clock, progress=progress
        )
        clock.step("seal")
        counts = counted(fitted, made.events)
        with clearing(writer):
            sealed = writer.seal(draft, counts, change=made.change, truth=made.truth)
        clock.step("measure")
        measures, notes = _measures(
            writer, Means.kept(live), means, made, fitted, protocols, users, k, seed, progress
        )
        clock.step("lists")
        with _both(writer, live, sealed, made) as (before, after):
            lists = Lists.ask(before, after, users, k, seed, progress)
    return Rehearsal(
        generation=sealed.name,
        live=live.name,
        counts=counts,
        live_counts=dict(live.counts),
        k=k,
        seed=seed,
        people=len(lists.people),
        measures=measures,
        overlap=lists.overlap(seed),
        same=lists.same,
        movers=lists.movers(),
        gained=lists.items(gained=True),
        lost=lists.items(gained=False),
        crossing=lists.crossing,
        bridges=lists.bridges(),
        milliseconds=lists.milliseconds,
        notes=tuple(notes),
        seconds=clock.done(),
    )


def _check(protocols: Sequence[str], users: int, k: int) -> None:
    for name in protocols:
        if name in FILED or name not in PROTOCOLS:
            there = [known for known in PROTOCOLS if known not in FILED]
            near = near_matches(name, there)
            hint = f"did you mean {near[0]!r}? There is" if near else "there is"
            raise QueryError(
                f"no protocol to rehearse is called {name!r}; {hint} {', '.join(there)}"
            )
    for what, value, least in (("users", users, 2), ("k", k, 1)):
        if value < least:
            raise QueryError(f"{what} must be {least} or more, not {value}")


def _active(writer: IndexWriter) -> str:
    assert writer.manifest is not None, "an index without one is refused before"
    return writer.manifest.active


@contextmanager
def _both(
    writer: IndexWriter, live: StoredGeneration, sealed: StoredGeneration, made: Made
) -> Iterator[tuple[Recommender, Recommender]]:
    """Both as they would answer: the new one over the records that would be the truth with it."""
    path = writer.ledger.path
    with TemporaryDirectory() as folder:
        if made.truth is not None:
            path = Path(folder) / "records.sqlite"
            with Ledger.open(path, write=True) as then:
                then.replace(made.catalogue.table, made.events)
        with (
            Recommender(
                Generation.load(live), Ledger.open(writer.ledger.path, write=False)
            ) as before,
            Recommender(Generation.load(sealed), Ledger.open(path, write=False)) as after,
        ):
            yield before, after


def _measures(
    writer: IndexWriter,
    old: Means,
    new: Means,
    made: Made,
    fitted: Generation,
    protocols: Sequence[str],
    users: int,
    k: int,
    seed: int,
    progress: Progress | None,
) -> tuple[tuple[Measured, ...], list[str]]:
    """Each protocol for both recipes; and why one could not be measured."""
    if old.parts == new.parts:
        return (), ["recipe, model and templates are those that answer now: nothing to measure"]
    events = made.events
    for means in (old, new):
        events = Walls.of(made.catalogue, means.recipe.histories.walls).visible(events)
    raw = fitted.raw
    if old.encoder.name != new.encoder.name or (
        old.templates.fingerprint != new.templates.fingerprint
    ):
        raw, _ = old.encode(made.catalogue, writer.cache_path, progress)
    both = (
        Data(old.recipe, made.catalogue, raw, events, prompts=old.templates),
        Data(new.recipe, made.catalogue, fitted.raw, events, prompts=new.templates),
    )
    weighing = old.recipe.histories.fitted(events)
    found, notes = [], []
    for protocol in protocols or ["warm" if no_clock(events) else "temporal"]:
        try:
            parts = split(protocol, made.catalogue, events, weighing, seed=seed)
        except DataError as error:
            notes.append(f"protocol {protocol} was not measured: {error}")
            continue
        asked = [Measuring(data, parts.sample(users, seed), k, seed, progress) for data in both]
        for measuring in asked:
            measuring.run({})
        before, after = (measuring.columns["system"] for measuring in asked)
        found.append(_paired(protocol, before, after, seed))
    return tuple(found), notes


def _paired(
    protocol: str, before: Mapping[str, np.ndarray], after: Mapping[str, np.ndarray], seed: int
) -> Measured:
    """Means of both and of the difference, with intervals from the same draws of people."""
    names = [name for name in before if name in after]
    was, now = (np.stack([c[name] for name in names], axis=1) for c in (before, after))
    sides = (was, now, now - was)
    means = np.split(resampled(np.concatenate(sides, axis=1), seed=seed), 3, axis=1)
    told = [
        {name: interval(side[:, c], drawn[:, c]) for c, name in enumerate(names)}
        for side, drawn in zip(sides, means, strict=True)
    ]
    return Measured(protocol, len(was), *told)
