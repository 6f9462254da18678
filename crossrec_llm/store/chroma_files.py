"""The files of an embedded Chroma, once it is closed."""

from __future__ import annotations

import sqlite3
import struct
from contextlib import closing
from pathlib import Path

from crossrec_llm.errors import StoreUnavailable
from crossrec_llm.store.files import disk_errors

DATABASE = "chroma.sqlite3"
"""The file in the folder of an embedded Chroma that all of it goes by."""


def seal(folder: Path) -> None:
    """Blank the room that is spare in a closed folder, and keep Chroma from writing by opening it.

    It notes each opening as a row of a table, which is why no checksum of its database would hold.
    A trigger of SQLite leaves that row out; everything else goes on as before, writing too.

    Raises
    ------
    StoreUnavailable : the disk is full or fails.
    """
    _blank_spare_room(folder)
    try:
        with disk_errors(folder), closing(sqlite3.connect(folder / DATABASE)) as database:
            database.execute(
                "CREATE TRIGGER IF NOT EXISTS crossrec_sealed BEFORE INSERT ON acquire_write "
                "BEGIN SELECT RAISE(IGNORE); END"
            )
            database.commit()
    except sqlite3.Error as error:
        raise StoreUnavailable(
            f"{folder}: cannot be written ({error}); check the disk and its free space"
        ) from error


def _blank_spare_room(folder: Path) -> None:
    """Write zeros where a graph has room for vectors that are not there.

    Chroma writes this room as it got it from the allocator: what lay in the memory of this process
    before, vectors of what was erased among it.
    """
    for header in folder.glob("*/header.bin"):
        # hnswlib, after a version: offset, capacity, count, bytes of a vector with its links.
        _, _, count, each = struct.unpack_from("<4Q", header.read_bytes(), 4)
        for name, size in (("data_level0.bin", each), ("length.bin", 4)):
            path = header.with_name(name)
            spare = path.stat().st_size - count * size
            if spare > 0:
                with disk_errors(path), path.open("r+b") as file:
                    file.seek(count * size)
                    file.write(bytes(spare))
