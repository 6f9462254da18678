from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossrec_llm.answering import (
    Ask,
    Policy,
    PolicyOptions,
    Rules,
    Standing,
    Views,
    make_query,
    score_all,
)
from crossrec_llm.errors import QueryError, RecipeError
from crossrec_llm.filter import Filter
from crossrec_llm.recipe import Recipe
from crossrec_llm.signals import Category, Text, TextOptions
from crossrec_llm.store import ExactSearch
from tests.small import catalogue_of, unit_rows

PATHS = (
    ("Baby",), ("Baby", "Food"), ("Alcohol",), ("Alcohol", "Wine"), ("Toys",), ("Wine",), (),
)  # fmt: skip
CATALOGUE = catalogue_of(
    *({"item_id": f"i{n}", "category": list(path)} for n, path in enumerate(PATHS))
)
BABY, FOOD, ALCOHOL, ALCOHOL_WINE, TOYS, WINE, NONE = range(7)
N = len(PATHS)


def ruling(history, kind="user", disliked=(), **options):
    query = make_query(kind, list(history), [1.0] * len(history), disliked=disliked)
    return Policy.of(PolicyOptions(**options), CATALOGUE).ruling(query)


def barred(*history, **options):
    mask = ruling(history, **options).barred
    return [] if mask is None else np.flatnonzero(mask).tolist()


@pytest.mark.parametrize(
    ("history", "options", "out"),
    [
        ([BABY], {}, []),
        ([BABY], {"deny": ["Baby -> Alcohol"]}, [ALCOHOL, ALCOHOL_WINE]),
        ([FOOD], {"deny": ["Baby -> Alcohol > Wine"]}, [ALCOHOL_WINE]),
        ([BABY], {"deny": ["Baby > Food -> Alcohol"]}, []),
        ([BABY], {"deny": ["baby->alcohol"]}, [ALCOHOL, ALCOHOL_WINE]),
        # Any category is any other top category: nothing crosses within one, or without one.
        ([BABY], {"deny": ["Baby -> *"]}, [ALCOHOL, ALCOHOL_WINE, TOYS, WINE]),
        ([NONE], {"deny": ["* -> *"]}, []),
        ([BABY], {"deny": ["* -> *"]}, [ALCOHOL, ALCOHOL_WINE, TOYS, WINE]),
        ([BABY], {"deny": ["Baby -> Baby > Food"]}, [FOOD]),
        # The longest paths count, and of equally long ones the strictest.
        ([BABY], {"deny": ["Baby -> *"], "allow": ["Baby -> Toys"]}, [ALCOHOL, ALCOHOL_WINE, WINE]),
        ([BABY], {"deny": ["Baby -> Alcohol"], "allow": ["* -> Alcohol > Wine"]}, [2, 3]),
        ([FOOD], {"deny": ["* -> Alcohol"], "allow": ["Baby > Food -> *"]}, []),
        # One history item that may is enough.
        ([BABY, WINE], {"deny": ["Baby -> Alcohol"]}, []),
        ([BABY, TOYS], {"deny": ["Baby -> Wine", "* -> Alcohol"]}, [ALCOHOL, ALCOHOL_WINE]),
        ([BABY], {"default": "deny"}, [ALCOHOL, ALCOHOL_WINE, TOYS, WINE]),
        ([BABY], {"default": "deny", "allow": ["* -> Toys"]}, [ALCOHOL, ALCOHOL_WINE, WINE]),
        ([], {"default": "deny"}, []),
        ([BABY], {"share": {"Baby -> Toys": 0}}, [TOYS]),
    ],
)
def test_what_nothing_in_the_history_may_bring(history, options, out):
    assert barred(*history, **options) == out


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"deny": ["Baby > Alcohol"]}, 'has not the shape "FROM -> TO"'),
        ({"allow": ["Baby -> "]}, 'has not the shape "FROM -> TO"'),
        ({"deny": ["Baby > * -> Toys"]}, "write 'Baby', which holds for all that lies below"),
        ({"share": {"Baby -> Toys": 1.5}}, "less than or equal to 1"),
        ({"default": "maybe"}, "'allow' or 'deny'"),
    ],
)
def test_senseless_entries_are_refused(options, named):
    with pytest.raises(RecipeError, match=named):
        Recipe.from_dict({"policy": options})


