from __future__ import annotations

import dataclasses
import json

import pytest

from crossrec_llm import Filter, Recommender, compare, read_answer, replay
from crossrec_llm.answering import BlendOptions, Situation
from crossrec_llm.comparing import from_document
from crossrec_llm.errors import DataError
from crossrec_llm.generation import Generation
from crossrec_llm.recipe import Recipe
from crossrec_llm.records import Item, Receipt, Recommendation, Recommendations
from tests.small import N_ITEMS, events_of, plain_catalogue, unit_rows

TAKEN = [[0, 1, 2], [1, 2, 3], [0, 2, 5, 6], [7, 8], [8, 9, 7], [10, 0]]


def recommender_of(n=N_ITEMS, **recipe):
    taken = [[row for row in rows if row < n] for rows in TAKEN]
    raw = unit_rows(N_ITEMS, 16, seed=1)[:n]
    return Recommender(Generation.fit(Recipe(**recipe), plain_catalogue(n), raw, events_of(taken)))


@pytest.fixture(scope="module")
def recommender():
    return recommender_of()


def answer_of(*ids):
    return Recommendations(
        query={"kind": "user"},
        items=tuple(
            Recommendation(n, Item(item_id, item_id.upper()), 1.0, False, False)
            for n, item_id in enumerate(ids, 1)
        ),
        receipt=Receipt("g", "r", "b", "v"),
    )


def test_two_lists_side_by_side():
    found = compare(answer_of(*"abcd"), answer_of(*"bad"))
    assert [(p.item_id, p.before, p.after) for p in found.places] == [
        ("b", 2, 1), ("a", 1, 2), ("d", 4, 3), ("c", 3, None),
    ]  # fmt: skip
    assert [p.item_id for p in found.moved] == ["b", "a", "d"]
    assert [p.title for p in found.gone] == ["C"]
    assert not found.new
    assert (found.k, found.overlap, found.same) == (4, 0.75, False)
    assert compare(answer_of("a"), answer_of("a", "b")).overlap == 0.5


def test_equal_and_empty_lists_are_the_same():
    for ids in ("abc", ""):
        found = compare(answer_of(*ids), answer_of(*ids))
        assert (found.same, found.overlap) == (True, 1.0)


@pytest.mark.parametrize(
    "ask",
    [
        lambda r: r.for_history(["i0", "i1"], k=4, filter=Filter(exclude=("i2",), cross="none")),
        lambda r: r.for_history(["i0", "i1"], k=4, cross_share=0.5, diversity=0.3),
        lambda r: r.similar("i0", k=3),
        lambda r: r.similar("i0", k=3, mode="together", filter=Filter(include_seen=True)),
        lambda r: r.similar("i0", k=50, mode="alike"),
        lambda r: r.for_history([], k=3, explain=False),
    ],
)
def test_an_answer_is_reproduced_from_its_document(ask, recommender, tmp_path):
    document = ask(recommender).to_dict()
    (tmp_path / "answer.json").write_text(json.dumps(document))
    before = read_answer(tmp_path / "answer.json")
    assert before.to_dict() == document
    found = replay(recommender, before)
    assert found.reproduced
    assert found.causes == ()
    assert found.after.ids == [entry["item_id"] for entry in document["items"]]
    assert found.to_dict()["overlap"] == 1.0


def test_another_blend_is_named_and_its_effects(recommender):
    before = recommender.similar("i0", k=3)
    popular = Situation({"popularity": 1.0}, ("popularity",))
    other = recommender_of(blend=dataclasses.replace(BlendOptions(), similar=popular))
    found = replay(other, before)
    assert not found.reproduced
    assert [cause.split(":")[0] for cause in found.causes] == ["recipe", "blend"]
    sides = compare(before, other.similar("i0", k=3))
    assert found.comparison == sides
    assert f"{len(sides.new)} of 3 new" in found.differences
    assert any(d.startswith("scores differ by up to") for d in found.differences) == bool(
        3 - len(sides.gone)
    )


def test_what_changed_without_a_word_of_it_still_shows(recommender):
    before = recommender.similar("i0", k=3)
    other = recommender_of(blend=dataclasses.replace(BlendOptions(), cold_cost=0.5))
    found = replay(other, before)
    assert found.reproduced  # the recipe is another one, the answer is not
    assert [cause.split(":")[0] for cause in found.causes] == ["recipe", "blend"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d["items"][1].update(score=d["items"][1]["score"] + 0.01), "up to 0.0100"),
        (lambda d: d["items"][0]["reasons"][0].update(text="because"), "reasons differ for 1 of 3"),
        (lambda d: d.update(notes=["a note"]), "another note"),
        (lambda d: d.update(shortfall="few"), "another shortfall"),
        (lambda d: d["items"].pop(), "1 of 3 new"),
        (lambda d: d["items"][0].update(rank=2), "1 of 3 moved"),
    ],
)
def test_every_difference_counts(change, words, recommender):
    document = recommender.similar("i0", k=3).to_dict()
    change(document)
    found = replay(recommender, from_document(document))
    assert not found.reproduced
    assert found.causes == ()
    assert words in "; ".join(found.differences)


def test_arithmetic_of_another_machine_is_no_difference(recommender):
    document = recommender.similar("i0", k=3).to_dict()
    document["items"][0]["score"] += 1e-6
    assert replay(recommender, from_document(document)).reproduced


def test_items_that_left_are_named(recommender):
    fewer = recommender_of(n=8)
    before = recommender.for_history(["i0", "i2"], k=9)
    found = replay(fewer, before)
    gone = [item_id for item_id in before.ids if int(item_id[1:]) >= 8]
    assert f"not in the catalogue any more: {', '.join(gone)}" in found.causes
    assert {p.item_id for p in found.comparison.gone} >= set(gone)


def test_a_question_about_what_left_cannot_be_asked(recommender):
    found = replay(recommender_of(n=8), recommender.similar("i9", k=3))
    assert not found.reproduced
    assert found.after is None
    assert found.differences[0].startswith("cannot be asked any more: no item 'i9'")
    assert len(found.comparison.gone) == 3
    assert found.to_dict()["answer"] is None


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (lambda d: d.pop("receipt"), "is not an answer as `crossrec user`"),
        (lambda d: d.update(query={"kind": "audience"}), "'audience' answer cannot be replayed"),
        (lambda d: d["query"]["filter"].update(colour="red"), "colour"),
        (lambda d: d["items"][0].pop("score"), "score"),
        (lambda d: d["receipt"].update(extra="x"), "extra"),
    ],
)
def test_other_documents_are_refused(break_it, words, recommender):
    document = recommender.similar("i0", k=3).to_dict()
    break_it(document)
    with pytest.raises(DataError, match=words):
        from_document(document, source="r.json")


def test_a_question_that_lacks_something_is_refused(recommender):
    document = recommender.similar("i0", k=3).to_dict()
    del document["query"]["item_id"]
    with pytest.raises(DataError, match="item_id"):
        replay(recommender, from_document(document))


@pytest.mark.parametrize("content", [None, "{", "[]", "3"])
def test_a_file_that_is_none_is_refused(content, tmp_path):
    path = tmp_path / "r.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(DataError, match=r"r\.json"):
        read_answer(path)
