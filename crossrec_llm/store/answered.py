"""Changes that came with a key, so that the same request again makes them no second time."""

from __future__ import annotations

import hashlib
import hmac
import time
from dataclasses import dataclass

from crossrec_llm.store.database import Database

KEPT = 24 * 3_600.0
"""Seconds that a key is known."""


@dataclass(frozen=True)
class Kept:
    """What is known of a key.

    same : whether it came with this very body.
    answer : what was answered.
    """

    same: bool
    answer: str


class Answered:
    """The keys of the last day.

    Of a key and a body hashes are kept; whoever has the file and guesses both can check the guess.
    Answers are kept as they are given: they must name nobody.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, key: str, body: bytes) -> Kept | None:
        """What is known of a key; None where it is new, or forgotten."""
        rows = self._database.all(
            "SELECT body, answer FROM answered WHERE key = ? AND at > ?",
            _hash(key),
            time.time() - KEPT,
        )
        return Kept(rows[0][0] == _keyed(key, body), rows[0][1]) if rows else None

    def keep(self, key: str, body: bytes, answer: str) -> None:
        """Write an answer down, and forget those that are a day old.

        Raises
        ------
        IndexLocked, StoreUnavailable : it cannot be written now.
        """
        now = time.time()
        with self._database.transaction() as execute:
            execute("DELETE FROM answered WHERE at <= ?", (now - KEPT,))
            row = (_hash(key), _keyed(key, body), answer, now)
            execute("INSERT OR REPLACE INTO answered VALUES (?, ?, ?, ?)", row)


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _keyed(key: str, body: bytes) -> str:
    """Keyed: a body is short, and could be guessed from a hash of it alone."""
    return hmac.new(key.encode(), body, hashlib.sha256).hexdigest()
