"""What an erasure did, as a file in the index's folder that itself holds no id."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from crossrec_llm.errors import IndexDamaged
from crossrec_llm.store.files import disk_errors, write_atomically

FOLDER = "erasures"


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
            content = json.dumps(self.to_dict(), indent=1, ensure_ascii=False)
            write_atomically(path, content.encode())
        return path


def read_receipts(index: Path) -> tuple[ErasureReceipt, ...]:
    """All of an index, in the order they were made.

    Raises
    ------
    IndexDamaged : one cannot be read.
    """
    return tuple(map(_read, sorted((index / FOLDER).glob("*.json"))))


def next_number(index: Path) -> int:
    return max((one.number for one in read_receipts(index)), default=0) + 1


def complete_receipts(index: Path, generation: str) -> int:
    """Write into the receipts that a generation was fitted anew; how many had waited for it.

    To be called once all parts of a generation were fitted on the records as they are.
    """
    waiting = [one for one in read_receipts(index) if one.waiting or one.to_fill]
    for one in waiting:
        learned = tuple(
            part if part.fitted_in else replace(part, fitted_in=generation) for part in one.learned
        )
        replace(one, learned=learned, to_fill=()).save(index)
    return len(waiting)


def _path(index: Path, number: int) -> Path:
    return index / FOLDER / f"{number:06d}.json"


def _read(path: Path) -> ErasureReceipt:
    try:
        data: dict[str, Any] = json.loads(path.read_bytes())
        learned = tuple(Learned(**part) for part in data.pop("learned"))
        for name in ("subjects", "generations_removed", "out_of_reach", "to_fill"):
            data[name] = tuple(data[name])
        return ErasureReceipt(learned=learned, **data)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise IndexDamaged(
            f"{path}: this receipt of an erasure cannot be read ({error}); move it away"
        ) from error
