"""The map in a browser: what is drawn, what is found, and what works without a pointer."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crossrec_llm import Recommender
from tests.service.pages.conftest import ARGUMENTS, CHROMIUM, WIDTHS
from tests.service.pages.test_pages import serious

Image = pytest.importorskip("PIL.Image")

SOFTWARE = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
NO_WEBGL = """
const found = HTMLCanvasElement.prototype.getContext;
HTMLCanvasElement.prototype.getContext = function (kind, ...more) {
  return kind.startsWith("webgl") ? null : found.call(this, kind, ...more);
};"""


@pytest.fixture(params=["WebGL", "a plain canvas"])
def showing(request, served: str, browser: Any) -> Iterator[Callable[[str], tuple[Any, list[str]]]]:
    """Opens an address of the map, drawn in both ways; the page, and what went wrong in it."""
    wide, high = WIDTHS["wide"]
    opened, plain = [], request.param != "WebGL"
    kind = browser.browser_type
    other = (
        kind.launch(executable_path=CHROMIUM, args=[*ARGUMENTS, *SOFTWARE]) if not plain else None
    )

    def show(address: str) -> tuple[Any, list[str]]:
        context = (other or browser).new_context(viewport={"width": wide, "height": high})
        opened.append(context)
        page, wrong = context.new_page(), []
        if plain:
            page.add_init_script(NO_WEBGL)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda one: wrong.append(one.text) if one.type == "error" else None)
        page.goto(served + address)
        page.wait_for_selector("#map[data-drawn]", timeout=30_000)
        assert page.get_attribute("#map", "data-drawn") == request.param
        page.wait_for_timeout(700)  # it flies
        return page, wrong

    yield show
    for context in opened:
        context.close()
    if other:
        other.close()


def pixels(page: Any) -> np.ndarray:
    box = page.locator("#canvases").bounding_box()
    shot = page.screenshot(clip=box)
    return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB"), np.int64)


def coloured(page: Any, image: np.ndarray) -> list[int]:
    """How many pixels have each category's colour."""
    count = page.locator("#legend .chip").count()
    asked = "n => import('/static/map-points.js').then((found) => found.colours(n, false))"
    return [
        int((np.abs(image - np.array(one)).max(axis=2) < 12).sum())
        for one in page.evaluate(asked, count)
    ]


def test_every_category_is_drawn_in_its_colour_and_one_can_stand_out(showing):
    page, wrong = showing("/map")

    before = coloured(page, pixels(page))
    assert min(before) > 20
    page.locator("#legend .chip").first.click()
    page.wait_for_timeout(200)
    after = coloured(page, pixels(page))
    assert sum(count > 20 for count in after) == 1
    assert not wrong
    assert not serious(page)


def test_a_search_is_marked_and_flown_to(showing):
    page, wrong = showing("/map")
    before = pixels(page)

    page.fill("#q", "chess")
    page.press("#q", "Enter")
    page.wait_for_selector("#about .places [data-role=found]")
    page.wait_for_timeout(900)

    assert int(page.get_attribute("#map", "data-places")) > 0
    assert (np.abs(pixels(page) - np.array([194, 65, 12])).max(axis=2) < 12).sum() > 20
    assert (pixels(page) != before).any(axis=2).mean() > 0.01
    assert page.url.endswith("q=chess")
    page.go_back()
    page.wait_for_selector("#about h2:has-text('Nothing asked yet')")
    assert page.get_attribute("#map", "data-places") == "0"
    assert not wrong


def test_a_path_is_drawn_with_where_it_may_lead(showing, pages_index: Path):
    page, wrong = showing("/map?user=u1")

    image = pixels(page)
    blue = (np.abs(image - np.array([29, 78, 216])).max(axis=2) < 12).sum()
    green = (np.abs(image - np.array([21, 128, 61])).max(axis=2) < 12).sum()
    with Recommender.open(pages_index) as rec:
        expected = len(rec.profile("u1").history[-30:]) + len(rec.for_user("u1").items)
    assert int(page.get_attribute("#map", "data-places")) == expected
    assert blue > 50
    assert green > 50
    assert not wrong


def test_a_point_tells_its_title_and_opens_its_item(showing):
    page, wrong = showing("/map?q=chess")
    box = page.locator("#canvases").bounding_box()
    image = pixels(page)
    ys, xs = np.nonzero(np.abs(image - np.array([194, 65, 12])).max(axis=2) < 12)
    # The middle of the ring that lies farthest to the left.
    near = xs < xs.min() + 24
    at = box["x"] + (xs[near].min() + xs[near].max()) / 2, box["y"] + float(np.median(ys[near]))

    page.mouse.move(*at)
    page.wait_for_selector("#tip:not([hidden])")
    title = page.locator("#tip").evaluate("(one) => one.firstChild.textContent")
    page.mouse.click(*at)
    page.wait_for_selector("#about [data-role=similar]")

    assert page.locator("#about-title").inner_text() == title
    assert "item=" in page.url
    assert not wrong


def test_without_a_pointer_it_moves_by_keys_and_lists_lead_on(showing):
    page, wrong = showing("/map?q=chess")
    before = pixels(page)

    page.focus("#canvases")
    for key in ("0", "+", "ArrowLeft", "ArrowUp", "-"):
        page.keyboard.press(key)
    page.wait_for_timeout(200)
    assert (pixels(page) != before).any()
    page.locator("#about .places a").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#about [data-role=similar]")
    assert page.evaluate("document.activeElement.id") == "about"
    page.get_by_label("Nearer").click()
    page.get_by_role("button", name="All of it").click()
    assert not wrong


def test_what_is_out_of_the_way_is_outlined(showing):
    page, wrong = showing("/map")
    chips = page.locator("#marks .chip")
    assert chips.count() == 3
    before = pixels(page)

    for chip in chips.all():
        chip.click()
    page.wait_for_timeout(200)

    marked = [int(one.split("(")[-1].rstrip(")")) for one in chips.all_inner_texts()]
    assert sum(marked) > 0
    assert (pixels(page) != before).any(axis=2).sum() > 10
    assert not wrong


def test_while_it_is_made_the_page_waits_and_then_shows_it(
    service_index: Path, tmp_path: Path, opening
):
    import shutil

    from tests.service.pages.conftest import serving

    index = Path(shutil.copytree(service_index, tmp_path / "index"))
    with serving(index) as address:
        page, seen = opening(address)
        page.goto(f"{address}/map")
        assert page.locator("#making-title").inner_text() == "The map is being made"
        assert not serious(page)
        page.wait_for_selector("#map[data-drawn]", timeout=60_000)
    assert not seen.outside
