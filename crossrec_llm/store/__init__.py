"""An index on disk: the truth, generations built from it, and nearest-neighbour search."""

from __future__ import annotations

from crossrec_llm.store.chroma import ChromaSearch, ChromaStore, StoreOptions
from crossrec_llm.store.collections import Collections
from crossrec_llm.store.index import Index, StoredGeneration, damage
from crossrec_llm.store.ledger import Ledger, content_digest
from crossrec_llm.store.manifest import FORMAT, GenerationRecord, Manifest, differences
from crossrec_llm.store.search import ExactSearch, Reachability, Search, reachability, top
from crossrec_llm.store.writer import Draft, IndexWriter

__all__ = [
    "FORMAT",
    "ChromaSearch",
    "ChromaStore",
    "Collections",
    "Draft",
    "ExactSearch",
    "GenerationRecord",
    "Index",
    "IndexWriter",
    "Ledger",
    "Manifest",
    "Reachability",
    "Search",
    "StoreOptions",
    "StoredGeneration",
    "content_digest",
    "damage",
    "differences",
    "reachability",
    "top",
]
