from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

import crossrec_llm
from crossrec_llm import (
    Recipe,
    Recommender,
    add_events,
    add_items,
    build,
    publishing,
    remove_items,
    upgrade,
)
from crossrec_llm.errors import (
    IndexDamaged,
    IndexLocked,
    IndexMissing,
    QueryError,
    StoreUnavailable,
)
from crossrec_llm.store import Due, Index, IndexWriter, Ledger, LiveOptions
from tests import shop
from tests.small_index import build_tiny

Tiny = tuple[Path, Recipe]


def other(recipe: Recipe, diversity: float = 0.7) -> Recipe:
    return replace(recipe, answering=replace(recipe.answering, diversity=diversity))


def test_a_file_is_no_index(tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text("item_id,title")
    for ask in (publishing.generations, publishing.gc, upgrade, Recommender.open):
        with pytest.raises((IndexMissing, StoreUnavailable), match="this is a file"):
            ask(tmp_path / "items.csv")


def live(index: Path, n: int, user: str = "newcomer") -> int:
    """Append so many events of a new person; the change number after it."""
    with Ledger.open(index / "records.sqlite", write=True) as ledger:
        events = ledger.events().slice(0, n)
        events = events.set_column(0, "user_id", pa.array([user] * len(events)))
        ledger.append(events)
        return ledger.change


def states(index: Path) -> list[str]:
    return [one.state for one in publishing.generations(index)]


def test_a_generation_can_be_gone_back_to_and_published_again(tiny: Tiny) -> None:
    index, recipe = tiny
    first = publishing.generations(index)[0]
    with Recommender.open(index) as recommender:
        before = recommender.for_user("u0").ids
    assert build_tiny(index, other(recipe)).refitted is False
    assert states(index) == ["before", "live"]
    back = publishing.rollback(index)
    assert (back.name, back.state) == (first.name, "live")
    assert states(index) == ["live", "waiting"]
    with Recommender.open(index) as recommender:
        assert recommender.for_user("u0").ids == before
        assert recommender.generation.name == first.name
    with pytest.raises(QueryError, match=r"no generation before 0001-"):
        publishing.rollback(index)
    again = publishing.publish(index)
    assert again.name.startswith("0002-")
    assert states(index) == ["before", "live"]
    assert publishing.publish(index, again.name) == again, "it is live already"
    with pytest.raises(QueryError, match="no generation waits"):
        publishing.publish(index)
    with pytest.raises(QueryError, match=r"no generation is called '0009-x'; there is 0001-"):
        publishing.publish(index, "0009-x")


def test_gc_keeps_what_answers_and_what_can_be_gone_back_to(tiny: Tiny) -> None:
    index, recipe = tiny
    names = [build_tiny(index, other(recipe, d)).generation for d in (0.6, 0.7)]
    (index / "generations" / "0009-x.partial").mkdir()
    publishing.rollback(index)
    kept = publishing.gc(index, keep=1)
    assert (kept.removed, kept.waiting) == ((), (names[1],))
    cleared = publishing.gc(index, keep=1, waiting=True)
    assert cleared.removed == (names[1],)
    assert cleared.kept == (names[0],)
    assert cleared.freed > 100_000
    assert [folder.name for folder in (index / "generations").iterdir()] == [names[0]]
    assert publishing.gc(index).removed == ()
    assert json.dumps(cleared.to_dict())
    with pytest.raises(QueryError, match="keep must be 1 or more, not 0"):
        publishing.gc(index, 0)
    with Recommender.open(index) as recommender:
        assert recommender.for_user("u0").ids


def test_a_harmed_generation_is_not_published_and_a_harmed_active_one_can_be_left(
    tiny: Tiny,
) -> None:
    index, recipe = tiny
    first = publishing.generations(index)[0].name
    second = build_tiny(index, other(recipe)).generation
    vectors = index / "generations" / first / "vectors.npy"
    content = vectors.read_bytes()
    vectors.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(IndexDamaged, match=r"vectors\.npy is not as it was published"):
        publishing.rollback(index)
    vectors.write_bytes(content)
    shutil.rmtree(index / "generations" / second)
    assert publishing.rollback(index).name == first


def test_what_changes_generations_takes_the_lock_and_needs_an_index(
    tiny: Tiny, tmp_path: Path
) -> None:
    index, _ = tiny
    with IndexWriter.open(index):
        for verb in (publishing.publish, publishing.rollback, publishing.gc):
            with pytest.raises(IndexLocked, match=str(os.getpid())):
                verb(index)
        assert len(publishing.generations(index)) == 1
    for verb in (publishing.publish, publishing.generations, publishing.due):
        with pytest.raises(IndexMissing):
            verb(tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()


# From the records


def test_a_build_from_the_records_folds_in_what_came_live(tiny: Tiny) -> None:
    index, recipe = tiny
    assert build(index=index).unchanged
    change = live(index, 5)
    report = build(index=index)
    assert (report.unchanged, report.refitted, report.change) == (False, True, change)
    assert report.encoded == 0
    assert report.report is None
    with Index.open(index) as opened:
        assert opened.generation.change == change
        assert Recipe.from_json((opened.generation.folder / "recipe.json").read_text()) == recipe
    with Recommender.open(index) as recommender:
        assert "newcomer" in recommender.generation.users.ids
    assert build(index=index).unchanged
    assert build_tiny(index, recipe).unchanged, "the files say nothing new"
    report = build(shop.items(), shop.interactions(), index, recipe=recipe, replace=True)
    assert report.refitted
    assert report.events == shop.interactions().num_rows
    with Recommender.open(index) as recommender:
        assert "newcomer" not in recommender.generation.users.ids


def test_another_recipe_alone_and_settings_that_make_no_sense(tiny: Tiny) -> None:
    index, recipe = tiny
    assert not build(index=index, recipe=other(recipe)).refitted
    with Recommender.open(index) as recommender:
        assert recommender.recipe.answering.diversity == 0.7
    for given in ({"interactions": shop.interactions()}, {"replace": True}):
        with pytest.raises(QueryError, match="go with items"):
            build(index=index, **given)
    with pytest.raises(IndexMissing):
        build(index=index.with_name("nothing"))


def test_files_built_by_the_default_recipe_in_place_of_another(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    index, recipe = tiny
    build_tiny(index, other(recipe))
    files = shop.items(), shop.interactions()
    monkeypatch.setattr(
        crossrec_llm.origins, "as_recipe", lambda one: recipe if one == "default" else one
    )
    (note,) = [one for one in build(*files, index).notes if "another one" in one]
    assert note.startswith("built by the default recipe; generation 0002-")
    assert not any("another one" in one for one in build(*files, index).notes)
    build_tiny(index, other(recipe))
    (note, *_) = build(files[0].slice(1), files[1], index).notes
    assert note.startswith("built by the default recipe; generation 0004-")
    build_tiny(index, other(recipe))
    monkeypatch.setattr(crossrec_llm.builder, "__version__", "99")
    assert not any("another one" in one for one in build(*files, index).notes)


def test_what_comes_while_a_build_runs_stays_live(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    index, recipe = tiny
    make = crossrec_llm.builder.make_draft

    def slowly(*args, **kwargs):
        live(index, 3, "latecomer")
        return make(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr("crossrec_llm.builder.make_draft", slowly)
        changed = shop.items().slice(1)
        build(changed, shop.interactions(), index, recipe=recipe)
    with Index.open(index) as opened:
        assert opened.ledger.has_user("latecomer")
        assert opened.ledger.users_since(opened.generation.change) == ["latecomer"]
    assert not build(index=index).unchanged
    with Recommender.open(index) as recommender:
        assert "latecomer" in recommender.generation.users.ids


# Due


def test_due_counts_what_changed_since_the_generation(tiny: Tiny) -> None:
    index, _ = tiny
    found = publishing.due(index)
    assert (found.changes, found.due, found.advice) == (0, False, "")
    live(index, 1)
    assert publishing.due(index).advice.startswith("1 change since generation 0001-")
    live(index, 47, "another")
    found = publishing.due(index)
    assert found.changes == 48
    assert found.share == pytest.approx(48 / 480)
    assert not found.due, "fewer than the least number"
    assert "(10.0% of what it was built from): `crossrec build` folds" in found.advice
    with Index.open(index) as opened:
        for at, least, due in ((0.1, 48, True), (0.1, 49, False), (0.2, 1, False), (0, 1, False)):
            assert Due.of(opened, LiveOptions(at, least)).due is due
    build(index=index)
    assert publishing.due(index).changes == 0


def test_a_build_in_the_background_is_started_once(tiny: Tiny) -> None:
    index, _ = tiny
    live(index, 5)
    pid = publishing.start_build(index)
    assert pid is not None
    assert publishing.start_build(index) is None, "one is at work"
    _, status = os.waitpid(pid, 0)
    said = (index / "build.log").read_text("utf-8")
    assert status == 0, said
    assert "generation 0002-" in said
    with Recommender.open(index) as recommender:
        assert "newcomer" in recommender.generation.users.ids
    again = publishing.start_build(index)
    assert again is not None
    os.waitpid(again, 0)
    assert "nothing changed" in (index / "build.log").read_text("utf-8")


# Commands


def test_the_commands(tiny: Tiny, crossrec) -> None:
    index, recipe = tiny
    build_tiny(index, other(recipe))
    code, said, _ = crossrec("generations", "--index", index)
    assert code == 0
    assert [line.split("  ")[1].split(";")[0] for line in said.splitlines()] == [
        "was live", "answers",
    ]  # fmt: skip
    assert "answers again" in crossrec("rollback", "--index", index)[1]
    code, said, _ = crossrec("publish", "--index", index, "--json")
    assert json.loads(said)["state"] == "live"
    assert "removed nothing" in crossrec("gc", "--index", index)[1]
    code, said, _ = crossrec("gc", "--index", index, "--keep", 1, "--json")
    assert len(json.loads(said)["removed"]) == 1
    code, _, problem = crossrec("rollback", "--index", index)
    assert (code, problem.count("\n")) == (2, 1)
    code, said, _ = crossrec("generations", "--index", index, "--json")
    assert [one["state"] for one in json.loads(said)["generations"]] == ["live"]
    code, said, _ = crossrec("build", "--index", index)
    assert "nothing changed" in said
    live(index, 3)
    code, said, _ = crossrec("build", "--index", index)
    assert "generation 0003-" in said or "generation 0002-" in said
    for verb in ("rollback", "publish"):
        done = crossrec(verb, "--index", index, "--json")
        assert done[0] in (0, 2)


def test_a_publish_is_seen_whole_by_those_who_read(tiny: Tiny) -> None:
    """Rolling back and forth while others open the index: always one generation or the other."""
    import threading

    index, recipe = tiny
    build_tiny(index, other(recipe))
    names = {one.name for one in publishing.generations(index)}
    problems: list[Exception] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            try:
                with Recommender.open(index) as recommender:
                    assert recommender.generation.name in names
                    assert len(recommender.for_user("u0")) == 10
            except Exception as error:
                problems.append(error)
                return

    reader = threading.Thread(target=read)
    reader.start()
    end = time.monotonic() + 2
    while time.monotonic() < end and not problems:
        publishing.rollback(index)
        publishing.publish(index)
    stop.set()
    reader.join()
    assert not problems


def test_what_was_removed_stays_out_whatever_is_built_and_rolled_back(tiny: Tiny) -> None:
    index, recipe = tiny
    gone = shop.items()["item_id"][5].as_py()
    remove_items(index, [gone])
    add_items(index, [{"item_id": "x1", "title": "A new rope"}])
    add_events(index, [{"user_id": "zoe", "item_id": "x1", "timestamp": 1.7e9}])
    with Ledger.open(index / "records.sqlite", write=False) as ledger:
        items, events = ledger.items(), ledger.events()
    build(items, events, index, recipe=recipe)
    publishing.rollback(index)
    with Recommender.open(index) as recommender:
        catalogue = recommender.catalogue
        assert not catalogue.present[catalogue.ids.index(gone)]
        assert catalogue.present[catalogue.ids.index("x1")]
        assert "x1" not in recommender.for_user("zoe", explain=False).ids, "she has it"


def test_a_kill_before_the_rename_keeps_what_was_removed_out(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    index, recipe = tiny
    gone = shop.items()["item_id"][5].as_py()
    remove_items(index, [gone])
    with Ledger.open(index / "records.sqlite", write=False) as ledger:
        items, events = ledger.items(), ledger.events()

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(IndexWriter, "_go_live", killed)
    with pytest.raises(KeyboardInterrupt):
        build(items, events, index, recipe=recipe)
    with Recommender.open(index) as recommender:
        catalogue = recommender.catalogue
        assert not catalogue.present[catalogue.ids.index(gone)]


def test_what_a_killed_build_left_counts_as_freed(tiny: Tiny) -> None:
    index, _ = tiny
    draft = index / "generations" / "0002-abcdef01.partial"
    draft.mkdir()
    (draft / "raw.npy").write_bytes(bytes(1_000_000))
    assert publishing.gc(index).freed > 900_000
    assert not draft.exists()
