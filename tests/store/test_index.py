from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from crossrec_llm.errors import (
    IndexDamaged,
    IndexLocked,
    IndexMismatch,
    IndexMissing,
    StoreUnavailable,
)
from crossrec_llm.store import Index, IndexWriter, Ledger, StoredGeneration, Truth, damage
from crossrec_llm.store import files as files_module
from tests.store.small import make_events, make_items, no_rows

PARTS = {"encoder": "mini", "inputs": "abc"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store" / "shop"


def publish(writer: IndexWriter, content: str, **parts: str) -> StoredGeneration:
    draft = writer.begin({**PARTS, **parts})
    (draft.folder / "part.txt").write_text(content, "utf-8")
    (draft.folder / "signals").mkdir()
    (draft.folder / "signals" / "one.bin").write_bytes(b"1")
    truth = make_items([content]), make_events([("ann", content)])
    return writer.publish(draft, {"items": len(content)}, Truth(*truth))


def built(path: Path, *contents: str) -> None:
    with IndexWriter.open(path) as writer:
        for content in contents:
            publish(writer, content, inputs=content)


def generations(path: Path) -> list[str]:
    return sorted(folder.name for folder in (path / "generations").iterdir())


def test_a_published_generation_can_be_read(path: Path) -> None:
    built(path, "first")
    with Index.open(path) as index:
        generation = index.generation
        assert generation.name == index.manifest.active == generations(path)[0]
        assert generation.name.startswith("0001-")
        assert generation.parts == {**PARTS, "inputs": "first"}
        assert generation.counts == {"items": 5}
        assert (generation.folder / "part.txt").read_text("utf-8") == "first"
        assert index.ledger.events_of("ann")["item_id"].to_pylist() == ["first"]
        assert generation.prefix == f"crossrec-{index.ledger.id}-{generation.name}"
    names = {file.name.removesuffix("-shm").removesuffix("-wal") for file in path.iterdir()}
    sealed = {"records.sqlite", "records.sqlite.seal"}
    assert names == {"generations", "lock", "manifest.json", *sealed}


def test_the_seal_has_the_checksum_of_every_file(path: Path) -> None:
    built(path, "first")
    seal = json.loads((path / "generations" / generations(path)[0] / "generation.json").read_text())
    assert sorted(seal["files"]) == ["part.txt", "signals/one.bin"]
    assert seal["files"]["signals/one.bin"].startswith("6b86b273ff34fce1")


def test_names_count_up_and_tell_the_parts(path: Path) -> None:
    built(path, "a", "b")
    names = generations(path)
    assert [name[:5] for name in names] == ["0001-", "0002-"]
    built(other := path.with_name("other"), "a", "b")
    assert generations(other) == names, "the same parts give the same names"


def test_old_generations_are_removed(path: Path) -> None:
    built(path, "a", "b", "c")
    assert [name[:4] for name in generations(path)] == ["0002", "0003"]
    with IndexWriter.open(path, keep=1) as writer:
        publish(writer, "d")
        assert [name[:4] for name in generations(path)] == ["0004"]
        assert writer.prefixes == [writer.active.prefix] if writer.active else False
    with IndexWriter.open(path, keep=9) as writer:
        for content in "efg":
            publish(writer, content)
    assert [name[:4] for name in generations(path)] == ["0004", "0005", "0006", "0007"]


def test_a_reader_holds_on_to_its_generation(path: Path) -> None:
    built(path, "a")
    with Index.open(path) as index:
        built(path, "b")
        assert (index.generation.folder / "part.txt").read_text("utf-8") == "a"
        with Index.open(path) as newer:
            assert (newer.generation.folder / "part.txt").read_text("utf-8") == "b"


def test_a_reader_that_comes_just_as_its_generation_is_removed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built(path, "a")
    old = (path / "manifest.json").read_bytes()
    built(path, "b", "c")
    new = (path / "manifest.json").read_bytes()
    contents = [old, new]
    read = Path.read_bytes
    monkeypatch.setattr(
        Path,
        "read_bytes",
        lambda file: contents.pop(0) if file.name == "manifest.json" else read(file),
    )
    with Index.open(path) as index:
        assert index.generation.name.startswith("0003-")


def test_a_draft_that_is_dropped_leaves_nothing(path: Path) -> None:
    built(path, "a")
    with IndexWriter.open(path) as writer:
        first = writer.begin(PARTS)
        (first.folder / "half").write_bytes(b"x")
    with IndexWriter.open(path) as writer:
        again = writer.begin(PARTS)
        assert again.name == first.name
        assert list(again.folder.iterdir()) == []
        assert len(generations(path)) == 2


def test_an_abandoned_draft_uses_up_no_number(path: Path) -> None:
    built(path, "a")
    with IndexWriter.open(path) as writer:
        writer.begin({"x": "1"})
        assert writer.begin({"x": "2"}).name.startswith("0002-")


def test_the_active_generation_of_a_writer(path: Path) -> None:
    with IndexWriter.open(path) as writer:
        assert writer.active is None
        assert writer.prefixes == []
        published = publish(writer, "a")
        assert writer.active == published
    with IndexWriter.open(path) as writer:
        assert writer.active == published
        assert writer.cache_path == path / "vectors.cache"


# What is there already


def test_nothing_there(path: Path) -> None:
    with pytest.raises(IndexMissing, match=rf"no index here; `crossrec build .*--index {path}`"):
        Index.open(path)
    assert not path.exists()


def test_a_build_that_was_never_finished(path: Path) -> None:
    with IndexWriter.open(path) as writer:
        writer.cache_path.write_bytes(b"")
    with pytest.raises(IndexMissing, match="never finished; run `crossrec build"):
        Index.open(path)


@pytest.mark.parametrize("there", [False, True])
def test_what_was_refused_before_anything_was_kept_leaves_nothing(path: Path, there: bool) -> None:
    if there:
        path.mkdir(parents=True)
    with pytest.raises(RuntimeError, match="mine"), IndexWriter.open(path):
        raise RuntimeError("mine")
    assert path.exists() == there
    assert not there or not list(path.iterdir())
    built(path, "a")
    with pytest.raises(RuntimeError, match="mine"), IndexWriter.open(path):
        raise RuntimeError("mine")
    Index.open(path).close()


def test_what_filled_the_disk_is_removed_before_the_records_need_room(path: Path) -> None:
    built(path, "a")
    draft = path / "generations" / "0002-abcdef01.partial"
    draft.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Ledger, "open", lambda *_, **__: pytest.fail(f"{draft}" * draft.exists()))
        with pytest.raises(pytest.fail.Exception, match=r"^$"):
            IndexWriter.open(path)


