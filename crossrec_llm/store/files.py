"""Writing so that a crash or a full disk leaves the old file or the new one, never half of one."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from crossrec_llm.errors import StoreUnavailable

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FULL_IN_SQLITE = {"SQLITE_FULL", "SQLITE_IOERR_SHMSIZE"}
_FAILING = {errno.EIO, errno.EROFS}
_READ_ONLY = {errno.EROFS, errno.EACCES, errno.EPERM}


@contextmanager
def disk_errors(place: Path) -> Iterator[None]:
    """Turn an operating system's refusal to write below `place` into StoreUnavailable."""
    try:
        yield
    except OSError as error:
        raise unavailable(place, error) from error


def unavailable(place: Path, error: OSError) -> StoreUnavailable:
    """The error to show for a failed write; it names the place and the fix."""
    if is_disk_full(error):
        return disk_full(place)
    reason = error.strerror or str(error)
    if isinstance(error, shutil.Error):  # a list of all that could not be copied
        reason = str(error.args[0][0][-1])
    return StoreUnavailable(f"{place}: cannot be written ({reason}); choose another folder")


def disk_full(place: Path | str) -> StoreUnavailable:
    """The error to show for a disk that is full, whoever noticed it."""
    return StoreUnavailable(
        f"{place}: the disk is full; free some space and run the same command again "
        "(what was acknowledged is kept)"
    )


def is_disk_full(error: Exception) -> bool:
    """Whether there was no room; numpy and shutil say so in words, without an error number.

    SQLite needs some even to read: for the file beside it that its readers and writers share.
    """
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorname", "") in _FULL_IN_SQLITE
    if not isinstance(error, OSError):
        return False
    words = ("requested and", *map(os.strerror, _FULL))
    in_words = error.errno is None and any(said in str(error) for said in words)
    return error.errno in _FULL or in_words


def is_read_only(error: OSError) -> bool:
    """Whether nothing may be written there."""
    return error.errno in _READ_ONLY


def is_disk_trouble(error: OSError) -> bool:
    """Whether the disk is at fault, and not what was asked of it."""
    return is_disk_full(error) or error.errno in _FAILING


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file in one step that survives a crash right after it."""
    partial = path.with_name(path.name + ".new")
    with disk_errors(path):
        try:
            with partial.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except OSError:
            partial.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable; new and renamed files need it besides their own fsync."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_tree(folder: Path) -> None:
    """Make every file and folder below, and the folder itself, durable."""
    for parent, _, names in os.walk(folder, topdown=False):
        for name in names:
            handle = os.open(Path(parent, name), os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
        sync_folder(Path(parent))


def checksums(folder: Path) -> dict[str, str]:
    """Sha256 in hex of every file below a folder, by its path with forward slashes."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256_of(path) for path in paths}


def sha256_of(path: Path) -> str:
    """Of the content of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def differing(folder: Path, sealed: Mapping[str, str]) -> list[tuple[str, str]]:
    """The files of a folder that are not as their checksums say, and how."""
    found = []
    for name, checksum in sealed.items():
        file = folder / name
        if not file.is_file():
            found.append((name, "it is missing"))
        elif sha256_of(file) != checksum:
            found.append((name, "it is not as it was written"))
    return found
