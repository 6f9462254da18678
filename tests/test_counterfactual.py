from __future__ import annotations

import numpy as np
import pyarrow.compute as pc
import pytest

from crossrec_llm import Filter, Recommender, counterfactual, replay
from crossrec_llm.comparing import first_named, from_document
from crossrec_llm.errors import QueryError, UnknownItem
from crossrec_llm.generation import Generation
from crossrec_llm.recipe import Recipe
from tests.small import N_ITEMS, events_of, plain_catalogue, unit_rows
from tests.test_comparing import TAKEN

EVENTS = events_of(TAKEN)


class LogWithout:
    """The events of everybody, but those on some items."""

    def __init__(self, *gone):
        self.events = EVENTS.filter(~np.isin(EVENTS["item_id"].to_pylist(), gone))

    def events_of(self, user_id):
        return self.events.filter(pc.equal(self.events["user_id"], user_id))

    def corrections_of(self, user_id):
        return []


@pytest.fixture(scope="module")
def generation():
    return Generation.fit(Recipe(), plain_catalogue(), unit_rows(N_ITEMS, 16, seed=1), EVENTS)


@pytest.fixture(scope="module")
def recommender(generation):
    return Recommender(generation, LogWithout())


def gist(answer):
    return [(r.item_id, r.score, r.reasons) for r in answer]


@pytest.mark.parametrize("user", ["u0", "u1", "u2"])
@pytest.mark.parametrize("filter", [Filter(), Filter(cross="none"), Filter(exclude="i4")])
def test_it_is_the_answer_to_a_log_that_lacks_the_item(user, filter, generation, recommender):
    answer = recommender.for_user(user, 4, filter=filter)
    assert first_named(answer)
    for item_id in first_named(answer):
        found = counterfactual(recommender, answer, [item_id])
        other = Recommender(generation, LogWithout(item_id))
        kept_out = Filter(cross=filter.cross, exclude=(*filter.exclude, item_id))
        assert gist(found.after) == gist(other.for_user(user, 4, filter=kept_out))
        assert {p.item_id for p in found.comparison.gone} == set(answer.ids) - set(found.after.ids)


def test_without_two_is_without_both(recommender):
    answer = recommender.for_user("u2", 4)
    both = counterfactual(recommender, answer, ["i0", "i5", "i0"])
    assert [item.item_id for item in both.without] == ["i0", "i5"]
    one = counterfactual(recommender, answer, ["i0"])
    assert gist(counterfactual(recommender, one.after, ["i5"]).after) == gist(both.after)


def test_what_is_left_out_is_still_seen(recommender):
    assert "i0" not in recommender.for_user("u2", N_ITEMS, without=["i0"]).ids
    seen = Filter(include_seen=True)
    assert "i0" in recommender.for_user("u2", N_ITEMS, filter=seen, without=["i0"]).ids


def test_without_all_of_the_history_there_is_what_is_popular(recommender):
    answer = recommender.for_user("u3", 3, without=["i7", "i8"])
    assert "no history to go by" in answer.notes[0]
    assert {x.kind for r in answer for x in r.reasons} == {"popular"}


def test_it_is_told_in_a_line(recommender):
    answer = recommender.for_user("u2", 4)
    lines = [str(counterfactual(recommender, answer, [i])) for i in ("i0", "i2", "i5", "i6")]
    for item_id, line in zip(("i0", "i2", "i5", "i6"), lines, strict=True):
        found = counterfactual(recommender, answer, [item_id]).comparison
        assert line.startswith(f"without “{item_id}”: ")
        assert ("drop" in line) == bool(found.gone)
        assert ("come" in line) == bool(found.new)
        assert all(f"“{place.title}”" in line for place in (*found.gone, *found.new))
    assert any("drop" in line for line in lines)
    whole = recommender.for_user("u2", N_ITEMS)
    lines = [str(counterfactual(recommender, whole, [i])) for i in ("i0", "i2", "i5", "i6")]
    assert any(line.endswith(" move") for line in lines)
    alone = recommender.for_user("u2", 1, filter=Filter(only="i4"))
    assert str(counterfactual(recommender, alone, ["i5"])) == "without “i5”: the same list"


def test_it_can_be_replayed(recommender):
    after = recommender.for_user("u2", 4, without=["i5"])
    assert after.query["without"] == ["i5"]
    assert replay(recommender, from_document(after.to_dict())).reproduced


def test_what_makes_no_sense_is_an_error(recommender):
    answer = recommender.for_user("u2", 4)
    with pytest.raises(QueryError, match="'i9' is not in the history of 'u2'"):
        counterfactual(recommender, answer, ["i9"])
    with pytest.raises(UnknownItem):
        counterfactual(recommender, answer, ["nothing"])
    with pytest.raises(QueryError, match="only an answer of for_user"):
        counterfactual(recommender, recommender.similar("i0"), ["i0"])


def test_a_full_explanation_adds_up_and_reads_back(recommender):
    answer = recommender.for_user("u2", 4, explain="full")
    for r in answer:
        assert sum(c.value for c in r.contributions) == pytest.approx(r.score, abs=1e-4)
    assert from_document(answer.to_dict()).items[0].contributions == answer[0].contributions
    assert not any(r.contributions for r in recommender.for_user("u2", 4))
    assert [r.reasons for r in answer] == [r.reasons for r in recommender.for_user("u2", 4)]
    with pytest.raises(QueryError, match="explain must be"):
        recommender.for_user("u2", explain="all")