def test_what_the_catalogue_does_not_have_is_passed_over_with_a_note():
    found = Policy.of(PolicyOptions(deny=["Baby -> Alcohl", "Baby -> Toys"]), CATALOGUE)
    (note,) = found.notes
    assert note.startswith("policy: 'Baby -> Alcohl' is passed over: no item is in a category")
    assert "'Alcohol'" in note
    said = list(found.ruling(make_query("user", [BABY], [1])).notes(np.ones(N, bool)))
    assert said == [note, "policy: nothing crosses from Baby to Toys (items left out: 1)"]


def test_notes_say_what_was_kept_apart():
    found = ruling([BABY, TOYS], deny=["Baby -> Alcohol", "* -> Alcohol > Wine", "Toys -> Baby"])
    assert list(found.notes(np.ones(N, bool))) == [
        "policy: nothing crosses from Baby to Alcohol (items scored without that history: 1)",
        "policy: nothing crosses from any category to Alcohol > Wine (items left out: 1)",
        "policy: nothing crosses from Toys to Baby (items scored without that history: 2)",
    ]
    only_toys = np.zeros(N, bool)
    only_toys[TOYS] = True
    assert not list(found.notes(only_toys))
    default = ruling([BABY], default="deny").notes(np.ones(N, bool))
    assert list(default) == ["policy: nothing crosses that it does not allow (items left out: 4)"]


VECTORS = unit_rows(N, 8, seed=3)
SIGNALS = [Text(VECTORS, ExactSearch(VECTORS), TextOptions()), Category(CATALOGUE)]
rows = st.lists(st.integers(0, N - 1), unique=True, max_size=5)
sides = st.sampled_from(["Baby", "Baby > Food", "Alcohol", "Alcohol > Wine", "Toys", "Wine", "*"])
entries = st.lists(st.tuples(sides, sides).map(" -> ".join), max_size=3).map(tuple)


@given(rows, rows, entries, entries, st.sampled_from(["allow", "deny"]))
def test_each_item_is_scored_as_if_the_rest_had_not_happened(history, disliked, deny, allow, rest):
    options = PolicyOptions(default=rest, deny=deny, allow=allow)
    policy = Policy.of(options, CATALOGUE)
    query = make_query("user", history, [1.0] * len(history), disliked=disliked)
    found = policy.ruling(query)
    views, everything = found.views, np.arange(N)
    scores, carried = views.score(everything, SIGNALS), views.carry(everything, SIGNALS)
    mask = np.zeros(N, bool) if found.barred is None else found.barred
    for row in everything:
        may = [_may(options, PATHS[h], PATHS[row]) for h in query.history]
        homes = [ok for h, ok in zip(query.history, may, strict=True) if PATHS[h]]
        if homes:
            assert mask[row] == (not any(homes))
        elif mask[row]:
            others = [path for path in PATHS if path and path[:1] != PATHS[row][:1]]
            assert not any(_may(options, path, PATHS[row]) for path in others)
        if mask[row]:
            continue
        left = [h for h, ok in zip(query.history, may, strict=True) if ok]
        away = [d for d in query.disliked if _may(options, PATHS[d], PATHS[row])]
        alone = make_query("user", left, [1.0] * len(left), disliked=away)
        expected = score_all(alone, np.array([row]), SIGNALS)[0]
        np.testing.assert_allclose(scores[row], expected, atol=1e-6)
        for one, signal in zip(carried, SIGNALS, strict=True):
            assert not one[row][np.logical_not(may)].any()
            expected = signal.carriers(alone, np.array([row]))[0]
            np.testing.assert_allclose(one[row][np.array(may, bool)], expected, atol=1e-6)


def _may(options, home, target):
    """The rule of docs/crossing.md once more, pair by pair."""
    if not home or not target:
        return True
    best, verdict = (-1, 0), options.default == "allow" or home[0] == target[0]
    for allowed, texts in ((True, options.allow), (False, options.deny)):
        for text in texts:
            ends = [() if end == "*" else tuple(end.split(" > ")) for end in text.split(" -> ")]
            about = home[: len(ends[0])] == ends[0] and target[: len(ends[1])] == ends[1]
            inside = all(ends) and ends[0][0] == ends[1][0]
            size = (len(ends[0]) + len(ends[1]), not allowed)
            if about and (home[0] != target[0] or inside) and size > best:
                best, verdict = size, allowed
    return verdict


