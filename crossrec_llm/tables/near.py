"""Names that look like a name that is not there."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

# difflib is quadratic: it only ever sees this many candidates, each cut to this length.
_CANDIDATES = 1000
_LENGTH = 64


def near_matches(name: str, names: Sequence[str] | pa.Array | pa.ChunkedArray) -> list[str]:
    """Up to three of `names` that look like `name`, else that begin with it; best first.

    Quick on hundreds of thousands of names: candidates share their first or last characters with
    `name`, or differ only in case and surrounding spaces.
    """
    wanted = name.strip().casefold()[:_LENGTH]
    if not wanted or len(names) == 0:
        return []
    if not isinstance(names, pa.Array | pa.ChunkedArray):
        names = pa.array(list(names), pa.string())
    lowered: dict[str, str] = {}
    for candidate in _candidates(wanted, names):
        lowered.setdefault(candidate.strip().casefold()[:_LENGTH], candidate)
    found = difflib.get_close_matches(wanted, list(lowered), n=3, cutoff=0.6)
    if not found:
        longer = names.filter(pc.starts_with(names, wanted, ignore_case=True)).to_pylist()
        return sorted(longer, key=len)[:3]
    return [lowered[key] for key in found]


def _candidates(wanted: str, names: pa.Array | pa.ChunkedArray) -> list[str]:
    if len(names) <= _CANDIDATES:
        return [str(value) for value in names.to_pylist()]
    lengths = pc.utf8_length(names)
    slack = max(2, len(wanted) // 3)
    alike = pc.and_(
        pc.greater_equal(lengths, len(wanted) - slack),
        pc.or_(pc.less_equal(lengths, len(wanted) + slack), len(wanted) >= _LENGTH),
    )
    names = names.filter(alike)
    part = max(1, len(wanted) * 2 // 3)
    found: dict[str, None] = {}
    for test, piece in (
        (pc.starts_with, wanted[:part]),
        (pc.match_substring, wanted[-part:]),
        (pc.starts_with, wanted[:2]),
    ):
        hits = names.filter(test(names, piece, ignore_case=True))
        # Evenly over all hits: the first ones alone would favour the start of the file.
        step = max(1, len(hits) // _CANDIDATES)
        found.update(
            dict.fromkeys(hits.take(pa.array(range(0, len(hits), step), pa.int64())).to_pylist())
        )
        if len(found) >= _CANDIDATES:
            break
    return list(found)
