from __future__ import annotations

import resource
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from crossrec_llm import verify
from crossrec_llm.errors import IndexDamaged, IndexMismatch, IndexMissing, StoreUnavailable
from crossrec_llm.generation import Generation
from crossrec_llm.store import Index, Ledger
from tests.safekeeping.conftest import active, flip
from tests.small_index import resealed


def test_a_whole_index(path: Path) -> None:
    found = verify(path)
    assert found.ok
    assert found.problems == ()
    assert found.active == active(path).name
    assert found.files > 40
    assert found.to_dict()["ok"]
    assert all("not looked at" in note for note in found.notes)


def test_nothing_is_changed_by_it(path: Path) -> None:
    def contents() -> dict[Path, bytes]:
        return {
            file: file.read_bytes()
            for file in path.rglob("*")
            if file.is_file() and not file.name.endswith(("-shm", "-wal"))
        }

    before = contents()
    verify(path)
    assert contents() == before


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("manifest.json", "the manifest"),
        ("{g}/generation.json", "generation {n}"),
        ("{g}/catalogue.arrow", "generation {n}: catalogue"),
        ("{g}/signals/als.safetensors", "generation {n}: signal als"),
        ("{g}/chroma/items/chroma.sqlite3", "generation {n}: Chroma"),
        ("{g}/prompts/item.jinja", "generation {n}: templates"),
        ("{g}/users.npy", "generation {n}: profiles"),
        ("records.sqlite.seal", "the records, whose rows are whole"),
        ("vectors.cache.seal", "the cache of vectors, whose rows are whole"),
    ],
)
def test_a_flipped_byte_is_found_and_named(path: Path, name: str, part: str) -> None:
    generation = active(path)
    name = name.format(g=f"generations/{generation.name}")
    flip(path / name)
    (problem,) = verify(path).problems
    assert problem.part == part.format(n=generation.name)
    assert problem.file == name.removesuffix(".seal")
    assert not problem.is_truth
    (path / name).unlink()
    if not name.endswith(".seal"):
        assert "missing" in str(verify(path).problems[0])


@pytest.mark.parametrize("blank", [b" ", b"\t", b"\n"])
def test_a_blank_in_the_manifest_is_a_byte_too(path: Path, blank: bytes) -> None:
    file = path / "manifest.json"
    file.write_bytes(file.read_bytes().replace(b"{\n", b"{" + blank + b"\n", 1))
    assert [problem.part for problem in verify(path).problems] == ["the manifest"]


def test_every_byte_of_the_records(path: Path) -> None:
    """Each 997th byte of the file, whatever it is."""
    file = path / "records.sqlite"
    whole = file.read_bytes()
    for at in range(0, len(whole), 997):
        flip(file, at, 1 << at % 8)
        assert not verify(path, server=False).ok, at
        file.write_bytes(whole)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            "UPDATE items SET title = 'tea 0 nex' WHERE key = 0",
            "items: at least one of its 21 rows",
        ),
        ("UPDATE events SET value = 1 WHERE user = 0 AND seq = 0", "events: at least one"),
        ("DELETE FROM users WHERE key = 0", "users: 7 rows, of 8 written"),
        ("UPDATE about SET value = 'x' WHERE name = 'id'", "about: the description"),
        ("UPDATE items SET title = CAST(x'ff' AS TEXT) WHERE key = 1", "items: at least one"),
        ("DROP TABLE events", "about: the description"),
    ],
)
def test_a_row_that_somebody_else_changed(path: Path, change: str, said: str) -> None:
    """SQLite finds nothing wrong with it."""
    with closing(sqlite3.connect(path / "records.sqlite")) as connection, connection:
        connection.execute(change)
    problem = verify(path).problems[0]
    assert problem.is_truth
    assert problem.what.startswith(said)


def test_a_file_that_is_no_database(path: Path) -> None:
    for name in ("records.sqlite", "vectors.cache"):
        (path / name).write_bytes(b"no database" * 1000)
    found = {problem.file: problem for problem in verify(path).problems}
    assert found["records.sqlite"].is_truth
    assert "cannot be read" in found["records.sqlite"].what
    assert not found["vectors.cache"].is_truth


