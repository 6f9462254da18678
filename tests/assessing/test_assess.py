"""The whole way with vectors made of hashed words; the real model only in the last tests."""

from __future__ import annotations

import json
import math
import sys
import zlib

import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from crossrec_llm.assessing.assess import assess
from crossrec_llm.errors import DataError, QueryError
from crossrec_llm.evaluation.measuring import Data
from tests import shop

DIM = 32


def hashed(texts):
    """(n, DIM) unit rows: the sum of a random direction for each word."""
    rows = np.zeros((len(texts), DIM), np.float32)
    for place, text in enumerate(texts):
        for word in text.lower().split():
            rng = np.random.default_rng(zlib.crc32(word.encode()))
            rows[place] += rng.standard_normal(DIM)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture
def _no_model(monkeypatch):
    def encoded(recipe, sample, index, progress):
        raw = hashed(sample.catalogue.table["title"].to_pylist())
        return Data(recipe, sample.catalogue, raw, sample.events)

    monkeypatch.setattr(sys.modules["crossrec_llm.assessing.assess"], "_encoded", encoded)


def items_of(*titles, category="A"):
    return pa.table(
        {
            "item_id": [f"i{n}" for n in range(len(titles))],
            "title": list(titles),
            "category": [category] * len(titles),
        }
    )


def log_of(histories):
    """Each person's items, at positions 0, 1, 2 ..."""
    rows = [
        {"user_id": f"u{u}", "item_id": f"i{item}", "timestamp": float(at)}
        for u, history in enumerate(histories)
        for at, item in enumerate(history)
    ]
    return pa.Table.from_pylist(rows)


def whole(value):
    """Every number in a document, to see that none is NaN."""
    if isinstance(value, dict):
        return [x for v in value.values() for x in whole(v)]
    if isinstance(value, list | tuple):
        return [x for v in value for x in whole(v)]
    return [value] if isinstance(value, float) else []


def themed(people=120, seed=3):
    """Two themes of 20 items each; people stay in theirs. The titles tell the theme."""
    words = [f"{'garden rose' if n % 2 else 'chess endgame'} number {n}" for n in range(40)]
    rng = np.random.default_rng(seed)
    histories = [2 * rng.permutation(20)[:5] + u % 2 for u in range(people)]
    return items_of(*words), log_of(histories)


@pytest.mark.usefixtures("_no_model")
def test_the_whole_way():
    found = assess(*themed())
    assert found.trial.protocol == "warm"
    assert found.trial.users == 120
    assert set(found.trial.systems) == {"system", "popularity", "neighbours", "text"}
    assert found.verdict.answer != "popularity"
    assert any("positions" in note for note in found.trial.notes)
    document = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert document["ok"] is found.ok
    assert all(math.isfinite(x) for x in whole(found.to_dict()))


@pytest.mark.usefixtures("_no_model")
def test_random_people_get_no_yes():
    rng = np.random.default_rng(0)
    items = items_of(*(f"thing {zlib.crc32(bytes([n]))}" for n in range(60)))
    popular = np.arange(60, 0, -1) ** 2.0
    histories = [rng.choice(60, 5, replace=False, p=popular / popular.sum()) for _ in range(300)]
    found = assess(items, log_of(histories))
    assert found.verdict.answer in ("popularity", "open")


@pytest.mark.usefixtures("_no_model")
def test_one_clock_for_all_is_cut_in_time():
    items, log = themed()
    days = log["timestamp"].to_numpy() * 10 + np.arange(len(log)) // 5 % 7
    log = log.set_column(2, "timestamp", pa.array(1.7e9 + 86_400 * days))
    found = assess(items, log)
    assert found.trial.protocol == "temporal"
    assert found.trial.users >= 100
    assert any("cut at" in note for note in found.trial.notes)


def test_items_only_look_at_the_texts():
    found = assess(items_of("A lamp of oak", "A lamp of elm"))
    assert found.trial is found.overlap is None
    assert found.leakage == ()
    assert "only the texts" in found.verdict.words
    assert found.ok


