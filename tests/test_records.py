from __future__ import annotations

import json

from crossrec_llm.records import Item, Reason, Receipt, Recommendation, Recommendations

ITEM = Item(
    "x", "<b>Tea & cup</b>", category=("A", "B"), price=2.5, image_url="javascript:alert(1)"
)
ANSWER = Recommendations(
    query={"kind": "user", "user_id": "u"},
    items=(
        Recommendation(
            1, ITEM, 1.5, True, True, (Reason("text", 1.0, "reads alike"),), {"text": 1}
        ),
        Recommendation(2, Item("y", "Plain"), 0.5, False, False),
    ),
    receipt=Receipt("g", "r", "b", "v"),
    shortfall="2 of 10: no more items pass the filter",
    notes=("a note",),
)


def test_is_a_sequence():
    assert len(ANSWER) == 2
    assert ANSWER.ids == ["x", "y"]
    assert ANSWER[1].title == "Plain"
    assert [r.rank for r in ANSWER] == [1, 2]
    assert [r.why for r in ANSWER] == ["reads alike", ""]


def test_dict_is_json_with_the_promised_keys():
    document = json.loads(json.dumps(ANSWER.to_dict()))
    assert set(document) == {"query", "items", "shortfall", "notes", "receipt"}
    assert set(document["items"][0]) >= {
        "rank", "item_id", "title", "category", "score", "cross", "reasons", "signals",
    }  # fmt: skip
    assert set(document["items"][0]["reasons"][0]) == {"kind", "item_id", "share", "text"}
    assert document["items"][0]["category"] == "A > B"


def test_arrow_has_one_row_an_item():
    table = ANSWER.to_arrow()
    assert table.num_rows == 2
    assert table["why"].to_pylist() == ["reads alike", ""]
    assert table["rules"].to_pylist() == [list(r.rules) for r in ANSWER]


def test_terminal_text_has_notes_items_and_shortfall():
    lines = str(ANSWER).splitlines()
    assert lines[0] == "a note"
    assert "Tea & cup" in lines[1]
    assert lines[-1].startswith("2 of 10")


def test_cards_escape_text_and_show_no_foreign_scheme():
    cards = ANSWER._repr_html_()
    assert "&lt;b&gt;Tea &amp; cup&lt;/b&gt;" in cards
    assert "javascript:" not in cards
    assert "2.50" in cards
