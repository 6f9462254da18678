"""The vector collections of one generation, each where it can be made anew without the others."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Self

import numpy as np

from crossrec_llm.records import Progress
from crossrec_llm.store.chroma import ChromaSearch, ChromaStore, Metadata, StoreOptions
from crossrec_llm.store.chroma_files import DATABASE


class Collections:
    """Collections by name; a context manager that lets go of their files.

    Chroma never lets go of a vector, not even when it is deleted and the file is vacuumed. So each
    collection lies in a Chroma of its own, in a folder of its name: what was erased from one is
    gone with its folder, and the others are taken over as they are. On a server they share one.

    Parameters
    ----------
    open_store : opens the Chroma of a collection.
    has : whether there is such a collection.
    """

    def __init__(
        self, open_store: Callable[[str], ChromaStore], has: Callable[[str], bool]
    ) -> None:
        self._open_store, self.has = open_store, has
        self._stores: dict[str, ChromaStore] = {}

    @classmethod
    def embedded(cls, folder: Path, options: StoreOptions | None = None) -> Self:
        """In this process; folders are made when a collection is first written.

        Indexes of before have all collections in one Chroma, which is found too.
        """
        shared = folder / DATABASE
        together: dict[str, ChromaStore] = {}

        def open_store(name: str) -> ChromaStore:
            if not shared.exists():
                return ChromaStore.embedded(folder / name, options)
            if not together:
                together[""] = ChromaStore.embedded(folder, options)
            return together[""]

        return cls(open_store, lambda name: shared.exists() or (folder / name / DATABASE).exists())

    @classmethod
    def server(cls, url: str, *, prefix: str = "", options: StoreOptions | None = None) -> Self:
        """On a server that `chroma run` started.

        Raises
        ------
        StoreUnavailable : nothing answers at the url, or what answers is not Chroma.
        """
        store = ChromaStore.server(url, prefix=prefix, options=options)
        opened = cls(lambda name: store, store.has)
        opened._stores[""] = store
        return opened

    def close(self) -> None:
        for store in {id(store): store for store in self._stores.values()}.values():
            store.close()
        self._stores = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write(
        self,
        name: str,
        ids: Sequence[str],
        vectors: np.ndarray,
        documents: Sequence[str] | None = None,
        metadatas: Sequence[Metadata] | None = None,
        *,
        progress: Progress | None = None,
    ) -> None:
        """As `ChromaStore.write`."""
        self._store(name).write(name, ids, vectors, documents, metadatas, progress=progress)

    def search(self, name: str, ids: Sequence[str]) -> ChromaSearch:
        """As `ChromaStore.search`."""
        return self._store(name).search(name, ids)

    def count(self, name: str) -> int:
        return self._store(name).count(name)

    def keep(self, prefixes: Collection[str]) -> None:
        """As `ChromaStore.keep`."""
        for store in self._stores.values():
            store.keep(prefixes)

    def _store(self, name: str) -> ChromaStore:
        if name not in self._stores:
            self._stores[name] = self._open_store(name)
        return self._stores[name]
