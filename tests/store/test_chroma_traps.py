"""What Chroma does that our code has to work around; a change in Chroma shows here first."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chromadb.errors import ChromaError

from crossrec_llm.store import ChromaStore, reachability
from crossrec_llm.store.chroma_files import seal
from crossrec_llm.store.files import checksums
from tests.store.small import clustered

IDS = [f"i{row}" for row in range(40)]
VECTORS = clustered(40)


def filled(folder: Path) -> Path:
    with ChromaStore.embedded(folder) as store:
        store.write("items", IDS, VECTORS)
    return folder


def run(code: str, *arguments: object) -> str:
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_add_ignores_an_id_that_is_there(tmp_path: Path) -> None:
    """Why `write` makes a collection anew."""
    with ChromaStore.embedded(filled(tmp_path)) as store:
        collection = store._collection("items")
        collection.add(ids=["i0"], embeddings=-VECTORS[:1])
        kept = collection.get(ids=["i0"], include=["embeddings"])["embeddings"]
    np.testing.assert_allclose(kept[0], VECTORS[0], rtol=1e-5)


@pytest.mark.parametrize("metadata", [{"brand": None}, {}])
def test_none_and_empty_metadata_are_refused(tmp_path: Path, metadata: dict[str, Any]) -> None:
    """Why `write` leaves them out."""
    with ChromaStore.embedded(filled(tmp_path)) as store:
        collection = store._collection("items")
        with pytest.raises((TypeError, ValueError)):
            collection.add(ids=["new"], embeddings=VECTORS[:1], metadatas=[metadata])


def test_a_batch_above_the_limit_is_refused(tmp_path: Path) -> None:
    """Why `write` asks for the limit."""
    with ChromaStore.embedded(filled(tmp_path)) as store:
        n = store._client.get_max_batch_size() + 1
        collection, vectors = store._collection("items"), np.ones((n, 24), np.float32)
        with pytest.raises((ValueError, ChromaError), match=f"max.* batch size .*{n - 1}"):
            collection.add(ids=list(map(str, range(n))), embeddings=vectors)


def test_a_stored_configuration_has_no_code_run(tmp_path: Path) -> None:
    """Why every collection is opened with embedding_function=None."""
    run(
        """
        import sys
        import chromadb
        from chromadb.utils.embedding_functions import register_embedding_function

        @register_embedding_function
        class Evil(chromadb.EmbeddingFunction):
            def __init__(self): pass
            def __call__(self, input): return [[1.0] * 24 for _ in input]
            @staticmethod
            def name(): return "sentence_transformer"
            def get_config(self): return {"model_name": "x", "device": "cpu", "kwargs": {},
                                          "normalize_embeddings": False}
            @staticmethod
            def build_from_config(config): return Evil()

        with chromadb.PersistentClient(sys.argv[1]) as client:
            collection = client.create_collection("items", embedding_function=Evil())
            collection.add(ids=[f"i{n}" for n in range(40)], documents=["x"] * 40)
        """,
        tmp_path,
    )
    said = run(
        """
        import sys
        from pathlib import Path
        import numpy as np
        from crossrec_llm.store import ChromaStore
        with ChromaStore.embedded(Path(sys.argv[1])) as store:
            search = store.search("items", [f"i{n}" for n in range(40)])
            search.nearest(np.ones((1, 24), np.float32), 3)
        print("sentence_transformers" in sys.modules)
        """,
        tmp_path,
    )
    assert said == "False\n"


def test_a_dotenv_in_the_working_folder_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chroma takes settings from it, among them names of code to import."""
    (tmp_path / ".env").write_text("CHROMA_API_IMPL=evil.module.Class\nANONYMIZED_TELEMETRY=true\n")
    monkeypatch.chdir(tmp_path)
    with ChromaStore.embedded(filled(tmp_path / "chroma")) as store:
        assert store.count("items") == 40
        assert not store._client.get_settings().anonymized_telemetry


