"""Chroma, embedded or as a server."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self, TypeVar

import numpy as np
from annotated_types import Ge, Gt

from crossrec_llm.errors import IndexDamaged
from crossrec_llm.records import STRICT, Progress
from crossrec_llm.store.chroma_errors import NoAnswer, damaged, parsed, require_chroma, translated
from crossrec_llm.store.files import disk_errors
from crossrec_llm.store.search import unfilled

if TYPE_CHECKING:
    from chromadb.api import ClientAPI
    from chromadb.config import Settings

Metadata = Mapping[str, str | int | float | bool | None]
T = TypeVar("T")

_REQUEST_BYTES = 16_000_000  # a server refuses more than 40 MB; texts are of unequal length
_ANSWER_PAIRS = 200_000  # ids and distances fetched at once
_SPARE = 32  # fetched beyond k: settles ties at the end by row, and raises the recall of the rest
_FIRST_WAIT = 0.2  # seconds before a server is asked again; doubled each time
_WORST_FETCH = 1 << 14  # pairs for which a fetch is grown gradually; beyond it everything is read


@dataclass(frozen=True)
class StoreOptions:
    """Where Chroma runs, and how thorough its graph is.

    url : "http://host:port" of a Chroma server; "" = embedded, in the index's own folder.
    max_neighbors, ef_construction : links per vector and width of the search for them: higher is
        slower to build and finds more.
    ef_search : width of a query's search.
    timeout : seconds to wait for one answer of a server, while building.
    retries : how often a build asks a server again that does not answer; it waits 0.2 s before the
        first time, and twice as long before each further one.
    patience : seconds that a question waits for a server, before the exact scan answers it.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    url: str = ""
    max_neighbors: Annotated[int, Ge(2)] = 32
    ef_construction: Annotated[int, Ge(2)] = 200
    ef_search: Annotated[int, Ge(2)] = 400
    timeout: Annotated[float, Gt(0)] = 60.0
    retries: Annotated[int, Ge(0)] = 7
    patience: Annotated[float, Gt(0)] = 2.0

    @property
    def asking(self) -> Self:
        """The same for a question, which has something to answer it instead."""
        return replace(self, timeout=min(self.timeout, self.patience), retries=0)


