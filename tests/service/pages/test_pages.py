"""Every page, in both widths and both themes."""

from __future__ import annotations

import html
import json
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pytest
from fastapi.testclient import TestClient
from starlette.routing import Route

from crossrec_llm import Recommender, add_events, generations
from crossrec_llm.publishing import gc, open_kept
from crossrec_llm.service import ServiceOptions
from crossrec_llm.service.app import create_app
from crossrec_llm.service.pages import compare
from crossrec_llm.service.pages.people import _day, person
from crossrec_llm.service.pages.rendering import PAGES
from tests import shop
from tests.service.pages.conftest import fits
from tests.small_index import build_tiny, tiny_recipe

AXE = Path(__file__).parent / "axe" / "axe.min.js"

# Every page has at least one address here; the second half of a pair is the status.
ADDRESSES = {
    "/": (
        ("/", 200),
        ("/?user=u1&cross_share=0.3&diversity=0.4&category=Books&why_not=p-chess-clock", 200),
        ("/?text=a%20warm%20jacket&price_max=50&max_per_brand=1&boost=new%3D0.5", 200),
        ("/?user=u3&brand=nobody", 422),
        ("/?user=nobody-at-all", 404),
    ),
    "/compare": (("/compare", 200), ("/compare?user=u1&b.diversity=0.8&a.k=4", 200)),
    "/people": (("/people", 200), ("/people?user=u2", 200)),
    "/map": (("/map", 200), ("/map?q=chess", 200), ("/map?user=u1", 200), ("/map?item=x", 404)),
    "/bridges": (("/bridges", 200), ("/bridges?home=Books&target=Garden", 200)),
    "/reports": (("/reports", 200),),
    "/health": (("/health", 200),),
}
EVERY = [pair for page in ADDRESSES.values() for pair in page] + [("/nothing-here", 404)]


def test_every_page_has_an_address_here(service_index: Path) -> None:
    app = create_app(ServiceOptions(tenants={"default": service_index}))
    there = {route.path for route in _routes(app.routes)}

    assert {address for address, _ in PAGES if address in there} == ADDRESSES.keys()


def _routes(routes):
    for route in routes:
        if isinstance(route, Route):
            yield route
        else:
            inner = getattr(route, "routes", None) or getattr(
                getattr(route, "original_router", None), "routes", []
            )
            yield from _routes(inner)


@pytest.mark.parametrize("width", ["wide", "narrow"])
@pytest.mark.parametrize(("address", "status"), EVERY)
def test_it_is_whole_accessible_and_keeps_to_itself(
    served: str, opening, address: str, status: int, width: str
) -> None:
    page, seen = opening(served, width)

    answer = page.goto(served + address, wait_until="load")

    assert answer.status == status
    assert fits(page)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert not serious(page), scheme
    assert not seen.outside
    assert not seen.dialogs
    assert not [error for error in seen.errors if f"status of {status}" not in error]


def serious(page) -> list[str]:
    """What axe-core finds that is serious or critical; every hidden part is opened first."""
    page.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.read_text("utf-8"))  # as a debugger does: no policy of the page applies
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{one['id']}: {node['html'][:200]} {node.get('failureSummary', '')[:200]}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


def test_a_page_that_is_hard_to_use_would_be_found(served: str, opening) -> None:
    page, _ = opening(served)
    page.goto(served)
    page.evaluate("document.querySelector('main').insertAdjacentHTML('beforeend', '<input>')")

    assert any(found.startswith("label") for found in serious(page))


@pytest.mark.parametrize("path", ["/nothing-here", "/?nonsense=1", "/people?user=nobody"])
def test_programs_are_told_problems_as_problems(client: TestClient, path: str) -> None:
    for_programs = client.get(path)
    for_people = client.get(path, headers={"accept": "text/html"})

    assert for_programs.headers["content-type"] == "application/problem+json"
    assert for_people.headers["content-type"].startswith("text/html")
    assert for_people.status_code == for_programs.status_code
    assert html.escape(for_programs.json()["detail"], quote=False) in html.unescape(
        for_people.text
    ).replace("&", "&amp;")


def test_the_interface_for_programs_stays_one_for_browsers(client: TestClient) -> None:
    told = client.get("/v1/nothing", headers={"accept": "text/html"})
    assert told.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"said": "up:b-roses", "shown": "{}"}, "JSON list of item ids"),
        ({"said": "up:b-roses", "shown": "["}, "JSON list of item ids"),
        ({"said": "sideways:b-roses"}, "said"),
        ({"said": "up:nothing"}, "no item 'nothing'"),
    ],
)
def test_a_thumb_that_cannot_be_kept_is_refused(client: TestClient, form, words: str) -> None:
    told = client.post("/judgements", data={"user": "u2", **form})
    assert told.status_code in (404, 422)
    assert words in told.json()["detail"]


