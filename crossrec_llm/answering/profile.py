"""From what is known of a person, or typed, to a Query."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from crossrec_llm.records import Query, SimilarMode


def make_query(
    kind: Literal["user", "like", "similar"],
    rows: np.ndarray | Sequence[int] = (),
    weights: np.ndarray | Sequence[float] = (),
    *,
    liked: Sequence[int] = (),
    disliked: Sequence[int] = (),
    text: str | None = None,
    text_vector: np.ndarray | None = None,
    mode: SimilarMode = "both",
) -> Query:
    """A query from a history and examples.

    Parameters
    ----------
    rows, weights : the history, oldest first; a weight below 0 marks a dislike. Weights are
        scaled so that the largest is 1.
    liked : rows that count as the newest items of the history, at its largest weight.
    disliked : rows to move away from; they win over the history and over `liked`.
    text : the free text as typed; `text_vector`, (dim,) float32, is its raw vector.
    mode : of a "similar" query.
    """
    rows = np.asarray(rows, np.int64)
    weights = np.asarray(weights, np.float32)
    away = np.unique(np.concatenate([rows[weights < 0], np.asarray(disliked, np.int64)]))
    examples = np.asarray(list(dict.fromkeys(liked)), np.int64)
    wanted = (weights > 0) & ~np.isin(rows, examples) & ~np.isin(rows, away)
    history, strength = rows[wanted], weights[wanted]
    if len(strength):
        strength = strength / strength.max()
    examples = examples[~np.isin(examples, away)]
    return Query(
        kind=kind,
        history=np.concatenate([history, examples]),
        weights=np.concatenate([strength, np.ones(len(examples), np.float32)]),
        disliked=away,
        text=text,
        text_vector=text_vector,
        mode=mode,
    )
