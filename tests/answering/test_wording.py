from __future__ import annotations

import tomllib

import pytest

from crossrec_llm import Recipe
from crossrec_llm.answering import AnsweringOptions, Wording
from crossrec_llm.answering.wording import SENTENCES
from crossrec_llm.errors import RecipeError
from crossrec_llm.records import Item
from crossrec_llm.resources import default_folder
from tests.test_comparing import recommender_of

TEA = Item("tea", "Green tea", category=("Grocery",))
CUP = Item("cup", "Tea cup", category=("Kitchen",))
POT = Item("pot", "Tea pot", category=("Kitchen",))
ENGLISH = (default_folder("prompts") / "reasons.en.toml").read_text("utf-8")


@pytest.mark.parametrize(
    ("kind", "item", "because", "text", "english", "german"),
    [
        ("text", POT, CUP, None, "reads like “Tea cup”", "liest sich wie „Tea cup“"),
        (
            "neighbours", POT, TEA, None,
            "people who took “Green tea” also took it (Grocery → Kitchen)",
            "wer „Green tea“ nahm, nahm auch dies (Grocery → Kitchen)",
        ),
        ("popular", POT, None, None, "popular in Kitchen", "beliebt in Kitchen"),
        ("popular", Item("x", "X"), None, None, "popular", "beliebt"),
        ("asked", POT, None, "a {pot}", "matches “a {pot}”", "passt zu „a {pot}“"),
        ("pinned", POT, None, None, "pinned by a rule", "durch eine Regel fest gesetzt"),
    ],
)  # fmt: skip
def test_sentences(kind, item, because, text, english, german):
    assert Wording.load("en").sentence(kind, item, because, text) == english
    assert Wording.load("de").sentence(kind, item, because, text) == german


@pytest.mark.parametrize("language", ["en", "de"])
def test_every_kind_can_be_said(language):
    wording = Wording.load(language)
    for kind, sentences in SENTENCES.items():
        for because in [CUP] * ("item" in sentences) + [None] * ("alone" in sentences):
            assert wording.sentence(kind, POT, because, "a pot").strip()


def test_long_titles_are_shortened():
    words = Wording.load("en").sentence("text", POT, Item("x", "y" * 100, category=("Kitchen",)))
    assert words == "reads like “" + "y" * 57 + "...”"


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('[fill]\nalone = "fills', '[fill]\nfull = "fills', "fill.alone: missing"),
        ('[fill]\nalone = "fills', '[fill]\nfull = "fills', "fill.full: no reason says this"),
        ("also took it", "of {brand} too", "neighbours.item: must have {title} and nothing else"),
        ("of a taste with “{title}”", "to your taste", "taste.item: must have {title}"),
        ("of a taste with “{title}”", "“{title!r}”", "taste.item: must have {title}"),
        ('"pinned by a rule"', '"pinned {by}"', "pinned.alone: must have no field"),
        ('"pinned by a rule"', '"pinned {"', "pinned.alone: "),
        ('"pinned by a rule"', "3", "pinned.alone: must be text, not 3"),
        ("crossing =", "across =", "crossing: missing"),
        ("[fill]", "[fill", "is not TOML"),
    ],
)
def test_what_is_wrong_with_a_file_is_named_with_it(old, new, problem, tmp_path):
    path = tmp_path / "mine.toml"
    assert old in ENGLISH
    path.write_text(ENGLISH.replace(old, new), "utf-8")
    with pytest.raises(RecipeError) as caught:
        Wording.load(str(path))
    assert caught.value.source == str(path)
    assert any(line.startswith(problem) for line in caught.value.problems)


@pytest.mark.parametrize(
    ("content", "problem"), [(None, "cannot be read"), (b"\xff", "is not UTF-8 text")]
)
def test_a_file_that_cannot_be_read(content, problem, tmp_path):
    path = tmp_path / "mine.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RecipeError, match=problem):
        Wording.load(str(path))


@pytest.mark.parametrize("language", ["fr", "../en"])
def test_an_unknown_language_names_those_that_ship(language):
    with pytest.raises(RecipeError, match=r"there is de, en, or a \.toml file"):
        Wording.load(language)


def test_a_recipe_names_a_file_beside_it(tmp_path):
    (tmp_path / "mine.toml").write_text(ENGLISH.replace('"popular', '"liked'), "utf-8")
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('[answering]\nlanguage = "mine.toml"\n')
    assert Recipe.load(recipe).answering.language == str(tmp_path / "mine.toml")
    recipe.write_text('[answering]\nlanguage = "xx"\n')
    with pytest.raises(RecipeError, match="no 'xx'"):
        Recipe.load(recipe)


def test_an_answer_speaks_the_language_of_the_recipe():
    english, german = (
        recommender_of(answering=AnsweringOptions(language=language)).for_history(["i0", "i1"], 4)
        for language in ("en", "de")
    )
    assert english.ids == german.ids
    said = [[(x.kind, x.item_id, x.share) for x in r.reasons] for answer in (english, german)
            for r in answer]  # fmt: skip
    assert said[:4] == said[4:]
    known = tomllib.loads((default_folder("prompts") / "reasons.de.toml").read_text("utf-8"))
    for r in german:
        for x in r.reasons:
            assert any(x.text.startswith(s.split("{")[0]) for s in known[x.kind].values())
