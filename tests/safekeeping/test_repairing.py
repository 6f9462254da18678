from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from crossrec_llm import add_events, generations, publish, rehearse, repair, rollback, verify
from crossrec_llm.errors import IndexDamaged
from crossrec_llm.kept import open_chroma
from crossrec_llm.recipe import Recipe
from crossrec_llm.store import Index, Manifest
from tests.safekeeping.conftest import RECIPE, active, answers, flip


def test_nothing_to_do(path: Path) -> None:
    before = active(path).name
    done = repair(path)
    assert (done.problems, done.done) == ((), ())
    assert done.after.ok
    assert active(path).name == before


@pytest.mark.parametrize(
    "name",
    [
        "catalogue.arrow",
        "raw.npy",
        "signals/ease.safetensors",
        "recipe.json",
        "prompts/item.jinja",
        "blend.json",
        "generation.json",
        "chroma/items/chroma.sqlite3",
    ],
)
def test_a_damaged_generation_is_made_anew(path: Path, name: str) -> None:
    before, old = answers(path), active(path)
    flip(old / name)
    done = repair(path)
    assert done.after.ok
    assert active(path) != old
    assert not old.exists()
    assert answers(path) == before
    by = "filled again" if name.startswith("chroma/") else "built again from the records"
    assert by in done.done[0]
    assert done.to_dict()["after"]["ok"]


def test_chroma_is_filled_with_what_was_there_at_the_build(path: Path) -> None:
    def told() -> list[str]:
        with Index.open(path) as index, open_chroma(RECIPE, index.generation) as chroma:
            found = chroma._store("users")._collection("users").get(include=["documents"])
            return list(found["documents"])

    before = told()
    add_events(path, [{"user_id": "u1", "item_id": "i15", "timestamp": 1.8e9}])
    flip(active(path) / "chroma/items/chroma.sqlite3")
    repair(path)
    assert told() == before


def test_what_is_mended_is_no_warning(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("WARNING")
    flip(active(path) / "generation.json")
    assert repair(path).after.ok
    assert not [told for told in caplog.records if told.name.startswith("crossrec_llm")]


def test_a_damaged_generation_that_does_not_answer_is_removed(path: Path) -> None:
    before, now = answers(path), active(path)
    (other,) = (folder for folder in (path / "generations").iterdir() if folder != now)
    flip(other / "raw.npy")
    done = repair(path)
    assert done.done == (f"generation {other.name}: removed",)
    assert active(path) == now
    assert done.after.ok
    assert answers(path) == before


def test_a_damaged_manifest_is_made_again(path: Path) -> None:
    before = answers(path)
    for damaged in (b"", b"{}", b"\xff"):
        (path / "manifest.json").write_bytes(damaged)
        done = repair(path)
        assert "made again from the generations" in done.done[0]
        assert done.after.ok
        assert answers(path) == before


def test_what_was_never_published_waits_after_the_repair_of_a_manifest(path: Path) -> None:
    recipe = Recipe.from_dict({"blend": {"tune": False}, "signals": {"als": {"factors": 3}}})
    rollback(path)
    rehearse(path, recipe, users=3)
    before = {one.name: one.state for one in generations(path)}
    flip(path / "manifest.json")
    assert repair(path).after.ok
    after = {one.name: one.state for one in generations(path)}
    assert after == before
    assert sorted(after.values()) == ["live", "waiting"]
    assert after[publish(path).name] == "waiting"


def test_no_generation_is_whole_and_no_manifest(path: Path) -> None:
    (path / "manifest.json").unlink()
    for folder in (path / "generations").iterdir():
        flip(folder / "raw.npy")
    with pytest.raises(IndexDamaged, match="no generation is whole that was live"):
        repair(path)


def test_no_recipe_is_left(path: Path) -> None:
    for folder in (path / "generations").iterdir():
        flip(folder / "recipe.json")
    with pytest.raises(IndexDamaged, match=r"no other copy of them.*--recipe FILE"):
        repair(path)


def test_what_holds_no_rows_of_the_records(path: Path) -> None:
    before, file = answers(path), path / "records.sqlite"
    flip(file, 27)  # a counter of changes
    assert not verify(path).problems[0].is_truth
    assert "written anew around its rows" in repair(path).done[0]
    with closing(sqlite3.connect(file)) as connection:
        page = connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'events_by_item'"
        ).fetchone()[0]
    flip(file, 4096 * page - 2)  # the last entry of an index
    assert repair(path).after.ok
    assert answers(path) == before


def test_a_damaged_cache(path: Path) -> None:
    file = path / "vectors.cache"
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE vectors SET vector = zeroblob(64) WHERE rowid = 3")
    done = repair(path)
    assert "1 damaged vectors taken out" in done.done[0]
    assert done.after.ok
    file.write_bytes(b"no database" * 1000)
    assert "removed, texts are encoded again" in repair(path).done[0]
    assert verify(path).ok


def test_the_truth_is_never_guessed(path: Path) -> None:
    with closing(sqlite3.connect(path / "records.sqlite")) as connection, connection:
        connection.execute("UPDATE items SET title = 'another' WHERE key = 2")
    flip(active(path) / "raw.npy")
    before = Manifest.read(path / "manifest.json")
    with pytest.raises(IndexDamaged, match=r"items: at least one.*Nothing was changed.*restore"):
        repair(path)
    assert Manifest.read(path / "manifest.json") == before
