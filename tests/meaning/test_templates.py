from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crossrec_llm.errors import TemplateError
from crossrec_llm.meaning import TemplateOptions, Templates
from crossrec_llm.meaning.tokens import Tokens
from crossrec_llm.records import Item
from crossrec_llm.resources import default_folder

from .conftest import FakeCatalogue

SHOE = Item(
    "s1",
    "Red shoe",
    description="Soft  leather,\nmade by hand",
    category=("Shoes", "Running"),
    brand="Acme",
    price=9.5,
    metadata={"colour": "red", "items": "two"},
)
BARE = Item("s2", "Blue lamp")
DEFAULTS = TemplateOptions()


def shipped(options: TemplateOptions = DEFAULTS, *, tokens: Tokens | None = None) -> Templates:
    return Templates.load(default_folder("prompts"), options, tokens=tokens)


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Templates]:
    """Templates of which some are given as source, the others are the shipped ones."""

    def make(history_items: int = 50, **sources: str) -> Templates:
        folder = default_folder("prompts")
        for name in ("item", "history", "query"):
            source = sources.get(name, (folder / f"{name}.jinja").read_text())
            (tmp_path / f"{name}.jinja").write_text(source)
        return Templates.load(tmp_path, TemplateOptions(history_items=history_items))

    return make


def test_shipped_templates():
    templates = shipped()
    assert templates.item_text(SHOE) == (
        "Red shoe. Acme. Shoes, Running. Soft leather, made by hand"
    )
    assert templates.item_text(BARE) == "Blue lamp"
    assert templates.history_text([SHOE, BARE]) == "Red shoe. Blue lamp"
    assert templates.history_text([]) == ""
    assert templates.query_text("  a   lamp\n") == "a lamp"
    assert templates.query_text("lamp \udce9") == "lamp ?"


@pytest.mark.parametrize(
    ("source", "full", "bare"),
    [
        ("{{ title }}\nBrand: {{ brand }}.", "Red shoe. Brand: Acme.", "Blue lamp"),
        ("{{ title }} ({{ brand }})", "Red shoe (Acme)", "Blue lamp ()"),
        ("{{ title }}\n{% if brand %}by {{ brand }}{% endif %}", "Red shoe. by Acme", "Blue lamp"),
        ("Product\n{{ title }}!\n{{ brand }}", "Product. Red shoe! Acme", "Product. Blue lamp!"),
        ("{{ title }}\nCosts {{ price }}", "Red shoe. Costs 9.5", "Blue lamp"),
        ("{{ title }}\nin {{ category }}", "Red shoe. in Shoes > Running", "Blue lamp"),
        ("{{ title }}\n{{ category | last or '' }}", None, None),
        ("{{ title }}\n{{ category[:1] | join }}", "Red shoe. Shoes", "Blue lamp"),
        ("{{ title }}\n{{ top_category }}", "Red shoe. Shoes", "Blue lamp"),
        ("{{ title }}\nColour: {{ metadata.colour }}", "Red shoe. Colour: red", "Blue lamp"),
        ('{{ title }}\n{{ metadata["items"] }}', "Red shoe. two", "Blue lamp"),
        ("{{ title }}\n{{ metadata.items }}", "Red shoe. two", "Blue lamp"),
        (
            "{{ title }}\n{% for m in metadata %}\n{{ m }} {{ metadata[m] }}\n{% endfor %}",
            "Red shoe. colour red. items two",
            "Blue lamp",
        ),
        (
            "{{ title }}\n{% for n in range(2) %}{{ n }}{% endfor %}",
            "Red shoe. 01",
            "Blue lamp. 01",
        ),
    ],
)
def test_empty_fields_go_with_their_label(
    load: Callable[..., Templates], source: str, full: str | None, bare: str | None
):
    if full is None:
        with pytest.raises(TemplateError, match=r"item\.jinja:2"):
            load(item=source)
        return
    templates = load(item=source)
    assert templates.item_text(SHOE) == full
    assert templates.item_text(BARE) == bare


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ({"item": "{{ title }}\n\n{{ tilte }}"}, r"item\.jinja:3: unknown field 'tilte'.*title"),
        (
            {"item": "{% if false %}{{ zzz }}{% endif %}"},
            r"item\.jinja:1: unknown field 'zzz'; know",
        ),
        (
            {"history": "{% for i in items %}\n{{ i.tilte }}\n{% endfor %}"},
            r"jinja:2: .*'tilte'.*tit",
        ),
        ({"query": "{{ txt }}"}, r"query\.jinja:1: unknown field 'txt'; did you mean text"),
        ({"item": "{{ title }}\n{% if %}"}, r"item\.jinja:2: "),
        ({"item": "{{ title | shout }}"}, r"item\.jinja:1: No filter named 'shout'"),
        ({"item": "{{ title }}\n{{ 1 / 0 }}"}, r"item\.jinja:2: ZeroDivisionError"),
        ({"item": "{{ title.__class__.__mro__ }}"}, r"item\.jinja:1: "),
        ({"item": "{% include 'other' %}"}, r"item\.jinja:1: "),
        ({"item": "{{ title }}\n{{ category[0] }}"}, r"item\.jinja:2: "),
        ({"item": '{{ "%.2f" | format(price) }}'}, r"item\.jinja:1: TypeError"),
    ],
)
def test_mistakes_show_at_load(load: Callable[..., Templates], sources: dict, message: str):
    with pytest.raises(TemplateError, match=message):
        load(**sources)


