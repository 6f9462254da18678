from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow.csv as pa_csv
import pytest

from crossrec_llm import Recommender, build
from crossrec_llm.errors import DataError, IndexLocked, RecipeError, StoreError
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
        "prepare", "read", "record", "encode", "fit", "index", "verify", "publish",
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


def test_killed_and_started_again_gives_the_same_bytes(shop_files, shop_index, tmp_path):
    """SIGKILL at several moments of a build; what is built in the end is the same."""
    files = [str(shop_files / "items.csv"), str(shop_files / "interactions.csv")]
    index = tmp_path / "index"
    code = f"from crossrec_llm import build; build({files[0]!r}, {files[1]!r}, {str(index)!r})"
    for seconds in (1.0, 6.0, 9.0):
        process = subprocess.Popen([sys.executable, "-c", code])
        time.sleep(seconds)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
        process.wait()
    report = build(*files, index)
    assert report.from_cache > 0 or report.unchanged
    assert answers(index) == answers(shop_index)


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
        "crossrec_llm.builder.reachability", lambda *_, **__: Reachability(90, (3,), 1.0)
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
