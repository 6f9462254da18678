"""A search through bytes: whether ids, texts or vectors lie anywhere in the files of a folder."""

from __future__ import annotations

import json
import mmap
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

_ANCHOR = 8
WINDOW = 64
"""So many bytes in a row of a longer trace are found, wherever they were cut off."""

_STEP = WINDOW - _ANCHOR  # every window of 64 bytes holds a whole anchor
_CHUNK = 1 << 25
_BITS = 22
_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # of Fibonacci hashing (Knuth, vol. 3, 6.4)


@dataclass(frozen=True)
class Trace:
    """Bytes to look for.

    kind : "id", "text", "vector": what hits are counted by.
    name : what it is a form of; hits count once for all forms.
    content : at least 8 bytes; of more than 64, any 64 in a row are a hit.
    """

    kind: str
    name: str
    content: bytes


@dataclass(frozen=True)
class Found:
    """What a scan found.

    traces : distinct ones that were looked for, by kind.
    hits : those that were found, by kind; `places`: file -> how many times.
    files, size : how many were read, and their bytes.
    """

    traces: dict[str, int]
    hits: dict[str, int]
    places: dict[str, int]
    files: int
    size: int

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def forms_of(text: str) -> set[bytes]:
    """A text as files may have it: UTF-8, escaped as JSON, and each of these quoted as CSV."""
    written = {text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}
    return {form.encode() for form in written | {one.replace('"', '""') for one in written}}


def text_traces(kind: str, text: str) -> Iterator[Trace]:
    """A text in all of its forms, and in UTF-16; too short ones are left out."""
    for content in forms_of(text) | {text.encode("utf-16-le")}:
        if len(text.encode()) >= _ANCHOR:
            yield Trace(kind, text, content)


def vector_traces(name: str, rows: np.ndarray) -> Iterator[Trace]:
    """(n, dim) float32 rows, as memory holds them."""
    for n, row in enumerate(np.ascontiguousarray(rows, "<f4")):
        yield Trace("vector", f"{name} {n}", row.tobytes())


@dataclass(eq=False)
class Scanner:
    """Looks for many traces in one pass.

    Eight bytes of each trace, of a long one every 56th eight, are looked up in a table for every
    position in a file; where they are found the rest is compared.
    """

    traces: list[Trace]
    _anchors: dict[int, list[tuple[int, int]]] = field(init=False)

    def __init__(self, traces: Iterable[Trace]) -> None:
        self.traces = list(dict.fromkeys(traces))
        self._anchors = {}
        for n, trace in enumerate(self.traces):
            for at in _places(len(trace.content)):
                word = trace.content[at : at + _ANCHOR]
                if len(set(word)) > 1:  # a row of equal bytes is nobody's
                    key = int.from_bytes(word, "little")
                    self._anchors.setdefault(key, []).append((n, at))

    def without(self, *others: np.ndarray | bytes) -> Scanner:
        """One that does not look for what others have too: its hits would say nothing."""
        fewer = Scanner([])
        fewer.traces = self.traces
        theirs = {
            anchor for held in others for anchor, _ in self._hits(np.frombuffer(held, np.uint8))
        }
        # Of a short one all forms go: who has it has it in any of them.
        short = {self._named(n) for n, _ in theirs if len(self.traces[n].content) <= WINDOW}
        for key, places in self._anchors.items():
            left = [at for at in places if at not in theirs and self._named(at[0]) not in short]
            if left:
                fewer._anchors[key] = left
        return fewer

    def scan(self, folder: Path) -> Found:
        """Read every file below a folder."""
        found: set[int] = set()
        places: Counter[str] = Counter()
        files = size = 0
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            files, size = files + 1, size + path.stat().st_size
            if not path.stat().st_size:
                continue
            with (
                path.open("rb") as file,
                mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
            ):
                data = np.frombuffer(content, np.uint8)
                here = {place for (_, place) in self._where(data)}
                del data
            found |= {n for n, _ in here}
            if here:
                places[path.relative_to(folder).as_posix()] = len(here)
        looked = {n for anchors in self._anchors.values() for n, _ in anchors}
        return Found(self._by_kind(looked), self._by_kind(found), dict(places), files, size)

    def _by_kind(self, numbers: Iterable[int]) -> dict[str, int]:
        named = set(map(self._named, numbers))
        return dict(sorted(Counter(kind for kind, _ in named).items()))

    def _named(self, n: int) -> tuple[str, str]:
        return self.traces[n].kind, self.traces[n].name

    def _where(self, data: np.ndarray) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
        """(anchor, (trace, position)) of each hit."""
        for (n, at), position in self._hits(data):
            yield (n, at), (n, position)

    def _hits(self, data: np.ndarray) -> Iterator[tuple[tuple[int, int], int]]:
        if not self._anchors:
            return
        keys = np.array(sorted(self._anchors), np.uint64)
        table = np.zeros(1 << _BITS, bool)
        table[_slot(keys)] = True
        for position in _candidates(data, keys, table):
            key = int.from_bytes(data[position : position + _ANCHOR].tobytes(), "little")
            for n, at in self._anchors[key]:
                if _is_there(data, position, self.traces[n].content, at):
                    yield (n, at), position


def _places(length: int) -> list[int]:
    """Where the anchors of a trace lie: ids often differ at their end."""
    if length < _ANCHOR:
        return []
    if length <= WINDOW:
        return [length - _ANCHOR]
    return [*range(0, length - _ANCHOR, _STEP), length - _ANCHOR]


def _slot(words: np.ndarray) -> np.ndarray:
    return (words * _FACTOR) >> np.uint64(64 - _BITS)


def _candidates(data: np.ndarray, keys: np.ndarray, table: np.ndarray) -> Iterator[int]:
    """Positions whose eight bytes are one of the sorted keys."""
    for start in range(0, len(data), _CHUNK):
        part = data[start : start + _CHUNK + _ANCHOR - 1]
        for shift in range(_ANCHOR):
            whole = (len(part) - shift) // _ANCHOR
            if whole <= 0:
                continue
            words = np.frombuffer(part[shift : shift + whole * _ANCHOR].tobytes(), "<u8")
            likely = np.flatnonzero(table[_slot(words)])
            at = np.minimum(np.searchsorted(keys, words[likely]), len(keys) - 1)
            for word in likely[keys[at] == words[likely]].tolist():
                yield start + shift + word * _ANCHOR


def _is_there(data: np.ndarray, position: int, content: bytes, at: int) -> bool:
    """Whether a trace whose anchor `at` lies at a position is there, or 64 bytes of it."""
    start = position - at
    first, last = max(0, -start), min(len(content), len(data) - start)
    if len(content) <= WINDOW:
        return (
            first == 0 and last == len(content) and data[start : start + last].tobytes() == content
        )
    same = np.frombuffer(content, np.uint8)[first:last] == data[start + first : start + last]
    differing = np.flatnonzero(~same)
    here = at - first
    before = differing[differing < here]
    after = differing[differing > here]
    begin = int(before[-1]) + 1 if len(before) else 0
    end = int(after[0]) if len(after) else len(same)
    return end - begin >= WINDOW
