"""The catalogue as a map: points that the browser draws, and everything about them as text."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow.compute as pc
from fastapi import APIRouter, Query, Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from crossrec_llm.atlas import MARKS, NOWHERE, CatalogueMap, Making, look, start, stop, stored_map
from crossrec_llm.errors import UnknownItem
from crossrec_llm.generation import Generation
from crossrec_llm.recommender import Recommender
from crossrec_llm.records import Item
from crossrec_llm.service.asked import Asked, Reading
from crossrec_llm.service.pages.rendering import page
from crossrec_llm.service.problems import Refused

router = APIRouter()

Role = Literal["found", "item", "similar", "path", "recommended"]
Text = Annotated[str, Query(max_length=1_000)]

_LISTED = 20
_TITLES = 50
_PATH = 30


class Maps:
    """The maps that a process has read, one of each index, and those that it has had made.

    `app.state.maps`; any thread may ask.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._read: dict[Path, tuple[str, Points]] = {}
        self._making: dict[tuple[Path, str], subprocess.Popen[bytes]] = {}

    def points(self, index: Path, rec: Recommender) -> Points | None:
        """The points of the generation that answers; None while there is no map of it.

        The map is read once; what came and went since is looked up in the catalogue.
        """
        generation = rec.generation
        with self._lock:
            name, kept = self._read.get(index, ("", None))
            if kept is None or name != generation.name:
                found = stored_map(index, generation)
            elif kept.are_of(generation):
                return kept
            else:
                found = kept.map
            if found is None:
                return None
            points = Points.of(found, generation)
            self._read[index] = generation.name, points
            return points

    def making(self, index: Path, generation: str, *, again: bool = False) -> Making:
        """How far the map is; it is begun where nobody has, or it failed and is to be tried anew.

        Raises
        ------
        StoreUnavailable : the folder of the index cannot be written.
        """
        key = (index, generation)
        with self._lock:
            if (child := self._making.get(key)) and child.poll() is not None:
                del self._making[key]
            now = look(index, generation)
            if now.state == "none" or (now.state == "failed" and again):
                if child := start(index, generation):
                    self._making[key] = child
                return Making("making", "starting")
            return now

    def close(self) -> None:
        """End what is still being made; the next that asks begins it anew."""
        with self._lock:
            for (index, generation), child in self._making.items():
                stop(index, generation, child)
            self._making.clear()


@dataclass(frozen=True, eq=False)
class Points:
    """A map as the browser reads it: a header as JSON, and three arrays.

    content : uint32 length of the header; the header, with spaces up to a multiple of 4; and in the
        order of the rows (n, 2) uint16 positions, (n,) uint16 categories, (n,) uint8 marks; all
        little-endian. What is not to be seen has position 0, category 0 and the mark NOWHERE; a
        category with nothing to be seen has no name.
    """

    content: bytes
    etag: str
    seen: np.ndarray
    codes: np.ndarray
    map: CatalogueMap

    def are_of(self, generation: Generation) -> bool:
        """Whether the same is to be seen of a generation, in the same categories."""
        seen, codes = _seen(self.map, generation)
        return bool((seen == self.seen).all() and (codes == self.codes).all())

    @classmethod
    def of(cls, found: CatalogueMap, generation: Generation) -> Points:
        catalogue, n = generation.catalogue, len(found.marks)
        seen, codes = _seen(found, generation)
        marks = np.where(seen, found.marks, NOWHERE).astype(np.uint8)
        counts = np.bincount(codes[seen], minlength=len(catalogue.top_names)).tolist()
        header = {
            "generation": generation.name,
            "items": n,
            "categories": [
                {"name": (name or "without a category") if count else "", "count": count}
                for name, count in zip(catalogue.top_names, counts, strict=True)
            ],
            "marks_told": [
                {"bit": bit, "words": words, "count": int(((marks & bit) > 0)[seen].sum())}
                for bit, words in MARKS.items()
            ],
        }
        told = json.dumps(header).encode()
        told += b" " * (-len(told) % 4)
        content = b"".join(
            (
                len(told).to_bytes(4, "little"),
                told,
                (found.positions * seen[:, None]).astype("<u2").tobytes(),
                codes.astype("<u2").tobytes(),
                marks.tobytes(),
            )
        )
        etag = f'"{hashlib.sha256(content).hexdigest()[:24]}"'
        return cls(content, etag, seen, codes, found)


def _seen(found: CatalogueMap, generation: Generation) -> tuple[np.ndarray, np.ndarray]:
    """(n,) bool: what of a map is to be seen; and (n,) codes of its top categories, else 0."""
    catalogue, n = generation.catalogue, len(found.marks)
    seen = generation.visible[:n] & ((found.marks & NOWHERE) == 0)
    return seen, np.where(seen, catalogue.top_codes[:n], 0)


@dataclass(frozen=True)
class Place:
    """An item in a list beside the map; its row only where it is on it."""

    item: Item
    role: Role
    row: int | None
    words: str = ""


@dataclass(frozen=True)
class About:
    """What is said beside the map."""

    title: str
    places: tuple[Place, ...]
    notes: tuple[str, ...] = ()
    item: Item | None = None
    user: str = ""


