"""An index on disk: the truth, generations built from it, and nearest-neighbour search."""

from __future__ import annotations

from crossrec_llm.store.changes import Appended, LiveItems, Put
from crossrec_llm.store.chroma import ChromaSearch, ChromaStore, StoreOptions
from crossrec_llm.store.churn import Due, LiveOptions
from crossrec_llm.store.collections import Collections
from crossrec_llm.store.database import LAYOUT
from crossrec_llm.store.erasures import Barred, Erasures, Kind, Removed, Unfinished
from crossrec_llm.store.exposures import (
    DAY,
    Exposure,
    Exposures,
    Logged,
    Outcome,
    Recorded,
    Stated,
)
from crossrec_llm.store.index import (
    Index,
    StoredGeneration,
    damage,
    load_generation,
    read_manifest,
    require_whole,
)
from crossrec_llm.store.ledger import Ledger, Merged
from crossrec_llm.store.manifest import FORMAT, GenerationRecord, Manifest, differences, number_of
from crossrec_llm.store.receipts import (
    ERASED,
    SCANNED,
    ErasureReceipt,
    Learned,
    marked,
    named,
    next_number,
    read_receipt,
    read_receipts,
)
from crossrec_llm.store.rows import content_digest
from crossrec_llm.store.search import (
    ExactSearch,
    Overlaid,
    Reachability,
    Search,
    reachability,
    top,
)
from crossrec_llm.store.writer import Draft, IndexWriter, Truth

__all__ = [
    "DAY",
    "ERASED",
    "FORMAT",
    "LAYOUT",
    "SCANNED",
    "Appended",
    "Barred",
    "ChromaSearch",
    "ChromaStore",
    "Collections",
    "Draft",
    "Due",
    "ErasureReceipt",
    "Erasures",
    "ExactSearch",
    "Exposure",
    "Exposures",
    "GenerationRecord",
    "Index",
    "IndexWriter",
    "Kind",
    "Learned",
    "Ledger",
    "LiveItems",
    "LiveOptions",
    "Logged",
    "Manifest",
    "Merged",
    "Outcome",
    "Overlaid",
    "Put",
    "Reachability",
    "Recorded",
    "Removed",
    "Search",
    "Stated",
    "StoreOptions",
    "StoredGeneration",
    "Truth",
    "Unfinished",
    "content_digest",
    "damage",
    "differences",
    "load_generation",
    "marked",
    "named",
    "next_number",
    "number_of",
    "reachability",
    "read_manifest",
    "read_receipt",
    "read_receipts",
    "require_whole",
    "top",
]
