"""What only the erased have: what a scan of an index must find before, and not find after."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from crossrec_llm.erasing.scanning import Scanner, Trace, text_traces, vector_traces
from crossrec_llm.generation import Generation
from crossrec_llm.store import Ledger

_FIELDS = ("title", "description", "brand", "image_url", "metadata")


def traces_of(generation: Generation, ledger: Ledger, kind: str, ids: Sequence[str]) -> Scanner:
    """Ids, texts and vectors of people or items, without what others have too.

    Of people: their ids, pinned sentences and profiles. Of items: ids, titles, descriptions,
    long words, and vectors as encoded, in the space and in the graph. What is shorter than eight
    bytes is not looked for: it would be found by chance.
    """
    if kind == "user":
        return _of_users(generation, ledger, ids)
    return _of_items(generation, ids)


def _of_users(generation: Generation, ledger: Ledger, ids: Sequence[str]) -> Scanner:
    users, gone = generation.users, set(ids)
    rows = users.rows(list(ids))
    traces = [trace for id in ids for trace in text_traces("id", id)]
    for id in ids:
        for one in ledger.corrections_of(id):
            traces += text_traces("text", one.sentence)
    traces += vector_traces("profile", users.vectors[rows])
    others = "\n".join(id for id in users.ids if id not in gone).encode()
    return Scanner(traces).without(
        others,
        _texts(generation, np.arange(len(generation.catalogue))),
        np.delete(users.vectors, rows, axis=0),
        np.ascontiguousarray(generation.vectors),
    )


def _of_items(generation: Generation, ids: Sequence[str]) -> Scanner:
    catalogue = generation.catalogue
    rows = catalogue.rows(list(ids))
    rows = rows[rows >= 0]
    traces = [trace for id in ids for trace in text_traces("id", id)]
    texts = catalogue.table.select(_FIELDS).take(rows).to_pylist()
    for item in texts:
        for text in item.values():
            traces += text_traces("text", text)
    traces += _words(generation, rows)
    arrays = {"raw": np.asarray(generation.raw), "space": np.asarray(generation.vectors)}
    if generation.signals.graph is not None:
        arrays["graph"] = np.asarray(generation.signals.graph)
    for name, array in arrays.items():
        traces += vector_traces(name, array[rows])
    left = np.delete(np.arange(len(catalogue)), rows)
    people = "\n".join(generation.users.ids).encode()
    kept = _texts(generation, left)
    return Scanner(traces).without(
        people, kept, kept.lower(), *(array[left] for array in arrays.values())
    )


def _words(generation: Generation, rows: np.ndarray) -> Iterator[Trace]:
    """Words of the lexical signal that only these items have."""
    postings = generation.signals.lexical.postings
    theirs = np.isin(postings.rows, rows)
    before = np.concatenate([[0], np.cumsum(theirs)])
    items = np.diff(postings.indptr)
    for word in np.flatnonzero(np.diff(before[postings.indptr]) == items):
        yield from text_traces("text", postings.words[word])


def _texts(generation: Generation, rows: np.ndarray) -> bytes:
    """All that items have of ids and texts, one after the other."""
    table = generation.catalogue.table.select(["item_id", *_FIELDS]).take(rows)
    paths = generation.catalogue.table["category"].take(rows).to_pylist()
    columns = [table[name].to_pylist() for name in table.column_names]
    return "\n".join(
        [
            *(text for column in columns for text in column),
            *(part for path in paths for part in path),
        ]
    ).encode()
