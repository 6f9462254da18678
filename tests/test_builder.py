from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pyarrow.csv as pa_csv
import pytest

from crossrec_llm import Recommender, build
from crossrec_llm.errors import DataError, IndexLocked, RecipeError, StoreError, UnknownUser
from crossrec_llm.store import Index, IndexWriter, Reachability
from tests import shop

pytestmark = pytest.mark.model


def answers(index):
    with Recommender.open(index) as recommender:
        return json.dumps(
            [recommender.for_user(f"u{n}", k=20).to_dict() for n in range(shop.N_USERS)]
            + [recommender.similar("p-chess-set").to_dict()]
            + [recommender.like("a present for a gardener").to_dict()]
            + [recommender.audience("p-chess-set").to_dict()]
        )


def test_report_accounts_for_the_files(shop_files, tmp_path):
    steps = []
    report = build(
        shop_files / "items.csv",
        shop_files / "interactions.csv",
        tmp_path / "index",
        progress=lambda step, done, total: steps.append((step, done <= total)),
    )
    assert report.items == shop.items().num_rows
    assert report.encoded + report.from_cache == report.items
    assert not report.unchanged
    assert all(fine for _, fine in steps)
    assert {"encode", "record"} <= {step for step, _ in steps}
    assert list(report.seconds) == [
        "prepare", "read", "encode", "tune", "fit", "index", "verify", "publish",
    ]  # fmt: skip
    assert json.dumps(report.to_dict())


def test_nothing_changed_does_nothing(shop_files, shop_index):
    again = build(shop_files / "items.csv", shop_files / "interactions.csv", shop_index)
    assert again.unchanged
    assert again.encoded == 0
    assert again.generation == Index.open(shop_index).manifest.active


def test_only_changed_texts_are_encoded(shop_files, tmp_path):
    items = pa_csv.read_csv(shop_files / "items.csv").to_pylist()
    build(shop_files / "items.csv", index=tmp_path / "index")
    with Recommender.open(tmp_path / "index") as recommender:
        before = recommender.generation.raw.copy()
    items[3]["title"] += ", improved"
    items[7]["price"] = 1.0
    changed = tmp_path / "items.jsonl"
    changed.write_text("".join(json.dumps(item) + "\n" for item in items))
    report = build(changed, index=tmp_path / "index")
    assert (report.encoded, report.from_cache) == (1, len(items) - 1)
    with Recommender.open(tmp_path / "index") as recommender:
        same = (recommender.generation.raw == before).all(axis=1)
        assert np.flatnonzero(~same).tolist() == [3]
        assert recommender.catalogue.item(7).price == 1.0


@pytest.mark.parametrize("format", ["jsonl", "parquet"])
def test_every_format_gives_the_same_answers(format, shop_index, tmp_path):
    files = shop.write(tmp_path, format)
    build(*files, tmp_path / "index")
    ours, theirs = (json.loads(answers(i)) for i in (tmp_path / "index", shop_index))
    for one, two in zip(ours, theirs, strict=True):
        one.pop("receipt"), two.pop("receipt")
    assert ours == theirs


def test_frames_and_tables_are_taken(tmp_path):
    polars, pandas = pytest.importorskip("polars"), pytest.importorskip("pandas")
    items = polars.from_arrow(shop.items())
    interactions = pandas.DataFrame(shop.interactions().to_pydict())
    report = build(items, interactions, tmp_path / "index")
    assert report.items == len(items)
    assert build(items, interactions, tmp_path / "index").unchanged


# A build that kills itself at the n-th thing it reports or makes durable.
KILL = """
    import os, signal, sys
    from pathlib import Path
    from crossrec_llm import build
    calls = 0
    def count():
        global calls
        calls += 1
        if calls == int(sys.argv[4]):
            os.kill(os.getpid(), signal.SIGKILL)
    def deadly(change):
        def call(*args, **kwargs):
            count()
            return change(*args, **kwargs)
        return call
    only = sys.argv[5]
    if not only:
        Path.replace, os.fsync = deadly(Path.replace), deadly(os.fsync)
    build(
        *sys.argv[1:3], sys.argv[3], progress=lambda step, *_: step.startswith(only) and count()
    )
    print(calls)
"""


def killed_at(step, files, index, only=""):
    run = [sys.executable, "-c", textwrap.dedent(KILL), *files, index, step, only]
    process = subprocess.run([str(word) for word in run], capture_output=True, text=True)
    assert process.returncode in (0, -signal.SIGKILL), process.stderr
    return process


@pytest.fixture(scope="module")
def half(shop_files, tmp_path_factory):
    """The shop without its last users and with one item less, as files of their own."""
    folder = tmp_path_factory.mktemp("half")
    items = pa_csv.read_csv(shop_files / "items.csv")
    pa_csv.write_csv(items.slice(1), folder / "items.csv")
    events = pa_csv.read_csv(shop_files / "interactions.csv")
    pa_csv.write_csv(events.slice(0, 200), folder / "interactions.csv")
    return folder / "items.csv", folder / "interactions.csv"


