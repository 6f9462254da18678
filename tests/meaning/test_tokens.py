from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from crossrec_llm.errors import ModelError
from crossrec_llm.meaning.model import ModelFiles
from crossrec_llm.meaning.tokens import Tokens

from .conftest import write_model


@pytest.fixture(scope="module")
def tokens() -> Tokens:
    return Tokens.load(ModelFiles.find("all-MiniLM-L6-v2"), 16)


def test_counts_are_the_models_own(tokens: Tokens):
    texts = ["", "red shoe", "antidisestablishmentarianism", "赤い靴"]
    # [CLS] and [SEP] stand around every text; the third is one word of eight pieces.
    assert tokens.count(texts).tolist() == [2, 4, 10, 5]
    assert tokens.count([]).tolist() == []


def test_fits_agrees_with_counting(tokens: Tokens):
    texts = ["a" * n for n in range(40)] + ["a " * n for n in range(30)] + ["é" * 20, "靴" * 15]
    np.testing.assert_array_equal(tokens.fits(texts), tokens.count(texts) <= 16)


@pytest.mark.parametrize(
    ("text", "room", "cut"),
    [
        ("one two three", 2, "one two"),
        ("one two three", 3, "one two three"),
        ("one two three", 0, ""),
        ("one, two", 2, "one"),
        ("one antidisestablishmentarianism", 4, "one"),
        ("赤い靴下を三足", 3, "赤い靴"),
    ],
)
def test_cut_ends_on_a_word(tokens: Tokens, text: str, room: int, cut: str):
    assert tokens.cut([text], [room]) == [cut]


def test_cut_without_rooms_fills_the_limit(tokens: Tokens):
    (text,) = tokens.cut(["one " * 40])
    assert tokens.count([text]).tolist() == [16]


def test_a_damaged_tokenizer_is_named(tmp_path: Path):
    folder = write_model(tmp_path / "model")
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(ModelError, match=r"tokenizer\.json cannot be read"):
        Tokens.load(ModelFiles.find(str(folder)), 16)


def test_a_prompt_takes_its_share():
    files = ModelFiles.find("all-MiniLM-L6-v2")
    assert Tokens.load(files, 16, "passage: ").limit == 14
    with pytest.raises(ModelError, match="leaves no room"):
        Tokens.load(files, 6, "a very long prompt")
