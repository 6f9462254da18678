"""Two answers side by side, an answer without a part of the history, and one asked again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from crossrec_llm.answering import shorten
from crossrec_llm.errors import DataError, NotFound, QueryError
from crossrec_llm.filter import Filter
from crossrec_llm.recommender import Recommender
from crossrec_llm.records import (
    CATEGORY_SEPARATOR,
    Absence,
    Contribution,
    Item,
    Reason,
    Receipt,
    Recommendation,
    Recommendations,
)

_CLOSE = 1e-4  # scores that differ by less are the same: another machine sums in another order


@dataclass(frozen=True, slots=True)
class Place:
    """An item in two lists: its rank in each, None where it is not in it."""

    item_id: str
    title: str
    before: int | None
    after: int | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two lists side by side: the items of the later one in order, then those that are gone."""

    places: tuple[Place, ...]

    @property
    def moved(self) -> tuple[Place, ...]:
        """In both, at another rank."""
        return tuple(p for p in self._in_both if p.before != p.after)

    @property
    def new(self) -> tuple[Place, ...]:
        return tuple(p for p in self.places if p.before is None)

    @property
    def gone(self) -> tuple[Place, ...]:
        return tuple(p for p in self.places if p.after is None)

    @property
    def same(self) -> bool:
        """Whether both have the same items at the same ranks."""
        return all(p.before == p.after for p in self.places)

    @property
    def k(self) -> int:
        """Length of the longer list."""
        lengths = (len(self.places) - len(without) for without in (self.new, self.gone))
        return max(lengths)

    @property
    def overlap(self) -> float:
        """Overlap@k: the share of the longer list that both have; 1 for two empty ones."""
        return len(self._in_both) / self.k if self.k else 1.0

    @property
    def _in_both(self) -> list[Place]:
        return [p for p in self.places if p.before is not None and p.after is not None]

    def _repr_html_(self) -> str:
        from crossrec_llm import notebook

        return notebook.comparison(self)

    def to_dict(self) -> dict[str, Any]:
        """The shape that `--json` prints."""
        lists = {name: getattr(self, name) for name in ("moved", "new", "gone")}
        return {
            **{name: [asdict(place) for place in places] for name, places in lists.items()},
            "k": self.k,
            "overlap": self.overlap,
        }