def test_a_template_can_be_a_file_anywhere(tmp_path: Path):
    path = tmp_path / "mine.jinja"
    path.write_text("{{ title | upper }}")
    templates = shipped(TemplateOptions(item=str(path)))
    assert templates.item_text(SHOE) == "RED SHOE"


def test_a_missing_template_names_those_there_are():
    with pytest.raises(TemplateError, match=r"no template 'itme'.*history, item, query"):
        shipped(TemplateOptions(item="itme"))
    with pytest.raises(TemplateError, match=r"no template '\./none\.jinja'"):
        shipped(TemplateOptions(item="./none.jinja"))


def test_a_template_in_another_encoding_is_refused(tmp_path: Path):
    path = tmp_path / "mine.jinja"
    path.write_bytes("Größe {{ title }}".encode("utf-16"))
    with pytest.raises(TemplateError, match="UTF-8"):
        shipped(TemplateOptions(item=str(path)))


def test_metadata_columns_are_checked_against_the_catalogue(load: Callable[..., Templates]):
    templates = load(item='{{ title }}\n{{ metadata.colour }}\n{{ metadata["Size"] }}')
    rows = [
        {"title": "a", "metadata": '{"colour": "red"}'},
        {"title": "b", "metadata": '{"Size": "5"}'},
    ]
    assert templates.item_texts(FakeCatalogue(rows)) == ["a. red", "b. 5"]
    with pytest.raises(TemplateError, match=r":3: unknown field 'metadata\.Size'.*metadata\.size"):
        templates.item_texts(FakeCatalogue([{"title": "a", "metadata": '{"colour":"","size":""}'}]))
    assert templates.item_texts(FakeCatalogue([])) == []


def test_catalogue_and_item_give_the_same_text(load: Callable[..., Templates]):
    templates = load(
        item="{{ title }}\n{{ category }}\n{{ brand }}\n{{ price }}\n{{ description }}"
    )
    catalogue = FakeCatalogue(
        [
            {"title": "x  y", "category": ["A", "B"], "price": 1234567.5, "description": "d\n e"},
            {"title": "z", "price": 3.0, "brand": "b"},
        ]
    )
    items = [
        Item("1", "x  y", category=("A", "B"), price=1234567.5, description="d\n e"),
        Item("2", "z", price=3.0, brand="b"),
    ]
    texts = templates.item_texts(catalogue)
    assert texts == [templates.item_text(item) for item in items]
    assert texts == ["x y. A > B. 1234567.5. d e", "z. b. 3"]


LONG = "word " * 500


def test_a_long_description_gives_way(fake_encoder: Callable[..., Any]):
    encoder, _ = fake_encoder()
    for source, item in [
        ("{{ description }}\n{{ title }}\n{{ brand }}", Item("1", "red shoe", LONG, brand="blue")),
        ("{{ title }}\n{{ brand }}\n{{ description }}", Item("1", "red shoe", LONG, brand="blue")),
    ]:
        text = _with(source, encoder.tokens).item_text(item)
        assert "red shoe" in text
        assert "blue" in text
        assert "word word" in text
        assert encoder.tokens.limit - 4 <= encoder.count_tokens([text])[0] <= encoder.tokens.limit
        assert not set(text.replace(".", " ").split()) - {"red", "shoe", "blue", "word"}


