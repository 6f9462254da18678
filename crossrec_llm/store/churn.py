"""How much has come live since a generation, and when that is enough for a new one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from annotated_types import Ge

from crossrec_llm.records import STRICT
from crossrec_llm.store.index import Index


@dataclass(frozen=True)
class LiveOptions:
    """When live changes start a build of their own accord (`crossrec add-events`, `add-items`).

    rebuild_at : share of the items and events that changed since the generation was built, from
        which on a new one is due; 0 = never.
    rebuild_least : below so many changes none is due, whatever their share.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    rebuild_at: Annotated[float, Ge(0)] = 0.1
    rebuild_least: Annotated[int, Ge(1)] = 1_000


@dataclass(frozen=True)
class Due:
    """What a new generation would fold in.

    generation : the one that answers.
    changes : items and events that came, changed or went since it was built.
    share : of the items and events that it was built from.
    due : whether that is enough, by the recipe's `[live]`.
    """

    generation: str
    changes: int
    share: float
    due: bool

    @classmethod
    def of(cls, index: Index, options: LiveOptions) -> Due:
        """Of the active generation of an open index."""
        built = index.generation
        changes = index.ledger.count_since(built.change)
        share = changes / max(1, built.counts.get("items", 0) + built.counts.get("events", 0))
        enough = 0 < options.rebuild_at <= share and changes >= options.rebuild_least
        return cls(built.name, changes, share, enough)

    @property
    def advice(self) -> str:
        """In one line; empty where nothing has changed."""
        if not self.changes:
            return ""
        one = "1 change" if self.changes == 1 else f"{self.changes:,} changes"
        return (
            f"{one} since generation {self.generation} ({self.share:.1%} of what it was built "
            "from): `crossrec build` folds them in"
        )
