from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossrec_llm.answering import allowed_rows, crosses, home_categories, make_query
from crossrec_llm.errors import QueryError
from crossrec_llm.filter import Filter
from crossrec_llm.records import Item
from tests.small import catalogue_of

ITEMS = [
    {"item_id": "a1", "category": ["A", "X"], "price": 1.0, "brand": "Foo", "added": 10.0},
    {"item_id": "a2", "category": ["A", "Y"], "price": 5.0, "brand": "foo", "available": False},
    {"item_id": "a3", "category": ["A"], "added": 30.0},
    {"item_id": "b1", "category": ["B", "X"], "price": 5.0, "brand": "Bar", "added": 20.0},
    {"item_id": "b2", "category": ["B"], "price": 9.0, "available": False, "added": 40.0},
    {"item_id": "c1", "price": 2.0, "brand": "Baz"},
    {"item_id": "ab", "category": ["AB"], "price": 3.0, "brand": "Bar"},
]
CATALOGUE = catalogue_of(*ITEMS)
RECORDS = [CATALOGUE.item(row) for row in range(len(ITEMS))]
IDS = [item["item_id"] for item in ITEMS]

optional_price = st.one_of(st.none(), st.sampled_from([0.0, 1.0, 3.0, 5.0, 10.0]))
paths = st.lists(st.sampled_from(["A", "A > X", "B", "b > x", "AB"]), max_size=2).map(tuple)
some_ids = st.lists(st.sampled_from(IDS), max_size=3).map(tuple)


@st.composite
def filters(draw):
    low, high = draw(optional_price), draw(optional_price)
    if low is not None and high is not None and low > high:
        low, high = high, low
    return Filter(
        category=draw(paths),
        not_category=draw(paths),
        cross=draw(st.sampled_from(["any", "only", "none"])),
        price_min=low,
        price_max=high,
        brand=draw(st.lists(st.sampled_from(["FOO", "Bar"]), max_size=2).map(tuple)),
        available=draw(st.booleans()),
        exclude=draw(some_ids),
        only=draw(st.one_of(st.none(), some_ids)),
        include_seen=draw(st.booleans()),
        since=draw(st.one_of(st.none(), st.sampled_from([0.0, 20.0, 50.0]))),
    )


def passes(item: Item, filter: Filter, seen: set[str], disliked: set[str], home: set[str]) -> bool:
    """The filter in words, item by item."""

    def under(path: str) -> bool:
        wanted = [part.strip().lower() for part in path.split(">")]
        return [part.lower() for part in item.category[: len(wanted)]] == wanted

    top = item.category[0] if item.category else ""
    return not (
        (filter.category and not any(under(path) for path in filter.category))
        or any(under(path) for path in filter.not_category)
        or (home and filter.cross == "only" and top in home | {""})
        or (home and filter.cross == "none" and top not in home)
        or (filter.price_min is not None and (item.price is None or item.price < filter.price_min))
        or (filter.price_max is not None and (item.price is None or item.price > filter.price_max))
        or (filter.brand and item.brand.lower() not in {b.lower() for b in filter.brand})
        or (filter.available and not item.available)
        or item.item_id in filter.exclude
        or (filter.only is not None and item.item_id not in filter.only)
        or (item.item_id in seen and not filter.include_seen)
        or item.item_id in disliked
        or (filter.since is not None and (item.added is None or item.added < filter.since))
    )


@given(
    filters(),
    st.lists(st.integers(0, len(ITEMS) - 1), max_size=3, unique=True),
    st.lists(st.booleans(), min_size=3, max_size=3),
)
def test_mask_says_what_the_words_say(filter, rows, wanted):
    weights = [1.0 if yes else -1.0 for yes in wanted[: len(rows)]]
    query = make_query("user", rows, weights)
    seen = {IDS[row] for row in query.history}
    disliked = {IDS[row] for row in query.disliked}
    home = {RECORDS[row].category[0] for row in query.history if RECORDS[row].category}
    expected = [passes(item, filter, seen, disliked, home) for item in RECORDS]
    assert allowed_rows(CATALOGUE, filter, query).tolist() == expected


def test_the_asked_item_never_comes_itself():
    query = make_query("similar", [0], [1.0])
    assert not allowed_rows(CATALOGUE, Filter(include_seen=True), query)[0]


def test_home_and_outside():
    query = make_query("user", [0, 2, 5], [1, 1, 1])
    home = home_categories(CATALOGUE, query)
    assert {CATALOGUE.top_names[code] for code in home} == {"A"}
    assert [IDS[row] for row in np.flatnonzero(crosses(CATALOGUE, home))] == ["b1", "b2", "ab"]


def test_nothing_is_outside_of_no_home():
    assert not crosses(CATALOGUE, np.empty(0, np.int64)).any()


@pytest.mark.parametrize(
    ("filter", "error", "named"),
    [
        (Filter(category=("Q",)), QueryError, "Q"),
        (Filter(not_category=("A > Z",)), QueryError, "A > Z"),
    ],
)
def test_what_is_not_there_is_named(filter, error, named):
    with pytest.raises(error, match=named):
        allowed_rows(CATALOGUE, filter, make_query("user"))


def test_ids_that_are_not_there_change_nothing():
    mask = allowed_rows(
        CATALOGUE, Filter(exclude=("gone",), only=("a1", "gone")), make_query("user")
    )
    assert np.flatnonzero(mask).tolist() == [0]


def test_senseless_filters_are_refused():
    with pytest.raises(QueryError, match="above price_max"):
        Filter(price_min=5, price_max=1)
    with pytest.raises(QueryError, match="cross must be"):
        Filter(cross="maybe")
    with pytest.raises(QueryError, match="NaN"):
        Filter(price_min=float("nan"))


def test_one_string_is_one_category():
    assert Filter(category="A > X").category == ("A > X",)
