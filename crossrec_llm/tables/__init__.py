"""What users bring: their files, cleaned, as a catalogue of items and users' histories."""

from crossrec_llm.tables.catalogue import ITEMS_SCHEMA, Catalogue
from crossrec_llm.tables.cleaning import CleaningOptions
from crossrec_llm.tables.columns import EventColumns, ItemColumns
from crossrec_llm.tables.events import BotOptions
from crossrec_llm.tables.fingerprint import fingerprint_inputs, history_digest
from crossrec_llm.tables.histories import EVENTS_SCHEMA, Histories, HistoryOptions
from crossrec_llm.tables.near import near_matches
from crossrec_llm.tables.raw import FormatOptions
from crossrec_llm.tables.reading import NewEvents, Tables, read_events, read_items, read_tables
from crossrec_llm.tables.report import (
    EXAMPLES,
    Lost,
    Reject,
    Report,
    Sample,
    SourceReport,
    Suspicion,
    TableReport,
)
from crossrec_llm.tables.sources import Inputs, TablesOptions
from crossrec_llm.tables.taken import Taken, TakenSince
from crossrec_llm.tables.walls import OUTSIDE, Walls

__all__ = [
    "EVENTS_SCHEMA",
    "EXAMPLES",
    "ITEMS_SCHEMA",
    "OUTSIDE",
    "BotOptions",
    "Catalogue",
    "CleaningOptions",
    "EventColumns",
    "FormatOptions",
    "Histories",
    "HistoryOptions",
    "Inputs",
    "ItemColumns",
    "Lost",
    "NewEvents",
    "Reject",
    "Report",
    "Sample",
    "SourceReport",
    "Suspicion",
    "TableReport",
    "Tables",
    "TablesOptions",
    "Taken",
    "TakenSince",
    "Walls",
    "fingerprint_inputs",
    "history_digest",
    "near_matches",
    "read_events",
    "read_items",
    "read_tables",
]
