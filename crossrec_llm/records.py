"""What goes in and comes out: plain frozen records, shared by every package."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

CATEGORY_SEPARATOR = " > "

Explain = Literal["full"] | bool
"""False: no reasons; True: reasons; "full": also every contribution to the score."""

SimilarMode = Literal["both", "alike", "together"]
"""What "similar" means: a mix of both, what could be taken instead, or what is taken with it."""

STRICT: dict[str, Any] = {"extra": "forbid", "allow_inf_nan": False}
"""How pydantic checks an Options dataclass: no unknown setting, no number that is none."""

Progress = Callable[[str, int, int], None]
"""Called as progress(step, done, total)."""


@dataclass(frozen=True, slots=True)
class Item:
    """A thing that can be recommended.

    `category` is a path from the top category down; `added` is in epoch seconds (UTC); `price`
    has the currency of the catalogue. `metadata` holds every other column as text.
    """

    item_id: str
    title: str
    description: str = ""
    category: tuple[str, ...] = ()
    brand: str = ""
    price: float | None = None
    image_url: str = ""
    available: bool = True
    added: float | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def category_path(self) -> str:
        return CATEGORY_SEPARATOR.join(self.category)


@dataclass(frozen=True, eq=False, slots=True)
class Query:
    """What is asked, resolved to row numbers; what every signal sees.

    Attributes
    ----------
    kind : "user", "like" (free text) or "similar" (one item).
    history : (h,) int64 rows, oldest first, each once.
    weights : (h,) float32, above 0: how strongly each of them was wanted.
    disliked : (d,) int64 rows.
    text : the free text as typed, None without one.
    text_vector : (dim,) float32 raw unit vector of it.
    mode : of a "similar" query.
    struck : (s,) int64 rows that the person does not want to count, nor to see again.
    said : sentences pinned to the profile; `said_vectors`, (len(said), dim) float32, are theirs.
    """

    kind: Literal["user", "like", "similar"]
    history: np.ndarray
    weights: np.ndarray
    disliked: np.ndarray
    text: str | None = None
    text_vector: np.ndarray | None = None
    mode: SimilarMode = "both"
    struck: np.ndarray | None = None
    said: tuple[str, ...] = ()
    said_vectors: np.ndarray | None = None


@dataclass(frozen=True, slots=True)
class Reason:
    """One cause of a recommendation.

    `kind` is the signal's name ("text", "neighbours", "popular" ...), `item_id` the history item
    that carried it (None where no single item did), `share` its part of what spoke for the item
    (all reasons of one item that are kept or not sum to 1).
    """

    kind: str
    share: float
    text: str
    item_id: str | None = None

    def to_dict(self) -> dict[str, Any]:
        # `asdict` copies every value, and an answer has thirty of these.
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Contribution:
    """What a signal adds to a score, or takes from it, through one item of the history.

    `item_id` is None for what no single item of the history brought. The signal "order" is what the
    place adds: by a learned order of the head of the list, or in a closed category, where it is the
    whole score.
    """

    signal: str
    item_id: str | None
    value: float


@dataclass(frozen=True, slots=True)
class Offer:
    """An item that might have come to some places of a list that was drawn for, and whether it did.

    kind : the places that it might have come to are those of the same kind.
    home : its rank in the list before the draw; 0 = it was below the list.
    rank : where it was shown; 0 = it was not.
    stay, elsewhere : its probability at its home, and at each other place of its kind.
    """

    item_id: str
    kind: int
    home: int
    rank: int
    stay: float
    elsewhere: float

    def at(self, rank: int) -> Offer:
        """The same, shown there."""
        return replace(self, rank=rank)

    @property
    def propensity(self) -> float:
        """Its probability at the place where it was shown; 0 where it was not."""
        if not self.rank:
            return 0.0
        return self.stay if self.rank == self.home else self.elsewhere


@dataclass(frozen=True, slots=True)
class Recommendation:
    """One line of an answer. `cross`: outside the home categories; `cold`: nobody took it yet.

    `rules` names what acted on it: "pin", "boost brand:Acme", "bury ...", and the rule that brought
    it in where another item would have come ("max_per_brand", "quota", "new_share" ...).
    `contributions` add up to the score; there are some where a full explanation was asked for.
    `propensity` is the probability that it came to this place, where places were drawn for; what
    the draw moved or brought has the rule "explored".
    """

    rank: int
    item: Item
    score: float
    cross: bool
    cold: bool
    reasons: tuple[Reason, ...] = ()
    signals: Mapping[str, float] = field(default_factory=dict)
    rules: tuple[str, ...] = ()
    contributions: tuple[Contribution, ...] = ()
    interest: int | None = None
    propensity: float | None = None

    @property
    def item_id(self) -> str:
        return self.item.item_id

    @property
    def title(self) -> str:
        return self.item.title

    @property
    def category(self) -> str:
        return self.item.category_path

    @property
    def why(self) -> str:
        """The strongest reason in words; empty when reasons were not asked for."""
        return self.reasons[0].text if self.reasons else ""

    def to_dict(self) -> dict[str, Any]:
        """The shape that `--json` prints for one item."""
        return {
            "rank": self.rank,
            "item_id": self.item_id,
            "title": self.title,
            "category": self.category,
            "brand": self.item.brand,
            "price": self.item.price,
            "image_url": self.item.image_url,
            "score": self.score,
            "cross": self.cross,
            "cold": self.cold,
            "reasons": [reason.to_dict() for reason in self.reasons],
            "signals": dict(self.signals),
            **({"rules": list(self.rules)} if self.rules else {}),
            **(
                {"contributions": [asdict(c) for c in told]} if (told := self.contributions) else {}
            ),
            **({"interest": self.interest} if self.interest else {}),
            **({"propensity": self.propensity} if self.propensity is not None else {}),
        }


@dataclass(frozen=True, slots=True)
class Receipt:
    """What made an answer: enough to ask it again and to compare two answers.

    `history` is a digest of the person's events and corrections at that moment; None where no
    person was named. `change` is the number of the last live change that was taken in; None in
    memory, where there are none. `explored` is how many items the draw moved or brought; None
    where none was asked for.
    """

    generation: str
    recipe: str
    blend: str
    version: str
    history: str | None = None
    change: int | None = None
    explored: int | None = None

    def to_dict(self) -> dict[str, str | int]:
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True, slots=True)
class Absence:
    """Why an item is not in a list.

    causes : in words, the first one decides; what the item could not know of is not looked at once
        a wall is between.
    place : where its score alone would put it among `of` candidates, from 1; None where it may not
        come at all. `score` is its own, `last` the lowest of the list (None of an empty one).
    rank : in the list; None = it is not in it.
    """

    item: Item
    causes: tuple[str, ...]
    rank: int | None = None
    place: int | None = None
    of: int | None = None
    score: float | None = None
    last: float | None = None

    def __str__(self) -> str:
        title = f"“{self.item.title}”"
        if self.rank is not None:
            return f"{title} is in the list, at {self.rank}"
        return f"{title} is not in the list: {'; '.join(self.causes)}"

    def to_dict(self) -> dict[str, Any]:
        """The shape that `--json` prints."""
        numbers = ("rank", "place", "of", "score", "last")
        return {
            "item_id": self.item.item_id,
            "title": self.item.title,
            "causes": list(self.causes),
            **{name: getattr(self, name) for name in numbers},
        }


@dataclass(frozen=True, slots=True, repr=False)
class Recommendations(Sequence[Recommendation]):
    """An answer: a sequence of recommendations, best first.

    `query` says what was asked, resolved; `shortfall` says in words why there are fewer than k;
    `notes` label every fallback; `absence` is there where an item was asked for by `why_not`.
    `offers` are all items that might have come, where places were drawn for. Shows as a table in a
    terminal and as cards in a notebook.
    """

    query: Mapping[str, Any]
    items: tuple[Recommendation, ...]
    receipt: Receipt
    shortfall: str | None = None
    notes: tuple[str, ...] = ()
    offers: tuple[Offer, ...] = ()
    absence: Absence | None = None

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: Any) -> Any:
        return self.items[index]

    def __iter__(self) -> Iterator[Recommendation]:
        return iter(self.items)

    @property
    def ids(self) -> list[str]:
        return [r.item_id for r in self.items]

    def to_dict(self) -> dict[str, Any]:
        """The shape that `--json` prints."""
        return {
            "query": dict(self.query),
            "items": self.to_dicts(),
            "shortfall": self.shortfall,
            "notes": list(self.notes),
            "receipt": self.receipt.to_dict(),
            **({"why_not": self.absence.to_dict()} if self.absence else {}),
        }

    def to_dicts(self) -> list[dict[str, Any]]:
        return [r.to_dict() for r in self.items]

    def to_arrow(self) -> pa.Table:
        """One row an item: rank, item_id, title, category, score, cross, cold, why, rules."""
        import pyarrow as pa

        schema = pa.schema(
            [
                ("rank", pa.int64()),
                ("item_id", pa.string()),
                ("title", pa.string()),
                ("category", pa.string()),
                ("score", pa.float64()),
                ("cross", pa.bool_()),
                ("cold", pa.bool_()),
                ("why", pa.string()),
                ("rules", pa.list_(pa.string())),
            ]
        )
        return pa.Table.from_pylist(
            [{name: getattr(r, name) for name in schema.names} for r in self.items], schema=schema
        )

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        width = max((len(r.title[:48]) for r in self.items), default=0)
        lines = [
            f"{r.rank:>3}  {r.score:6.3f}  {r.title[:48]:<{width}}  {r.category}  {r.why}".rstrip()
            for r in self.items
        ]
        return "\n".join([*self.notes, *lines, *([self.shortfall] if self.shortfall else [])])

    def _repr_html_(self) -> str:
        from crossrec_llm import notebook

        return notebook.answer(self)


@dataclass(frozen=True, slots=True)
class AudienceMember:
    """A user who may want an item: cosine of the profile with it, and the history item nearest."""

    rank: int
    user_id: str
    score: float
    because: Item

    def to_dict(self) -> dict[str, Any]:
        return {
            "rank": self.rank,
            "user_id": self.user_id,
            "score": self.score,
            "because": {"item_id": self.because.item_id, "title": self.because.title},
        }


@dataclass(frozen=True, slots=True, repr=False)
class Audience(Sequence[AudienceMember]):
    """Who would want an item, best first.

    `shortfall` says why there are fewer than k; `notes` label every fallback.
    """

    item: Item
    members: tuple[AudienceMember, ...]
    receipt: Receipt
    shortfall: str | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.members)

    def __getitem__(self, index: Any) -> Any:
        return self.members[index]

    @property
    def ids(self) -> list[str]:
        return [member.user_id for member in self.members]

    def __repr__(self) -> str:
        lines = [f"{m.rank:>3}  {m.score:6.3f}  {m.user_id}  {m.because.title}" for m in self]
        return "\n".join([*self.notes, *lines, *([self.shortfall] if self.shortfall else [])])

    def _repr_html_(self) -> str:
        from crossrec_llm import notebook

        return notebook.audience(self)

    def to_dicts(self) -> list[dict[str, Any]]:
        return [member.to_dict() for member in self.members]

    def to_dict(self) -> dict[str, Any]:
        """The shape that `--json` prints."""
        return {
            "query": {"kind": "audience", "item_id": self.item.item_id, "title": self.item.title},
            "users": self.to_dicts(),
            "shortfall": self.shortfall,
            "notes": list(self.notes),
            "receipt": self.receipt.to_dict(),
        }