def test_a_log_that_a_killed_writer_left(path: Path, tmp_path: Path) -> None:
    """What is in it is whole; with a flipped byte SQLite would silently leave it out."""
    with Ledger.open(path / "records.sqlite", write=True) as ledger:
        for item in ("i1", "i2", "i3"):
            ledger.add_correction("u1", items=[item])
        killed = shutil.copytree(path, tmp_path / "killed", ignore=shutil.ignore_patterns("*-shm"))
    log = killed / "records.sqlite-wal"
    whole = log.read_bytes()
    found = verify(killed)
    assert found.ok
    assert any("out of date" in note for note in found.notes)
    for at in (0, 5, 20, 33, 40, 50, 5000, len(whole) - 1):
        log.write_bytes(whole)
        flip(log, at)
        problem = verify(killed).problems[0]
        assert (problem.file, problem.is_truth) == ("records.sqlite-wal", True)
        assert "of its log" in problem.what
    log.write_bytes(whole[:20])
    assert "ends within" in verify(killed).problems[0].what
    log.write_bytes(whole[:-100])  # torn while it was written: never acknowledged
    assert verify(killed).ok


def test_what_an_earlier_version_left(path: Path) -> None:
    """No sums, no checksum of Chroma's database: what can be looked at is, the rest is said."""
    generation = active(path)
    with closing(sqlite3.connect(path / "records.sqlite")) as connection, connection:
        connection.execute("DELETE FROM about WHERE name LIKE 'check:%'")
    (path / "records.sqlite.seal").unlink()
    with_chroma_of_before(path)
    found = verify(path)
    assert found.ok
    assert any("rows have no checksums yet" in note for note in found.notes)
    assert any("Chroma's database has no checksum" in note for note in found.notes)
    (generation / "chroma" / "chroma.sqlite3").write_bytes(b"x" * 5000)
    assert verify(path).problems[0].part.endswith("Chroma")
    (generation / "chroma" / "chroma.sqlite3").unlink()
    assert "missing" in str(verify(path).problems[0])
    Ledger.open(path / "records.sqlite", write=True).close()
    assert not any("no checksums" in note for note in verify(path).notes)


def with_chroma_of_before(path: Path) -> None:
    """All collections in one Chroma, whose database has no checksum."""
    from crossrec_llm.generation import COLLECTIONS, Generation
    from crossrec_llm.store import ChromaStore, Index
    from crossrec_llm.store.files import checksums

    with Index.open(path) as opened:
        generation = Generation.load(opened.generation)
    folder = active(path)
    shutil.rmtree(folder / "chroma")
    with ChromaStore.embedded(folder / "chroma") as chroma:
        for name in COLLECTIONS:
            if (vectors := generation.rows_of(name)) is not None:
                chroma.write(name, generation.ids_of(name), vectors)

    def change(files: dict) -> None:
        files.clear()
        files.update(checksums(folder))
        del files["chroma/chroma.sqlite3"], files["generation.json"]

    resealed(path, change)


def test_a_newer_format_is_refused_and_a_flipped_one_found(path: Path) -> None:
    from dataclasses import replace

    from crossrec_llm.store import Manifest

    file = path / "manifest.json"
    manifest = Manifest.read(file)
    file.write_bytes(file.read_bytes().replace(b'"format": 2', b'"format": 9'))
    assert verify(path).problems[0].part == "the manifest"
    replace(manifest, format=9).write(file)
    with pytest.raises(IndexMismatch, match="format 9"):
        verify(path)


def test_no_index(tmp_path: Path) -> None:
    with pytest.raises(IndexMissing):
        verify(tmp_path)
    (tmp_path / "items.csv").write_text("item_id,title")
    with pytest.raises(IndexMissing, match="this is a file, not an index"):
        verify(tmp_path / "items.csv")


@pytest.mark.parametrize("name", ["records.sqlite", "vectors.cache"])
def test_a_full_disk_is_no_damage(path: Path, name: str) -> None:
    """SQLite makes a file beside one that it reads, and then has no room for it."""
    other = {"records.sqlite": "vectors.cache", "vectors.cache": "records.sqlite"}[name]
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with closing(sqlite3.connect(path / other)) as connection:  # has its file already
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, limits[1]))
        try:
            with pytest.raises(StoreUnavailable, match=f"{name}: the disk is full"):
                verify(path)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert verify(path).ok


def test_who_renews_a_seal(path: Path) -> None:
    (path / "vectors.cache.seal").unlink()
    (path / "records.sqlite.seal").unlink()
    records, cache = [note for note in verify(path).notes if "its seal is missing" in note]
    assert records.endswith("the next command that writes renews it")
    assert cache.endswith("the next build renews it")


def test_a_damaged_part_is_not_answered_from(path: Path) -> None:
    """Arrow would end the process over some of these."""
    for name in ("catalogue.arrow", "users.arrow", "recipe.json", "space.npz", "blend.json"):
        file = active(path) / name
        whole = file.read_bytes()
        flip(file)
        with Index.open(path) as index, pytest.raises(IndexDamaged, match=f"{name} is not as"):
            Generation.load(index.generation)
        file.write_bytes(whole)
