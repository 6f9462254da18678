from __future__ import annotations

import numpy as np
import pytest

from crossrec_llm.errors import QueryError, RecipeError
from crossrec_llm.filter import Filter
from crossrec_llm.recipe import Recipe
from crossrec_llm.tables import OUTSIDE, HistoryOptions, Walls, history_digest
from tests.small import catalogue_of, events_of

CATALOGUE = catalogue_of(
    {"item_id": "i0", "category": ["Health", "Debt help"]},
    {"item_id": "i1", "category": ["Health"]},
    {"item_id": "i2", "category": ["Finance", "Debt"]},
    {"item_id": "i3", "category": ["Finance", "Savings"]},
    {"item_id": "i4", "category": ["Books"]},
    {"item_id": "i5"},
)
WALLS = Walls.of(CATALOGUE, ["Health", "finance > debt", "Health > Debt help"])


def test_of_walls_within_walls_the_inner_one_holds():
    assert WALLS.behind.tolist() == [2, 0, 1, OUTSIDE, OUTSIDE, OUTSIDE]
    assert not WALLS.notes
    assert WALLS.closed(OUTSIDE).tolist() == [True, True, True, False, False, False]
    assert WALLS.closed(0).tolist() == [True, False, True, True, True, True]


@pytest.mark.parametrize(
    ("paths", "asked", "side"),
    [
        ((), None, OUTSIDE),
        (("Books", "Finance"), None, OUTSIDE),
        (("Health",), None, 0),
        (("Health > Debt help",), None, 2),
        (("Finance/Debt",), None, 1),
        ((), 2, 1),
        (("Finance > Debt",), 2, 1),
        ((), 4, OUTSIDE),
    ],
)
def test_a_question_stands_on_one_side(paths, asked, side):
    assert WALLS.side(Filter(category=paths), asked) == side


@pytest.mark.parametrize(
    ("paths", "asked", "named"),
    [
        (("Health", "Books"), None, "'Health' behind 'Health', 'Books' lies outside"),
        (("Health", "Finance > Debt"), None, "ask for one"),
        (("Books",), 1, "'i1' behind 'Health'"),
        (("Health",), 4, "'i4' lies outside"),
    ],
)
def test_a_question_on_two_sides_is_refused(paths, asked, named):
    with pytest.raises(QueryError, match=named):
        WALLS.side(Filter(category=paths), asked)


def test_events_are_seen_from_one_side_only():
    events = events_of([[0, 1, 4], [2, 5], [7]])

    def seen(side):
        return WALLS.visible(events, side)["item_id"].to_pylist()

    assert seen(OUTSIDE) == ["i4", "i5", "i7"]
    assert (seen(0), seen(1), seen(2)) == (["i1"], ["i2"], ["i0"])
    assert Walls.of(CATALOGUE, ()).visible(events) is events
    nothing_walled = events_of([[3, 4]])
    assert WALLS.visible(nothing_walled) is nothing_walled


def test_the_digest_of_what_is_seen_tells_nothing_of_the_rest():
    rows = events_of([[0, 3, 1, 4]]).to_pylist()
    rows[0]["value"] = rows[2]["value"] = 5.0
    schema = events_of([]).schema
    recorded, without = (
        type(events_of([])).from_pylist(part, schema=schema)
        for part in (rows, [row for row in rows if row["item_id"] in ("i3", "i4")])
    )
    assert history_digest(WALLS.visible(recorded)) == history_digest(without)
    assert history_digest(recorded) != history_digest(without)


def test_a_wall_around_nothing_is_said():
    walls = Walls.of(CATALOGUE, ["Helth", "Books"])
    assert walls.behind.tolist() == [OUTSIDE] * 4 + [1, OUTSIDE]
    (note,) = walls.notes
    assert note.startswith("wall 'Helth' has nothing behind it: no item is in a category 'Helth'")
    assert "'Health'" in note


@pytest.mark.parametrize("path", ["*", "", "Health > *"])
def test_a_wall_needs_a_path(path):
    with pytest.raises(RecipeError, match="a wall stands around a category path"):
        Recipe.from_dict({"histories": {"walls": [path]}})


def test_walls_are_part_of_what_is_fitted():
    recipe = Recipe.from_dict({"histories": {"walls": ["Health"]}})
    assert recipe.parts_fingerprint != Recipe().parts_fingerprint
    assert Recipe.from_json(recipe.to_json()) == recipe
    assert HistoryOptions(walls=["Health"]).walls == ("Health",)
    assert np.array_equal(
        Walls.of(CATALOGUE, recipe.histories.walls).behind >= 0, WALLS.behind % 2 == 0
    )
