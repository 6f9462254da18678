from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from crossrec_llm import Recipe, Recommender, build, publishing, rehearse, verify
from crossrec_llm.errors import IndexDamaged, QueryError
from crossrec_llm.store import Index, Ledger
from tests import shop

Tiny = tuple[Path, Recipe]


def steeper(recipe: Recipe) -> Recipe:
    text = replace(recipe.signals.text, decay=0.3)
    answering = replace(recipe.answering, diversity=0.8)
    return replace(recipe, signals=replace(recipe.signals, text=text), answering=answering)


def test_another_recipe_is_compared_and_waits(tiny: Tiny) -> None:
    index, recipe = tiny
    found = rehearse(index, steeper(recipe), users=20, protocols=["warm", "cold-items"], seed=3)
    kept = publishing.generations(index)
    assert [one.state for one in kept] == ["live", "waiting"]
    assert (found.live, found.generation) == tuple(one.name for one in kept)
    assert found.people == 20
    assert found.overlap is not None
    assert 0 < found.overlap.value < 1
    assert [one.protocol for one in found.measures] == ["warm", "cold-items"]
    warm = found.measures[0]
    was, now, apart = (side["ndcg@10"] for side in (warm.before, warm.after, warm.difference))
    assert was is not None
    assert now is not None
    assert apart is not None
    assert apart.value == pytest.approx(now.value - was.value)
    assert apart.low <= apart.value <= apart.high
    assert found.movers[0].overlap == min(move.overlap for move in found.movers)
    assert all(move.places > 0 for move in found.gained)
    assert all(move.places < 0 for move in found.lost)
    assert all(0 <= one.before <= 1 and one.home != one.target for one in found.bridges)
    assert min(found.milliseconds) > 0
    assert json.dumps(found.to_dict())
    with Recommender.open(index) as recommender:
        before = recommender.for_user("u0", explain=False).ids
        assert recommender.generation.name == found.live
    publishing.publish(index)
    with Recommender.open(index) as recommender:
        assert recommender.generation.name == found.generation
        assert recommender.for_user("u0", explain=False).ids != before


def test_a_second_rehearsal_takes_the_place_of_the_first(tiny: Tiny) -> None:
    index, recipe = tiny
    first = rehearse(index, steeper(recipe), users=2, protocols=["warm"])
    second = rehearse(index, users=2)
    assert first.generation != second.generation
    names = [one.name for one in publishing.generations(index)]
    assert names == [second.live, second.generation]
    assert second.notes == (
        "recipe, model and templates are those that answer now: nothing to measure",
    )
    assert second.same == 1.0
    assert second.movers == second.gained == second.lost == ()


def test_files_that_were_rehearsed_become_the_truth_when_they_are_published(tiny: Tiny) -> None:
    index, recipe = tiny
    items = shop.items().slice(3)
    found = rehearse(index, recipe, items=items, interactions=shop.interactions(), users=5)
    assert (found.live_counts["items"], found.counts["items"]) == (96, 93)
    with Index.open(index) as opened:
        assert opened.ledger.item_count == 96
    with Ledger.open(index / "records.sqlite", write=True) as ledger:
        late = ledger.events().slice(40, 2)
        ledger.append(late.set_column(0, "user_id", [["late", "late"]]))
    publishing.publish(index)
    with Index.open(index) as opened:
        assert opened.ledger.item_count == 93
        assert opened.ledger.users_since(opened.generation.change) == ["late"]
    assert not (index / "rehearsed" / found.generation).exists()


def test_files_that_are_older_than_the_records_are_not_published(tiny: Tiny) -> None:
    index, recipe = tiny
    found = rehearse(index, recipe, items=shop.items(), interactions=shop.interactions(), users=2)
    build(shop.items().slice(3), shop.interactions(), index, recipe=recipe)
    with pytest.raises(QueryError, match=r"built from others since.*rehearse it again"):
        publishing.publish(index, found.generation)
    with Index.open(index) as opened:
        assert opened.ledger.item_count == 93


@pytest.mark.parametrize("file", ["items.arrow", "checksums.json", "about.json", ""])
def test_a_truth_that_is_not_as_it_was_set_aside_is_not_published(tiny: Tiny, file: str) -> None:
    index, recipe = tiny
    found = rehearse(index, recipe, items=shop.items(), interactions=shop.interactions(), users=2)
    aside = index / "rehearsed" / found.generation
    assert verify(index).ok
    if file:
        content = bytearray((aside / file).read_bytes())
        content[len(content) // 2] ^= 1
        (aside / file).write_bytes(content)
    else:
        shutil.rmtree(aside)
    assert {problem.generation for problem in verify(index).problems} == {found.generation}
    with pytest.raises(IndexDamaged, match="rehearse it again"):
        publishing.publish(index)
    with Index.open(index) as opened:
        assert opened.generation.name == found.live


def test_one_that_was_published_and_left_can_be_published_again(tiny: Tiny) -> None:
    index, recipe = tiny
    items = shop.items().slice(3)
    found = rehearse(index, recipe, items=items, interactions=shop.interactions(), users=2)
    publishing.publish(index)
    publishing.rollback(index)
    assert publishing.publish(index).name == found.generation
    assert verify(index).ok


def test_a_truth_that_was_set_aside_goes_with_its_generation(tiny: Tiny) -> None:
    index, recipe = tiny
    found = rehearse(index, recipe, items=shop.items(), users=2)
    aside = index / "rehearsed" / found.generation
    assert aside.exists()
    assert found.overlap is None, "nobody has a profile without interactions"
    assert publishing.gc(index).waiting == (found.generation,)
    assert aside.exists()
    assert publishing.gc(index, waiting=True).removed == (found.generation,)
    assert not aside.exists()


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"protocols": ["wram"]}, "did you mean 'warm'"),
        ({"protocols": ["search"]}, "no protocol to rehearse is called 'search'"),
        ({"users": 1}, "users must be 2 or more"),
        ({"k": 0}, "k must be 1 or more"),
    ],
)
def test_what_makes_no_sense(given: dict[str, object], problem: str, tiny_made: Tiny) -> None:
    with pytest.raises(QueryError, match=problem):
        rehearse(tiny_made[0], **given)  # type: ignore[arg-type]


def test_the_command(tiny: Tiny, crossrec, tmp_path: Path) -> None:
    index, recipe = tiny
    mine = tmp_path / "mine.toml"
    mine.write_text(
        f'[encoder]\nmodel = "{recipe.encoder.model}"\n[blend]\ntune = false\n'
        "[answering]\ndiversity = 0.8\n"
    )
    words = ("rehearse", "--index", index, "--recipe", mine, "--users", 10)
    code, said, _ = crossrec(*words, "--protocol", "warm", "-q")
    assert code == 0
    assert "ndcg@10" in said
    assert "overlap@10" in said
    assert "items that gain most places" in said
    assert said.splitlines()[-1].startswith("`crossrec publish 0002-")
    code, said, _ = crossrec(*words, "--protocol", "warm", "--json")
    assert json.loads(said)["people"] == 10
