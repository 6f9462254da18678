"""An index on disk: the truth, generations built from it, and nearest-neighbour search."""

from __future__ import annotations

from crossrec_llm.store.changes import Appended, LiveItems, Put
from crossrec_llm.store.chroma import ChromaSearch, ChromaStore, StoreOptions
from crossrec_llm.store.churn import Due, LiveOptions
from crossrec_llm.store.database import LAYOUT
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
    "FORMAT",
    "LAYOUT",
    "Appended",
    "ChromaSearch",
    "ChromaStore",
    "Draft",
    "Due",
    "ExactSearch",
    "GenerationRecord",
    "Index",
    "IndexWriter",
    "Ledger",
    "LiveItems",
    "LiveOptions",
    "Manifest",
    "Merged",
    "Overlaid",
    "Put",
    "Reachability",
    "Search",
    "StoreOptions",
    "StoredGeneration",
    "Truth",
    "content_digest",
    "damage",
    "differences",
    "load_generation",
    "number_of",
    "reachability",
    "read_manifest",
    "require_whole",
    "top",
]
