from __future__ import annotations

import numpy as np
import pytest

from crossrec_llm.answering import Ask, Rules, RulesOptions, Standing, make_query
from crossrec_llm.answering.standing import target_rows
from crossrec_llm.errors import QueryError, UnknownItem
from crossrec_llm.filter import BOOST, Filter
from tests.small import catalogue_of

DAY = 86_400.0
CATALOGUE = catalogue_of(
    {"item_id": "tea-green", "category": ["Tea", "Green"], "brand": "Leaf", "added": 0.0},
    {"item_id": "tea-black", "category": ["Tea", "Black"], "brand": "leaf", "added": 90 * DAY},
    {"item_id": "cup", "category": ["Kitchen"], "brand": "Clay", "added": 100 * DAY},
    {"item_id": "pot", "category": ["Kitchen"]},
    {"item_id": "book", "added": 95 * DAY},
)
COLD = np.array([False, False, True, False, True])
NO_RULES = RulesOptions()


def rules(filter=Filter(), *, k=3, history=(), standing=NO_RULES, **ask):
    query = make_query("user", list(history), [1.0] * len(history))
    kept = Standing.of(standing, CATALOGUE, COLD)
    return Rules.of(CATALOGUE, query, Ask(k, filter, **ask), kept, COLD)


@pytest.mark.parametrize(
    ("target", "ids"),
    [
        ("cup", ["cup"]),
        ("item:cup", ["cup"]),
        ("category:tea", ["tea-green", "tea-black"]),
        ("category:Tea > Black", ["tea-black"]),
        ("brand:LEAF", ["tea-green", "tea-black"]),
        ("fresh:10", ["tea-black", "cup", "book"]),
        ("fresh:0.5", ["cup"]),
        ("new", ["cup", "book"]),
    ],
)
def test_what_a_target_means(target, ids):
    found = np.flatnonzero(target_rows(CATALOGUE, target, COLD))
    assert [CATALOGUE.ids[row] for row in found] == ids


@pytest.mark.parametrize(
    ("filter", "error", "named"),
    [
        (Filter(pin="cupp"), UnknownItem, "no item 'cupp' in this index; did you mean 'cup'"),
        (Filter(boost="tea-grean"), UnknownItem, "did you mean 'tea-green'"),
        (Filter(bury="item:potts"), UnknownItem, "'potts'"),
        (Filter(boost={"category:Teas": 0.1}), QueryError, "no item is in a category 'Teas'.*Tea"),
        (Filter(bury="brand:Leav"), QueryError, "no item has the brand 'Leav'; did you mean 'Leaf"),
        (Filter(bury="fresh:soon"), QueryError, "give a number of days"),
        (Filter(quota={"Kitchens": 0.5}), QueryError, "Kitchen"),
        (Filter(quota={"Tea": 0.5, "Tea > Black": 0.1}), QueryError, "overlap"),
    ],
)
def test_what_is_not_there_is_an_error_of_the_question(filter, error, named):
    with pytest.raises(error, match=named):
        rules(filter).demands(np.arange(5))


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"max_per_brand": 0}, "max_per_brand must be a whole number from 1 on"),
        ({"max_per_category": 1.5}, "max_per_category must be a whole number"),
        ({"new_share": 1.1}, "new_share must lie between 0 and 1"),
        ({"calibration": -0.1}, "calibration must lie"),
        ({"added_within": 0}, "days above 0"),
        ({"boost": {"new": -1}}, "`bury` puts back"),
        ({"boost": {"new": float("nan")}}, "must be a number"),
        ({"boost": {"new": "much"}}, "must be a number, not 'much'"),
        ({"quota": {"A": 0.7, "B": 0.6}}, "sum to 1.3"),
        ({"quota": {"A": 2}}, "between 0 and 1"),
        ({"quota": "A"}, "quota 'A' needs a number"),
    ],
)
def test_senseless_rules_are_refused(fields, named):
    with pytest.raises(QueryError, match=named):
        Filter(**fields)


def test_a_list_is_split_once():
    with pytest.raises(QueryError, match="one of the two"):
        Ask(10, Filter(quota={"Tea": 0.5}), cross_share=0.5)


def test_a_filter_shows_what_it_would_be_made_from():
    filter = Filter(
        boost=["new", ("brand:Leaf", 0.5)], quota={"Tea": 0.5}, pin="cup", max_per_brand=2
    )
    shown = filter.set_fields()
    assert shown == {
        "boost": {"new": BOOST, "brand:Leaf": 0.5},
        "quota": {"Tea": 0.5},
        "pin": ["cup"],
        "max_per_brand": 2,
    }
    assert Filter(**shown) == filter
    assert hash(filter) == hash(Filter(**shown))


def test_a_number_is_taken_for_an_id():
    filter = Filter(pin=(7,), boost={8: 0.5}, bury=[9])
    assert (filter.pin, filter.boost, filter.bury) == (("7",), (("8", 0.5),), ("9",))