class ChromaStore:
    """Collections of vectors in one Chroma; a context manager that lets go of its files.

    Parameters
    ----------
    connect : opens Chroma.
    place : the folder or url, for messages.
    prefix : put before the names of all collections, for a server: the generation's `prefix`.
    """

    def __init__(
        self, connect: Callable[[], ClientAPI], place: str, prefix: str, options: StoreOptions
    ) -> None:
        self.place, self.prefix, self.options = place, prefix, options
        self._connect, self._written = connect, False
        self._client = self._ask(connect)

    @classmethod
    def embedded(cls, folder: Path, options: StoreOptions | None = None) -> Self:
        """Chroma in this process; the folder is made if it is not there.

        Only one process may write to a folder, and only once: Chroma loses what a second one
        adds. A generation therefore gets a new folder, filled in one session and then closed.
        """
        import chromadb

        place = str(folder.absolute())

        def connect() -> ClientAPI:
            settings = _settings(is_persistent=True, persist_directory=place)
            return chromadb.PersistentClient(path=place, settings=settings)

        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        return cls(connect, place, "", options or StoreOptions())

    @classmethod
    def server(cls, url: str, *, prefix: str = "", options: StoreOptions | None = None) -> Self:
        """Collections on a server that `chroma run` started.

        Raises
        ------
        StoreUnavailable : nothing answers at the url, or what answers is not Chroma.
        """
        import chromadb

        options = options or StoreOptions()
        host, port, ssl = parsed(url)

        def connect() -> ClientAPI:
            require_chroma(url, options.timeout)
            settings = _settings(
                chroma_api_impl="chromadb.api.fastapi.FastAPI",
                chroma_server_host=host,
                chroma_server_http_port=port,
                chroma_server_ssl_enabled=ssl,
            )
            client = chromadb.HttpClient(host=host, port=port, ssl=ssl, settings=settings)
            for session in _sessions(client):
                session.timeout = options.timeout
            return client

        return cls(connect, url, prefix, options)

    def close(self) -> None:
        sessions = _sessions(self._client)
        self._client.close()
        for session in sessions:
            session.close()

    def _read_back(self) -> None:
        """Go on with what is on the disk: a full one cuts a graph short without an error."""
        if self._written:
            self.close()
            self._client = self._ask(self._connect)
            self._written = False

    def _ask(self, request: Callable[[], T]) -> T:
        """The answer to a request that can be made twice; a server that is away is asked again."""
        from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

        again = Retrying(
            retry=retry_if_exception_type(NoAnswer),
            stop=stop_after_attempt(1 + self.options.retries),
            wait=wait_exponential(multiplier=_FIRST_WAIT),
            reraise=True,
        )
        return again(self._asked_once, request)

    def _asked_once(self, request: Callable[[], T]) -> T:
        with translated(self.place):
            return request()

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
        """Make a collection anew; one that is there is dropped first.

        Searches that were opened before end with it.

        Parameters
        ----------
        ids : distinct, not empty.
        vectors : (n, dim) float32 unit rows.
        metadatas : values that are None are left out.

        Raises
        ------
        StoreUnavailable : the disk is full, or the server does not answer.
        """
        n = len(ids)
        if len(set(ids)) != n or "" in ids or len(vectors) != n:
            raise ValueError("ids must be distinct, not empty, and one for each vector")
        self.drop(name)
        self._written = True
        parts = self._ask(lambda: self._batches(vectors, documents))
        # Asked again, it may be there already; adding leaves out what is there.
        collection = self._ask(
            lambda: self._client.get_or_create_collection(
                self._full(name),
                embedding_function=None,
                configuration={"hnsw": self._graph(n // parts)},
            )
        )
        done = 0
        for rows in np.array_split(np.arange(n), parts) if n else []:
            part = slice(rows[0], rows[-1] + 1)
            batch = {
                "ids": list(ids[part]),
                "embeddings": np.ascontiguousarray(vectors[part], np.float32),
                "documents": None if documents is None else list(documents[part]),
                "metadatas": None if metadatas is None else list(map(_known, metadatas[part])),
            }
            self._ask(partial(collection.add, **batch))
            done += len(rows)
            if progress:
                progress(f"index {name}", done, n)
        if n == 1:  # a graph is saved after two changes: without it each opening builds it anew
            vector = np.ascontiguousarray(vectors, np.float32)
            self._ask(partial(collection.update, ids=list(ids), embeddings=vector))

    def search(self, name: str, ids: Sequence[str]) -> ChromaSearch:
        """Search a collection; `ids` gives the row numbers (row = position).

        Raises
        ------
        IndexDamaged : there is no such collection, or not of so many vectors.
        """
        self._read_back()
        return ChromaSearch(self, name, ids)

    def count(self, name: str) -> int:
        self._read_back()
        count: int = self._ask(lambda: self._collection(name).count())
        return count

    def has(self, name: str) -> bool:
        return self._full(name) in self._names()

    def drop(self, name: str) -> None:
        """Remove a collection, if it is there."""
        self._ask(lambda: self._delete(self._full(name)))

    def keep(self, prefixes: Collection[str]) -> None:
        """Remove this index's collections on a server, but for those of some generations.

        Embedded, a generation's collections go with its folder, and nothing is done.
        """
        if not self.prefix:
            return
        index = "-".join(self.prefix.split("-")[:2]) + "-"
        kept = tuple(f"{prefix}-" for prefix in prefixes)
        for name in self._ask(self._names):
            if name.startswith(index) and not name.startswith(kept):
                self._ask(partial(self._delete, name))

    def _names(self) -> list[str]:
        names: list[str] = []
        while page := self._client.list_collections(limit=1000, offset=len(names)):
            names += [collection.name for collection in page]
        return names

    def _delete(self, full_name: str) -> None:
        if full_name in self._names():
            self._client.delete_collection(full_name)

    def _full(self, name: str) -> str:
        return f"{self.prefix}-{name}" if self.prefix else name

    def _collection(self, name: str) -> Any:
        # Without embedding_function=None a stored configuration could have code imported.
        return self._client.get_collection(self._full(name), embedding_function=None)

    def _graph(self, smallest_batch: int) -> dict[str, Any]:
        """The graph's settings.

        Chroma writes the graph to disk after every batch of at least sync_threshold vectors, and
        adds what came since to it whenever the collection is opened. As no batch is smaller, none
        is left over.
        """
        return {
            "space": "cosine",
            "max_neighbors": self.options.max_neighbors,
            "ef_construction": self.options.ef_construction,
            "ef_search": self.options.ef_search,
            "sync_threshold": max(2, smallest_batch),
        }

    def _batches(self, vectors: np.ndarray, documents: Sequence[str] | None) -> int:
        """Into how many equal batches to split the rows."""
        size = 6 * vectors.size + 2 * sum(map(len, documents or ()))
        most: int = self._client.get_max_batch_size()
        return max(1, math.ceil(len(vectors) / most), math.ceil(size / _REQUEST_BYTES))


class ChromaSearch:
    """`Search` in one collection: fetches more than k neighbours and leaves out what may not be.

    Chroma's own filters are many times slower, above all where most rows pass.
    """

    def __init__(self, store: ChromaStore, name: str, ids: Sequence[str]) -> None:
        # The store must live as long as its collection.
        self._store, self._name, self._ids = store, name, ids
        self._collection = self._open()

    def _open(self) -> Any:
        collection = self._store._ask(lambda: self._store._collection(self._name))
        count = self._store._ask(collection.count)
        if count != len(self._ids):
            raise damaged(
                self._store.place, f"{self._name} has {count} vectors instead of {len(self._ids)}"
            )
        return collection

    def __len__(self) -> int:
        return len(self._ids)

    @cached_property
    def _row_of(self) -> dict[str, int]:
        return {id: row for row, id in enumerate(self._ids)}

    def nearest(
        self, vectors: np.ndarray, k: int, allowed: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """As `Search.nearest`, but approximate: a row among the k best can be missed."""
        rows, scores = unfilled(len(vectors), k)
        n = len(self)
        passing = n if allowed is None else int(np.count_nonzero(allowed))
        wanted = min(k, passing)
        asked, fetch = np.arange(len(vectors)), min(n, _fetch(wanted, n, passing))
        while wanted and len(asked):
            short = []
            step = max(1, _ANSWER_PAIRS // fetch)
            for block in np.split(asked, range(step, len(asked), step)):
                for query, (near, cosines) in zip(
                    block, self._fetch(vectors[block], fetch), strict=True
                ):
                    if allowed is not None:
                        near, cosines = near[allowed[near]], cosines[allowed[near]]
                    if len(near) < wanted and fetch < n:
                        short.append(query)
                        continue
                    order = np.lexsort((near, -cosines))[:k]
                    rows[query, : len(order)] = near[order]
                    scores[query, : len(order)] = cosines[order]
            asked = np.array(short, np.int64)
            fetch = n if 4 * fetch > _WORST_FETCH else min(n, 4 * fetch)
        return rows, scores

    def _fetch(self, vectors: np.ndarray, count: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        def ask() -> Any:
            return self._collection.query(
                query_embeddings=np.ascontiguousarray(vectors, np.float32),
                n_results=count,
                include=["distances"],
            )

        try:
            found = self._store._ask(ask)
        except IndexDamaged:  # one that was filled again is another collection
            self._collection = self._open()
            found = self._store._ask(ask)
        for ids, distances in zip(found["ids"], found["distances"], strict=True):
            try:
                near = np.array([self._row_of[id] for id in ids], np.int64)
            except KeyError as error:
                raise damaged(self._store.place, f"{error} is not in this index") from error
            yield near, 1 - np.array(distances, np.float32)


def _fetch(wanted: int, n: int, passing: int) -> int:
    """How many neighbours to ask for so that `wanted` of them probably pass."""
    return math.ceil(1.2 * wanted * n / max(1, passing)) + _SPARE


def _known(metadata: Metadata) -> dict[str, Any] | None:
    """Chroma refuses None as a value, and a metadata that has none."""
    return {name: value for name, value in metadata.items() if value is not None} or None


def _settings(**given: Any) -> Settings:
    """Chroma's settings, without those that a .env in the working folder would add."""
    from chromadb.config import Settings

    return Settings(
        _env_file=None, anonymized_telemetry=False, chroma_client_auth_provider=None, **given
    )


def _sessions(client: ClientAPI) -> list[Any]:
    """A client's connections to a server: Chroma lets them wait for ever, and never closes them."""
    apis: list[Any] = [client._server, client._admin_client._server]
    return [api._session for api in apis if hasattr(api, "_session")]
