"""What a person is shown of themselves: plain frozen records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from crossrec_llm.records import Item


@dataclass(frozen=True, slots=True)
class Correction:
    """Something that a person, or somebody for them, said of their profile.

    number : counts up over all corrections of an index; `undo` goes by it.
    sentence : that is pinned; "" for a strike.
    items : ids of the items that are struck; none for a pin.
    made : epoch seconds (UTC).
    """

    number: int
    sentence: str
    items: tuple[str, ...]
    made: float

    def __str__(self) -> str:
        return f"pinned: “{self.sentence}”" if self.sentence else f"struck: {', '.join(self.items)}"

    def to_dict(self) -> dict[str, Any]:
        kind = "pin" if self.sentence else "strike"
        return {"kind": kind, **asdict(self), "items": list(self.items)}


@dataclass(frozen=True, slots=True)
class InterestRecord:
    """One interest: its share of the history, its most central titles, and its item ids."""

    share: float
    name: str
    items: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        return {"share": self.share, "name": self.name, "items": list(self.items)}


@dataclass(frozen=True, slots=True)
class HistoryItem:
    """An item of a history.

    weight : of the person's events on it, over the largest: below 0 for a dislike.
    share : part of the whole history that it is, recency counted; 0 for a dislike.
    interest : number of the interest that it belongs to, from 1; None = of none.
    """

    item: Item
    weight: float
    share: float
    interest: int | None

    def to_dict(self) -> dict[str, Any]:
        about = {"item_id": self.item.item_id, "title": self.item.title}
        more = {"category": self.item.category_path, "weight": self.weight}
        return {**about, **more, "share": self.share, "interest": self.interest}


@dataclass(frozen=True, slots=True, repr=False)
class Profile:
    """What is known of a person, as answers use it, corrections in effect.

    text : the history as a text, by the history template.
    history : what counts, oldest first.
    disliked : what was disliked.
    struck : items that count no more, and never come.
    interests : the largest share first; one for most people.
    corrections : in the order they were made.
    """

    user_id: str
    text: str
    history: tuple[HistoryItem, ...]
    disliked: tuple[HistoryItem, ...]
    struck: tuple[Item, ...]
    interests: tuple[InterestRecord, ...]
    corrections: tuple[Correction, ...]

    def __repr__(self) -> str:
        lines = [f"{self.user_id}: {len(self.history)} items"]
        lines += [f"{one.share:4.0%}  {one.name}" for one in self.interests]
        return "\n".join([*lines, *(f"{one.number}  {one}" for one in self.corrections)])

    def _repr_html_(self) -> str:
        from crossrec_llm import notebook

        return notebook.profile(self)

    def to_dict(self) -> dict[str, Any]:
        """The shape that `--json` prints."""

        def each(records: Sequence[Any]) -> list[dict[str, Any]]:
            return [record.to_dict() for record in records]

        return {
            "user_id": self.user_id,
            "text": self.text,
            "interests": each(self.interests),
            "history": each(self.history),
            "disliked": each(self.disliked),
            "struck": [{"item_id": item.item_id, "title": item.title} for item in self.struck],
            "corrections": each(self.corrections),
        }
