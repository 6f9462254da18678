"""What changes on the pages when somebody moves something, with JavaScript and without."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from crossrec_llm import Recommender
from crossrec_llm.comparing import compare
from crossrec_llm.judging import judgements
from tests.service.pages.conftest import until


@pytest.fixture(scope="module")
def rec(pages_index: Path) -> Iterator[Recommender]:
    with Recommender.open(pages_index) as opened:
        yield opened


def items(page) -> list[str]:
    return page.eval_on_selector_all(".card", "all => all.map((one) => one.dataset.item)")


def asked(page) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query)


def test_the_list_follows_the_slider_and_the_address_says_so(served, opening, rec) -> None:
    page, seen = opening(served)
    page.goto(f"{served}/?user=u1")
    before = items(page)
    assert before == rec.for_user("u1").ids

    page.focus("#cross_share")
    for _ in range(6):
        page.keyboard.press("ArrowRight")
    until(page, "location.search.includes('cross_share=0.8')")
    until(page, "!document.querySelector('.htmx-request')")

    assert items(page) == rec.for_user("u1", cross_share=0.8).ids != before
    assert asked(page) == {"user": ["u1"], "cross_share": ["0.8"]}
    assert page.evaluate("document.activeElement.id") == "cross_share"
    assert page.text_content("#said") == "10 recommendations for u1"
    assert page.text_content("#cross_share-says") == "80%"

    page.check("#cross_share-free")
    until(page, "!location.search.includes('cross_share')")
    until(page, "!document.querySelector('.htmx-request')")
    assert items(page) == before
    assert not seen.errors


def test_the_way_back_leads_to_the_list_before(served, opening, rec) -> None:
    page, seen = opening(served)
    page.goto(f"{served}/?user=u1")

    page.click("summary:has-text('Categories')")
    page.check("input[name=category][value=Books]")
    until(page, "location.search.includes('category=Books')")
    page.wait_for_selector("#found:not(.htmx-request) .card")
    until(page, "document.querySelectorAll('.card').length > 0")
    page.go_back()
    until(page, "!location.search.includes('category')")
    until(page, "!document.querySelector('input[name=category]:checked')")

    assert items(page) == rec.for_user("u1").ids
    assert not seen.errors


def test_ids_are_suggested_while_one_types(served, opening) -> None:
    page, seen = opening(served)
    page.goto(served)

    page.focus("#user")
    page.keyboard.type("u1")
    page.wait_for_selector("#user-near option", state="attached")
    users = page.eval_on_selector_all("#user-near option", "all => all.map((one) => one.value)")
    page.focus("#item")
    page.keyboard.type("chess")
    page.wait_for_selector("#item-near option", state="attached")
    found = page.eval_on_selector_all("#item-near option", "all => all.map((one) => one.value)")

    assert users[0] == "u1"
    assert len(users) == 11
    assert "p-chess-clock" in found
    assert not seen.errors


def test_a_problem_takes_the_place_of_the_list_in_the_same_words(served, opening) -> None:
    page, _ = opening(served)
    page.goto(f"{served}/?user=u1")

    page.fill("#user", "u1x")
    page.press("#user", "Enter")
    page.wait_for_selector("#found[role=alert]")

    assert "no user 'u1x' in this index" in page.text_content("#found")
    assert "no user 'u1x'" in page.text_content("#said")


def test_a_service_that_is_gone_is_said(served, opening) -> None:
    page, _ = opening(served)
    page.goto(f"{served}/?user=u1")
    page.context.set_offline(True)

    page.check("#diversity-free", force=True)
    page.focus("#diversity")
    page.keyboard.press("ArrowRight")

    page.wait_for_selector("#found > .problem[role=alert]")
    assert "does not answer" in page.text_content("#found > .problem")


def test_why_not_and_without_are_answered(served, opening, rec) -> None:
    page, _ = opening(served)
    taken = rec.profile("u1").history[0].item.item_id
    page.goto(f"{served}/?user=u1&why_not={taken}")
    assert "it is in the history already" in page.text_content("#why-not-says")

    page.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")
    page.click(".reasons a >> nth=0")
    page.wait_for_selector("#without-says")
    without = asked(page)["without"][0]
    assert page.text_content("#without-says").count(f"without “{rec.item(without).title[:20]}")


def test_the_marks_of_a_comparison_are_right(served, opening, rec) -> None:
    page, seen = opening(served)
    page.goto(f"{served}/compare?user=u1&k=8&b.diversity=0.9&b.cross_share=0.5")
    before = rec.for_user("u1", k=8)
    after = rec.for_user("u1", k=8, diversity=0.9, cross_share=0.5)
    found = compare(before, after)
    assert found.new
    assert found.moved

    for side, answer in (("a", before), ("b", after)):
        places = {place.item_id: place for place in found.places}
        marks = page.eval_on_selector_all(
            f"#side-{side} .mark[data-item]",
            "all => all.map((one) => [one.dataset.item, one.innerText.replace(/\\s+/g, ' ')])",
        )
        assert [item_id for item_id, _ in marks] == answer.ids
        for item_id, words in marks:
            place = places[item_id]
            if place.before is None:
                assert words == "new"
            elif place.after is None:
                assert words == "gone"
            elif place.before == place.after:
                assert words == "same"
            else:
                assert words.endswith(f"{place.before} → to {place.after}") or (
                    str(place.before) in words and str(place.after) in words
                )
                assert ("↑" in words) == (place.after < place.before)
    figures = {name: page.text_content(f"#{name}") for name in ("overlap", "moved", "new", "gone")}
    assert figures == {
        "overlap": f"{found.overlap:.0%}",
        "moved": str(len(found.moved)),
        "new": str(len(found.new)),
        "gone": str(len(found.gone)),
    }
    assert not seen.errors


def test_a_thumb_is_kept_and_taken_back(served, opening, rec) -> None:
    page, seen = opening(served)
    page.goto(f"{served}/compare?user=u4")
    first = rec.for_user("u4").ids[0]

    page.click("#up-a-1")
    page.wait_for_selector("#up-a-1[aria-pressed=true]")
    assert [(one.item_id, one.good) for one in judgements(rec, "u4")] == [(first, True)]
    page.click("#down-b-1")
    page.wait_for_selector("#down-a-1[aria-pressed=true]")
    assert [(one.item_id, one.good) for one in judgements(rec, "u4")] == [(first, False)]
    page.click("#down-a-1")
    page.wait_for_selector("#down-a-1[aria-pressed=false]")
    assert judgements(rec, "u4") == []
    assert not seen.errors


@pytest.mark.parametrize("scripts", [True, False])
def test_a_correction_counts_at_once_and_is_taken_back(served, opening, rec, scripts) -> None:
    page, seen = opening(served, java_script_enabled=scripts)
    user = "u5" if scripts else "u6"
    page.goto(f"{served}/people?user={user}")
    title = page.text_content(".timeline h3 >> nth=0").strip()

    page.click("#strike-1")
    page.wait_for_selector(".timeline li.struck")
    profile = rec.profile(user)
    assert [item.title for item in profile.struck] == [title]
    page.fill("#sentence", "I grow <b>herbs</b> now")
    page.click("#pin")
    page.wait_for_selector("text=pinned: “I grow <b>herbs</b> now”")
    page.click(f"#undo-{profile.corrections[0].number}")
    page.wait_for_selector(".timeline li.struck", state="detached")
    assert not rec.profile(user).struck
    page.click("#strike-interest-1")
    page.wait_for_selector(".timeline li.struck")
    for one in rec.profile(user).corrections:
        page.click(f"#undo-{one.number}")
        page.wait_for_selector(f"#undo-{one.number}", state="detached")

    assert not rec.profile(user).corrections
    assert not seen.errors


def test_forms_work_without_scripts(served, opening, rec) -> None:
    page, _ = opening(served, java_script_enabled=False)
    page.goto(served)
    page.fill("#user", "u1")
    page.click("button.first")
    assert items_without_scripts(page) == rec.for_user("u1").ids

    page.uncheck("#cross_share-free")
    page.click("button.first")
    assert items_without_scripts(page) == rec.for_user("u1", cross_share=0.5).ids

    page.goto(f"{served}/compare?user=u7")
    page.click("#up-b-2")
    assert page.get_attribute("#up-b-2", "aria-pressed") == "true"
    assert judgements(rec, "u7")[0].item_id == rec.for_user("u7").ids[1]


def items_without_scripts(page) -> list[str]:
    return [card.get_attribute("data-item") for card in page.query_selector_all(".card")]


def test_a_narrow_screen_has_a_way_past_the_form_to_the_list(served, opening) -> None:
    page, _ = opening(served, "narrow")
    page.goto(f"{served}/")
    assert not page.is_visible("text=To the list")

    page.fill("#text", "tea")
    page.press("#text", "Enter")
    until(page, "document.querySelector('.card')")
    page.click("text=To the list")
    assert (
        page.evaluate("Math.abs(document.querySelector('#found').getBoundingClientRect().top)") < 2
    )

    wide, _ = opening(served)
    wide.goto(f"{served}/?user=u1")
    assert not wide.is_visible("text=To the list")
