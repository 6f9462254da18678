"""Titles that want to be more than titles."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pyarrow as pa
import pytest

from crossrec_llm import Recommender
from crossrec_llm.atlas import make_map
from crossrec_llm.store import Ledger
from crossrec_llm.tables import EVENTS_SCHEMA, ITEMS_SCHEMA
from tests.service.pages.conftest import fits, serving
from tests.service.pages.test_pages import ADDRESSES

N = 500
USERS = ('x"><script>ran()</script>', "y' onclick=ran() &amp;", "z{{7*7}}\u202e")

ODD = "<i>&\"'"
SEEDS = (
    "<script>ran()</script>",
    '"><img src=x onerror=ran()>',
    "<svg/onload=ran()>",
    "</title></textarea></script><script>alert({n})</script>",
    "<iframe srcdoc='<script>parent.ran()</script>'>",
    "javascript:ran()",
    "' autofocus onfocus=ran() x='",
    "{{{{ self.__init__.__globals__ }}}} {{% raw %}} ${{ran()}} #{{ran()}}",
    "<a hx-get=/people hx-trigger=load hx-target=body>load</a>",
    "<template><b hx-on:click=ran()>x</b></template>",
    "\u202egnidaer morf thgir\u202d \u2066\u2067",
    "zero\u200bwidth\u200d\u2060\ufeff\u00ad {n}",
    "عنوان طويل من اليمين إلى اليسار {n}",
    "כותרת מימין לשמאל " * 4,
    "Z\u0351\u036b\u0343\u036a\u0302\u0363\u0304A" + "\u0300\u0301\u0302\u0303" * 60,
    "W" * 900,
    "very long words " * 80,
    "\U0001f469\u200d\U0001f469\u200d\U0001f467" * 40,
    "--><!-- ]]> <![CDATA[ <style>*{{display:none}}</style>",
    "a\u2028b\u2029c\\u003cscript\\u003e",
)
TOPS = tuple(seed.format(n=n) for n, seed in enumerate(SEEDS))
PICTURES = (
    "javascript:ran()",
    "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' onload='ran()'/>",
    "https://pictures.invalid/{n}.svg",
    'http://pictures.invalid/"onerror="ran()',
    "https://pictures.invalid/'><script>ran()</script>",
    " JaVaScRiPt:ran()",
    "//pictures.invalid/x.png",
)


@pytest.fixture(scope="module")
def hostile(service_index: Path, tmp_path_factory) -> Iterator[str]:
    """A service over an index to which 500 such items came live, past every cleaning."""
    index = tmp_path_factory.mktemp("hostile") / "index"
    shutil.copytree(service_index, index)
    seeds, pictures = itertools.cycle(SEEDS), itertools.cycle(PICTURES)
    rows = [
        {
            "item_id": f"h{n}" + ODD * (n % 7 == 0),
            "title": f"{n} {next(seeds).format(n=n)}",
            "description": "<script>ran()</script>",
            "category": ["Games", f"{n % 3}\" onclick='ran()' <b class="],
            "brand": "<script>ran()</script>" if n % 2 else "W" * 200,
            "price": 1e15 if n % 5 == 0 else 9.5,
            "image_url": next(pictures).format(n=n),
            "available": True,
            "added": None,
            "metadata": "{}",
        }
        for n in range(N)
    ]
    # And one in each of as many top categories.
    rows += [{**rows[n], "item_id": f"t{n}", "category": [top]} for n, top in enumerate(TOPS)]
    events = [
        {
            "user_id": user,
            "item_id": rows[n]["item_id"],
            "timestamp": 1.7e9 + n if n % 4 else None,
            "event": "<b>view</b>",
            "value": None,
        }
        for u, user in enumerate(USERS)
        for n in range(u, N, 3)
    ]
    with Ledger.open(index / "records.sqlite", write=True) as ledger:
        ledger.put_items(pa.Table.from_pylist(rows, ITEMS_SCHEMA))
        ledger.append(pa.Table.from_pylist(events, EVENTS_SCHEMA))
    with Recommender.open(index) as rec:
        for _ in range(40):
            if not rec.for_user(USERS[0], k=1).notes:
                break
    make_map(index)
    with serving(index) as address:
        yield address


@pytest.mark.parametrize("width", ["wide", "narrow"])
@pytest.mark.parametrize("path", ["/", "/compare", "/people"])
def test_nothing_of_a_title_runs_or_sticks_out(hostile, opening, path: str, width: str) -> None:
    page, seen = opening(hostile, width)
    page.add_init_script("window.count = 0; window.ran = () => { window.count += 1; };")
    there = set()
    for user in USERS:
        asked = {"user": user, "k": 200, "include_seen": "true"} if path == "/" else {"user": user}
        asked |= {"k": 200, "b.diversity": 0.5} if path == "/compare" else {}
        for part in range(3 if path == "/" else 1):
            if path == "/":
                asked["category"] = f"Games > {part}\" onclick='ran()' <b class="
            page.goto(f"{hostile}{path}?{urlencode(asked)}")
            assert page.query_selector("#found:not(.problem)"), page.text_content("main")[:300]
            page.evaluate("document.querySelectorAll('details').forEach((o) => (o.open = true))")
            there |= set(page.eval_on_selector_all("#found h3 bdi", TITLES))
            assert fits(page)
            assert page.evaluate(MADE) == 0
            assert page.evaluate("count") == 0
    assert len(there) >= (N if path != "/compare" else N // 3)
    assert not seen.dialogs
    assert not seen.outside
    assert not seen.errors


def addresses() -> Iterator[str]:
    """Every page with everything that can be hostile on it, and what refuses it."""
    yield from (address for page in ADDRESSES.values() for address, _ in page)
    for n, top in enumerate(TOPS):
        other = TOPS[(n + 1) % len(TOPS)]
        if n % 3 == 0:
            yield f"/bridges?{urlencode({'home': top, 'target': other})}"
        if n % 10 == 0:
            yield f"/?{urlencode({'text': 'tea', 'category': top, 'not_category': other})}"
            yield f"/compare?{urlencode({'user': USERS[0], 'a.category': top})}"
            yield f"/map?{urlencode({'item': f't{n}'})}"
            yield f"/people?{urlencode({'user': top})}"
            yield f"/reports/file?{urlencode({'report': top, 'file': top})}"


@pytest.mark.parametrize("width", ["wide", "narrow"])
def test_no_category_runs_or_sticks_out_of_any_page(hostile, opening, width: str) -> None:
    page, seen = opening(hostile, width)
    page.add_init_script("window.count = 0; window.ran = () => { window.count += 1; };")
    for address in addresses():
        page.goto(hostile + address)
        page.evaluate("document.querySelectorAll('details').forEach((o) => (o.open = true))")
        assert fits(page), address
        made = MADE_BY_TEXT if address.startswith("/map") else MADE  # a map draws and places
        assert page.evaluate(made) == 0, address
        assert page.evaluate("count") == 0, address
        if address in ("/?user=u1", "/map"):
            assert TOPS[0] in page.text_content("main")
    assert not seen.dialogs
    assert not seen.outside
    assert not [error for error in seen.errors if "status of 4" not in error]


def test_the_map_lists_titles_as_text(hostile, opening) -> None:
    page, seen = opening(hostile)
    page.add_init_script("window.count = 0; window.ran = () => { window.count += 1; };")
    for asked in ({"user": USERS[0]}, {"q": "<script>"}, {"q": "iframe"}, {"item": "h0" + ODD}):
        page.goto(f"{hostile}/map?{urlencode(asked)}")
        assert page.locator("#about .places li").count() > 0
        assert fits(page)
        assert page.evaluate("count") == 0
        assert not page.locator("#about :is(script, iframe, svg, template, img)").count()
    assert not seen.dialogs
    assert not seen.outside
    assert not seen.errors


TITLES = r"all => all.map((one) => one.textContent.match(/^\d+ /)?.[0]).filter(Boolean)"
MADE_BY_TEXT = """
document.querySelectorAll("main :is(script, iframe, template, b, i, img)").length
  + [...document.querySelectorAll("main *")].filter((one) => [...one.attributes].some(
      (said) => said.name.startsWith("on"))).length
"""
MADE = """
[...document.querySelectorAll(["script", "style", "iframe", "svg", "template", "b"]
  .map((tag) => "main " + tag).join(","))].length
  + [...document.querySelectorAll("img")].filter((one) => !/^https?:/.test(one.src)).length
  + [...document.querySelectorAll("main *")].filter((one) => [...one.attributes].some(
      (said) => said.name.startsWith("on") || said.name === "style")).length
"""


@pytest.mark.parametrize("typed", [USERS[0], "<", "%", "\u202e", "h0", "'"])
def test_suggestions_are_text(hostile, opening, typed: str) -> None:
    page, seen = opening(hostile)
    page.goto(hostile)
    for field in ("user", "item"):
        page.fill(f"#{field}", typed)
        page.wait_for_timeout(350)
        assert page.evaluate("document.querySelectorAll('datalist > :not(option)').length") == 0
    assert not seen.dialogs
    assert not [error for error in seen.errors if "status of 404" not in error]
