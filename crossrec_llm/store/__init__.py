"""An index on disk: the truth, generations built from it, and nearest-neighbour search."""

from __future__ import annotations

from crossrec_llm.store.changes import Appended, LiveItems, Put
from crossrec_llm.store.chroma import ChromaSearch, ChromaStore, StoreOptions
from crossrec_llm.store.collections import Collections
from crossrec_llm.store.erasures import Barred, Erasures, Kind, Removed
from crossrec_llm.store.index import Index, StoredGeneration, damage
from crossrec_llm.store.ledger import Ledger, Merged
from crossrec_llm.store.manifest import FORMAT, GenerationRecord, Manifest, differences
from crossrec_llm.store.receipts import (
    ErasureReceipt,
    Learned,
    complete_receipts,
    next_number,
    read_receipts,
)
from crossrec_llm.store.rows import content_digest
from crossrec_llm.store.search import ExactSearch, Reachability, Search, reachability, top
from crossrec_llm.store.writer import Draft, IndexWriter, Truth

__all__ = [
    "FORMAT",
    "Appended",
    "Barred",
    "ChromaSearch",
    "ChromaStore",
    "Collections",
    "Draft",
    "ErasureReceipt",
    "Erasures",
    "ExactSearch",
    "GenerationRecord",
    "Index",
    "IndexWriter",
    "Kind",
    "Learned",
    "Ledger",
    "LiveItems",
    "Manifest",
    "Merged",
    "Put",
    "Reachability",
    "Removed",
    "Search",
    "StoreOptions",
    "StoredGeneration",
    "Truth",
    "complete_receipts",
    "content_digest",
    "damage",
    "differences",
    "next_number",
    "reachability",
    "read_receipts",
    "top",
]