@router.get("/map")
async def catalogue_map(
    request: Request,
    asked: Reading,
    q: Text = "",
    item: Text = "",
    user: Text = "",
    again: bool = False,
) -> HTMLResponse:
    """The map, and what is asked about it: a text to search, an item, or a person."""
    maps: Maps = request.app.state.maps
    index = asked.caller.tenant.index
    may_see = asked.may("admin")
    if user and not may_see:
        raise Refused(403, "not-allowed", "this key has no 'admin' scope: it sees no histories")

    def told(rec: Recommender) -> dict[str, Any]:
        points = maps.points(index, rec)
        generation = rec.generation
        return {
            "making": None if points else maps.making(index, generation.name, again=again),
            "version": points.etag.strip('"') if points else "",
            "items": int(points.seen.sum()) if points else 0,
            "late": len(generation.catalogue) - len(points.seen) if points else 0,
            "categories": _categories(generation),
            "about": _about(rec, points, q.strip(), item, user),
        }

    values = await asked.do(told)
    return page("map.html", here="/map", q=q, user=user, may_see=may_see, **values)


@router.get("/map/points")
async def points(request: Request, asked: Reading) -> Response:
    """The points, as `Points.content`; 404 while they are being made."""
    found = await _points(request, asked)
    headers = {"ETag": found.etag, "Cache-Control": "private, no-cache"}
    if request.headers.get("if-none-match") == found.etag:
        return Response(status_code=304, headers=headers)
    return Response(found.content, media_type="application/octet-stream", headers=headers)


@router.get("/map/titles")
async def titles(
    request: Request,
    asked: Reading,
    generation: Text,
    rows: Annotated[str, Query(pattern=r"^\d{1,9}(,\d{1,9})*$", max_length=600)],
) -> JSONResponse:
    """What some points are, by their rows."""
    found = await _points(request, asked)
    wanted = list(dict.fromkeys(map(int, rows.split(","))))
    if len(wanted) > _TITLES:
        raise Refused(
            422, "invalid-request", f"rows: more than the {_TITLES} that are told at once"
        )

    def told(rec: Recommender) -> list[dict[str, Any]]:
        now = rec.generation
        if now.name != generation:
            raise Refused(
                409,
                "other-generation",
                f"this map is of {generation}, and {now.name} answers now: load it again",
            )
        items = [(row, now.catalogue.item(row)) for row in wanted if _is_seen(found, row)]
        return [
            {"row": row, "id": one.item_id, "title": one.title, "category": one.category_path}
            for row, one in items
        ]

    return JSONResponse({"items": await asked.do(told)})


async def _points(request: Request, asked: Asked) -> Points:
    maps: Maps = request.app.state.maps
    found = await asked.do(lambda rec: maps.points(asked.caller.tenant.index, rec))
    if found is None:
        raise Refused(404, "no-map", "there is no map of this generation yet: /map makes one")
    return found


def _about(
    rec: Recommender, points: Points | None, q: str, item_id: str, user_id: str
) -> About | None:
    catalogue = rec.catalogue

    def each(items: Iterable[tuple[Item, str]], role: Role) -> tuple[Place, ...]:
        pairs = list(items)
        rows = catalogue.rows([one.item_id for one, _ in pairs])
        return tuple(
            Place(one, role, int(row) if points and _is_seen(points, row) else None, words)
            for (one, words), row in zip(pairs, rows, strict=True)
        )

    if user_id:
        history = rec.profile(user_id).history
        path = each(((one.item, "") for one in history[-_PATH:]), "path")
        found = rec.for_user(user_id)
        wanted = each(((one.item, _why(one)) for one in found.items), "recommended")
        title = f"The path of {user_id}, oldest first, and where it may lead"
        last = f"the last {_PATH} of {len(history)} items" if len(history) > _PATH else ""
        notes = (*([last] if last else []), *found.notes)
        return About(title, path + wanted, notes, user=user_id)
    if item_id:
        row = catalogue.row(item_id)
        if not rec.generation.visible[row]:
            raise UnknownItem(item_id, [])
        one = catalogue.item(row)
        found = rec.similar(item_id)
        similar = each(((other.item, _why(other)) for other in found.items), "similar")
        notes = found.notes
        if points and row < len(points.map.marks):
            marks = int(points.map.marks[row])
            notes = (*(words for bit, words in MARKS.items() if marks & bit), *notes)
        return About(one.title, each([(one, "")], "item") + similar, notes, item=one)
    if q:
        hits = [(catalogue.item(row), "") for row in _search(rec.generation, q)]
        more = f"the {_LISTED} that most people took" if len(hits) > _LISTED else ""
        about = f"{'No item' if not hits else 'Items'} with “{q}”"
        return About(about, each(hits[:_LISTED], "found"), (more,) if more else ())
    return None


def _why(one: Any) -> str:
    return one.reasons[0].text if one.reasons else ""


def _search(generation: Generation, q: str) -> list[int]:
    """Rows of an id, then of titles with every word, what most people took first; one too many."""
    catalogue = generation.catalogue
    titles = catalogue.table["title"]
    hit = generation.visible
    exact = [catalogue.row(q)] if q in catalogue else []
    exact = [row for row in exact if hit[row]]
    for word in q.split()[:8]:
        hit = hit & pc.match_substring(titles, word, ignore_case=True).to_numpy()
    people = np.zeros(len(catalogue), np.int64)
    known = generation.signals.popularity.people
    people[: len(known)] = known
    rows = np.flatnonzero(hit)
    rows = rows[np.argsort(-people[rows], kind="stable")]
    return [*exact, *(int(row) for row in rows[: _LISTED + 1] if row not in exact)]


def _categories(generation: Generation) -> list[tuple[str, int]]:
    """Top categories and how many items of them are seen, the largest first."""
    catalogue = generation.catalogue
    codes = catalogue.top_codes[generation.visible]
    counts = np.bincount(codes, minlength=len(catalogue.top_names)).tolist()
    named = zip(catalogue.top_names, counts, strict=True)
    return sorted(((n, c) for n, c in named if c), key=lambda pair: (-pair[1], pair[0]))


def _is_seen(points: Points, row: int) -> bool:
    return 0 <= row < len(points.seen) and bool(points.seen[row])
