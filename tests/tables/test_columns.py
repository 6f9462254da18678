from __future__ import annotations

import re

import pytest

from crossrec_llm.errors import DataError
from crossrec_llm.tables.columns import EventColumns, ItemColumns, map_columns, plain

ITEM_EXPORTS = {
    "movielens": ("movieId title genres", "movieId title - genres - -"),
    "recbole": ("item_id:token movie_title:token_seq class:token_seq", None),
    "amazon 2018": ("asin title description category brand price imageURL", None),
    "amazon 2023": ("main_category title price images categories parent_asin features", None),
    "shopify": (
        "Handle,Title,Body (HTML),Vendor,Type,Variant SKU,Variant Price,Image Src,Status",
        "Handle,Title,Body (HTML),Type,Vendor,Variant Price,Image Src,Status",
    ),
    "woocommerce": (
        "ID,Type,SKU,Name,Description,In stock?,Regular price,Categories,Images",
        "SKU,Name,Description,Categories,-,Regular price,Images,In stock?",
    ),
    "google": (
        "id,title,description,google_product_category,brand,price,image_link,availability",
        "id,title,description,google_product_category,brand,price,image_link,availability",
    ),
    "h&m": ("article_id prod_name detail_desc product_type_name", None),
    "goodreads": ("book_id title authors genres image_url publication_date", None),
    "steam": ("app_id,name,genres,developer,price,release_date", None),
}
EVENT_EXPORTS = {
    "movielens": ("userId movieId rating timestamp", "userId movieId timestamp - rating"),
    "recbole": (
        "user_id:token item_id:token rating:float timestamp:float",
        "user_id:token item_id:token timestamp:float - rating:float",
    ),
    "amazon 2018": (
        "reviewerID asin overall unixReviewTime reviewTime",
        "reviewerID asin unixReviewTime - overall",
    ),
    "amazon 2023": (
        "rating asin parent_asin user_id timestamp",
        "user_id parent_asin timestamp - rating",
    ),
    "retailrocket": ("timestamp visitorid event itemid", "visitorid itemid timestamp event -"),
    "ga4": (
        "event_timestamp event_name user_pseudo_id items.item_id",
        "user_pseudo_id items.item_id event_timestamp event_name -",
    ),
    "h&m": ("t_dat customer_id article_id price", "customer_id article_id t_dat - -"),
    "grocer": (
        "household_id product_id quantity transaction_timestamp",
        "household_id product_id transaction_timestamp - quantity",
    ),
    "steam": ("app_id user_id is_recommended hours date", "user_id app_id date - is_recommended"),
}
ITEM_FIELDS = "item_id title description category brand price image_url available".split()
EVENT_FIELDS = "user_id item_id timestamp event value".split()


def split(text: str) -> list[str]:
    return text.split(",") if "," in text else text.split()


@pytest.mark.parametrize("name", ITEM_EXPORTS)
def test_item_exports_are_recognised(name: str) -> None:
    header, expected = ITEM_EXPORTS[name]
    found = map_columns(split(header), ItemColumns(), "f")
    assert found.one("item_id") is not None
    assert found.one("title") is not None
    assert found.one("category") is not None
    for ours, theirs in zip(ITEM_FIELDS, split(expected or ""), strict=False):
        assert found.one(ours) == (None if theirs == "-" else theirs)


@pytest.mark.parametrize("name", EVENT_EXPORTS)
def test_event_exports_are_recognised(name: str) -> None:
    header, expected = EVENT_EXPORTS[name]
    found = map_columns(split(header), EventColumns(), "f")
    assert [found.one(ours) or "-" for ours in EVENT_FIELDS] == split(expected)


@pytest.mark.parametrize("name", ["user_id:token", "userId", "User ID", "USER-ID", " user id "])
def test_plain_names(name: str) -> None:
    assert plain(name) == "userid"


def test_mapping_by_hand_and_leftovers() -> None:
    wanted = ItemColumns(item_id="nr", title=("a", "b"), brand="-", category=("d1", "d2"))
    found = map_columns(["nr", "a", "b", "brand", "d1", "d2", "colour"], wanted, "f")
    assert found.columns == {
        "item_id": ("nr",),
        "title": ("a", "b"),
        "category": ("d1", "d2"),
    }
    assert found.unused == ("brand", "colour")


@pytest.mark.parametrize(
    ("names", "wanted", "words"),
    [
        (["id", "naem"], ItemColumns(), "no title column .*'id', 'naem'.*title = "),
        (["titel", "sku"], ItemColumns(), "nearest is 'titel'"),
        (["title"], ItemColumns(), "no item_id column"),
        (["usr", "item_id"], EventColumns(), r"no user_id .*\[tables.event_columns\]"),
        (["id", "Title", "title"], ItemColumns(), "'Title', 'title' could all be title"),
        (["id", "title", "x", "x"], ItemColumns(), "two columns are called 'x'"),
        (["id", "titel"], ItemColumns(title="title"), "no column 'title'.*'titel'"),
        (["1", "1193", "5"], EventColumns(), "without a header line"),
        ([f"c{i}" for i in range(50)], ItemColumns(), "and 20 more"),
    ],
)
def test_what_is_missing_is_explained(
    names: list[str], wanted: ItemColumns | EventColumns, words: str
) -> None:
    with pytest.raises(DataError) as caught:
        map_columns(names, wanted, "shop.csv")
    assert re.search(words, str(caught.value))
    assert str(caught.value).startswith("shop.csv: ")
    assert "\n" not in str(caught.value)


def test_live_columns_may_have_our_names_or_be_missing() -> None:
    wanted = EventColumns(user_id="Kunde", item_id="Artikel", value="Menge", event="Aktion")
    found = map_columns(["Kunde", "item_id", "Aktion", "qty"], wanted, "f", live=True)
    assert found.columns == {"user_id": ("Kunde",), "item_id": ("item_id",), "event": ("Aktion",)}
    assert found.absent == {"value": ("Menge",)}
    assert found.unused == ("qty",)
    with pytest.raises(DataError, match="no column 'Menge', which the recipe maps to value"):
        map_columns(["Kunde", "Artikel", "Aktion"], wanted, "f")
    parts = ItemColumns(item_id="nr", category=("Sparte", "Gruppe"))
    with pytest.raises(DataError, match=r"no column 'Sparte'.*; call it category, or what"):
        map_columns(["nr", "title", "Gruppe"], parts, "f", live=True)
