"""The catalogue as a map: where each item lies, and which are out of the way."""

from __future__ import annotations

from crossrec_llm.atlas.charting import (
    ALONE,
    FAR,
    MARKS,
    NOWHERE,
    UNREACHED,
    CatalogueMap,
    make_map,
    stored_map,
)
from crossrec_llm.atlas.layout import lay_out
from crossrec_llm.atlas.making import Making, look, start, stop
from crossrec_llm.atlas.neighbours import nearest_neighbours

__all__ = [
    "ALONE",
    "FAR",
    "MARKS",
    "NOWHERE",
    "UNREACHED",
    "CatalogueMap",
    "Making",
    "lay_out",
    "look",
    "make_map",
    "nearest_neighbours",
    "start",
    "stop",
    "stored_map",
]