def test_a_thumb_leads_back_to_this_service_only(served: str, pages_index: Path) -> None:
    import httpx

    form = {"user": "u9", "said": "up:b-roses", "back": "https://elsewhere.invalid/"}
    answer = httpx.post(f"{served}/judgements", data=form)
    assert (answer.status_code, answer.headers["location"]) == (303, "/compare")
    cases = [json.loads(line) for line in httpx.get(f"{served}/judgements").text.splitlines()]
    mine = [case for case in cases if case["user_id"] == "u9"]
    assert [case["targets"] for case in mine] in ([], [["b-roses"]])
    with Recommender.open(pages_index) as rec:
        taken = {entry.item.item_id for entry in rec.profile("u9").history}
    assert bool(mine) == ("b-roses" not in taken)


def test_lists_are_compared_for_a_person(client: TestClient) -> None:
    told = client.get("/compare?text=tea")
    assert (told.status_code, told.json()["detail"]) == (
        422, "lists are compared for a person: give user",
    )  # fmt: skip


def test_a_kept_generation_is_one_side(service_index: Path, tmp_path: Path) -> None:
    index = Path(shutil.copytree(service_index, tmp_path / "index"))
    first = generations(index)[0].name
    build_tiny(index, tiny_recipe(tmp_path, answering={"diversity": 0.9}))
    with (
        TestClient(
            create_app(ServiceOptions(tenants={"default": index})), "http://127.0.0.1"
        ) as client,
        Recommender.open(index) as rec,
    ):
        assert rec.receipt.generation != first
        shown = client.get("/compare", params={"user": "u2", "a.generation": first}).text
        told = client.get("/compare", params={"user": "u2", "a.generation": "0009-no"}).json()
    assert f"generation {first}, without what came live since" in shown
    assert f'<option value="{first}" selected>' in shown
    assert f"no generation '0009-no' is kept; there is {first}" in told["detail"]
    with open_kept(index, first) as other:
        titles = [html.escape(one.title) for one in other.for_user("u2")]
    assert all(title in shown for title in titles)
    assert re.search(r'id="overlap">\d+%', shown)


def test_a_kept_generation_is_opened_once(service_index, tmp_path, monkeypatch) -> None:
    index = Path(shutil.copytree(service_index, tmp_path / "index"))
    first = generations(index)[0].name
    build_tiny(index, tiny_recipe(tmp_path, answering={"diversity": 0.9}))
    opened, closed = [], []

    @contextmanager
    def counted(place, name):
        with open_kept(place, name) as rec:
            opened.append(name)
            yield rec
        closed.append(name)

    monkeypatch.setattr(compare, "open_kept", counted)
    app = create_app(ServiceOptions(tenants={"default": index}))
    with TestClient(app, "http://127.0.0.1") as client:
        asked = {"user": "u2", "a.generation": first}
        with ThreadPoolExecutor(2) as pool:
            told = list(pool.map(lambda _: client.get("/compare", params=asked), range(4)))
        assert {one.status_code for one in told} == {200}
        assert (opened, closed) == ([first], [])
        gc(index, keep=1)
        assert client.get("/compare", params=asked).status_code == 422
    assert closed == [first]


def test_ids_of_people_are_sorted_once_for_all_that_comes_live(service_index, tmp_path) -> None:
    index = Path(shutil.copytree(service_index, tmp_path / "index"))
    with Recommender.open(index) as rec:
        before = rec.generation.users.in_order
        add_events(index, pa.table({"user_id": ["u1"], "item_id": ["b-roses"], "event": ["view"]}))
        rec.for_user("u1")
        assert rec.generation.live.change
        assert rec.generation.users.in_order is before == sorted(rec.generation.users.ids)


def test_days_that_no_calendar_has_are_left_out(pages_index: Path) -> None:
    assert (_day(None), _day(1e300), _day(0.0)) == ("", "", "1 Jan 1970")
    with Recommender.open(pages_index) as rec:
        found = person(rec, "u2")
    times = [one.when for one in found.timeline]
    assert all(times)
    assert found.earlier == 0
    disliked = {entry.item.item_id for entry in found.profile.disliked}
    assert {one.item.item_id for one in found.timeline if one.state == "disliked"} == disliked


def test_nothing_behind_a_wall_is_shown_of_a_person(walled_index: Path) -> None:
    with Recommender.open(walled_index) as rec:
        behind = {one.item_id for theme in shop.THEMES for one in shop.of_theme(theme)
                  if one.category[0] == "Games"}  # fmt: skip
        known = [user for user in rec.generation.users.ids
                 if behind & set(rec.ledger.events_of(user)["item_id"].to_pylist())]  # fmt: skip
        assert known
        for user in known:
            found = person(rec, user)
            assert found.timeline
            assert not behind & {one.item.item_id for one in found.timeline}
