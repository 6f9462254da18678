"""From an index or files and the name of a protocol to what was found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from crossrec_llm.errors import DataError, QueryError
from crossrec_llm.evaluation.casefiles import read_cases, read_queries
from crossrec_llm.evaluation.measuring import Data, Measuring, chosen_baselines
from crossrec_llm.evaluation.protocols import CROSSING, PROTOCOLS, Split, split
from crossrec_llm.evaluation.record import Evaluation
from crossrec_llm.evaluation.words import counted
from crossrec_llm.generation import Generation
from crossrec_llm.meaning import Encoder, Templates
from crossrec_llm.recipe import Recipe
from crossrec_llm.recommender import Recommender
from crossrec_llm.records import Progress
from crossrec_llm.resources import default_folder, default_index
from crossrec_llm.store import Index
from crossrec_llm.tables import Catalogue, Inputs, Walls, near_matches, read_tables
from crossrec_llm.tables.clock import no_clock
from crossrec_llm.training import THOROUGH


def evaluate(
    index: str | Path | None = None,
    protocol: str | None = "warm",
    *,
    items: Inputs | None = None,
    interactions: Inputs | None = None,
    recipe: str | Path | Recipe = "default",
    k: int = 10,
    users: int | None = None,
    seed: int = 0,
    target_category: str | None = None,
    cases: str | Path | None = None,
    log: Inputs | None = None,
    queries: str | Path | None = None,
    qrels: str | Path | None = None,
    only: Sequence[str] = (),
    thorough: bool = False,
    progress: Progress | None = None,
) -> Evaluation:
    """Fit anew without what the protocol hides, and ask for it.

    Parameters
    ----------
    index : whose records, texts and recipe are taken; it is not changed.
    protocol : a name of PROTOCOLS; None takes "temporal" where timestamps are times, else "warm".
    items, interactions, recipe : what to evaluate on instead of an index, as for `build`.
    users : ask about a seeded sample of so many people; None = all.
    target_category : of the cross protocols; None takes the one that most people cross to.
    cases, log : file of cases, and the log to learn from instead of the index's own (protocol
        "cases").
    queries, qrels : files of the protocol "search".
    only : names of the baselines to run beside the system; "system" alone runs none.
    thorough : fit the blend as `tune` does, not as `build` does.

    Raises
    ------
    DataError : the records are not enough for the protocol.
    QueryError : a value makes no sense.
    """
    _check(protocol, k, users)
    if items is None and interactions is not None:
        raise QueryError("interactions are read with items only: give --items too")
    belongs = {
        "cases": (cases, ("cases",)),
        "log": (log, ("cases",)),
        "queries": (queries, ("search",)),
        "qrels": (qrels, ("search",)),
        "target-category": (target_category, CROSSING),
    }
    for name, (value, where) in belongs.items():
        if value is not None and protocol not in where:
            raise QueryError(f"--{name} has no use here: it is for --protocol {' or '.join(where)}")
    baselines = chosen_baselines(protocol, only)
    given: Data | _Files
    if items is None:
        given = _from_index(index)
    else:
        given = _Files.read(items, interactions, recipe, progress)
    notes: list[str] = []
    if protocol is None:
        problem = no_clock(given.events)
        protocol = "warm" if problem else "temporal"
        why = problem or "the timestamps are times that everybody shares"
        notes = [f"protocol {protocol}, because {why}"]
    if protocol == "search":
        parts = read_queries(*_both(queries, qrels), given.catalogue, given.events)
    elif protocol == "cases":
        if cases is None:
            raise QueryError("protocol cases needs a file of cases: --cases FILE")
        events = given.events if log is None else _read_log(log, given)
        parts = read_cases(cases, given.catalogue, events, own_log=log is None)
    else:
        parts = _split(given, protocol, seed, target_category)
    parts = replace(parts.sample(users, seed), notes=(*notes, *parts.notes))
    _require_target(parts, given.catalogue)
    data = given if isinstance(given, Data) else given.encoded(progress)
    if thorough:
        data = replace(data, tuning=THOROUGH)
    return Measuring(data, parts, k, seed, progress).run(baselines)


def _check(protocol: str | None, k: int, users: int | None) -> None:
    if protocol is not None and protocol not in PROTOCOLS:
        near = near_matches(protocol, list(PROTOCOLS))
        hint = f"did you mean {near[0]!r}? There is" if near else "there is"
        raise QueryError(f"no protocol is called {protocol!r}; {hint} {', '.join(PROTOCOLS)}")
    for name, value, least in (("k", k, 1), ("users", users, 2)):
        if value is not None and value < least:
            raise QueryError(f"{name} must be {least} or more, not {value}")


def _both(queries: str | Path | None, qrels: str | Path | None) -> tuple[str | Path, str | Path]:
    if queries is None or qrels is None:
        raise QueryError(
            "protocol search needs texts and their judged items: --queries FILE --qrels FILE"
        )
    return queries, qrels


def _split(given: Data | _Files, protocol: str, seed: int, target_category: str | None) -> Split:
    return split(
        protocol,
        given.catalogue,
        given.events,
        given.recipe.histories.fitted(given.events),
        seed=seed,
        target_category=target_category,
    )


def _require_target(parts: Split, catalogue: Catalogue) -> None:
    if not any(item in catalogue for case in parts.cases for item in case.targets):
        raise DataError(
            f"no target of {counted(len(parts.cases), 'case')} is in the catalogue; do the ids of "
            "the two match?"
        )


def _from_index(index: str | Path | None) -> Data:
    with Index.open(Path(index) if index is not None else default_index()) as opened:
        built = Generation.load(opened.generation)
        events = built.walls.visible(opened.ledger.events())
    return Data(built.recipe, built.catalogue, built.raw, events, served=Recommender(built))


@dataclass(frozen=True, eq=False)
class _Files:
    """What was read of files; encoding it is what takes time, and waits for the split."""

    recipe: Recipe
    catalogue: Catalogue
    events: pa.Table
    encoder: Encoder
    prompts: Templates

    @classmethod
    def read(
        cls,
        items: Inputs,
        interactions: Inputs | None,
        recipe: str | Path | Recipe,
        progress: Progress | None,
    ) -> _Files:
        recipe = recipe if isinstance(recipe, Recipe) else Recipe.load(recipe)
        encoder = Encoder(recipe.encoder)
        prompts = Templates.load(default_folder("prompts"), recipe.templates, tokens=encoder.tokens)
        tables = read_tables(items, interactions, recipe.tables, progress=progress)
        walls = Walls.of(tables.catalogue, recipe.histories.walls)
        return cls(recipe, tables.catalogue, walls.visible(tables.events), encoder, prompts)

    def encoded(self, progress: Progress | None) -> Data:
        texts = self.prompts.item_texts(self.catalogue)
        raw = self.encoder.encode_documents(texts, progress=progress)
        return Data(self.recipe, self.catalogue, raw, self.events, prompts=self.prompts)


def _read_log(log: Inputs, given: Data | _Files) -> pa.Table:
    """Events of another log on the items that there are."""
    events = read_tables(given.catalogue.table, log, given.recipe.tables).events
    events = Walls.of(given.catalogue, given.recipe.histories.walls).visible(events)
    if not len(events):
        raise DataError("no event is on an item of the catalogue; do the ids match?", source="log")
    return events
