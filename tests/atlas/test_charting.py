from __future__ import annotations

import fcntl
import io
import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from crossrec_llm.atlas import (
    ALONE,
    FAR,
    MARKS,
    NOWHERE,
    UNREACHED,
    CatalogueMap,
    look,
    make_map,
    start,
    stop,
    stored_map,
)
from crossrec_llm.atlas.charting import map_file
from crossrec_llm.atlas.making import make
from crossrec_llm.atlas.marks import among_strangers, far_from_category, found_by_nobody
from crossrec_llm.errors import IndexDamaged, StoreUnavailable
from crossrec_llm.generation import Generation
from crossrec_llm.publishing import gc
from crossrec_llm.safekeeping import backup, verify
from crossrec_llm.store import Index, read_manifest
from tests.small_index import build_tiny, tiny_recipe


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("atlas")
    build_tiny(folder / "index", tiny_recipe(folder, histories={"walls": ["Books"]}))
    return folder / "index"


@pytest.fixture
def index(built, tmp_path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "index"))


def loaded(index: Path) -> Generation:
    with Index.open(index) as opened:
        return Generation.load(opened.generation)


def test_every_item_outside_the_walls_has_a_place(index):
    made = make_map(index)

    generation = loaded(index)
    walled = generation.catalogue.under("Books")
    assert ((made.marks & NOWHERE) > 0).tolist() == walled.tolist()
    assert (made.positions[walled] == 0).all()
    there = made.positions[~walled]
    assert len(np.unique(there, axis=0)) > 0.9 * len(there)
    assert there.max() == 65_535
    kept = stored_map(index, generation)
    assert (kept.positions == made.positions).all()
    assert (kept.marks == made.marks).all()
    assert (CatalogueMap.of(generation).positions == made.positions).all()


@pytest.mark.parametrize("left", [0, 1, 3, 4])
def test_hardly_any_items(index, left):
    generation = loaded(index)
    gone = np.ones(len(generation.catalogue), bool)
    gone[np.flatnonzero(~generation.catalogue.under("Books"))[:left]] = False
    generation.catalogue = type(generation.catalogue)(generation.catalogue.table, gone)

    made = CatalogueMap.of(generation)

    assert ((made.marks & NOWHERE) == 0).sum() == left
    assert len(np.unique(made.positions[~gone], axis=0)) == left


def test_a_map_that_cannot_be_read_is_none(index):
    make_map(index)
    generation = loaded(index)
    file = map_file(index, generation.name)

    file.write_bytes(file.read_bytes()[:100])
    assert stored_map(index, generation) is None
    with pytest.raises(IndexDamaged, match="the map cannot be read"):
        CatalogueMap.load(file)
    np.savez(file, positions=np.zeros((3, 2)), marks=np.zeros(4), seconds=1.0)
    assert stored_map(index, generation) is None


def test_it_goes_with_its_generation_and_is_no_part_of_the_index(index, tmp_path):
    make_map(index)
    old = loaded(index).name

    assert not verify(index).problems
    backup(tmp_path / "copy", index)
    assert not (tmp_path / "copy" / "derived").exists()
    build_tiny(index, tiny_recipe(tmp_path))  # without walls: another generation
    assert map_file(index, old).exists()  # a generation that is kept keeps its map
    gc(index, keep=1)
    assert old not in read_manifest(index).generations
    assert not map_file(index, old).parent.exists()


def test_a_process_makes_it_and_says_how_far_it_is(index):
    name = loaded(index).name
    assert look(index, name).state == "none"

    child = start(index, name)
    try:
        assert look(index, name).state == "making"
        assert start(index, name) is None
    finally:
        assert child.wait(60) == 0

    assert look(index, name).state == "made"
    assert stored_map(index, loaded(index)) is not None


def test_a_process_that_fails_says_why(index, tmp_path):
    out = io.StringIO()

    assert make(tmp_path / "nowhere", "0001-x", out, nice=0) == 2
    assert "failed: " in out.getvalue()
    assert "there is no index here" in out.getvalue()
    assert make(index, "0099-gone", out, nice=0) == 2
    assert "no generation '0099-gone' is kept" in out.getvalue()


def test_lines_tell_of_the_steps(index, monkeypatch):
    monkeypatch.setattr(time, "monotonic", iter(range(1, 100_000)).__next__)
    out = io.StringIO()

    assert make(index, loaded(index).name, out, nice=0) == 0
    assert "layout 100%" in out.getvalue().splitlines()[-1]


def test_what_failed_or_was_killed_is_told_from_the_log(index):
    name = loaded(index).name
    log = map_file(index, name).with_name("map.log")
    log.parent.mkdir(parents=True)

    for content, words in (
        ("layout 40%\nfailed: no room\n", "no room"),
        ("layout 40%\n", "it stopped at layout 40%"),
        ("starting\n", "it stopped at starting"),
    ):
        log.write_text(content)
        found = look(index, name)
        assert (found.state, found.words) == ("failed", words)
    log.write_text("")  # between the two steps of a start
    assert look(index, name).state == "none"


def test_a_start_waits_for_who_only_looks(index):
    name = loaded(index).name
    log = map_file(index, name).with_name("map.log")
    log.parent.mkdir(parents=True)
    log.touch()
    looking = log.open()
    fcntl.flock(looking, fcntl.LOCK_SH)  # as `look` does
    letting_go = threading.Timer(0.05, looking.close)
    letting_go.start()

    child = start(index, name)

    letting_go.join()
    assert child is not None
    stop(index, name, child)


def test_a_map_is_of_the_generation_that_was_asked_for(index, tmp_path):
    old = loaded(index).name
    build_tiny(index, tiny_recipe(tmp_path))
    assert loaded(index).name != old

    assert make(index, old, io.StringIO(), nice=0) == 0

    assert look(index, old).state == "made"
    assert look(index, loaded(index).name).state == "none"


def test_a_place_that_cannot_be_written_is_one_clear_line(index):
    (index / "derived").write_text("a file where a folder should be")

    with pytest.raises(StoreUnavailable, match="cannot be written"):
        start(index, loaded(index).name)


def test_marks():
    rng = np.random.default_rng(0)
    vectors = np.tile(np.eye(8, dtype=np.float32)[0], (40, 1))
    vectors[:20] = np.eye(8)[1]
    vectors += rng.normal(0, 0.05, vectors.shape).astype(np.float32)
    vectors[7] = np.eye(8)[5]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    codes = np.repeat([0, 1], 20)
    near = np.array([[1, 2], [0, 2], [0, 1], [2, 2]])

    far = np.flatnonzero(far_from_category(vectors, codes)).tolist()
    assert 7 in far
    assert len(far) < 6
    assert not far_from_category(vectors[:7], codes[:7]).any()  # too few to say
    assert among_strangers(near, np.array([0, 0, 1, 1])).tolist()[:3] == [False, False, True]
    assert not among_strangers(near[:3], np.array([0, 0, 1]))[2]  # there is no other
    found = found_by_nobody(near[:3], np.array([0, 0, 0]))
    assert not found.any()
    assert found_by_nobody(np.array([[1], [2], [1]]), np.array([0, 0, 0])).tolist() == [
        True,
        False,
        False,
    ]
    assert found_by_nobody(np.array([[1], [2], [1]]), np.array([4, 0, 0])).tolist() == [
        False,
        False,
        False,
    ]
    assert set(MARKS) == {FAR, ALONE, UNREACHED}
