"""How an index is: what answers, what came since, what watches over it, and what to see to."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from crossrec_llm.drafting import Audit, audits_of
from crossrec_llm.generation import Generation
from crossrec_llm.publishing import KeptGeneration, generations
from crossrec_llm.records import Receipt
from crossrec_llm.safekeeping import LastBackup, last_backup
from crossrec_llm.store import Due, Index
from crossrec_llm.store.lock import holder, is_held

OLD_BACKUP = 7.0
"""Days after which a backup is called old."""


@dataclass(frozen=True)
class Condition:
    """An index at one moment.

    kept : all generations, oldest first.
    model, encoder : the model's name; what exactly made the vectors.
    built : counts of the generation as it was built; records : of what is recorded now.
    due : what a new generation would fold in.
    audits : what was found when it was published, by collection; none for older versions' ones.
    backup : the newest that was made.
    writer : who writes to it now, in words; "" for nobody.
    unfinished : erasures that were cut off, in words.
    notes : what is not in answers yet, and collections that are scanned.
    """

    index: str
    receipt: Receipt
    kept: tuple[KeptGeneration, ...]
    model: str
    encoder: str
    dimensions: int
    version: str
    built: dict[str, int]
    records: dict[str, int]
    due: Due
    audits: dict[str, Audit]
    backup: LastBackup | None
    writer: str
    unfinished: tuple[str, ...]
    notes: tuple[str, ...]

    @classmethod
    def of(cls, index: Path, generation: Generation) -> Condition:
        """Of an index, and its active generation as it is loaded.

        Raises
        ------
        IndexMissing, IndexMismatch, IndexDamaged : it cannot be opened.
        """
        recipe, stored = generation.recipe, generation.stored
        assert stored is not None, "a generation in memory has no folder"
        with Index.open(index) as opened:
            ledger = opened.ledger
            records = {
                "items": ledger.item_count,
                "users": ledger.user_count,
                "events": ledger.event_count,
            }
            due, unfinished = Due.of(opened, recipe.live), ledger.erasures.notes
        scanned = f"scanned until a build fills Chroma again: {', '.join(generation.scanned)}"
        return cls(
            index=str(index),
            receipt=generation.receipt,
            kept=generations(index),
            model=recipe.encoder.model,
            encoder=stored.parts.get("encoder", ""),
            dimensions=int(generation.raw.shape[1]),
            version=stored.parts.get("version", ""),
            built=dict(stored.counts),
            records=records,
            due=due,
            audits=audits_of(stored.folder),
            backup=last_backup(index),
            writer=holder(index, looks=1) if is_held(index) else "",
            unfinished=unfinished,
            notes=(*generation.live.notes, *([scanned] if generation.scanned else [])),
        )

    @property
    def live(self) -> KeptGeneration:
        """The generation that answers."""
        return next(one for one in self.kept if one.state == "live")

    def to_see_to(self, now: datetime | None = None) -> list[str]:
        """What somebody should look at, in words, the gravest first."""
        found = [*self.unfinished]
        if self.due.due:
            found.append(f"a build is due: {self.due.advice}")
        found += self.notes
        if self.backup is None:
            found.append("no backup is known: `crossrec backup` makes one")
        else:
            days = ((now or datetime.now(UTC)) - datetime.fromisoformat(self.backup.made)).days
            if days >= OLD_BACKUP:
                found.append(f"the last backup is {days} days old: `crossrec backup` makes one")
        return found

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)