@pytest.mark.parametrize("source", ["{{ title }}\n{{ category }}", "{{ category }}\n{{ title }}"])
def test_the_title_stays_in_front_where_nothing_else_helps(
    fake_encoder: Callable[..., Any], source: str
):
    encoder, _ = fake_encoder()
    text = _with(source, encoder.tokens).item_text(Item("1", "red shoe", category=(LONG,)))
    assert text.startswith("red shoe. word word")
    assert encoder.count_tokens([text])[0] <= encoder.tokens.limit
    alone = _with(source, encoder.tokens).item_text(
        Item("1", "lamp " + LONG, LONG, category=("A",))
    )
    assert alone.startswith("lamp word word")
    assert encoder.count_tokens([alone])[0] <= encoder.tokens.limit


def test_megabytes_of_description_are_no_trouble(fake_encoder: Callable[..., Any]):
    encoder, _ = fake_encoder()
    text = shipped(tokens=encoder.tokens).item_text(Item("1", "red shoe", "x" * 10_000_000))
    assert text.startswith("red shoe")
    assert len(text) < 5000


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(title=st.text(max_size=60), description=st.text(max_size=400), brand=st.text(max_size=20))
def test_every_text_fits(
    fake_encoder: Callable[..., Any], title: str, description: str, brand: str
):
    encoder, _ = fake_encoder()
    templates = shipped(tokens=encoder.tokens)
    item = Item("1", title, description, brand=brand)
    text = templates.item_text(item)
    assert encoder.count_tokens([text])[0] <= encoder.tokens.limit
    assert text == " ".join(text.split())
    short = " ".join(title.split())
    if encoder.count_tokens([f"{short}. {' '.join(brand.split())}"])[0] < encoder.tokens.limit - 3:
        assert text.startswith(short)


def test_only_a_history_that_is_too_long_loses_its_oldest(fake_encoder: Callable[..., Any]):
    encoder, _ = fake_encoder()
    templates = shipped(tokens=encoder.tokens)
    items = [Item(str(i), f"{'abcdefghijklmnopqrstuvwxyz'[i % 26]} shoe") for i in range(40)]
    text = templates.history_text(items)
    titles = [part for part in text.split(". ") if part]
    assert titles == [item.title for item in items[-len(titles) :]]
    assert 2 < len(titles) < 40
    longer = shipped().history_text(items[-len(titles) - 1 :])
    assert encoder.count_tokens([text])[0] <= encoder.tokens.limit
    assert encoder.count_tokens([longer])[0] > encoder.tokens.limit
    assert templates.history_text(items[:2]) == "a shoe. b shoe"
    huge = templates.history_text([items[0], Item("x", LONG)])
    assert huge.startswith("word word")
    assert encoder.count_tokens([huge])[0] <= encoder.tokens.limit


def test_a_history_names_at_most_the_newest(load: Callable[..., Templates]):
    items = [Item(str(i), f"t{i}") for i in range(9)]
    assert load(history_items=3).history_text(items) == "t6. t7. t8"


def test_fingerprint_follows_what_changes_texts(
    load: Callable[..., Templates], fake_encoder: Callable[..., Any]
):
    base = load().fingerprint
    assert load().fingerprint == base == shipped().fingerprint
    others = [
        load(item="{{ title }}"),
        load(history="{{ items | length }}"),
        load(query="q {{ text }}"),
        load(history_items=9),
        *(shipped(tokens=fake_encoder(max_tokens=m)[0].tokens) for m in (20, 30)),
    ]
    assert len({base, *(other.fingerprint for other in others)}) == 7


def _with(source: str, tokens: Tokens) -> Templates:
    with tempfile.NamedTemporaryFile("w", suffix=".jinja") as file:
        file.write(source)
        file.flush()
        return shipped(TemplateOptions(item=file.name), tokens=tokens)