@pytest.mark.usefixtures("_no_model")
@pytest.mark.parametrize("histories", [[[0, 1, 2, 3]], [[0], [1], [2]], [[0, 1], [2, 3], [1, 2]]])
def test_logs_that_are_too_small(histories):
    found = assess(items_of(*(f"lamp {n}" for n in range(5))), log_of(histories))
    assert found.trial is None
    assert found.verdict.words.startswith("Too little data to tell")
    assert found.verdict.answer == "open"
    assert all(math.isfinite(x) for x in whole(found.to_dict()))


def test_a_log_of_nothing_usable():
    items = items_of("A lamp", "A chair")
    strangers = pa.table({"user_id": ["u"], "item_id": ["other"], "timestamp": [1.7e9]})
    found = assess(items, strangers)
    assert "none of the interactions (1 read) is usable" in found.verdict.words
    dislikes = pa.table({"user_id": ["u"], "item_id": ["i0"], "event": ["dislike"]})
    assert "dislikes" in assess(items, dislikes).verdict.words
    assert assess(items, dislikes).overlap is None


@pytest.mark.usefixtures("_no_model")
def test_a_planted_leak_is_a_leak():
    items, log = themed()
    test = log.slice(0, 40)
    found = assess(items, log, test=test)
    assert "held out, and in the log" in [leak.check for leak in found.leaks]
    assert not found.ok
    kept, held = log.slice(0, 595), log.slice(595)  # the last person's history
    assert assess(items, kept, test=held).leaks == ()
    with pytest.raises(DataError, match="no held-out event"):
        assess(items, log, test=pa.table({"user_id": ["u"], "item_id": ["other"]}))


@pytest.mark.parametrize("minutes", [0, 0.9, math.nan, math.inf])
def test_minutes_are_enough_for_a_verdict(minutes):
    with pytest.raises(QueryError, match=r"must be 1 or more, not .*too few people"):
        assess(items_of("A lamp"), minutes=minutes)


@pytest.mark.usefixtures("_no_model")
def test_looking_says_which_step_it_is_at():
    told = []
    assess(*themed(), progress=lambda *step: told.append(step))
    for step in ("read", "look", "encode"):
        assert told.index((step, 0, 1)) < told.index((step, 1, 1))


@pytest.fixture
def run(tmp_path):
    """The command on files with two themes; gives (exit code, stdout)."""
    import pyarrow.parquet as pq

    from crossrec_llm.cli import assess as registered
    from crossrec_llm.cli.options import app

    assert registered
    paths = [tmp_path / name for name in ("items.parquet", "log.parquet")]
    for path, table in zip(paths, themed(), strict=True):
        pq.write_table(table, path)

    def invoke(*words, log=True):
        given = ["assess", "--items", str(paths[0])]
        given += ["--interactions", str(paths[1])] if log else []
        result = CliRunner().invoke(app, [*given, *(str(w).format(paths[1]) for w in words)])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.stdout

    return invoke


@pytest.mark.usefixtures("_no_model")
def test_the_command_prints_every_part(run):
    code, out = run()
    for words in ("Texts", "Overlap", "Leakage", "120 people asked", "meaning alone", "Verdict"):
        assert words in out
    assert code == (1 if "No: use" in out else 0)


@pytest.mark.usefixtures("_no_model")
def test_the_command_fails_on_a_leak(run):
    code, out = run("--test", "{}", "--json")
    document = json.loads(out)
    assert code == 1
    assert document["ok"] is False


def test_the_command_on_items_only_and_its_rules(run):
    code, out = run("--rules", log=False)
    assert code == 0
    assert "only the texts were looked at" in out
    assert "95 % interval" in out
    assert run("--minutes", -1)[0] == 2


@pytest.mark.model
def test_the_shop_with_the_real_model(shop_files, tmp_path):
    files = shop_files / "items.csv", shop_files / "interactions.csv"
    found = assess(*files, index=tmp_path / "index")
    assert [path.name for path in (tmp_path / "index").iterdir()] == ["vectors.cache"]
    assert found.trial.users == shop.N_USERS
    assert found.trial.ahead["popularity"].low > 0
    assert "60 people can be asked" in found.verdict.words
