"""An index as the first version wrote it, opened and brought up to date by this one."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from durability._old import make_old

from crossrec_llm import Recipe, Recommender, build, upgrade
from crossrec_llm.errors import IndexMismatch, IndexMissing
from crossrec_llm.store import FORMAT, LAYOUT, Index, Manifest
from crossrec_llm.store.files import sha256_of
from tests.small_index import resealed

Tiny = tuple[Path, Recipe]


def written(index: Path) -> tuple[int, int]:
    """Layout of the records and format of the manifest."""
    connection = sqlite3.connect(index / "records.sqlite")
    layout = connection.execute("PRAGMA user_version").fetchone()[0]
    connection.close()
    return layout, json.loads((index / "manifest.json").read_text())["format"]


def answers(index: Path) -> list[list[str]]:
    with Recommender.open(index) as recommender:
        return [recommender.for_user(f"u{n}").ids for n in range(5)]


@pytest.mark.parametrize("layout", [1, 2])
def test_an_old_index_answers_and_is_upgraded(tiny: Tiny, layout: int) -> None:
    index, _ = tiny
    expected = answers(index)
    make_old(index, layout)
    assert answers(index) == expected
    with Index.open(index) as opened:
        assert (opened.generation.change, opened.ledger.change) == (0, 0)
        assert opened.manifest.published == (opened.manifest.active,)
    dry = upgrade(index, dry_run=True)
    assert [(one.part, one.was, one.becomes) for one in dry.migrations] == [
        ("records.sqlite", f"layout {layout}", f"layout {LAYOUT}"),
        ("manifest.json", "format 1", f"format {FORMAT}"),
    ]
    assert not dry.done
    assert written(index) == (layout, 1), "a dry run writes nothing"
    done = upgrade(index)
    assert done.done
    assert done.migrations == dry.migrations
    assert written(index) == (LAYOUT, FORMAT)
    assert answers(index) == expected
    again = upgrade(index)
    assert (again.migrations, again.done) == ((), False)
    assert build(index=index).unchanged


KILL = """
    import os, signal, sys
    from pathlib import Path
    from crossrec_llm import upgrade
    calls = 0
    def deadly(change):
        def call(*args, **kwargs):
            global calls
            calls += 1
            if calls == int(sys.argv[2]):
                os.kill(os.getpid(), signal.SIGKILL)
            return change(*args, **kwargs)
        return call
    Path.replace, os.fsync = deadly(Path.replace), deadly(os.fsync)
    upgrade(sys.argv[1])
"""


def test_an_upgrade_that_is_killed_goes_on(tiny: Tiny) -> None:
    index, _ = tiny
    expected = answers(index)
    make_old(index, 2)
    for step in (1, 4, 5):
        command = [sys.executable, "-c", textwrap.dedent(KILL), str(index), str(step)]
        killed = subprocess.run(command, capture_output=True, text=True)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert answers(index) == expected
    upgrade(index)
    assert written(index) == (LAYOUT, FORMAT)


def test_a_newer_index_is_refused_in_one_line(tiny: Tiny, crossrec) -> None:
    index, _ = tiny
    manifest = (index / "manifest.json").read_text()
    (index / "manifest.json").write_text('{"format": 99, "checksum": ""}')
    with pytest.raises(IndexMismatch, match="format 99"):
        upgrade(index)
    code, _, said = crossrec("upgrade", "--index", index)
    assert (code, said.count("\n")) == (2, 1)
    (index / "manifest.json").write_text(manifest)
    connection = sqlite3.connect(index / "records.sqlite")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(IndexMismatch, match="layout 99"):
        upgrade(index)


def test_generations_of_another_version_are_named(tiny: Tiny, crossrec) -> None:
    index, _ = tiny
    manifest = Manifest.read(index / "manifest.json")
    record = manifest.current
    old = {**record.parts, "version": "0.0.9"}
    changed = Manifest(manifest.active, {manifest.active: type(record)(
        old, record.counts, record.seal, record.change, record.built
    )})  # fmt: skip
    changed.write(index / "manifest.json")
    code, said, _ = crossrec("upgrade", "--index", index)
    assert code == 0
    assert "was built by crossrec-llm 0.0.9: it answers as it is" in said
    recipe = index / "generations" / manifest.active / "recipe.json"
    recipe.write_text('{"nosuch": {}}')
    resealed(index, lambda files: files.update({"recipe.json": sha256_of(recipe)}))
    note = upgrade(index).notes[0]
    assert "cannot be loaded" in note
    assert "was built by crossrec-llm 0.0.9, and" in note
    assert "\n" not in note
    (index / "generations" / manifest.active / "generation.json").unlink()
    assert "is damaged" in upgrade(index).notes[0]


def test_the_command_tells_and_does(tiny: Tiny, crossrec) -> None:
    index, _ = tiny
    make_old(index, 2)
    code, said, _ = crossrec("upgrade", "--index", index, "--dry-run")
    assert code == 0
    assert "records.sqlite: layout 2 -> layout 4" in said
    assert "nothing was changed (dry run)" in said
    assert "upgraded" in crossrec("upgrade", "--index", index)[1]
    assert "everything has the format" in crossrec("upgrade", "--index", index)[1]
    assert json.loads(crossrec("upgrade", "--index", index, "--json")[1])["done"] is False
    with pytest.raises(IndexMissing):
        upgrade(index.with_name("nothing"))
