"""Which items are out of the way: far from their category, among strangers, found by nobody."""

from __future__ import annotations

import numpy as np

# Of the modified z-score. Cosines end at -1: beyond -3.5, as is usual, there is hardly anything.
_UNUSUAL = -2.5
_ENOUGH = 8  # items that a category needs before one of them can be far from the rest


def far_from_category(vectors: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """(n,) bool: the cosine to the middle of its category is unusually low among those of it.

    Unusual is a modified z-score below -2.5: 0.6745 (x - median) over the median absolute deviation
    (Iglewicz & Hoaglin 1993). Nobody is where the category has fewer than eight items.
    """
    far = np.zeros(len(codes), bool)
    for code in np.unique(codes):
        rows = np.flatnonzero(codes == code)
        if len(rows) < _ENOUGH:
            continue
        own = np.asarray(vectors[rows])
        cosines = own @ own.mean(axis=0)
        off = cosines - np.median(cosines)
        spread = np.median(np.abs(off))
        far[rows] = 0.6745 * off < _UNUSUAL * spread
    return far


def among_strangers(neighbours: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """(n,) bool: none of its (n, k) neighbours is in its category, which has others."""
    own = (codes[neighbours] == codes[:, None]).any(axis=1)
    others = np.bincount(codes)[codes] > 1
    return np.asarray(~own & others)


def found_by_nobody(neighbours: np.ndarray, people: np.ndarray) -> np.ndarray:
    """(n,) bool: among the neighbours of no other item, and taken by none of its people.

    Neither meaning nor behaviour leads to it: lists have it only where it is popular by itself,
    asked for by a filter, or by a text.
    """
    named = np.bincount(neighbours.ravel(), minlength=len(neighbours)) > 0
    return np.asarray(~named & (people == 0))