def test_killed_anywhere_and_started_again_gives_the_same_bytes(
    shop_files, shop_index, half, tmp_path
):
    """Over an index of other input: one of the two answers all the time, and a later build never

    believes that there is nothing to do.
    """
    files = (shop_files / "items.csv", shop_files / "interactions.csv")
    index, spare = tmp_path / "index", tmp_path / "spare"
    build(*half, index)
    shutil.copytree(index, spare)
    steps = int(killed_at(0, files, spare).stdout)
    deaths = 0
    # The last six make the seals of the records and the cache: the generation is live by then.
    for step in [2, steps // 2, *range(steps - 13, steps)]:
        deaths += killed_at(step, files, index).returncode != 0
        with Recommender.open(index) as recommender:
            known = recommender.generation.users.ids
            assert len(recommender.similar("p-chess-set")) == 10
            assert len(recommender.audience("p-chess-set")) > 0
            for user_id in known[:3]:
                with contextlib.suppress(UnknownUser):
                    recommender.for_user(user_id)
    assert deaths >= 7
    build(*half, index)
    build(*files, index)
    again = json.loads(answers(index))
    for answer, expected in zip(again, json.loads(answers(spare)), strict=True):
        answer["receipt"].pop("generation"), expected["receipt"].pop("generation")
        assert answer == expected


def test_killed_while_encoding_encodes_nothing_twice(shop_files, shop_index, tmp_path):
    files = (shop_files / "items.csv", shop_files / "interactions.csv")
    index = tmp_path / "index"
    assert killed_at(2, files, index, only="encode").returncode == -signal.SIGKILL
    report = build(*files, index)
    assert report.from_cache == 64
    assert report.from_cache + report.encoded == report.items
    assert answers(index) == answers(shop_index)


@pytest.mark.parametrize(
    "damage",
    ["vectors.npy", "signals/popularity.safetensors", "chroma/items/chroma.sqlite3", "records"],
)
def test_building_again_mends_what_is_damaged(damage, shop_files, shop_index, tmp_path):
    files = (shop_files / "items.csv", shop_files / "interactions.csv")
    index = tmp_path / "index"
    shutil.copytree(shop_index, index)
    folder = index / "generations" / Index.open(index).manifest.active
    (index / "records.sqlite" if damage == "records" else folder / damage).unlink()
    report = build(*files, index)
    assert not report.unchanged
    assert report.encoded == 0
    with Recommender.open(index) as recommender:
        assert len(recommender.for_user("u0")) == 10
        recommender.generation.chroma_search("items")


def test_a_full_disk_is_one_clear_error_and_the_old_index_answers(shop_files, half, tmp_path):
    index = tmp_path / "index"
    build(*half, index)
    code = """
        import resource, signal, sys
        from crossrec_llm import build
        from crossrec_llm.errors import CrossrecError
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[4]),) * 2)
        try:
            build(*sys.argv[1:3], sys.argv[3])
        except CrossrecError as error:
            print(error)
    """
    for size in (2_000, 60_000, 300_000):
        run = [sys.executable, "-c", textwrap.dedent(code), shop_files / "items.csv"]
        run += [shop_files / "interactions.csv", index, size]
        process = subprocess.run([str(word) for word in run], capture_output=True, text=True)
        assert process.returncode == 0, process.stderr[-2000:]
        assert len(process.stdout.strip().splitlines()) == 1
        with Recommender.open(index) as recommender:
            assert len(recommender.similar("p-chess-set")) == 10


def test_a_second_writer_is_refused_and_the_index_still_answers(shop_files, shop_index):
    with IndexWriter.open(shop_index):
        with pytest.raises(IndexLocked, match=str(os.getpid())):
            build(shop_files / "items.csv", index=shop_index)
        with Recommender.open(shop_index) as recommender:
            assert len(recommender.for_user("u0")) == 10


def test_an_unreachable_item_stops_the_build_and_keeps_the_old(shop_files, tmp_path, monkeypatch):
    index = tmp_path / "index"
    first = build(shop_files / "items.csv", index=index)
    monkeypatch.setattr(
        "crossrec_llm.drafting.reachability", lambda *_, **__: Reachability(90, (3,), 1.0)
    )
    with pytest.raises(StoreError, match="1 do not find themselves"):
        build(shop_files / "items.csv", shop_files / "interactions.csv", index)
    assert Index.open(index).manifest.active == first.generation


def test_bad_input_is_named_before_anything_is_made(shop_files, tmp_path):
    with pytest.raises(RecipeError, match="nosuch"):
        build(shop_files / "items.csv", index=tmp_path / "index", recipe="nosuch")
    with pytest.raises(DataError, match=r"missing\.csv"):
        build(tmp_path / "missing.csv", index=tmp_path / "index")
    assert not (tmp_path / "index").exists()


def test_another_recipe_makes_a_new_generation_without_encoding(shop_files, tmp_path):
    recipe = tmp_path / "mine.toml"
    recipe.write_text("[signals.text]\ndecay = 0.5\n")
    first = build(shop_files / "items.csv", index=tmp_path / "index")
    second = build(shop_files / "items.csv", index=tmp_path / "index", recipe=recipe)
    assert first.generation != second.generation
    assert second.encoded == 0
    with Recommender.open(tmp_path / "index") as recommender:
        assert recommender.recipe.signals.text.decay == 0.5