def test_freshness_counts_back_from_the_item_added_last():
    assert np.flatnonzero(rules(Filter(added_within=10)).allowed).tolist() == [1, 2, 4]
    dateless = catalogue_of({"item_id": "a"})
    with pytest.raises(QueryError, match="no item of this catalogue has a date"):
        dateless.added_within(3)


def test_caps_count_brands_in_any_case_and_nothing_without_one():
    assert len(set(CATALOGUE.brand_codes[:2])) == 1
    assert CATALOGUE.brand_codes[3:].tolist() == [-1, -1]
    assert CATALOGUE.category_codes[2] == CATALOGUE.category_codes[3] >= 0
    assert CATALOGUE.category_codes[0] != CATALOGUE.category_codes[1]
    assert CATALOGUE.category_codes[4] == -1


def test_pins_that_cannot_come_are_told():
    found = rules(Filter(pin=("pot", "cup", "book"), exclude=("cup",)), history=[4])
    assert found.pinned.tolist() == [3]
    assert list(found.notes(np.array([3]))) == [
        "pinned: 1 of 3, 'cup' is excluded by the filter; "
        "'book' is already known, or excluded by the filter"
    ]
    found = rules(Filter(pin=("pot", "cup")), k=1)
    assert list(found.notes(np.array([3]))) == ["pinned: 1 of 2, the list is 1 long"]
    assert not list(rules(Filter(pin="pot")).notes(np.array([3])))


def test_shortfalls_name_the_rule():
    found = rules(Filter(max_per_brand=1, new_share=1, quota={"Tea": 0.7}))
    assert found.shortfall(np.array([0, 2])) == (
        "2 of 3: no more items pass the filter with at most 1 per brand; "
        "1 instead of 2 of 3 lie in 'Tea': "
        "no more there pass the filter with at most 1 per brand; "
        "1 instead of 3 of 3 are new: no more pass the filter with at most 1 per brand"
    )
    assert rules(Filter(max_per_brand=1)).shortfall(np.array([0, 2, 3])) is None
    tops = rules(Filter(max_per_top_category=1))
    assert tops.shortfall(np.array([0, 2])) == (
        "2 of 3: no more items pass the filter with at most 1 per top category"
    )
    assert not tops.wanting(np.array([0, 2, 4]), np.array([0, 2, 4])).any()  # no top category: free
    pins = rules(Filter(max_per_brand=1, pin=("tea-green", "tea-black")))
    assert list(pins.notes(np.array([0, 1, 2]))) == ["max_per_brand 1: 2 came, as they are pinned"]


def test_the_question_comes_before_the_standing_rules():
    options = RulesOptions(
        pin=("cup",),
        boost={"new": 0.1, "brand:Leaf": 0.2},
        bury=("pot",),
        exclude=("book",),
        available=True,
        max_per_brand=3,
        quota={"Tea": 0.5},
        new_share=0.2,
    )
    standing = Standing.of(options, CATALOGUE, COLD)
    assert not standing.notes
    asked = Filter(pin=("pot",), boost={"new": 0.9}, max_per_brand=1, category="Tea")
    assert standing.joined(Ask(3, asked)) == Filter(
        category="Tea",
        pin=("pot", "cup"),
        boost={"new": 0.9, "brand:Leaf": 0.2},
        bury=("pot",),
        exclude=("book",),
        available=True,
        max_per_brand=1,
        quota={"Tea": 0.5},
        new_share=0.2,
    )
    assert not standing.joined(Ask(3, cross_share=0.5)).quota
    assert rules(Filter(standing=False), standing=options).asked.filter == Filter(standing=False)


def test_a_standing_rule_for_what_is_gone_is_passed_over_and_told():
    options = RulesOptions(
        pin=("cupp", "cup"), boost={"brand:Gone": 0.1}, quota={"Tea": 0.5, "Tea > Black": 0.2}
    )
    standing = Standing.of(options, CATALOGUE, COLD)
    assert standing.filter == Filter(pin="cup")
    assert len(standing.notes) == 3
    assert "no item 'cupp' in this index; did you mean 'cup'" in standing.notes[0]
    assert "no item has the brand 'Gone'" in standing.notes[1]
    assert "overlap" in standing.notes[2]


def test_calibration_takes_the_shares_of_the_history():
    found = rules(Filter(calibration=0.5), history=[0, 1, 3, 4]).demands(np.arange(5)).calibration
    assert found.lived.tolist() == pytest.approx([1 / 3, 2 / 3])  # Kitchen, Tea
    assert found.codes.tolist() == [1, 1, 0, 0, -1]
    nowhere = rules(Filter(calibration=0.5), history=[4])
    assert nowhere.demands(np.arange(5)).calibration is None
    assert "not calibrated" in next(nowhere.notes(np.array([0])))