def test_a_number_is_given_once(path: Path) -> None:
    """But to a draft that was never a generation: it is made again by the same name."""
    built(path, "a")
    with IndexWriter.open(path) as writer:
        killed = writer.begin({"encoder": "mini"}).name
        assert writer.begin({"encoder": "mini"}).name == killed
        draft = writer.begin({"encoder": "mini"})
        (draft.folder / "part.txt").write_text("b")
        assert writer.seal(draft, {}).name == killed
        writer.drop([killed])
    with IndexWriter.open(path) as writer:
        assert (killed[:5], writer.begin({"encoder": "mini"}).name[:5]) == ("0002-", "0003-")


def test_a_file_or_a_folder_of_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.doc").write_text("all my work")
    with pytest.raises(StoreUnavailable, match=r"holds other things \(thesis.doc\)"):
        IndexWriter.open(tmp_path)
    with pytest.raises(StoreUnavailable, match="this is a file"):
        IndexWriter.open(tmp_path / "thesis.doc")
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.doc"]


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable, match=r"cannot be written \(.*choose another folder"):
        IndexWriter.open(tmp_path / "file" / "index")


def test_an_index_may_hold_a_note(path: Path) -> None:
    built(path, "a")
    (path / "README").write_text("ours")
    built(path, "b")
    assert (path / "README").exists()


