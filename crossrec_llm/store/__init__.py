"""An index on disk: the truth, generations built from it, and nearest-neighbour search."""

from __future__ import annotations

from crossrec_llm.store.changes import Appended, LiveItems, Put
from crossrec_llm.store.chroma import ChromaSearch, ChromaStore, StoreOptions
from crossrec_llm.store.index import Index, StoredGeneration, damage, require_whole
from crossrec_llm.store.ledger import Ledger, Merged
from crossrec_llm.store.manifest import FORMAT, GenerationRecord, Manifest, differences
from crossrec_llm.store.rows import content_digest
from crossrec_llm.store.search import ExactSearch, Reachability, Search, reachability, top
from crossrec_llm.store.writer import Draft, IndexWriter, Truth

__all__ = [
    "FORMAT",
    "Appended",
    "ChromaSearch",
    "ChromaStore",
    "Draft",
    "ExactSearch",
    "GenerationRecord",
    "Index",
    "IndexWriter",
    "Ledger",
    "LiveItems",
    "Manifest",
    "Merged",
    "Put",
    "Reachability",
    "Search",
    "StoreOptions",
    "StoredGeneration",
    "Truth",
    "content_digest",
    "damage",
    "differences",
    "reachability",
    "require_whole",
    "top",
]