def compare(before: Recommendations, after: Recommendations) -> Comparison:
    """What moved, what is new and what is gone between two answers."""
    was = {r.item_id: r.rank for r in before}
    now = {r.item_id: r.rank for r in after}
    items = {r.item_id: r.title for r in (*after, *before)}
    return Comparison(
        tuple(Place(item_id, title, was.get(item_id), now.get(item_id))
              for item_id, title in items.items())
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Counterfactual:
    """What a list would be without some items of the history.

    without : those items.
    before, after : the answer with them, and without.
    """

    without: tuple[Item, ...]
    before: Recommendations
    after: Recommendations

    @property
    def comparison(self) -> Comparison:
        """What drops out is `gone`, what comes is `new`."""
        return compare(self.before, self.after)

    @property
    def heading(self) -> str:
        return f"without {_titles(self.without)}"

    def __str__(self) -> str:
        """In one line: what drops out, what comes; where nothing does, how many move."""
        found = self.comparison
        parts = [
            f"{_titles(places)} {one if len(places) == 1 else more}"
            for places, one, more in (
                (found.gone, "drops out", "drop out"),
                (found.new, "comes", "come"),
            )
            if places
        ]
        if not parts:
            parts = [f"{len(found.moved)} of {found.k} move" if found.moved else "the same list"]
        return f"{self.heading}: {'; '.join(parts)}"

    def to_dict(self) -> dict[str, Any]:
        """The shape that `--json` prints."""
        items = [{"item_id": item.item_id, "title": item.title} for item in self.without]
        return {"without": items, **self.comparison.to_dict(), "after": self.after.to_dict()}


def counterfactual(
    recommender: Recommender, answer: Recommendations, without: Sequence[str]
) -> Counterfactual:
    """The same question for a history that never had some items, really asked.

    Nothing is fitted anew: what was learned from everybody stays. The items are still seen, so
    they do not come themselves.

    Parameters
    ----------
    answer : of `for_user`.
    without : item ids.

    Raises
    ------
    QueryError : the answer is of another question, or an item is not in the history.
    UnknownItem : not in the catalogue; similar ids are named.
    """
    if "user_id" not in answer.query or answer.query["kind"] != "user":
        raise QueryError("only an answer of for_user can be asked without a part of the history")
    without = [without] if isinstance(without, str) else without
    items = tuple(recommender.item(item_id) for item_id in dict.fromkeys(without))
    never = [*answer.query.get("without", ()), *(item.item_id for item in items)]
    after = ask_again(recommender, {**answer.query, "without": never})
    return Counterfactual(items, answer, after)


def why_not(recommender: Recommender, answer: Recommendations, item_id: str) -> Absence:
    """Why an item is not in the list of an answer: the same question, really asked again.

    Parameters
    ----------
    answer : of `for_user`, `for_history`, `like` or `similar`.

    Raises
    ------
    UnknownItem : not in the catalogue; similar ids are named.
    """
    absence = ask_again(recommender, answer.query, why_not=item_id).absence
    assert absence is not None, "it was asked for"
    return absence


def first_named(answer: Recommendations) -> list[str]:
    """The history items that are the first to be named in the reasons of some recommendation."""
    named = ([x.item_id for x in r.reasons if x.item_id is not None] for r in answer)
    return list(dict.fromkeys(ids[0] for ids in named if ids))


def _titles(entries: Sequence[Item | Place]) -> str:
    return ", ".join(f"“{shorten(entry.title)}”" for entry in entries)


@dataclass(frozen=True, slots=True)
class Replay:
    """An answer, and what the same question gives today.

    before : the answer as it was given.
    after : as it is now; None where it cannot be asked any more.
    causes : what made the answer and is not the same today, in words.
    differences : what is different in the answer itself, in words; none where it is reproduced.
    """

    before: Recommendations
    after: Recommendations | None
    causes: tuple[str, ...]
    differences: tuple[str, ...]

    @property
    def reproduced(self) -> bool:
        return not self.differences

    @property
    def comparison(self) -> Comparison:
        """Both lists side by side; everything is gone where it cannot be asked any more."""
        nothing = Recommendations(self.before.query, (), self.before.receipt)
        return compare(self.before, self.after or nothing)

    def to_dict(self) -> dict[str, Any]:
        """The shape that `--json` prints."""
        return {
            "reproduced": self.reproduced,
            "causes": list(self.causes),
            "differences": list(self.differences),
            **self.comparison.to_dict(),
            "answer": self.after.to_dict() if self.after else None,
        }


def read_answer(path: str | Path) -> Recommendations:
    """An answer from a file that `--json` of user, like or similar made.

    Raises
    ------
    DataError : the file cannot be read, or is something else.
    """
    try:
        document = json.loads(Path(path).read_text("utf-8"))
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", source=str(path)) from error
    except ValueError as error:
        raise DataError(f"is not JSON: {error}", source=str(path)) from error
    return from_document(document, source=str(path))


def from_document(document: Any, *, source: str = "answer") -> Recommendations:
    """An answer from what `Recommendations.to_dict` gave.

    Raises
    ------
    DataError : it is something else.
    """
    try:
        query = document["query"]
        if query["kind"] not in ("user", "like", "similar"):
            raise DataError(f"a {query['kind']!r} answer cannot be replayed", source=source)
        Filter(**query["filter"])
        return Recommendations(
            query=query,
            items=tuple(_recommendation(entry) for entry in document["items"]),
            receipt=Receipt(**document["receipt"]),
            shortfall=document["shortfall"],
            notes=tuple(document["notes"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            "is not an answer as `crossrec user`, `like` or `similar` print it with --json "
            f"({error})",
            source=source,
        ) from error


def _recommendation(entry: Mapping[str, Any]) -> Recommendation:
    path = entry["category"]
    item = Item(
        entry["item_id"],
        entry["title"],
        category=tuple(path.split(CATEGORY_SEPARATOR)) if path else (),
        brand=entry["brand"],
        price=entry["price"],
        image_url=entry["image_url"],
    )
    return Recommendation(
        rank=entry["rank"],
        item=item,
        score=float(entry["score"]),
        cross=entry["cross"],
        cold=entry["cold"],
        reasons=tuple(Reason(**reason) for reason in entry["reasons"]),
        signals=entry["signals"],
        rules=tuple(entry.get("rules", ())),
        contributions=tuple(Contribution(**part) for part in entry.get("contributions", ())),
        interest=entry.get("interest"),
        propensity=entry.get("propensity"),
    )


def replay(recommender: Recommender, before: Recommendations) -> Replay:
    """The same question again, and what has changed since if the answer is another one.

    Parameters
    ----------
    before : as `read_answer` or `from_document` read it, or as it was given.

    Raises
    ------
    DataError : the question has something that this version does not know.
    """
    gone = [r.item_id for r in before if r.item_id not in recommender.catalogue]
    removed = [f"not in the catalogue any more: {', '.join(gone)}"] if gone else []
    try:
        after = ask_again(recommender, before.query)
    except (NotFound, QueryError) as error:
        causes = (*_changes(before.receipt, recommender.receipt), *removed)
        return Replay(before, None, causes, (f"cannot be asked any more: {error}",))
    causes = (*_changes(before.receipt, after.receipt), *removed)
    return Replay(before, after, causes, tuple(_differences(before, after)))


def ask_again(
    recommender: Recommender, query: Mapping[str, Any], *, why_not: str | None = None
) -> Recommendations:
    """The answer to the question that an answer's `query` tells of.

    Parameters
    ----------
    why_not : id of an item whose absence the answer is to explain.

    Raises
    ------
    DataError : it has something that this version does not know, or lacks something.
    """
    try:
        k = query["k"]
        asked = {
            "filter": Filter(**query["filter"]),
            "cross_share": query["cross_share"],
            "diversity": query["diversity"],
            "why_not": why_not,
        }
        if query["kind"] == "similar":
            return recommender.similar(
                query["item_id"],
                k,
                mode=query.get("mode", "both"),
                **asked,
            )
        if query["kind"] == "like":
            return recommender.like(
                query["text"],
                k,
                user=query["user_id"],
                liked=query["liked"],
                disliked=query["disliked"],
                **asked,
            )
        if "history" in query:
            return recommender.for_history(query["history"], k, **asked)
        without, explore = query.get("without", ()), query.get("explore")
        return recommender.for_user(query["user_id"], k, without=without, explore=explore, **asked)
    except (KeyError, TypeError) as error:
        raise DataError(f"the question of this answer is not one of ours: {error}") from error


def _changes(before: Receipt, after: Receipt) -> list[str]:
    """Of what made two answers, what is not the same."""
    found = [
        f"{name}: {was} then, {now} now"
        for name in ("generation", "recipe", "blend", "version")
        if (was := getattr(before, name)) != (now := getattr(after, name))
    ]
    if before.change != after.change and None not in (before.change, after.change):
        found.append(f"live changes: {before.change} then, {after.change} now")
    if before.history and after.history and before.history != after.history:
        found.append(f"history of the person: {before.history} then, {after.history} now")
    return found


def _differences(before: Recommendations, after: Recommendations) -> list[str]:
    """What is not the same in two answers to one question."""
    sides = compare(before, after)
    found = [
        f"{len(places)} of {sides.k} {words}"
        for words, places in (("moved", sides.moved), ("new", sides.new), ("gone", sides.gone))
        if places
    ]
    now = {r.item_id: r for r in after}
    both = [(r, now[r.item_id]) for r in before if r.item_id in now]
    off = max((abs(one.score - two.score) for one, two in both), default=0.0)
    if off > _CLOSE:
        found.append(f"scores differ by up to {off:.4f}")
    # An answer may have been asked for without reasons; then it says nothing of them.
    told = [one.reasons != () and _said(one) != _said(two) for one, two in both]
    if any(told):
        found.append(f"reasons differ for {sum(told)} of {len(told)}")
    for name in ("shortfall", "notes"):
        if getattr(before, name) != getattr(after, name):
            found.append(f"another {name.removesuffix('s')}")
    return found


def _said(one: Recommendation) -> list[tuple[str, str | None, str]]:
    """The reasons without their shares, which follow from the scores."""
    return [(reason.kind, reason.item_id, reason.text) for reason in one.reasons]
