from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from crossrec_llm.errors import QueryError
from crossrec_llm.evaluation import Case, Split, split
from crossrec_llm.evaluation.measuring import Data, Measuring, chosen_baselines
from crossrec_llm.recipe import Recipe
from crossrec_llm.tables import HistoryOptions
from tests.evaluation import clusters

DATA = Data(Recipe(), clusters.catalogue(), clusters.raw(), clusters.events())


def run(protocol, only=(), data=DATA, seed=0, users=None, **options):
    parts = split(protocol, data.catalogue, data.events, HistoryOptions(), seed=seed, **options)
    baselines = chosen_baselines(protocol, only)
    return Measuring(data, parts.sample(users, seed), 10, seed, None).run(baselines)


@pytest.fixture(scope="module")
def warm():
    return run("warm")


def no_nan(value):
    json.dumps(value, allow_nan=False)


def test_the_record_has_every_part_and_no_nan(warm):
    document = warm.to_dict()
    no_nan(document)
    assert document["data"] == {
        "items": 60,
        "users": 120,
        "events": len(DATA.events),
        "categories": 3,
    }
    names = ["recall", "ndcg", "hit", "mrr", "diversity", "novelty", "calibration", "cross_share"]
    assert list(document["system"]) == [f"{name}@10" for name in names]
    assert set(document["baselines"]) == set(chosen_baselines("warm", ()))
    assert set(document["ahead"]["ease"]) == {"recall@10", "ndcg@10"}
    assert set(document["beyond"]["system"]) == {"coverage", "gini", "unreachable"}
    assert sum(document["long_tail"]["popularity"]) == pytest.approx(1)
    assert len(document["worst"]) == 20
    assert document["worst"][0]["ndcg"] <= document["worst"][-1]["ndcg"]


def test_the_system_finds_groups_and_controls_fall_to_chance(warm):
    assert warm.system["recall@10"].value > 0.75
    assert warm.ahead["popularity"]["ndcg@10"].low > 0
    # One person in six is of the same group, so shuffled targets fall to about a sixth.
    assert warm.controls["shuffled"] < 0.35
    assert warm.controls["random"] < 0.35


def test_ahead_is_the_difference(warm):
    for name, measures in warm.baselines.items():
        apart = warm.system["ndcg@10"].value - measures["ndcg@10"].value
        assert warm.ahead[name]["ndcg@10"].value == pytest.approx(apart)


def test_slices_share_the_people(warm):
    assert len(warm.slices) == 2
    assert sum(warm.slices[n]["users"] for n in warm.slices) == warm.users


def test_a_slice_of_everybody_is_left_out(warm):
    """All have a history of at most 5 items."""
    assert not [name for name in warm.slices if name.startswith("history")]
    log = clusters.events().to_pylist()
    kept = [e for e in log if e["user_id"] != "u0"]
    long = [{**log[0], "item_id": f"i{i}", "timestamp": float(i)} for i in range(8)]
    table = type(DATA.events).from_pylist(kept + long, schema=DATA.events.schema)
    found = run("warm", ("system",), replace(DATA, events=table))
    assert found.slices["history of 1 to 5"]["users"] == found.users - 1
    assert found.slices["history of 6 to 20"]["users"] == 1


def test_the_same_seed_gives_the_same_numbers():
    one, two, three = (run("warm", ("popularity",), seed=seed) for seed in (1, 1, 2))
    assert {**one.to_dict(), "seconds": 0} == {**two.to_dict(), "seconds": 0}
    assert one.system != three.system


def test_only():
    assert set(run("warm", ("text", "popularity")).baselines) == {"text", "popularity"}
    assert chosen_baselines("warm", ("system",)) == {}
    with pytest.raises(QueryError, match="no system 'populariti' here; there is popularity"):
        chosen_baselines("warm", ("populariti",))


def test_bridges_of_at_least_twenty_people():
    """Everybody's last item lies in the next category: one bridge for each, 40 people long."""
    events = clusters.events(wander=0).to_pylist()
    last = {}
    for event in events:
        last[event["user_id"]] = event
    for event in last.values():
        event["item_id"] = f"i{(int(event['item_id'][1:]) + 10) % 60}"
    table = type(DATA.events).from_pylist(events, schema=DATA.events.schema)
    found = run("warm", ("popularity",), replace(DATA, events=table))
    assert {(b["home"], b["target"], b["users"]) for b in found.bridges} == {
        ("C0", "C1", 40),
        ("C1", "C2", 40),
        ("C2", "C0", 40),
    }
    assert run("warm", ("popularity",), replace(DATA, events=table), users=15).bridges == []