def test_a_store_that_was_closed_and_opened_sees_what_another_process_wrote(
    tmp_path: Path,
) -> None:
    """Clients of one folder share one system: a stale one silently loses data."""
    filled(tmp_path)
    run(
        """
        import sys
        from pathlib import Path
        from crossrec_llm.store import ChromaStore
        from tests.store.small import clustered
        with ChromaStore.embedded(Path(sys.argv[1])) as store:
            store.write("users", [f"u{n}" for n in range(2000)], clustered(2000))
        """,
        tmp_path,
    )
    with ChromaStore.embedded(tmp_path) as store:
        found = reachability(store.search("users", [f"u{n}" for n in range(2000)]), clustered(2000))
    assert found.unreachable == ()


def test_closing_one_of_two_stores_leaves_the_other(tmp_path: Path) -> None:
    one, two = ChromaStore.embedded(filled(tmp_path)), ChromaStore.embedded(tmp_path)
    search = two.search("items", IDS)
    one.close()
    assert search.nearest(VECTORS[:1], 1)[0].tolist() == [[0]]
    two.close()


@pytest.mark.parametrize("n", [0, 1, 2, 40])
def test_reading_changes_no_byte_of_a_sealed_folder(tmp_path: Path, n: int) -> None:
    """Chroma notes each opening in its database, and makes a graph anew that was never saved."""
    with ChromaStore.embedded(tmp_path) as store:
        store.write("items", IDS[:n], VECTORS[:n])
    seal(tmp_path)
    seal(tmp_path)
    before = checksums(tmp_path)
    assert len(before) == (6 if n else 1)
    for _ in range(2):
        with ChromaStore.embedded(tmp_path) as store:
            found, _ = store.search("items", IDS[:n]).nearest(VECTORS[:1], 1)
    assert found.tolist() == [[0 if n else -1]]
    assert checksums(tmp_path) == before


def test_a_sealed_folder_can_be_written_again(tmp_path: Path) -> None:
    """A copy of it is, where only some of its collections change."""
    seal(filled(tmp_path))
    with ChromaStore.embedded(tmp_path) as store:
        store.write("more", IDS[:40], VECTORS[:40])
        store.write("items", IDS[:9], VECTORS[:9])
    with ChromaStore.embedded(tmp_path) as store:
        for name, n in (("more", 40), ("items", 9)):
            assert store.search(name, IDS[:n]).nearest(VECTORS[5:6], 1)[0].tolist() == [[5]]


def test_nothing_waits_to_be_added_when_a_collection_is_opened(tmp_path: Path) -> None:
    """What sync_threshold is for; Chroma's own leaves up to 1,000 vectors over for each opening."""
    filled(tmp_path)
    connection = sqlite3.connect(tmp_path / "chroma.sqlite3")
    waiting = connection.execute("SELECT count(*) FROM embeddings_queue").fetchone()[0]
    connection.close()
    assert waiting <= 1


def test_a_graph_that_the_disk_cut_short_is_noticed(tmp_path: Path) -> None:
    """Chroma writes it without looking whether there was room, and answers as if all was well."""
    said = run(
        """
        import resource, sys
        from pathlib import Path
        from crossrec_llm.errors import IndexDamaged
        from crossrec_llm.store import ChromaStore, chroma, reachability
        from tests.store.small import clustered
        chroma._REQUEST_BYTES = 1_000_000  # small batches keep the database below the limit
        n, vectors = 4000, clustered(4000, 400)
        with ChromaStore.embedded(Path(sys.argv[1])) as store:
            resource.setrlimit(resource.RLIMIT_FSIZE, (6_000_000, 6_000_000))
            store.write("items", ids := [f"i{row}" for row in range(n)], vectors)
            try:
                checked = reachability(store.search("items", ids), vectors, sample=500)
                print("noticed" if checked.unreachable else "not noticed")
            except IndexDamaged:
                print("noticed")
        """,
        tmp_path,
    )
    assert said == "noticed\n"
