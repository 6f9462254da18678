"""What people say of recommendations, kept beside an index, as cases to evaluate by."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from crossrec_llm.errors import IndexLocked, QueryError, UnknownItem, UnknownUser
from crossrec_llm.recommender import Recommender
from crossrec_llm.store.files import disk_errors, sync_folder, write_atomically
from crossrec_llm.tables import OUTSIDE

JUDGEMENTS, LOCK = "judgements.jsonl", "judgements.lock"
_PATIENCE = 5.0  # seconds


@dataclass(frozen=True)
class Judgement:
    """Whether an item is a good recommendation for a person.

    good : None takes back what was said before.
    shown : ids of the items that it was judged among.
    made : epoch seconds (UTC).
    """

    user_id: str
    item_id: str
    good: bool | None
    shown: tuple[str, ...]
    made: float


def judge(
    recommender: Recommender,
    user_id: str,
    item_id: str,
    good: bool | None,
    shown: Sequence[str] = (),
) -> Judgement:
    """Write down what somebody says of an item; durable when it returns. The last word stands.

    Raises
    ------
    UnknownUser, UnknownItem : nothing is known of an id.
    QueryError : it lies behind a wall, of which nothing is written down outside.
    IndexLocked, StoreUnavailable : it cannot be written.
    """
    recommender.profile(user_id)
    outside = _outside(recommender, [item_id])
    recommender.item(item_id)
    if not outside:
        raise QueryError(f"{item_id!r} lies behind a wall: judgements are kept of what does not")
    among = tuple(_outside(recommender, shown))
    path = _path(recommender)
    with _locked(path.parent), disk_errors(path):
        ledger = recommender.ledger  # another process may have erased somebody just now
        gone = set(ledger.never_heard_of([item_id, *among]))
        if item_id in gone:
            raise UnknownItem(item_id, ())
        if not ledger.has_user(user_id) and not ledger.corrections_of(user_id):
            raise UnknownUser(user_id, ())
        among = tuple(id for id in among if id not in gone)
        judgement = Judgement(user_id, item_id, good, among, time.time())
        line = json.dumps(asdict(judgement), ensure_ascii=False).encode() + b"\n"
        new = not path.exists()
        with path.open("ab+") as file:
            size = file.seek(0, os.SEEK_END)
            if size and (file.seek(size - 1), file.read(1))[1] != b"\n":
                line = b"\n" + line  # the one before was cut off, and never acknowledged
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        if new:
            sync_folder(path.parent)
    return judgement


def judgements(recommender: Recommender, user_id: str | None = None) -> list[Judgement]:
    """What stands, in the order it was said; of one person, or of all."""
    last: dict[tuple[str, str], Judgement] = {}
    for one in _read(_path(recommender), user_id):
        last.pop((one.user_id, one.item_id), None)
        last[one.user_id, one.item_id] = one
    wanted = (one for one in last.values() if user_id in (None, one.user_id))
    return [one for one in wanted if one.good is not None]


def cases(recommender: Recommender) -> Iterator[dict[str, Any]]:
    """One for each person who found something good, as `evaluate --protocol cases` reads them.

    The targets are what was found good, and the candidates what it was judged among: an item that
    was found bad, or passed over, is one to rank below them. The history is what counts of it now,
    outside of all walls, without the targets.
    """
    by_user: dict[str, list[Judgement]] = {}
    for one in judgements(recommender):
        by_user.setdefault(one.user_id, []).append(one)
    for user_id, said in by_user.items():
        targets = [one.item_id for one in said if one.good]
        try:
            profile = recommender.profile(user_id)
        except UnknownUser:
            continue
        taken = [entry.item.item_id for entry in profile.history]
        among = dict.fromkeys(id for one in said for id in (*one.shown, one.item_id))
        candidates = [id for id in _outside(recommender, list(among)) if id not in set(taken)]
        targets = [id for id in targets if id in candidates]
        if targets:
            yield {
                "user_id": user_id,
                "history": taken,
                "targets": targets,
                "candidates": candidates,
            }


def forget_judgements(
    index: Path, kind: Literal["user", "item"], gone: Callable[[str], bool]
) -> int:
    """Take out what erased people said, or what was said of erased items; how many went.

    It comes after their erasure from the records, which `judge` asks under the same lock: whoever
    judges meanwhile is either found here, or refused there.

    Raises
    ------
    IndexLocked, StoreUnavailable : it cannot be written.
    """
    path = index / JUDGEMENTS
    if not path.exists():
        return 0
    with _locked(index):
        before = list(_read(path))
        kept = [one for one in before if not gone(getattr(one, f"{kind}_id"))]
        if kind == "item":
            kept = [_without(one, gone) for one in kept]
        if kept != before:
            lines = (json.dumps(asdict(one), ensure_ascii=False) + "\n" for one in kept)
            write_atomically(path, "".join(lines).encode())
    return len(before) - len(kept)


def _without(one: Judgement, gone: Callable[[str], bool]) -> Judgement:
    shown = tuple(id for id in one.shown if not gone(id))
    return Judgement(one.user_id, one.item_id, one.good, shown, one.made)


def _outside(recommender: Recommender, item_ids: Sequence[str]) -> list[str]:
    """Those ids of items that lie behind no wall; unknown ones are left out."""
    catalogue, walls = recommender.catalogue, recommender.generation.walls
    rows = catalogue.rows(list(item_ids))
    return [
        item_id
        for item_id, row in zip(item_ids, rows, strict=True)
        if row >= 0 and walls.behind[row] == OUTSIDE
    ]


def _path(recommender: Recommender) -> Path:
    return recommender.ledger.path.parent / JUDGEMENTS


def _read(path: Path, user_id: str | None = None) -> Iterator[Judgement]:
    """Every whole line, of one person or of all.

    One that a crash cut off was never acknowledged.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return
    for line in content.splitlines() if user_id is None else _lines_of(content, user_id):
        try:
            told = json.loads(line)
            yield Judgement(**{**told, "shown": tuple(told["shown"])})
        except (ValueError, TypeError, KeyError):
            continue


def _lines_of(content: bytes, user_id: str) -> Iterator[bytes]:
    """Those that begin as a person's do, found without a look into the others."""
    start = json.dumps({"user_id": user_id}, ensure_ascii=False).encode(errors="replace")[:-1]
    at = content.find(start)
    while at >= 0:
        end = content.find(b"\n", at)
        end = len(content) if end < 0 else end
        if at == 0 or content[at - 1 : at] == b"\n":
            yield content[at:end]
        at = content.find(start, end)


@contextmanager
def _locked(index: Path) -> Iterator[None]:
    """Of the judgements alone: a build that goes on for an hour keeps nobody from judging."""
    from filelock import FileLock, Timeout

    with disk_errors(index / LOCK):
        try:
            with FileLock(index / LOCK, timeout=_PATIENCE, thread_local=False):
                yield
        except Timeout as error:
            raise IndexLocked(
                f"{index / JUDGEMENTS}: another process has been writing to it for "
                f"{_PATIENCE:g} s; try again"
            ) from error
