from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.safekeeping.conftest import active, flip

Run = Callable[..., tuple[int, str, str]]


def test_verify_and_repair(crossrec: Run, index: Path) -> None:
    code, out, _ = crossrec("verify", "--index", index)
    assert (code, "whole; " in out) == (0, True)
    flip(active(index) / "chroma" / "items" / "chroma.sqlite3")
    code, out, _ = crossrec("verify", "--index", index, "--json")
    assert (code, json.loads(out)["ok"]) == (1, False)
    code, out, _ = crossrec("verify", "--index", index)
    assert code == 1
    assert "Chroma: generations/" in out
    assert "crossrec repair" in out
    code, out, _ = crossrec("repair", "--index", index)
    assert (code, "filled again" in out) == (0, True)
    code, out, _ = crossrec("repair", "--index", index, "--json")
    assert (code, json.loads(out)["done"]) == (0, [])
    assert crossrec("repair", "--index", index)[1].startswith("nothing to repair")
    (index / "records.sqlite").write_bytes(b"no database" * 1000)
    code, out, _ = crossrec("verify", "--index", index)
    assert (code, "the truth is damaged" in out) == (1, True)
    code, _, err = crossrec("repair", "--index", index)
    assert (code, "Nothing was changed" in err) == (2, True)


def test_backup_and_restore(crossrec: Run, index: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    code, out, err = crossrec("backup", kept, "--index", index, "--no-cache")
    assert (code, "96 items" in out, "without the encoded texts" in err) == (0, True, True)
    assert crossrec("backup", kept, "--index", index)[0] == 2
    assert crossrec("restore", kept, "--index", index)[0] == 2
    code, out, _ = crossrec("restore", kept, "--index", index, "--force", "--json")
    assert (code, json.loads(out)["items"]) == (0, 96)
    assert crossrec("user", "nobody", "--index", index)[0] == 2


@pytest.mark.parametrize("id", ["../../../etc/passwd", "/etc/passwd", "a\0b", "..", "x" * 5000])
def test_an_id_is_never_part_of_a_path(crossrec: Run, index: Path, id: str) -> None:
    before = sorted(index.parent.rglob("*"))
    for words in (
        ("user", id),
        ("profile", id),
        ("profile", id, "--pin", "tea"),
        ("similar", id),
        ("audience", id),
        ("like", "tea", "--user", id),
        ("like", "tea", "--liked", id),
        ("remove-items", id),
    ):
        code, out, err = crossrec(*words, "--index", index)
        assert (code, out) == (2, ""), words
        assert len(err.strip().splitlines()) == 1
    found = sorted(index.parent.rglob("*"))
    assert [file for file in found if not file.name.endswith(("-shm", "-wal"))] == [
        file for file in before if not file.name.endswith(("-shm", "-wal"))
    ]


def test_the_copy_of_a_copy(crossrec: Run, index: Path, tmp_path: Path) -> None:
    """A backup is an index: it answers, and is backed up."""
    assert crossrec("backup", tmp_path / "one", "--index", index)[0] == 0
    assert crossrec("backup", tmp_path / "two", "--index", tmp_path / "one")[0] == 0
    shutil.rmtree(tmp_path / "one")
    assert crossrec("verify", "--index", tmp_path / "two")[0] == 0
