from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossrec_llm.agents.plain import plain
from tests.agents import hostile


@given(st.text(), st.integers(1, 50))
def test_what_is_left_is_seen_in_one_line_and_bounded(text: str, most: int) -> None:
    left = plain(text, most)

    assert len(left) <= most
    assert all(unicodedata.category(char)[0] != "C" for char in left)
    assert "\n" not in left
    assert plain(left, most) == left


@pytest.mark.parametrize("title", hostile.titles(40))
def test_hostile_titles_lose_what_is_not_seen(title: str) -> None:
    left = plain(title, 200)

    assert left
    assert not any(unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp") for char in left)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Café “Zürich”, 2 × 500 g", "Café “Zürich”, 2 × 500 g"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("a\u202eb\u200bc", "abc"),
        ("two\nlines", "two lines"),
        ("abcdef", "abc…"),
        ("", ""),
    ],
)
def test_what_is_meant_to_be_read_stays(text: str, left: str) -> None:
    assert plain(text, 4 if text == "abcdef" else 100) == left