def test_without_a_policy_that_acts_there_is_the_question_itself():
    for found in (ruling([BABY]), ruling([BABY], deny=["Toys -> *"]), ruling([], default="deny")):
        assert found.views.single
        assert found.views.queries == (found.query,)


class Proposing:
    name = "first"

    def propose(self, query, n, allowed):
        """What the newest item of the history brings: any row that is allowed."""
        return np.flatnonzero(allowed)[: n if len(query.history) else 0]


def test_what_may_not_be_caused_is_no_candidate_either():
    views = ruling([BABY], "like", deny=["Baby -> Alcohol"]).views
    assert not views.single
    pool = views.pool([np.ones(N, bool)], [Proposing()], 50, np.array([WINE]))
    assert pool.tolist() == [BABY, FOOD, TOYS, WINE, NONE]
    assert Views.of(views.queries[0]).single


def listed(history, k, **options):
    query = make_query("user", history, [1.0] * len(history))
    cold = np.zeros(N, bool)
    found = Policy.of(PolicyOptions(**options), CATALOGUE).ruling(query)
    return Rules.of(CATALOGUE, query, Ask(k, Filter()), Standing(), cold, ruling=found)


def test_a_share_is_a_cap_of_what_the_crossing_brings():
    def caps(history, k=10, **share):
        share = {name.replace("_", " -> "): value for name, value in share.items()}
        return {
            cap.name: (cap.most, np.flatnonzero(cap.codes >= 0).tolist())
            for cap in listed(history, k, share=share).demands(np.arange(N)).caps
        }

    assert caps([BABY], Baby_Alcohol=0.29) == {"policy Baby -> Alcohol": (2, [2, 3])}
    # What another home may bring without limit is not counted; the largest share is what holds.
    assert caps([BABY, TOYS], Baby_Alcohol=0.2) == {}
    assert caps([BABY, TOYS], Baby_Alcohol=0.2, Toys_Alcohol=0.3) == {
        "policy Toys -> Alcohol": (3, [2, 3])
    }
    assert caps([BABY, ALCOHOL], Baby_Alcohol=0.2) == {}
    rules = listed([BABY], 7, share={"Baby -> Alcohol": 0.2, "Baby -> Toys": 0.1})
    assert rules.shortfall(np.array([FOOD])) == (
        "1 of 7: no more items pass the filter with at most 1 by policy Baby -> Alcohol, at most 0 "
        "by policy Baby -> Toys"
    )
    assert Counter(cap.most for cap in rules.demands(np.arange(N)).caps) == {1: 1, 0: 1}


def test_an_entry_has_one_shape():
    with pytest.raises(QueryError, match="FROM -> TO"):
        PolicyOptions(allow=("a -> b -> c",))


def test_what_it_says_from_one_top_category_to_another():
    options = PolicyOptions(
        deny=("Baby -> Alcohol", "Toys -> Alcohol > Wine"), share={"Toys -> Baby": 0.2}
    )
    policy = Policy.of(options, CATALOGUE)
    assert policy.between("Baby", "Alcohol") == "denied"
    assert policy.between("Toys", "Alcohol") == "in part"
    assert policy.between("Toys", "Baby") == "at most 20% of a list"
    assert policy.between("Baby", "Toys") == ""
    with pytest.raises(QueryError, match="did you mean 'Baby'"):
        policy.between("baby", "Toys")


@pytest.mark.parametrize("history", [[], [NONE]])
def test_who_has_no_home_category_gets_all_but_what_is_denied_to_every_one(history):
    assert barred(*history) == []
    assert barred(*history, deny=["Baby -> Alcohol"]) == []
    assert barred(*history, deny=["* -> Alcohol"]) == [ALCOHOL, ALCOHOL_WINE]


def test_what_has_no_category_opens_nothing_to_a_home_category():
    assert TOYS in barred(BABY, NONE, default="deny")
    assert barred(BABY, NONE, default="deny") == barred(BABY, default="deny")


def test_all_entries_of_another_shape_are_named_at_once():
    with pytest.raises(QueryError, match=r"(?s)'A to B'.*'-> C'"):
        PolicyOptions(deny=("A to B", "-> C"))
