"""What users bring: their files, cleaned, as a catalogue of items and users' histories."""

from crossrec_llm.tables.catalogue import ITEMS_SCHEMA, Catalogue
from crossrec_llm.tables.histories import EVENTS_SCHEMA, Histories, HistoryOptions
from crossrec_llm.tables.near import near_matches

__all__ = [
    "EVENTS_SCHEMA",
    "ITEMS_SCHEMA",
    "Catalogue",
    "Histories",
    "HistoryOptions",
    "near_matches",
]
