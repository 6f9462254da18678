"""An index as the first version wrote it, by hand: manifest format 1, ledger layouts 1 and 2."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from pathlib import Path

OLD_SCHEMA = """
CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE items (
    key INTEGER PRIMARY KEY, item_id TEXT NOT NULL UNIQUE, title TEXT NOT NULL,
    description TEXT NOT NULL, category TEXT NOT NULL, brand TEXT NOT NULL, price REAL,
    image_url TEXT NOT NULL, available INTEGER NOT NULL, added REAL, metadata TEXT NOT NULL);
CREATE TABLE users (key INTEGER PRIMARY KEY, user_id TEXT NOT NULL UNIQUE);
CREATE TABLE events (
    user INTEGER NOT NULL, seq INTEGER NOT NULL, item INTEGER NOT NULL, timestamp REAL,
    event TEXT NOT NULL, value REAL, PRIMARY KEY (user, seq)) WITHOUT ROWID;
CREATE INDEX events_by_item ON events (item, user);
"""
CORRECTIONS = """
CREATE TABLE corrections (
    number INTEGER PRIMARY KEY AUTOINCREMENT, user_id TEXT NOT NULL, sentence TEXT NOT NULL,
    items TEXT NOT NULL, made REAL NOT NULL);
CREATE INDEX corrections_by_user ON corrections (user_id);
"""
ITEM = (
    "key, item_id, title, description, category, brand, price, image_url, available, added, "
    "metadata"
)
COLUMNS = {
    "items": ITEM,
    "users": "key, user_id",
    "events": "user, seq, item, timestamp, event, value",
}


def make_old(index: Path, layout: int = 2) -> None:
    """Rewrite the records and the manifest as they were in those days."""
    new, old = index / "records.sqlite", index / "old.sqlite"
    connection = sqlite3.connect(old)
    connection.executescript(OLD_SCHEMA + (CORRECTIONS if layout > 1 else ""))
    connection.execute("ATTACH ? AS new", (str(new),))
    for table, columns in COLUMNS.items():
        connection.execute(f"INSERT INTO {table} SELECT {columns} FROM new.{table}")
    connection.execute("INSERT INTO about SELECT * FROM new.about WHERE name IN ('id', 'content')")
    connection.execute(f"PRAGMA user_version = {layout}")
    connection.commit()
    connection.close()
    for suffix in ("", "-wal", "-shm"):
        new.with_name(new.name + suffix).unlink(missing_ok=True)
    old.rename(new)
    data = json.loads((index / "manifest.json").read_text())
    data.pop("checksum"), data.pop("published")
    data["format"] = 1
    for record in data["generations"].values():
        del record["change"], record["built"]
    data["checksum"] = hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
    (index / "manifest.json").write_text(json.dumps(data))
