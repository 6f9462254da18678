"""What an erasure did, as a file in the index's folder that itself holds no id."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from crossrec_llm.errors import IndexDamaged
from crossrec_llm.store.files import disk_errors, write_atomically

_log = logging.getLogger(__name__)

FOLDER = "erasures"

ERASED, SCANNED = "to be fitted anew", "collections to fill"
"""Parts of a stored generation: what of it still holds sums over what was erased, and which
collections Chroma lacks, so that they are scanned. Neither is there where there is nothing."""


@dataclass(frozen=True)
class Learned:
    """A fitted part that had learned from what was erased.

    part : its name: "neighbours", "blend" ...
    holds : what it is made of.
    done : what became of it at once.
    fitted_in : the generation that was fitted without what was erased; "" = none yet.
    """

    part: str
    holds: str
    done: str
    fitted_in: str = ""


@dataclass(frozen=True)
class ErasureReceipt:
    """What was erased, from where, what had learned from it, and what is out of reach.

    number : counts the erasures of an index.
    kind : "user" or "item".
    subjects : a keyed hash for each id, in their order; the key lies in the index's records.
    moment : ISO 8601, UTC: what is dated after it is new.
    removed : place -> how many were taken out of it.
    generation : the one that answers since, made without what was erased.
    generations_removed : those that nobody can go back to any more.
    to_fill : collections that are scanned until Chroma is filled again, with the same answers.
    scan : what a search through all bytes found (`Found`); None where none was asked for.
    seconds : from the start until nothing that answers had it, and until all of it was done.
    resumed : an erasure that had been cut off was finished with this one.
    """

    number: int
    kind: str
    subjects: tuple[str, ...]
    moment: str
    removed: Mapping[str, int]
    generation: str
    generations_removed: tuple[str, ...]
    learned: tuple[Learned, ...]
    out_of_reach: tuple[str, ...]
    to_fill: tuple[str, ...] = ()
    scan: Mapping[str, Any] | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    resumed: bool = False

    @property
    def waiting(self) -> tuple[str, ...]:
        """Parts that are to be fitted anew by the next build."""
        return tuple(one.part for one in self.learned if not one.fitted_in)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def save(self, index: Path) -> Path:
        """Write it into an index's folder, in place of what has its number."""
        path = _path(index, self.number)
        with disk_errors(path):
            path.parent.mkdir(exist_ok=True)
            data = self.to_dict()
            write_atomically(path, _written({**data, "checksum": _checksum(data)}))
        return path


def read_receipts(index: Path) -> tuple[ErasureReceipt, ...]:
    """All of an index, in the order they were made.

    Raises
    ------
    IndexDamaged : one is not as it was written.
    """
    return tuple(map(_read, _files(index)))


def read_receipt(index: Path, number: int) -> ErasureReceipt:
    """One of them. Raises as `read_receipts`."""
    return _read(_path(index, number))


def damaged_receipts(index: Path) -> list[Path]:
    """The files of those that are not as they were written."""
    return [path for path in _files(index) if _whole(path) is None]


def next_number(index: Path) -> int:
    numbers = (path.name.partition(".")[0] for path in (index / FOLDER).glob("*.json*"))
    return max((int(number) for number in numbers if number.isdecimal()), default=0) + 1


def complete_receipts(index: Path, generation: str, parts: Mapping[str, str]) -> int:
    """Write into the receipts what was fitted anew with a generation; how many had waited for it.

    To be called for the one that answers, once no erasure is unfinished: whatever it does not name
    under `ERASED` and `SCANNED` was made from the records as they are.
    """
    unfit, empty = (named(parts, mark) for mark in (ERASED, SCANNED))
    count = 0
    for one in filter(None, map(_whole, _files(index))):
        learned = tuple(
            part if part.fitted_in or part.part in unfit else replace(part, fitted_in=generation)
            for part in one.learned
        )
        done = replace(
            one, learned=learned, to_fill=tuple(name for name in one.to_fill if name in empty)
        )
        if done != one:
            done.save(index)
            count += 1
    return count


def take_over_receipts(old: Path, new: Path) -> None:
    """Those that an index has, for the one that takes its place and may have some of them."""
    known = {(one.subjects, one.moment) for one in filter(None, map(_whole, _files(new)))}
    for one in filter(None, map(_whole, _files(old))):
        if (one.subjects, one.moment) not in known:
            number = next_number(new) if _path(new, one.number).exists() else one.number
            replace(one, number=number).save(new)


def named(parts: Mapping[str, str], mark: str) -> tuple[str, ...]:
    """What a generation names under `ERASED` or `SCANNED`."""
    said = parts.get(mark, "")
    return tuple(said.split(", ")) if said else ()


def marked(parts: Mapping[str, str], mark: str, names: Iterable[str]) -> dict[str, str]:
    """The same parts naming these, and nothing else, under a mark."""
    said = ", ".join(names)
    others = {name: part for name, part in parts.items() if name != mark}
    return {**others, mark: said} if said else others


def _path(index: Path, number: int) -> Path:
    return index / FOLDER / f"{number:06d}.json"


def _files(index: Path) -> list[Path]:
    return sorted((index / FOLDER).glob("*.json"))


def _whole(path: Path) -> ErasureReceipt | None:
    """None where it is not as it was written."""
    try:
        return _read(path)
    except IndexDamaged as error:
        _log.warning("%s", error)
        return None


def _read(path: Path) -> ErasureReceipt:
    try:
        content = path.read_bytes()
        data: dict[str, Any] = json.loads(content)
        checksum = data.pop("checksum")
        if checksum != _checksum(data) or content != _written({**data, "checksum": checksum}):
            raise ValueError("it is not as it was written")
        learned = tuple(Learned(**part) for part in data.pop("learned"))
        for name in ("subjects", "generations_removed", "out_of_reach", "to_fill"):
            data[name] = tuple(data[name])
        return ErasureReceipt(learned=learned, **data)
    except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise IndexDamaged(
            f"{path}: this receipt of an erasure cannot be read ({error}); `crossrec repair` sets "
            "it aside"
        ) from error


def _written(data: Mapping[str, Any]) -> bytes:
    return json.dumps(data, indent=1, ensure_ascii=False).encode()


def _checksum(data: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
