"""Should you use this on your data: does the text say enough, who crosses where, does it help."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from crossrec_llm.assessing.findings import Finding
from crossrec_llm.assessing.leakage import LEAKS, held_out, leakage
from crossrec_llm.assessing.overlap import Overlap, overlap
from crossrec_llm.assessing.quality import TextQuality, text_groups, text_quality
from crossrec_llm.assessing.trial import LEAST_MINUTES, MINUTES, Sample, Trial, draw, try_out
from crossrec_llm.assessing.verdict import RULES, Verdict, decide, too_little
from crossrec_llm.errors import DataError, QueryError
from crossrec_llm.evaluation.measuring import Data
from crossrec_llm.meaning import Encoder, Templates, VectorCache
from crossrec_llm.recipe import Recipe
from crossrec_llm.records import Progress
from crossrec_llm.resources import default_folder
from crossrec_llm.tables import Histories, Inputs, Tables, Walls, read_tables

_CACHE = "vectors.cache"  # as `build` calls it


@dataclass(frozen=True)
class Assessment:
    """What was found, part by part.

    Attributes
    ----------
    text : the items' texts.
    overlap : who is seen where; None without interactions.
    leakage : what would make a measurement too good.
    trial : what was measured; None where nothing could be.
    verdict : the advice, by the rules in `rules`.
    notes : what reading the files and drawing the sample have to say.
    seconds : of each step.
    """

    text: TextQuality
    overlap: Overlap | None
    leakage: tuple[Finding, ...]
    trial: Trial | None
    verdict: Verdict
    notes: tuple[str, ...]
    seconds: dict[str, float]
    rules: str = RULES

    @property
    def leaks(self) -> tuple[Finding, ...]:
        """Bad findings that let a hidden item be known."""
        return tuple(f for f in self.leakage if f.grade == "bad" and f.check in LEAKS)

    @property
    def ok(self) -> bool:
        """Neither is the verdict a no, nor was a leak found."""
        return not self.verdict.is_no and not self.leaks

    def to_dict(self) -> dict[str, Any]:
        """The shape that `--json` prints."""
        return {**asdict(self), "ok": self.ok}


def assess(
    items: Inputs,
    interactions: Inputs | None = None,
    *,
    test: Inputs | None = None,
    index: str | Path | None = None,
    recipe: str | Path | Recipe = "default",
    seed: int = 0,
    minutes: float = MINUTES,
    progress: Progress | None = None,
) -> Assessment:
    """Look at texts, overlap and leakage of all rows, and measure on a sample.

    The verdict follows the rules in `crossrec_llm.assessing.verdict.RULES`.

    Parameters
    ----------
    items, interactions : paths, pyarrow tables, pandas or polars frames; one or a list.
    test : events that were held out of the interactions elsewhere, to be searched for copies.
    index : folder of an index; vectors come from its cache and new ones go there, so that a later
        build has them. Nothing else in it is read or changed. None keeps no vectors.
    minutes : about how long measuring may take on two cores, at least 1; the sample grows with it.

    Raises
    ------
    DataError, RecipeError, TemplateError, ModelError : what is wrong with the input.
    QueryError : minutes are too few, or held-out events have no log to be looked for in.
    """
    if not LEAST_MINUTES <= minutes < math.inf:
        raise QueryError(
            f"minutes must be {LEAST_MINUTES:g} or more, not {minutes:g}: in less, too few people "
            "can be asked for a verdict"
        )
    if test is not None and interactions is None:
        raise QueryError("held-out events are searched for in the interactions: give these too")
    recipe = recipe if isinstance(recipe, Recipe) else Recipe.load(recipe)
    seconds: dict[str, float] = {}
    with _timed(seconds, "read", progress):
        tables = read_tables(items, interactions, recipe.tables, progress=progress)
        walls = Walls.of(tables.catalogue, recipe.histories.walls)
        tables = replace(tables, events=walls.visible(tables.events))
        held = None if test is None else _held_out(items, test, recipe)
    with _timed(seconds, "look", progress):
        text, across, leaks = _look(tables, held, recipe, seed)
    notes = [*walls.notes, *(note for table in tables.report.tables for note in table.notes)]
    trial: Trial | None = None
    if across is None:
        verdict = _unmeasured(tables)
    else:
        sample = draw(tables.catalogue, tables.events, seed=seed, minutes=minutes)
        notes += [sample.words] if sample.words else []
        with _timed(seconds, "encode", progress):
            data = _encoded(recipe, sample, index, progress)
        with _timed(seconds, "measure", None):  # it tells its own steps
            try:
                trial = try_out(data, sample, seed=seed, minutes=minutes, progress=progress)
                verdict = decide(trial)
            except DataError as error:
                verdict = too_little(str(error))
    return Assessment(text, across, leaks, trial, verdict, tuple(notes), seconds)


def _look(
    tables: Tables, held: pa.Table | None, recipe: Recipe, seed: int
) -> tuple[TextQuality, Overlap | None, tuple[Finding, ...]]:
    """All that can be said without a model."""
    catalogue, events = tables.catalogue, tables.events
    texts = Templates.load(default_folder("prompts"), recipe.templates).item_texts(catalogue)
    twins = text_groups(texts)
    suspicious = tables.report.items.suspicious
    quality = text_quality(catalogue, texts, twins, recipe.encoder.model, suspicious, seed=seed)
    histories = Histories.from_events(events, catalogue, recipe.histories.fitted(events))
    leaks = leakage(catalogue, events, histories, twins) if len(histories) else ()
    if held is not None:
        leaks = (*leaks, *held_out(catalogue, events, held, twins))
    wanted = bool((histories.weights > 0).any())
    return quality, overlap(catalogue, histories) if wanted else None, leaks


def _held_out(items: Inputs, test: Inputs, recipe: Recipe) -> pa.Table:
    """The held-out events, read as a log of these items is."""
    held = read_tables(items, test, recipe.tables).events
    if not len(held):
        raise DataError("no held-out event is on an item of the catalogue; do the ids match?")
    return held


def _encoded(
    recipe: Recipe, sample: Sample, index: str | Path | None, progress: Progress | None
) -> Data:
    encoder = Encoder(recipe.encoder)
    templates = Templates.load(default_folder("prompts"), recipe.templates, tokens=encoder.tokens)
    texts = templates.item_texts(sample.catalogue)
    with ExitStack() as stack:
        cache = None
        if index is not None:
            cache = stack.enter_context(VectorCache.open(Path(index) / _CACHE, encoder.dim))
        raw = encoder.encode_documents(texts, cache=cache, progress=progress)
    return Data(recipe, sample.catalogue, raw, sample.events, prompts=templates)


def _unmeasured(tables: Tables) -> Verdict:
    """Why there was nothing to measure."""
    log = tables.report.interactions
    if log is None:
        return Verdict(
            "open",
            "Open: only the texts were looked at; with interactions (who took what) it is measured "
            "whether they help",
        )
    if not log.rows_read:
        return too_little("the interactions are empty")
    if not len(tables.events):
        return too_little(
            f"none of the interactions ({log.rows_read:,} read) is usable; see `crossrec check`"
        )
    return too_little("all interactions are dislikes, or weigh nothing")


@contextmanager
def _timed(seconds: dict[str, float], step: str, progress: Progress | None) -> Iterator[None]:
    started = time.perf_counter()
    if progress is not None:
        progress(step, 0, 1)
    yield
    if progress is not None:
        progress(step, 1, 1)
    seconds[step] = round(time.perf_counter() - started, 3)
