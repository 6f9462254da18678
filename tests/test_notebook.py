"""What notebooks show: everything that is known, and nothing that runs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import run_notebook

from crossrec_llm import (
    Audience,
    AudienceMember,
    Correction,
    Item,
    Profile,
    Reason,
    Recommendation,
    Recommendations,
    compare,
)
from crossrec_llm.answering import Bridge, BridgeList
from crossrec_llm.profiles import HistoryItem, InterestRecord
from crossrec_llm.records import Receipt
from tests.agents import hostile

CHROMIUM = "/usr/bin/chromium"
RECEIPT = Receipt("g", "r", "b", "v")
TITLES = hostile.titles(200)
MARKUP = "<script>document.title = 'ran'</script><img src=x onerror=\"document.title='ran'\">"


def _item(n: int, title: str) -> Item:
    return Item(
        f"i{n}", title, category=(title, MARKUP), brand=title, price=2.5,
        image_url=hostile.PICTURES[n % len(hostile.PICTURES)],
    )  # fmt: skip


def _answer(titles: list[str]) -> Recommendations:
    return Recommendations(
        query={},
        items=tuple(
            Recommendation(n, _item(n, title), 1.0, True, True,
                           (Reason("text", 0.7, title, "x"), Reason("als", 0.3, MARKUP)),
                           rules=(MARKUP,))
            for n, title in enumerate(titles, 1)
        ),
        receipt=RECEIPT,
        shortfall=MARKUP,
        notes=(MARKUP, titles[0]),
    )  # fmt: skip


def _everything() -> dict[str, Any]:
    answer = _answer(TITLES)
    history = tuple(HistoryItem(_item(n, title), 1.0, 0.01, None) for n, title in enumerate(TITLES))
    member = AudienceMember(1, MARKUP, 0.5, _item(1, MARKUP))
    bridges = [
        Bridge(home, target, 0.5, 0.1, 0.9, 20, "behaviour", n % 2 == 0)
        for n, (home, target) in enumerate(zip(TITLES[:20], TITLES[20:40], strict=True))
    ]
    return {
        "answer": answer,
        "audience": Audience(_item(0, MARKUP), (member,), RECEIPT, MARKUP, (MARKUP,)),
        "comparison": compare(_answer(TITLES[:10]), _answer(TITLES[5:15])),
        "profile": Profile(
            MARKUP, MARKUP, history, history[:3], (), (InterestRecord(0.6, MARKUP, ("x",)),),
            (Correction(1, MARKUP, (), 0.0), Correction(2, "", (MARKUP,), 0.0)),
        ),
        "bridges": BridgeList(bridges),
    }  # fmt: skip


@pytest.fixture(scope="module")
def shown() -> dict[str, str]:
    return {name: what._repr_html_() for name, what in _everything().items()}


@pytest.fixture(scope="module")
def page() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    if not Path(CHROMIUM).exists():
        pytest.skip(f"no {CHROMIUM}")
    with playwright.sync_playwright() as started:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
        browser = started.chromium.launch(executable_path=CHROMIUM, args=arguments)
        page = browser.new_page()
        page.route("**/*", lambda route: route.abort())
        yield page
        browser.close()


@pytest.mark.parametrize("name", ["answer", "audience", "comparison", "profile", "bridges"])
def test_no_text_of_a_catalogue_runs_or_breaks_out(
    page: Any, shown: dict[str, str], name: str
) -> None:
    asked: list[str] = []
    page.on("dialog", lambda dialog: asked.append(dialog.message))
    page.set_content(f"<title>still</title><main>{shown[name]}</main><hr>")

    page.evaluate("() => document.querySelectorAll('details').forEach(one => { one.open = true })")

    count = "name => document.querySelectorAll(name).length"
    assert page.title() == "still"
    assert not asked
    assert page.evaluate(count, "script, svg, iframe, [onerror], [onload]") == 0
    assert page.evaluate(count, "body > hr") == 1
    assert page.evaluate(count, "main img:not([src^='https://'])") == 0


def test_what_would_run_is_noticed(page: Any) -> None:
    page.set_content(f"<title>still</title>{MARKUP}")

    assert page.title() == "ran"


def test_cards_have_everything_and_fold_their_reasons() -> None:
    item = Item("x", "Tea & cup", category=("A", "B"), price=2.5, image_url="https://a.example/x")
    reasons = (Reason("text", 0.75, "reads alike"), Reason("als", 0.25, "of a taste"))
    found = Recommendations({}, (Recommendation(1, item, 1.5, True, True, reasons),), RECEIPT)

    html = found._repr_html_()

    for said in ("1. <bdi>Tea &amp; cup</bdi>", "A &gt; B · 2.50 · across · new"):
        assert said in html
    assert '<img src="https://a.example/x" alt="" loading="lazy"' in html
    assert re.search(r"<summary><bdi>reads alike</bdi></summary>.*75%.*of a taste", html)
    assert "width:75%" in html


def test_a_card_without_reasons_folds_nothing() -> None:
    found = Recommendations(
        {}, (Recommendation(1, Item("x", "Tea"), 1.5, False, False),), RECEIPT, "1 of 2"
    )

    assert "<details>" not in found._repr_html_()
    assert "<bdi>1 of 2</bdi>" in found._repr_html_()


def test_a_comparison_says_what_became_of_each() -> None:
    before, after = _answer(["a", "b", "c", "d"]), _answer(["x"])
    kept = [before[1], before[0], before[3]]
    second = Recommendations(
        {}, tuple(Recommendation(n, one.item, 1, False, False) for n, one in enumerate(kept, 1)),
        RECEIPT,
    )  # fmt: skip

    html = compare(before, second)._repr_html_()

    for word in ("▲ 1", "▼ 1", "gone", "75% of 4 in both"):
        assert word in html
    assert ">new<" in compare(after, _answer(["p", "q"]))._repr_html_()
    assert ">=<" in compare(after, after)._repr_html_()


def test_a_profile_shows_what_is_newest_and_folds_the_rest(shown: dict[str, str]) -> None:
    assert "<summary><bdi>80 of 180 earlier</bdi></summary>" in shown["profile"]
    assert "<summary><bdi>3 of 3 disliked</bdi></summary>" in shown["profile"]
    assert "pinned: " in shown["profile"]


def test_bridges_show_how_credible_they_are_and_which_are_closed() -> None:
    pairs = BridgeList(
        [
            Bridge("A", "B", 0.5, 0.25, 0.75, 1200, "behaviour", True),
            Bridge("B", "A", 0.1, 0.0, 0.2, 30, "meaning", False),
        ]
    )

    html = pairs._repr_html_()

    assert "0.25 to 0.75, 1,200 people, behaviour" in html
    assert html.count("line-through") == 1
    assert "No bridge was fitted" in BridgeList()._repr_html_()
    assert repr(pairs) == "2 bridges, 1 open"


def test_the_example_runs_and_everything_in_it_shows(
    shop_index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CROSSREC_INDEX", str(shop_index))
    document = json.loads(run_notebook.NOTEBOOK.read_text("utf-8"))

    shown = [
        run_notebook.output(what, number)["data"]
        for number, (_, what) in enumerate(run_notebook.run(document), 1)
        if what is not None
    ]

    kept = [cell["outputs"][0]["data"] for cell in run_notebook.code_cells(document)]
    assert [one.keys() for one in shown] == [one.keys() for one in kept]
    assert sum("text/html" in one for one in shown) >= 8
