from __future__ import annotations

import http.server
import shutil
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from crossrec_llm.errors import IndexDamaged, IndexMismatch, StoreUnavailable
from crossrec_llm.store import (
    ChromaStore,
    ExactSearch,
    Index,
    IndexWriter,
    StoreOptions,
    Truth,
    reachability,
)
from tests.store.small import clustered, no_rows, running_chroma

server_test = pytest.mark.server
ODD_IDS = ["x" * 5000, "../../etc", "a b\tc", "🛒/é", "e\u0301", "\u00e9", "nul\0l", "'; --"]


@pytest.fixture(params=["embedded", pytest.param("server", marks=server_test)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ChromaStore]:
    if request.param == "embedded":
        with ChromaStore.embedded(tmp_path / "chroma") as store:
            yield store
    else:
        url = request.getfixturevalue("chroma_server")
        with ChromaStore.server(url, prefix=f"crossrec-0123456789ab-{tmp_path.name}") as store:
            yield store


def ids_of(n: int) -> list[str]:
    return [f"i{row}" for row in range(n)]


def test_write_count_drop(store: ChromaStore) -> None:
    store.write("items", ids_of(30), clustered(30))
    store.write("users", ids_of(3), clustered(3))
    assert (store.count("items"), store.count("users")) == (30, 3)
    store.drop("items")
    store.drop("items")
    with pytest.raises(IndexDamaged, match=r"items.*crossrec build"):
        store.count("items")
    assert store.count("users") == 3


def test_writing_again_replaces(store: ChromaStore) -> None:
    store.write("items", ids_of(30), clustered(30))
    store.write("items", ids_of(5), clustered(5, 8))
    assert store.count("items") == 5


def test_odd_ids(store: ChromaStore) -> None:
    vectors = clustered(len(ODD_IDS))
    store.write("users", ODD_IDS, vectors, ODD_IDS, [{"id": id} for id in ODD_IDS])
    rows, _ = store.search("users", ODD_IDS).nearest(vectors, 1)
    assert rows[:, 0].tolist() == list(range(len(ODD_IDS)))


@pytest.mark.parametrize("ids", [["a", "a"], ["a", ""], ["a"]])
def test_ids_that_would_be_lost_silently_are_refused(store: ChromaStore, ids: list[str]) -> None:
    with pytest.raises(ValueError, match="distinct"):
        store.write("items", ids, clustered(2))


def test_texts_and_metadata_are_stored(store: ChromaStore) -> None:
    metadatas = [{"brand": None, "price": 1.5}, {"brand": None}, {}]
    store.write("items", ids_of(3), clustered(3), ["tea", "", "a\0b"], metadatas)
    got = store._collection("items").get(ids=ids_of(3))
    assert got["documents"] == ["tea", "", "a\0b"]
    assert got["metadatas"] == [{"price": 1.5}, None, None]


def test_batches_and_progress(store: ChromaStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crossrec_llm.store.chroma._REQUEST_BYTES", 40_000)
    vectors = clustered(1003)
    seen: list[tuple[str, int, int]] = []
    store.write("items", ids_of(1003), vectors, progress=lambda *step: seen.append(step))
    assert seen[0] == ("index items", 251, 1003)
    assert seen[-1] == ("index items", 1003, 1003)
    assert reachability(store.search("items", ids_of(1003)), vectors).unreachable == ()


def test_more_than_one_batch_of_chroma(tmp_path: Path) -> None:
    vectors = clustered(5600, 4)
    with ChromaStore.embedded(tmp_path) as store:
        store.write("items", ids_of(5600), vectors)
        assert store.count("items") == 5600


def test_a_collection_of_something_else_is_noticed(store: ChromaStore) -> None:
    vectors = clustered(50)
    store.write("items", ids_of(50), vectors)
    with pytest.raises(IndexDamaged, match=r"items has 50 vectors instead of 20.*crossrec build"):
        store.search("items", ids_of(20))
    with pytest.raises(IndexDamaged, match=r"'i0' is not in this index"):
        store.search("items", ids_of(51)[1:]).nearest(vectors[[0]], 1)


def test_a_narrow_mask_makes_the_fetch_grow(
    store: ChromaStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crossrec_llm.store.chroma._SPARE", 0)
    vectors = clustered(800, clusters=2)
    store.write("items", ids_of(800), vectors)
    far = vectors @ vectors[0] < np.median(vectors @ vectors[0])
    rows, _ = store.search("items", ids_of(800)).nearest(vectors[:3], 10, far)
    true, _ = ExactSearch(vectors).nearest(vectors[:3], 10, far)
    assert (rows == true).mean() > 0.9


def test_recall_on_many_vectors(tmp_path: Path) -> None:
    vectors = clustered(4000, 64, clusters=200)
    with ChromaStore.embedded(tmp_path) as store:
        store.write("items", ids_of(4000), vectors)
        search = store.search("items", ids_of(4000))
        found, _ = search.nearest(vectors[:200], 100)
        checked = reachability(search, vectors, sample=1000)
    true, _ = ExactSearch(vectors).nearest(vectors[:200], 100)
    recall = np.mean([len({*a} & {*b}) / 100 for a, b in zip(found, true, strict=True)])
    assert recall >= 0.99
    assert checked.unreachable == ()
    assert checked.recall_at_10 >= 0.99


def test_the_configured_graph_is_the_one_made(tmp_path: Path) -> None:
    options = StoreOptions(max_neighbors=12, ef_construction=50, ef_search=60)
    with ChromaStore.embedded(tmp_path, options) as store:
        store.write("items", ids_of(10), clustered(10))
        graph = store._collection("items").configuration_json["hnsw"]
    assert (graph["max_neighbors"], graph["ef_construction"], graph["ef_search"]) == (12, 50, 60)
    assert (graph["space"], graph["sync_threshold"]) == ("cosine", 10)


def test_vectors_of_another_length(store: ChromaStore) -> None:
    store.write("items", ids_of(5), clustered(5, 24))
    with pytest.raises(IndexMismatch, match="dimension of 24, got 8"):
        store.search("items", ids_of(5)).nearest(clustered(1, 8), 2)


def test_a_vector_with_nan(store: ChromaStore) -> None:
    with pytest.raises(IndexMismatch, match="NaN"):
        store.write("items", ids_of(2), np.full((2, 4), np.nan, np.float32))


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable, match="cannot be written"):
        ChromaStore.embedded(tmp_path / "file" / "chroma")


def test_a_database_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "chroma.sqlite3").write_bytes(b"no database" * 1000)
    with pytest.raises(IndexDamaged, match=r"Chroma does not have .*crossrec build"):
        ChromaStore.embedded(tmp_path)


def test_a_file_that_may_not_grow(tmp_path: Path) -> None:
    code = """
        import resource, sys
        from pathlib import Path
        from crossrec_llm.errors import StoreUnavailable
        from crossrec_llm.store import ChromaStore
        from tests.store.small import clustered
        with ChromaStore.embedded(Path(sys.argv[1])) as store:
            resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))
            try:
                store.write("items", [f"i{n}" for n in range(3000)], clustered(3000, 64))
            except StoreUnavailable as error:
                print(error)
    """
    command = [sys.executable, "-c", textwrap.dedent(code), tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert f"{tmp_path}: Chroma cannot write there" in done.stdout, done.stderr


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever Chroma says then."""
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=4096))
    with (
        ChromaStore.embedded(tmp_path) as store,
        pytest.raises(StoreUnavailable, match=rf"{tmp_path}: the disk is full; free"),
    ):
        store.count("anything")


def test_a_published_generation_is_searched_from_another_folder_name(tmp_path: Path) -> None:
    vectors = clustered(200)
    with IndexWriter.open(tmp_path / "shop") as writer:
        draft = writer.begin({"a": "b"})
        with ChromaStore.embedded(draft.folder / "chroma") as store:
            store.write("items", ids_of(200), vectors)
        writer.publish(draft, {}, Truth(*no_rows()))
    with (
        Index.open(tmp_path / "shop") as index,
        ChromaStore.embedded(index.generation.folder / "chroma") as store,
    ):
        rows, _ = store.search("items", ids_of(200)).nearest(vectors, 1)
        assert (rows[:, 0] == np.arange(200)).mean() > 0.99
        store.keep([])
        assert store.count("items") == 200, "a folder's collections go with the folder"


# Servers


@server_test
def test_only_kept_generations_stay_on_a_server(chroma_server: str) -> None:
    index, other = "crossrec-aaaaaaaaaaaa-", "crossrec-bbbbbbbbbbbb-"
    prefixes = [index + "0001-x", index + "0002-x", index + "0003-x", other + "0001-x"]
    for prefix in prefixes:
        with ChromaStore.server(chroma_server, prefix=prefix) as store:
            store.write("items", ids_of(2), clustered(2))
    with ChromaStore.server(chroma_server, prefix=prefixes[2]) as store:
        store.keep(prefixes[1:3])
        there = set(store._names())
    assert {f"{prefix}-items" for prefix in prefixes[1:]} <= there
    assert f"{prefixes[0]}-items" not in there


@pytest.mark.parametrize(
    "url", ["localhost:8000", "ftp://host", "http://", "http://host:port", "http://host/path", "x"]
)
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(StoreUnavailable, match=r"http://host:port|not an address"):
        ChromaStore.server(url)


def test_nothing_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with pytest.raises(StoreUnavailable, match=rf"{url}: no Chroma .*`chroma run .*--port {port}`"):
        ChromaStore.server(url)


def test_something_that_never_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        started = time.perf_counter()
        with pytest.raises(StoreUnavailable, match="no Chroma server answers"):
            ChromaStore.server(f"http://127.0.0.1:{port}", options=StoreOptions(timeout=0.3))
        assert time.perf_counter() - started < 5


@pytest.mark.parametrize("body", [b"<html>hello", b"[]", b"3", b"{}"])
def test_something_else_answers(body: bytes) -> None:
    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        with pytest.raises(StoreUnavailable, match="not a Chroma server"):
            ChromaStore.server(url)


def test_a_server_that_answers_in_no_form_that_is_known() -> None:
    class Gateway(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            alive = self.path.endswith("heartbeat")
            self.send_response(200 if alive else 502)
            self.end_headers()
            self.wfile.write(b'{"nanosecond heartbeat": 1}' if alive else b"bad gateway")

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Gateway) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        with pytest.raises(StoreUnavailable, match=rf"{url}: the Chroma server .*bad gateway"):
            ChromaStore.server(url)
        server.shutdown()


@server_test
def test_a_server_that_goes_away_and_comes_back(tmp_path: Path) -> None:
    vectors = clustered(50)
    with running_chroma(tmp_path) as url:
        store = ChromaStore.server(url, prefix="crossrec-0123456789ab-0001")
        store.write("items", ids_of(50), vectors)
        search = store.search("items", ids_of(50))
    with pytest.raises(StoreUnavailable, match=rf"{url}: no Chroma server answers"):
        search.nearest(vectors[:1], 3)
    with pytest.raises(StoreUnavailable):
        store.write("items", ids_of(50), vectors)
    store.close()
    with (
        running_chroma(tmp_path) as url,
        ChromaStore.server(url, prefix="crossrec-0123456789ab-0001") as store,
    ):
        rows, _ = store.search("items", ids_of(50)).nearest(vectors[:1], 3)
        assert rows[0, 0] == 0
