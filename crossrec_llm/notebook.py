"""Answers as HTML for notebooks: no script, no style sheet, every text escaped.

What Jupyter, VS Code and Colab all show: inline styles, colours that suit light and dark, and
<details> for what is folded away. Pictures are loaded by the browser, when they come into view.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup

if TYPE_CHECKING:
    from crossrec_llm.answering.bridges import Bridge
    from crossrec_llm.comparing import Comparison, Place
    from crossrec_llm.profiles import HistoryItem, Profile
    from crossrec_llm.records import Audience, Recommendation, Recommendations

_SMALL = Markup("font-size:.85em")
_FAINT = Markup("font-size:.85em;opacity:.75")
_NEWEST, _EARLIER = 20, 80  # items of a history that are shown, and that unfold
_LONGEST = 300  # characters of a text
_BLUE = "70,130,180"


def answer(found: Recommendations) -> str:
    """Cards, one a recommendation; their reasons unfold."""
    cards = Markup().join(_card(one) for one in found)
    row = Markup('<div style="display:flex;flex-wrap:wrap;gap:.8em">{}</div>').format(cards)
    return _notes(found.notes) + row + _notes([found.shortfall] if found.shortfall else [])


def audience(found: Audience) -> str:
    """A table of people: the closeness of their profile, and the item that is nearest."""
    rows = [
        (one.rank, _said(one.user_id), _bar(one.score), f"{one.score:.2f}",
         _said(one.because.title))
        for one in found
    ]  # fmt: skip
    heading = Markup("<p>Who would want {}</p>").format(_said(found.item.title))
    table = _table(("#", "user", "", "cosine", "because of"), rows)
    notes = (*found.notes, *([found.shortfall] if found.shortfall else []))
    return heading + table + _notes(notes)


def comparison(found: Comparison) -> str:
    """A table of both lists: where an item was, where it is, and what became of it."""
    rows = [
        (place.before or "", place.after or "", _change(place), _said(place.title))
        for place in found.places
    ]
    share = Markup("<p>{:.0%} of {} in both</p>").format(found.overlap, found.k)
    return share + _table(("first", "second", "", "item"), rows)


def profile(found: Profile) -> str:
    """Interests, history and corrections of a person."""
    parts = [Markup("<p><b>{}</b>: {} items</p>").format(_said(found.user_id), len(found.history))]
    if found.interests:
        rows = [
            (number, f"{one.share:.0%}", _bar(one.share), _said(one.name))
            for number, one in enumerate(found.interests, 1)
        ]
        parts.append(_table(("interest", "share", "", "most central"), rows))
    newest = found.history[::-1]
    parts.append(_history(newest[:_NEWEST]))
    if earlier := newest[_NEWEST : _NEWEST + _EARLIER]:
        words = f"{len(earlier)} of {len(newest) - _NEWEST} earlier"
        parts.append(_folded(words, _history(earlier)))
    if disliked := found.disliked[: -_EARLIER - 1 : -1]:
        words = f"{len(disliked)} of {len(found.disliked)} disliked"
        parts.append(_folded(words, _history(disliked)))
    parts.append(_notes(f"{one.number}  {one}" for one in found.corrections))
    return Markup().join(parts)


def bridges(pairs: Sequence[Bridge]) -> str:
    """A heat map: home categories down, targets across; closed bridges are struck through."""
    if not pairs:
        return Markup("<p>No bridge was fitted: everything is open.</p>")
    homes = sorted({pair.home for pair in pairs})
    targets = sorted({pair.target for pair in pairs})
    by_name = {(pair.home, pair.target): pair for pair in pairs}
    upright = Markup('<th style="writing-mode:vertical-rl;text-align:left">{}</th>')
    heads = Markup("<th>home ↓ target →</th>") + Markup().join(
        upright.format(_said(target)) for target in targets
    )
    rows = [
        Markup('<th style="text-align:left">{}</th>').format(_said(home))
        + Markup().join(_heat(by_name.get((home, target))) for target in targets)
        for home in homes
    ]
    return _grid(heads, rows) + _notes(["struck through: closed, for it may be chance"])


def _card(found: Recommendation) -> Markup:
    item = found.item
    marks = [word for word, on in (("across", found.cross), ("new", found.cold)) if on]
    price = "" if item.price is None else f"{item.price:,.2f}"
    small = " · ".join(filter(None, (found.category, item.brand, price, *marks, *found.rules)))
    return Markup(
        '<div style="border:1px solid #8888;border-radius:.5em;padding:.7em;width:14em;'
        'box-sizing:border-box;overflow:hidden;overflow-wrap:anywhere">'
        '{}<div><b>{}. {}</b></div><div style="{}">{}</div>{}</div>'
    ).format(_picture(item.image_url), found.rank, _said(item.title), _FAINT, _said(small),
             _reasons(found))  # fmt: skip


def _picture(url: str) -> Markup:
    """Only what a browser fetches as a picture; a script or a file is no address of one."""
    if not url.startswith(("https://", "http://")):
        return Markup()
    return Markup(
        '<img src="{}" alt="" loading="lazy" referrerpolicy="no-referrer" '
        'style="max-height:8em;max-width:100%">'
    ).format(url)


def _reasons(found: Recommendation) -> Markup:
    if not found.reasons:
        return Markup()
    lines = Markup().join(
        Markup('<div style="margin-top:.3em">{}{:.0%} {}</div>').format(
            _bar(one.share), one.share, _said(one.text)
        )
        for one in found.reasons
    )
    return Markup('<div style="{}">{}</div>').format(_SMALL, _folded(found.why, lines))


def _history(entries: Sequence[HistoryItem]) -> Markup:
    rows = [
        (_said(one.item.title), _said(one.item.category_path), f"{one.share:.0%}",
         _bar(one.share), one.interest or "")
        for one in entries
    ]  # fmt: skip
    return _table(("item, newest first", "category", "share", "", "interest"), rows)


def _change(place: Place) -> str:
    if place.before is None or place.after is None:
        return "new" if place.before is None else "gone"
    moved = place.before - place.after
    return f"▲ {moved}" if moved > 0 else f"▼ {-moved}" if moved else "="


def _heat(pair: Bridge | None) -> Markup:
    if pair is None:
        return Markup("<td></td>")
    told = f"{pair.low:.2f} to {pair.high:.2f}, {pair.evidence:,} people, {pair.basis}"
    closed = "" if pair.open else ";text-decoration:line-through;opacity:.6"
    return Markup('<td title="{}" style="background:rgba({},{:.2f}){}">{:.2f}</td>').format(
        told, _BLUE, 0.7 * min(max(pair.credibility, 0.0), 1.0), closed, pair.credibility
    )


def _bar(share: float) -> Markup:
    """A share of 0..1 as a bar."""
    return Markup(
        '<div style="background:#8883;min-width:5em"><div style="width:{:.0f}%;height:.4em;'
        'background:rgb({})"></div></div>'
    ).format(100 * min(max(share, 0.0), 1.0), _BLUE)


def _folded(summary: str, body: Markup) -> Markup:
    return Markup("<details><summary>{}</summary>{}</details>").format(_said(summary), body)


def _table(heads: Iterable[str], rows: Iterable[Iterable[object]]) -> Markup:
    cell = Markup('<{0} style="text-align:left">{1}</{0}>')
    head = Markup().join(cell.format("th", name) for name in heads)
    return _grid(head, [Markup().join(cell.format("td", value) for value in row) for row in rows])


def _grid(head: Markup, rows: Iterable[Markup]) -> Markup:
    """Rows of cells; what is wider than the page scrolls."""
    return Markup(
        '<div style="overflow-x:auto"><table><thead><tr>{}</tr></thead>'
        "<tbody>{}</tbody></table></div>"
    ).format(head, Markup().join(Markup("<tr>{}</tr>").format(row) for row in rows))


def _notes(lines: Iterable[str]) -> Markup:
    said = Markup('<p style="{}">{}</p>')
    return Markup().join(said.format(_FAINT, _said(line)) for line in lines)


def _said(text: str) -> Markup:
    """Escaped, of a readable length, and kept from turning around what stands beside it."""
    return Markup("<bdi>{}</bdi>").format(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…")