def test_cold_items():
    found = run("cold-items", ("text", "popularity"))
    no_nan(found.to_dict())
    only, loss = found.slices["cold_only"], found.slices["warm_loss"]
    assert only["users"] == found.users
    assert only["recall@10"].value >= found.system["recall@10"].value
    assert found.baselines["popularity"]["recall@10"].value == 0
    assert "cold_only, text" in found.slices
    assert "cold_only, popularity" not in found.slices
    whole = found.slices["warm"]["recall@10"].value
    plain = found.slices["warm, without new items"]["recall@10"].value
    assert loss["recall@10"].value == pytest.approx(1 - whole / plain)
    assert loss["users"] == found.slices["warm"]["users"]


@pytest.mark.parametrize("protocol", ["cross-cold", "cross-warm"])
def test_crossing_stays_in_the_target_category(protocol):
    events = clusters.events(wander=0.4)
    found = run(protocol, ("text",), replace(DATA, events=events), target_category="C1")
    no_nan(found.to_dict())
    assert found.system["cross_share@10"].value == 1
    assert all(bridge["target"] == "C1" for bridge in found.bridges)


def test_cases_at_several_cutoffs_with_what_cannot_be_measured():
    """An empty history, targets that do not exist, one candidate: numbers or None, never NaN."""
    cases = (
        Case("a", (), ("i1",)),
        Case("b", ("i1", "i2"), ("gone",)),
        Case("c", ("i1",), ("i3", "i4")),
    )
    parts = Split("cases", DATA.events, cases)
    found = Measuring(DATA, parts, 10, 0, None).run(chosen_baselines("cases", ()))
    no_nan(found.to_dict())
    assert {f"recall@{k}" for k in (1, 3, 5, 10, 20)} <= set(found.system)


def test_a_system_that_scores_all_alike_has_no_measures():
    """Nobody took anything of the target category, so popularity has nothing to say about it."""
    data = replace(DATA, events=clusters.events(wander=0.4))
    parts = split("cross-cold", data.catalogue, data.events, HistoryOptions(), target_category="C1")
    measuring = Measuring(data, parts, 10, 0, None)
    found = measuring.run(chosen_baselines("cross-cold", ("popularity", "text")))
    assert found.system["recall@10"].value > 0
    assert set(found.baselines["popularity"].values()) == {None}
    assert set(found.ahead["popularity"].values()) == {None}
    assert set(found.beyond["popularity"].values()) == {None}
    assert "popularity" not in found.long_tail
    assert found.baselines["text"]["recall@10"].value > 0
    assert found.notes[-1].startswith("popularity cannot tell the candidates apart")
    assert not any("apart" in note for note in run("warm", ("popularity",)).notes)


def test_every_step_is_told_when_it_begins_and_ends():
    told = []
    parts = split("warm", DATA.catalogue, DATA.events, HistoryOptions())
    measuring = Measuring(DATA, parts, 10, 0, lambda *step: told.append(step))
    measuring.run(chosen_baselines("warm", ("popularity", "als")))
    for step in ("fit system", "asking system", "fit als", "asking als", "intervals"):
        assert (step, 0, 1) in told
        assert (step, 1, 1) in told
        assert told.index((step, 0, 1)) < told.index((step, 1, 1))
    assert set(measuring.seconds) <= {step for step, _, _ in told}
    reached = [total for step, _, total in told if step == "asking system"]
    assert reached.count(120) >= 2  # the cases, and who is asked for what can be reached


def test_a_planted_leak_shows():
    """With the hidden events left in the training part the numbers jump: the guard is real."""
    data = replace(DATA, events=clusters.events(wander=1.0))
    parts = split("warm", data.catalogue, data.events, HistoryOptions())
    found, leaked = (
        Measuring(data, replace(parts, events=events), 10, 0, None).run({})
        for events in (parts.events, data.events)
    )
    assert leaked.system["ndcg@10"].value > found.system["ndcg@10"].value + 0.1


def test_places_of_the_served_lists_are_the_ranks(warm):
    parts = split("warm", DATA.catalogue, DATA.events, HistoryOptions())
    measuring = Measuring(DATA, parts, 10, 0, None)
    measuring.run({})
    answers = measuring.answers["system"]
    for c in (0, 7, 50):
        target = DATA.catalogue.row(parts.cases[c].targets[0])
        there = np.flatnonzero(answers.lists[c] == target)
        assert answers.ranks[c, 0] == (there[0] + 1 if len(there) else np.inf)
