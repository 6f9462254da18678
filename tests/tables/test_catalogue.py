from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from crossrec_llm.errors import DataError, QueryError, UnknownItem
from crossrec_llm.records import Item
from crossrec_llm.tables import ITEMS_SCHEMA, Catalogue
from tests.small import catalogue_of
from tests.tables.samples import items

FULL = {
    "item_id": "x 1/é",
    "title": "A lamp",
    "description": "It shines",
    "category": ["Home", "Light"],
    "brand": "Lux",
    "price": 9.5,
    "image_url": "https://shop/1.jpg",
    "available": False,
    "added": 1e9,
    "metadata": '{"colour": "red"}',
}


@pytest.fixture
def shop() -> Catalogue:
    return Catalogue.from_table(
        items(
            FULL,
            {"category": ["Home", "Garden"], "brand": "lux", "price": 3.0},
            {"category": ["home"], "brand": "Other"},
            {"category": ["Audio/Video", "TV > LED"]},
            {},
        )
    )


def test_items_come_back_as_records(shop: Catalogue) -> None:
    assert shop.item(0) == Item(
        "x 1/é",
        "A lamp",
        "It shines",
        ("Home", "Light"),
        "Lux",
        9.5,
        "https://shop/1.jpg",
        False,
        1e9,
        {"colour": "red"},
    )
    assert shop.item(4) == Item("i4", "t4")
    for row in (-1, 5):
        with pytest.raises(IndexError):
            shop.item(row)


def test_columns(shop: Catalogue) -> None:
    np.testing.assert_array_equal(shop.prices, [9.5, 3.0, np.nan, np.nan, np.nan])
    np.testing.assert_array_equal(shop.added, [1e9, *[np.nan] * 4])
    assert shop.available.tolist() == [False, True, True, True, True]
    assert shop.top_names == ["", "Audio/Video", "Home", "home"]
    assert [shop.top_names[code] for code in shop.top_codes] == [
        "Home",
        "Home",
        "home",
        "Audio/Video",
        "",
    ]
    assert shop.top_codes.dtype == np.int32


@pytest.mark.parametrize(
    ("path", "rows"),
    [
        ("Home", [0, 1, 2]),
        ("HOME > light", [0]),
        ("home/garden", [1]),
        ("Home>Garden", [1]),
        ("audio/video", [3]),
    ],
)
def test_under(shop: Catalogue, path: str, rows: list[int]) -> None:
    assert np.flatnonzero(shop.under(path)).tolist() == rows


def test_under_nothing_names_what_is_near(shop: Catalogue) -> None:
    with pytest.raises(QueryError, match="'Home > Garden'"):
        shop.under("Home > Gardn")
    with pytest.raises(QueryError, match="'Audio/Video', 'Home'"):
        shop.under("zzz")
    with pytest.raises(QueryError, match="no item has a category"):
        Catalogue.from_table(items({})).under("")


def test_brands(shop: Catalogue) -> None:
    assert np.flatnonzero(shop.brand_mask(["LUX", "none such"])).tolist() == [0, 1]
    assert not shop.brand_mask([]).any()


@pytest.mark.parametrize("warm", [False, True])
def test_ids_and_rows(shop: Catalogue, warm: bool) -> None:
    if warm:
        shop.rows(["i1"])
    assert shop.row("i2") == 2
    assert "i2" in shop
    assert "i9" not in shop
    assert 2 not in shop
    with pytest.raises(UnknownItem, match=r"'I3'.*did you mean 'i3'"):
        shop.row("I3")
    with pytest.raises(UnknownItem):
        shop.row("x" * 5000)


def test_rows_of_many_shapes(shop: Catalogue) -> None:
    wanted = ["i4", "no", "x 1/é", "i4"]
    column = pa.array([*wanted, None])
    assert shop.rows(wanted).tolist() == [4, -1, 0, 4]
    for ids in (column, column.dictionary_encode(), pa.chunked_array([column])):
        assert shop.rows(ids).tolist() == [4, -1, 0, 4, -1]
    many = pa.array([f"i{n}" for n in range(20_000)])
    assert np.flatnonzero(shop.rows(many) >= 0).tolist() == [1, 2, 3, 4]
    assert shop.rows([]).tolist() == []


def test_saving_is_deterministic_and_opening_maps(shop: Catalogue, tmp_path: Path) -> None:
    shop.save(tmp_path / "a")
    chunked = pa.concat_tables([shop.table.slice(0, 2), shop.table.slice(2)])
    Catalogue.from_table(chunked).save(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    opened = Catalogue.open(tmp_path / "a")
    assert opened.table.equals(shop.table)
    before = pa.total_allocated_bytes()
    again = Catalogue.open(tmp_path / "a")
    assert pa.total_allocated_bytes() - before < 4096
    assert len(again) == 5


def test_one_look_up_indexes_nothing(tmp_path: Path) -> None:
    Catalogue.from_table(items(*({} for _ in range(40_000)))).save(tmp_path / "c")
    opened = Catalogue.open(tmp_path / "c")
    assert opened.row("i39999") == 39_999
    assert "_row_of" not in vars(opened)


def test_what_is_no_catalogue(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be opened"):
        Catalogue.open(tmp_path / "missing")
    (tmp_path / "text").write_text("no arrow")
    with pytest.raises(DataError, match="cannot be opened"):
        Catalogue.open(tmp_path / "text")
    with pa.ipc.new_file(str(tmp_path / "other"), pa.schema([("a", pa.int64())])):
        pass
    with pytest.raises(DataError, match="not a saved catalogue"):
        Catalogue.open(tmp_path / "other")
    with pytest.raises(DataError, match="not a table of ITEMS_SCHEMA"):
        Catalogue.from_table(pa.table({"item_id": ["a"]}))
    with pytest.raises(DataError, match="twice"):
        Catalogue.from_table(items({"item_id": "a"}, {"item_id": "a"}))


def test_an_empty_catalogue(tmp_path: Path) -> None:
    empty = Catalogue.from_table(ITEMS_SCHEMA.empty_table())
    empty.save(tmp_path / "e")
    opened = Catalogue.open(tmp_path / "e")
    assert len(opened) == 0
    assert opened.top_names == []
    assert opened.rows(["a"]).tolist() == [-1]


def test_an_unknown_brand_names_the_near_ones() -> None:
    catalogue = catalogue_of({"item_id": "a", "brand": "Nordfell"}, {"item_id": "b"})
    with pytest.raises(QueryError, match="did you mean 'Nordfell'"):
        catalogue.brand_mask(["Nordfel"])


def test_a_grown_catalogue_keeps_rows_and_hides_what_is_gone():
    was = catalogue_of(*({"item_id": f"i{n}", "brand": "Acme"} for n in range(3)))
    later = catalogue_of({"item_id": "n0"}, {"item_id": "i1", "brand": "Other"})
    gone = np.array([True, False, False, False])
    now = was.grown(later.table, gone)
    assert now.ids == ["i0", "i1", "i2", "n0"]
    assert now.item(1).brand == "Other"
    assert was.item(1).brand == "Acme"
    for _ in range(2):  # before the dict of ids is made, and after
        assert "i0" not in now
        assert now.row("n0") == 3
        with pytest.raises(UnknownItem) as refused:
            now.row("i0")
        assert "i0" not in refused.value.near
        assert now.rows(["i0", "i2", "n9"]).tolist() == [-1, 2, -1]
    assert now.present.tolist() == [False, True, True, True]
