"""Compare: two settings, or two generations, side by side for one person; and thumbs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Annotated, Literal

from fastapi import APIRouter, Form, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from crossrec_llm.comparing import Comparison
from crossrec_llm.comparing import compare as side_by_side
from crossrec_llm.errors import QueryError
from crossrec_llm.judging import cases, judge, judgements
from crossrec_llm.moments import stamp_of
from crossrec_llm.publishing import KeptGeneration, generations, open_kept
from crossrec_llm.recommender import Recommender
from crossrec_llm.records import Recommendations
from crossrec_llm.service.asked import Administering, Asked, Reading, Writing
from crossrec_llm.service.bodies import Id
from crossrec_llm.service.pages.foryou import categories
from crossrec_llm.service.pages.rendering import page
from crossrec_llm.service.pages.settings import Settings

router = APIRouter()

Opening = Callable[[str], AbstractContextManager[Recommender]]

SIDES = ("a", "b")
CONTROLS = ("user", "k", "generation", "cross_share", "diversity", "new_share", "category",
            "not_category")  # fmt: skip


class Side(Settings):
    """The settings of one of the lists, and the kept generation that it comes from."""

    generation: Id | None = None


@dataclass(frozen=True)
class _Both:
    """Two lists for one person, and what was said of their items, as far as one may know."""

    before: Recommendations
    after: Recommendations
    found: Comparison
    judged: dict[str, bool]

    @property
    def shown(self) -> list[str]:
        return [place.item_id for place in self.found.places]


_Key = tuple[Path, str, tuple[int, ...]]


class Kept:
    """The kept generations that were compared last, as many as there are sides.

    `app.state.kept`; one thread after the other asks them.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._opened: dict[_Key, tuple[Recommender, ExitStack]] = {}

    @contextmanager
    def open(self, index: Path, name: str) -> Iterator[Recommender]:
        """One, as it is on disk now. Parameters and errors as for `open_kept`."""
        with self._lock:
            key = (index, name, stamp_of(index))
            for old in [old for old in self._opened if old[0] == index and old[2] != key[2]]:
                self._close(old)
            found = self._opened.pop(key, None)
            if found is None:
                with ExitStack() as opening:
                    rec = opening.enter_context(open_kept(index, name))
                    found = rec, opening.pop_all()
            self._opened[key] = found
            while len(self._opened) > len(SIDES):
                self._close(next(iter(self._opened)))
            yield found[0]

    def close(self) -> None:
        with self._lock:
            for key in list(self._opened):
                self._close(key)

    def _close(self, key: _Key) -> None:
        _, opened = self._opened.pop(key)
        opened.close()


@router.get("/compare")
async def compare(request: Request, asked: Reading) -> HTMLResponse:
    pairs = request.query_params.multi_items()
    common = [(name, value) for name, value in pairs if "." not in name]
    one, two = (
        Side.of([*common, *((name[2:], value) for name, value in pairs if name[:2] == f"{side}.")])
        for side in SIDES
    )
    for side in (one, two):
        side.within(asked.service.options.limits)
        if side.text is not None or side.item is not None:
            raise QueryError("lists are compared for a person: give user")

    index, kept_open = asked.caller.tenant.index, request.app.state.kept.open

    def work(rec: Recommender) -> tuple[_Both | None, Sequence[str], list[KeptGeneration]]:
        opening, shown = partial(kept_open, index), None
        if one.user:
            shown = _both(rec, opening, one, two, thumbs=asked.may("admin"))
        return shown, categories(rec.generation), _generations(asked)

    shown, tops, kept = await asked.do(work)
    return page(
        "compare.html",
        here="/compare",
        sides=((SIDES[0], "First", one), (SIDES[1], "Second", two)),
        shown=shown,
        tops=tops,
        kept=kept,
        hidden=[
            (f"{side}.{name}", value)
            for side, settings in zip(SIDES, (one, two), strict=True)
            for name, value in settings.pairs()
            if name not in CONTROLS
        ],
        back=f"/compare?{request.url.query}",
    )


def _both(rec: Recommender, kept: Opening, one: Side, two: Side, *, thumbs: bool) -> _Both:
    before, after = (_answer(rec, kept, side) for side in (one, two))
    told = judgements(rec, one.user) if thumbs else []
    judged = {said.item_id: bool(said.good) for said in told}
    return _Both(before, after, side_by_side(before, after), judged)


def _answer(rec: Recommender, kept: Opening, side: Side) -> Recommendations:
    live = rec.receipt.generation
    if side.generation is None or side.generation == live:
        return side.answer(rec)
    with kept(side.generation) as other:
        answer = side.answer(other)
    return replace(
        answer,
        notes=(*answer.notes, f"generation {side.generation}, without what came live since"),
    )


def _generations(asked: Asked) -> list[KeptGeneration]:
    return list(reversed(generations(asked.caller.tenant.index)))


@router.post("/judgements")
async def say(
    asked: Writing,
    user: Annotated[Id, Form()],
    said: Annotated[str, Form(pattern="^(up|down|none):.")],
    shown: Annotated[str, Form(max_length=1_000_000)] = "[]",
    back: Annotated[str, Form(max_length=20_000)] = "/compare",
) -> RedirectResponse:
    """A thumb up, down, or taken back; then the page that it came from."""
    word, _, item_id = said.partition(":")
    thumb: Literal["up", "down", "none"] = word  # type: ignore[assignment]
    good = {"up": True, "down": False, "none": None}[thumb]
    among = _ids(shown)[: 2 * asked.service.options.limits.k]
    await asked.do(lambda rec: judge(rec, user, item_id, good, among))
    return RedirectResponse(back if back.startswith("/compare?") else "/compare", 303)


def _ids(text: str) -> list[str]:
    """Of a JSON list; QueryError where it is something else."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise QueryError("shown is a JSON list of item ids")
    return found


@router.get("/judgements")
async def download(asked: Administering) -> Response:
    """All judgements as cases for `crossrec evaluate --protocol cases --cases FILE`."""
    found = await asked.do(lambda rec: list(cases(rec)))
    lines = "".join(json.dumps(case, ensure_ascii=False) + "\n" for case in found)
    named = {"content-disposition": 'attachment; filename="judgements.jsonl"'}
    return Response(lines, media_type="application/x-ndjson", headers=named)
