"""A generation without what was erased: derived from the one that answers, not built anew."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from crossrec_llm.generation import Generation, Users
from crossrec_llm.meaning import Space
from crossrec_llm.recipe import Recipe
from crossrec_llm.records import Progress
from crossrec_llm.signals import FittedSignals, ItemToItem
from crossrec_llm.store import Learned
from crossrec_llm.tables import Catalogue, Histories, Walls

FEW = 3
"""A number over fewer people than this may be read as theirs: it does not outlive an erasure."""

EASE_AT_ONCE = 4_000
"""Up to so many items EASE is fitted anew at once, which takes a second or two at most."""

_HOLDS = {
    "popularity": "how many people took each item",
    "trending": "how many took each item lately",
    "neighbours": "how many people took both of two items",
    "transitions": "how often one item came after another",
    "graph": "texts spread over who took what",
    "als": "factors of items, from all histories",
    "sequence": "a network, from the order of all histories",
    "lexical": "the words of all items",
    "space": "the mean and the spread of all texts",
    "profiles": "a vector for each person, from their history",
    "ease": "weights from item to item, from an inverse over all histories",
    "blend": "weights of the signals, fitted on sampled people",
    "bridges": "how often people crossed from one category to another",
}
_ANEW = "fitted anew at once"
_PRUNED = (
    f"taken over without every number that fewer than {FEW} of the people who are left stand behind"
)
_REMOVED = "removed at once; the next build learns it anew"
_STAYS = "taken over: sums over many people, no one of whom can be read off them"


@dataclass(frozen=True)
class Scrubbed:
    """A generation in memory without what was erased, and what became of its parts.

    learned : of the parts that had learned from it.
    fewer : whether items were erased.
    """

    generation: Generation
    learned: tuple[Learned, ...]
    fewer: bool

    def waiting(self, before: Iterable[str]) -> list[str]:
        """The parts that a build is to fit anew, with those that waited before and still do."""
        anew = {one.part for one in self.learned if one.done == _ANEW}
        old = {one.part for one in self.learned} - anew
        return sorted(old | (set(before) - anew))


def scrub(
    old: Generation,
    items: Collection[str],
    events: pa.Table,
    lost: Mapping[str, np.ndarray] | None,
    *,
    progress: Progress | None = None,
) -> Scrubbed:
    """The parts of a generation over those of its items that are left, fitted on what is left.

    All is fitted anew but what would take minutes: EASE in a large catalogue, which is pruned
    (`prune`), the network of the sequence, which is removed until the next build, and what was
    tuned about blends and bridges.

    Parameters
    ----------
    items : ids that are not erased.
    events : what is left (EVENTS_SCHEMA).
    lost : erased person -> rows of `old` that they took; None = not known any more, so that
        EASE has to be fitted anew whatever it takes.
    """
    recipe, catalogue = _without_ids(old.recipe, set(old.catalogue.ids) - set(items)), old.catalogue
    left = np.array([item_id in items for item_id in catalogue.ids], bool)
    rows = np.flatnonzero(left)
    fewer = len(rows) < len(catalogue)
    raw, space, vectors = old.raw, old.space, old.vectors
    if fewer:
        catalogue = Catalogue(catalogue.table.take(pa.array(rows)))
        raw = np.ascontiguousarray(raw[rows])
        space = Space.fit(raw, catalogue.top_codes, recipe.space)
        vectors = space.apply(raw, catalogue.top_codes)
    events = Walls.of(catalogue, recipe.histories.walls).visible(events)
    weighing = recipe.histories.fitted(events)
    histories = Histories.from_events(events, catalogue, weighing)
    ease = None
    fitted = old.signals.matrices.get("ease")
    if fitted is not None and lost is not None and len(catalogue) > EASE_AT_ONCE:
        ease = prune(fitted, rows, histories, lost.values())
    without = {"sequence": old.signals.left_out.get("sequence", _REMOVED)}
    signals = FittedSignals.fit(
        catalogue,
        histories,
        raw,
        vectors,
        recipe.signals,
        progress,
        ease=ease,
        without=without,
    )
    users = Users.pool(histories, vectors, recipe.signals.text)
    scrubbed = Generation(
        recipe, catalogue, raw, vectors, space, users, signals, weighing, tuned=old.tuned
    )
    return Scrubbed(scrubbed, _learned(old, fewer, ease is not None), fewer)


def prune(
    fitted: ItemToItem, rows: np.ndarray, histories: Histories, lost: Collection[np.ndarray]
) -> ItemToItem:
    """A matrix of EASE without erased items, and without numbers that an erased person made.

    What `impute` filled is taken out too, because it was made of the rest: rows and columns of
    items that nobody took. Of what erased people took, items that fewer than `FEW` others took
    lose their row and column, and two items that fewer than `FEW` others took both of lose what
    leads from the one to the other.

    Parameters
    ----------
    rows : (n_items,) int64, the rows that are left.
    histories : of those who are left, over these.
    lost : what each erased person took, as rows of `fitted`.
    """
    import scipy.sparse as sp

    n = len(fitted)
    matrix = sp.csr_matrix((fitted.values, fitted.columns, fitted.indptr), shape=(n, n))
    entries = matrix[rows][:, rows].tocoo()
    taken = histories.matrix(len(rows))
    people = taken.getnnz(axis=0)
    place = np.full(n, -1)
    place[rows] = np.arange(len(rows))
    theirs = [found[found >= 0] for found in (place[np.unique(one)] for one in lost)]
    touched = np.unique(np.concatenate([np.empty(0, np.int64), *theirs]))
    rare = people == 0
    rare[touched[people[touched] < FEW]] = True
    gone = rare[entries.row] | rare[entries.col]
    if len(touched):
        at = np.repeat(np.arange(len(theirs)), [len(one) for one in theirs])
        both = sp.csr_matrix(
            (np.ones(len(at), np.float32), (at, np.concatenate(theirs))),
            (len(theirs), len(rows)),
        )
        pairs = (both.T @ both).tocsr()
        together = (taken[:, touched].T @ taken).tocsr()
        common = sp.csr_matrix(
            (np.ones(len(touched), np.float32), (touched, np.arange(len(touched)))),
            (len(rows), len(touched)),
        )
        several = (common @ together).tocsr()
        several.data = (several.data >= FEW).astype(np.float32)
        personal = (pairs > 0).astype(np.float32) - pairs.astype(bool).multiply(several)
        gone |= np.asarray(personal[entries.row, entries.col]).ravel() > 0
    kept = sp.csr_matrix(
        (entries.data[~gone], (entries.row[~gone], entries.col[~gone])), entries.shape
    )
    kept.sort_indices()
    return ItemToItem(
        kept.indptr.astype(np.int64),
        kept.indices.astype(np.int32),
        kept.data.astype(np.float32),
        fitted.walk,
    )


def _learned(old: Generation, fewer: bool, pruned: bool) -> tuple[Learned, ...]:
    """What of a generation had learned from people, and from items where those are erased."""
    signals = old.signals
    there = {
        "popularity": True,
        "trending": signals.trending is not None,
        **dict.fromkeys(signals.matrices, True),
        "graph": signals.graph is not None,
        "als": signals.als is not None,
        "sequence": signals.sequence is not None,
        "lexical": fewer,
        "space": fewer,
        "profiles": bool(old.users.ids),
        "blend": bool(old.tuned.situations),
        "bridges": bool(old.tuned.bridges.pairs),
    }
    done: dict[str, Any] = {
        "ease": _PRUNED if pruned else _ANEW,
        "sequence": _REMOVED,
        "blend": _STAYS,
        "bridges": _STAYS,
    }
    return tuple(
        Learned(part, _HOLDS[part], done.get(part, _ANEW))
        for part, is_there in there.items()
        if is_there
    )


def _without_ids(recipe: Recipe, gone: Collection[str]) -> Recipe:
    """A recipe whose standing rules do not name erased items any more."""
    rules = recipe.rules
    named = (*rules.pin, *rules.boost, *rules.bury, *rules.exclude)
    if not set(named) & set(gone):
        return recipe

    def left(ids: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(one for one in ids if one not in gone)

    boost = {one: by for one, by in rules.boost.items() if one not in gone}
    fewer = replace(
        rules,
        pin=left(rules.pin),
        bury=left(rules.bury),
        exclude=left(rules.exclude),
        boost=boost,
    )
    return replace(recipe, rules=fewer)
