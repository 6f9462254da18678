from __future__ import annotations

import dataclasses
import re

import pytest

from crossrec_llm.errors import RecipeError
from crossrec_llm.recipe import Recipe
from crossrec_llm.resources import default_folder


def write(tmp_path, text):
    path = tmp_path / "mine.toml"
    path.write_text(text, "utf-8")
    return path


def test_every_shipped_recipe_loads():
    names = [path.stem for path in default_folder("index").glob("*.toml")]
    assert "default" in names
    for name in names:
        assert isinstance(Recipe.load(name), Recipe)


def test_the_default_recipe_sets_nothing_but_defaults():
    assert Recipe.load("default") == Recipe()


def test_a_setting_reaches_its_options(tmp_path):
    recipe = Recipe.load(
        write(
            tmp_path,
            """
            [signals.neighbours]
            keep = 50
            [blend.like]
            weights = { asked = 2 }
            sources = ["asked"]
            [store]
            url = "http://127.0.0.1:8000"
            """,
        )
    )
    assert recipe.signals.neighbours.keep == 50
    assert recipe.blend.like.weights == {"asked": 2.0}
    assert recipe.store.url == "http://127.0.0.1:8000"
    assert recipe.signals.text == Recipe().signals.text


def test_five_mistakes_are_named_with_their_lines(tmp_path):
    path = write(
        tmp_path,
        """[signals.neighbours]
keep = 0
shrnk = 3

[encoder]
batch_size = "many"

[blend.user]
weights = { txt = 1.0 }
sources = ["text"]

[spce]
power = 0.5
""",
    )
    with pytest.raises(RecipeError) as caught:
        Recipe.load(path)
    problems = caught.value.problems
    assert [problem.split(":")[0] for problem in problems] == [
        "line 2",
        "line 3",
        "line 6",
        "line 9",
        "line 12",
    ]
    assert "greater than or equal to 1, not 0" in problems[0]
    assert "did you mean 'shrink'?" in problems[1]
    assert "encoder.batch_size" in problems[2]
    assert "did you mean 'text'?" in problems[3]
    assert "did you mean 'space'?" in problems[4]
    assert "5 problems" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "named"),
    [(b"[encoder\n", "line 1"), (b"\xff\xfe", "UTF-8"), (b"encoder = 3", "encoder")],
)
def test_what_is_no_recipe_is_refused(tmp_path, content, named):
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    with pytest.raises(RecipeError, match=named):
        Recipe.load(path)


def test_an_unknown_name_lists_what_is_shipped():
    with pytest.raises(RecipeError, match="default"):
        Recipe.load("nosuch")


def test_json_gives_the_same_recipe_back():
    recipe = Recipe.from_dict({"signals": {"text": {"decay": 0.5}}})
    again = Recipe.from_json(recipe.to_json())
    assert again == recipe
    assert again.fingerprint == recipe.fingerprint
    assert recipe.fingerprint != Recipe().fingerprint


@pytest.mark.parametrize(
    ("changed", "refits"),
    [
        ({"answering": {"diversity": 0.4}}, False),
        ({"search": {"exact_below": 7}}, False),
        ({"rules": {"pin": ["a"], "boost": {"new": 0.2}, "max_per_brand": 2}}, False),
        ({"policy": {"deny": ["A -> B"], "share": {"B -> A": 0.2}}}, False),
        ({"histories": {"walls": ["A"]}}, True),
        ({"blend": {"tune": False}}, False),
        ({"blend": {"user": {"weights": {"text": 1}}}}, False),
        ({"histories": {"event_weights": {"view": 0.5}}}, True),
        ({"signals": {"text": {"decay": 0.5}}}, True),
        ({"space": {"power": 0.25}}, True),
        ({"store": {"url": "http://127.0.0.1:8000"}}, True),
    ],
)
def test_what_only_says_how_to_answer_is_no_matter_of_the_parts(changed, refits):
    recipe = Recipe.from_dict(changed)
    assert recipe.fingerprint != Recipe().fingerprint
    assert (recipe.parts_fingerprint != Recipe().parts_fingerprint) == refits
    assert Recipe.from_json(recipe.to_json()).parts_fingerprint == recipe.parts_fingerprint


def test_every_option_is_documented():
    """Each field of each Options dataclass has its line in the docstring."""

    def walk(cls):
        for field in dataclasses.fields(cls):
            value = getattr(cls(), field.name) if cls is not type(None) else None
            if dataclasses.is_dataclass(value) and type(value).__name__ != "Situation":
                yield from walk(type(value))
            elif cls is not Recipe:
                yield cls, field.name

    undocumented = [
        f"{cls.__name__}.{name}"
        for cls, name in walk(Recipe)
        if not re.search(rf"^ *(\w+, )*{name}(, \w+)* : ", cls.__doc__ or "", re.MULTILINE)
    ]
    assert not undocumented


@pytest.mark.parametrize(
    ("rules", "named"),
    [
        ({"max_per_brand": 0}, "rules.max_per_brand: .*greater than or equal to 1"),
        ({"boost": {"new": 2}}, "rules.boost.new: .*less than or equal to 1"),
        ({"quota": {"A": 0.7, "B": 0.7}}, "the shares sum to 1.4"),
        ({"pins": ["a"]}, "did you mean 'pin'"),
    ],
)
def test_senseless_standing_rules_are_refused(rules, named):
    with pytest.raises(RecipeError, match=named):
        Recipe.from_dict({"rules": rules})


def test_a_situation_keeps_what_it_does_not_set():
    recipe = Recipe.from_dict({"blend": {"user": {"weights": {"text": 1}}}})
    assert recipe.blend.user.weights == {"text": 1.0}
    assert recipe.blend.user.sources == Recipe().blend.user.sources


@pytest.mark.parametrize(
    ("blend", "named"),
    [
        ({"weights": {}}, "at least 1 item"),
        ({"weights": {"text": 0}}, "must not be 0"),
        ({"weights": {"text": float("nan")}}, "finite"),
        ({"sources": []}, "at least 1 item"),
    ],
)
def test_a_blend_that_could_not_answer_is_refused(blend, named):
    with pytest.raises(RecipeError, match=named):
        Recipe.from_dict({"blend": {"user": blend}})


def test_paths_are_found_beside_the_recipe(tmp_path):
    (tmp_path / "mine.jinja").write_text("{{ title }}")
    path = write(tmp_path, "[templates]\nitem = 'mine.jinja'\n")
    assert Recipe.load(path).templates.item == str((tmp_path / "mine.jinja").resolve())
