from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from crossrec_llm.errors import StoreUnavailable
from crossrec_llm.store.files import disk_errors, write_atomically


def copying(*codes: int) -> shutil.Error:
    """As `shutil.copytree` raises it: everything that could not be copied, in words."""
    said = [f"[Errno {code}] {os.strerror(code)}: '/there/{code}'" for code in codes]
    return shutil.Error([("here", "there", words) for words in said])


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_disk_that_is_full_while_a_tree_is_copied(tmp_path: Path, code: int) -> None:
    with pytest.raises(StoreUnavailable) as told, disk_errors(tmp_path):
        raise copying(*[code] * 100)
    assert str(told.value).startswith(f"{tmp_path}: the disk is full; free some space")


def test_of_a_tree_that_cannot_be_copied_the_first_reason_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable) as told, disk_errors(tmp_path):
        raise copying(errno.EACCES, *[errno.EPERM] * 100)
    assert len(str(told.value)) < 200 + len(str(tmp_path))
    assert "Permission denied: '/there/13'" in str(told.value)


def test_half_a_file_is_not_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreUnavailable, match="full"):
        write_atomically(tmp_path / "one.json", b"{}")
    assert not list(tmp_path.iterdir())