# Damage


def damage_seal(path: Path) -> None:
    seal = path / "generations" / generations(path)[-1] / "generation.json"
    seal.write_bytes(seal.read_bytes().replace(b"mini", b"maxi"))


def remove_generation(path: Path) -> None:
    (path / "generations" / generations(path)[-1] / "generation.json").unlink()


@pytest.mark.parametrize("damage", [damage_seal, remove_generation])
def test_a_damaged_generation_is_named_and_can_be_built_again(
    path: Path, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    built(path, "a")
    damage(path)
    with pytest.raises(IndexDamaged, match=r"0001-.*crossrec repair"):
        Index.open(path)
    with IndexWriter.open(path) as writer:
        assert writer.active is None
        assert "generation is damaged" in caplog.text
        publish(writer, "b")
    with Index.open(path) as index:
        assert index.generation.name.startswith("0002-")


def test_a_damaged_manifest_stops_readers_and_writers(path: Path) -> None:
    built(path, "a")
    (path / "manifest.json").write_bytes(b"{}")
    for opened in (Index.open, IndexWriter.open):
        with pytest.raises(IndexDamaged, match="manifest is damaged"):
            opened(path)
    (path / "manifest.json").unlink()  # what the message says
    built(path, "a")
    Index.open(path).close()


def test_a_newer_index_is_refused(path: Path) -> None:
    built(path, "a")
    (path / "manifest.json").write_text('{"format": 99, "checksum": ""}')
    for opened in (Index.open, IndexWriter.open):
        with pytest.raises(IndexMismatch, match="format 99"):
            opened(path)


def test_the_truth_is_missing(path: Path) -> None:
    built(path, "a")
    (path / "records.sqlite").unlink()
    with pytest.raises(IndexDamaged, match=r"records.sqlite is missing; restore"):
        Index.open(path)


# One writer


def run(code: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


HOLD = """
    import sys, time
    from pathlib import Path
    from crossrec_llm.store import IndexWriter
    with IndexWriter.open(Path(sys.argv[1])):
        print("ready", flush=True)
        time.sleep(60)
"""


def test_a_second_writer_is_refused_at_once_and_a_dead_one_is_no_hindrance(path: Path) -> None:
    built(path, "a")
    holder = run(HOLD, path)
    assert holder.stdout
    try:
        assert holder.stdout.readline() == "ready\n"
        started = time.perf_counter()
        with pytest.raises(IndexLocked, match=rf"process {holder.pid} on \S+ \(since 20\d\d-"):
            IndexWriter.open(path)
        assert time.perf_counter() - started < 5
        Index.open(path).close()  # readers are not held up
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        holder.stdout.close()
    built(path, "b")


def test_two_writers_in_one_process(path: Path) -> None:
    with (
        IndexWriter.open(path),
        pytest.raises(IndexLocked, match=rf"process {os.getpid()} on"),
    ):
        IndexWriter.open(path)
    IndexWriter.open(path).close()


def test_a_holder_that_cannot_be_read_is_another_process(path: Path) -> None:
    with IndexWriter.open(path):
        (path / "lock.holder").write_text("[]")
        with pytest.raises(IndexLocked, match="another process is writing"):
            IndexWriter.open(path)


def test_a_lock_holds_where_there_is_no_room_to_say_whose_it_is(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What makes room has to take it."""
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "")))
        with IndexWriter.open(path):
            assert not list(path.glob("lock.holder*"))
            with pytest.raises(IndexLocked, match="another process is writing"):
                IndexWriter.open(path)
    IndexWriter.open(path).close()


def test_a_writer_that_fails_gives_the_lock_back(path: Path) -> None:
    with pytest.raises(RuntimeError, match="mine"), IndexWriter.open(path):
        raise RuntimeError("mine")
    IndexWriter.open(path).close()


# Kills and full disks while publishing

# Every call that changes what a reader can see or what survives; the n-th one never happens.
KILL = """
    import os, signal, sys, shutil
    from pathlib import Path
    from crossrec_llm.store import IndexWriter, Truth
    from crossrec_llm.tables import EVENTS_SCHEMA, ITEMS_SCHEMA
    calls = 0
    def deadly(change):
        def call(*args, **kwargs):
            global calls
            calls += 1
            if calls == int(sys.argv[2]):
                os.kill(os.getpid(), signal.SIGKILL)
            return change(*args, **kwargs)
        return call
    with IndexWriter.open(Path(sys.argv[1])) as writer:
        draft = writer.begin({"encoder": "mini", "inputs": "new"})
        (draft.folder / "part.txt").write_text("new")
        Path.replace, os.fsync = deadly(Path.replace), deadly(os.fsync)
        shutil.rmtree = deadly(shutil.rmtree)
        truth = Truth(ITEMS_SCHEMA.empty_table(), EVENTS_SCHEMA.empty_table())
        writer.publish(draft, {"items": 3}, truth)
        print(calls)
"""


def test_a_kill_at_any_step_of_publishing_leaves_one_whole_generation(path: Path) -> None:
    built(path, "a", "old")
    with Index.open(path) as index:
        old = index.generation.name
    with IndexWriter.open(path) as writer:
        new = writer.begin({"encoder": "mini", "inputs": "new"}).name
    seen = []
    for step in range(1, 100):
        killed = run(KILL, path, step)
        said = killed.communicate()[0]
        with Index.open(path) as index:
            content = (index.generation.folder / "part.txt").read_text("utf-8")
            assert (index.generation.name, content) in [(old, "old"), (new, "new")]
            seen.append(content)
        if content == "new":
            break
        assert killed.returncode == -signal.SIGKILL, said
    assert seen.count("old") >= 8, "killed at all those steps"
    built(path, "next")
    assert [name[:4] for name in generations(path)] == ["0003", "0004"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_disk_that_refuses_keeps_the_old_generation(
    path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    built(path, "old")
    with IndexWriter.open(path) as writer:
        draft = writer.begin(PARTS)
        (draft.folder / "part.txt").write_text("new")

        def refuse(_: int) -> None:
            raise OSError(number, os.strerror(number))

        with monkeypatch.context() as patch:
            patch.setattr(files_module.os, "fsync", refuse)
            with pytest.raises(StoreUnavailable, match=r"disk is full|cannot be written") as caught:
                writer.publish(draft, {}, Truth(*no_rows()))
        assert str(path) in str(caught.value)
        with Index.open(path) as index:
            assert (index.generation.folder / "part.txt").read_text("utf-8") == "old"
        publish(writer, "newer")


def test_a_disk_that_fills_up_while_parts_are_written(path: Path) -> None:
    """A process that may not write files of more than 100 kB meets the limit in numpy."""
    code = """
        import resource, sys
        from pathlib import Path
        import numpy as np
        from crossrec_llm.errors import StoreUnavailable
        from crossrec_llm.store import IndexWriter
        try:
            with IndexWriter.open(Path(sys.argv[1])) as writer:
                draft = writer.begin({})
                resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
                np.save(draft.folder / "vectors.npy", np.zeros((500, 500)))
        except StoreUnavailable as error:
            print(error)
    """
    said = run(code, path).communicate()[0]
    assert f"{path}: the disk is full" in said
    with IndexWriter.open(path) as writer:
        publish(writer, "a")


def test_other_errors_of_the_work_pass_through(path: Path) -> None:
    with pytest.raises(FileNotFoundError), IndexWriter.open(path):
        np.load(path / "nothing.npy")


def test_damage_names_what_is_missing_or_changed(path: Path) -> None:
    built(path, "first")
    with IndexWriter.open(path) as writer:
        assert writer.active
        folder = writer.active.folder
        assert damage(writer.active) == []
        (folder / "part.txt").write_text("other")
        (folder / "signals" / "one.bin").unlink()
        assert damage(writer.active) == ["part.txt", "signals/one.bin"]
