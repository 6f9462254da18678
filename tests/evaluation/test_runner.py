from __future__ import annotations

import json
import re

import numpy as np
import pytest

from crossrec_llm.errors import DataError, QueryError
from crossrec_llm.evaluation import evaluate, split
from crossrec_llm.generation import Generation
from crossrec_llm.meaning import Encoder
from crossrec_llm.store import Index

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def found(shop_index):
    return evaluate(shop_index)


@pytest.fixture
def searches(tmp_path):
    (tmp_path / "queries.tsv").write_text("query_id\ttext\nq1\troses\nq2\ttomato seeds\n")
    (tmp_path / "qrels.txt").write_text("q1 0 b-roses 3\nq2 0 g-tomato-seeds 1\nq2 0 b-roses 0\n")
    return {"queries": tmp_path / "queries.tsv", "qrels": tmp_path / "qrels.txt"}


def test_meaning_and_behaviour_beat_popularity_on_the_shop(found):
    assert found.system["recall@10"].value > 2 * found.baselines["popularity"]["recall@10"].value
    assert found.ahead["popularity"]["ndcg@10"].low > 0
    assert found.users == 60


def test_shuffled_targets_fall(found):
    assert found.controls["shuffled"] < found.system["recall@10"].value / 2


def test_files_give_what_their_index_gives(found, shop_files):
    files = {name: shop_files / f"{name}.csv" for name in ("items", "interactions")}
    again = evaluate(protocol="warm", **files, only=("popularity",))
    assert again.system == found.system
    assert again.data == found.data


def test_hidden_events_do_not_change_what_is_fitted(shop_index):
    """Fitting on the split gives the bytes of fitting on a log that never had the hidden rows."""
    with Index.open(shop_index) as index:
        built = Generation.load(index.generation)
        events = index.ledger.events()
    parts = split("warm", built.catalogue, events, built.histories)
    hidden = {(case.user_id, case.targets[0]) for case in parts.cases}
    rows = [e for e in events.to_pylist() if (e["user_id"], e["item_id"]) not in hidden]
    without = type(events).from_pylist(rows, schema=events.schema)
    one, two = (
        Generation.fit(built.recipe, built.catalogue, np.array(built.raw), learned)
        for learned in (parts.events, without)
    )
    assert one.users.vectors.tobytes() == two.users.vectors.tobytes()
    for name, matrix in one.signals.matrices.items():
        assert matrix.values.tobytes() == two.signals.matrices[name].values.tobytes()
    assert one.signals.popularity.people.tolist() == two.signals.popularity.people.tolist()


def test_the_default_protocol_follows_the_timestamps(shop_index):
    found = evaluate(shop_index, None, only=("system",))
    assert found.protocol == "temporal"
    assert found.notes[0].startswith("protocol temporal, because the timestamps are times")
    assert found.notes[1].startswith("cut at 2024-")


def test_searches(shop_index, searches):
    found = evaluate(shop_index, "search", **searches)
    json.dumps(found.to_dict(), allow_nan=False)
    assert {"ndcg@10", "ndcg_judged@10", "recall@100"} <= set(found.system)
    assert set(found.baselines) == {"bm25", "text"}
    assert found.system["ndcg_judged@10"].value >= found.system["ndcg@10"].value > 0.3
    assert found.slices == {}


def test_cases_learn_from_another_log(shop_index, tmp_path):
    cases, log = tmp_path / "cases.csv", tmp_path / "log.csv"
    cases.write_text("history,targets\nb-roses,g-tomato-seeds\nb-roses,gone\n")
    log.write_text(
        "user_id,item_id\n" + "".join(f"a{i},b-roses\na{i},g-tomato-seeds\n" for i in range(9))
    )
    own = evaluate(shop_index, "cases", cases=cases, only=("neighbours",))
    other = evaluate(shop_index, "cases", cases=cases, log=log, only=("neighbours",))
    assert other.baselines["neighbours"]["recall@1"].value == 0.5
    assert any("--log" in note for note in own.notes)
    assert not any("--log" in note for note in other.notes)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"protocol": "wram"}, QueryError, "'wram'; did you mean 'warm'\\? There is"),
        ({"cases": "c.csv"}, QueryError, "--cases has no use here: it is for --protocol cases"),
        ({"target_category": "Books"}, QueryError, "cross-cold or cross-warm"),
        ({"interactions": "log.csv"}, QueryError, "give --items too"),
        ({"k": 0}, QueryError, "k must be 1 or more"),
        ({"users": 1}, QueryError, "users must be 2 or more"),
        ({"protocol": "search"}, QueryError, "--queries FILE --qrels FILE"),
        ({"protocol": "cases"}, QueryError, "--cases FILE"),
        ({"only": ("esae",)}, QueryError, "no system 'esae' here; there is ease"),
        ({"protocol": "cross-cold", "target_category": "Boks"}, QueryError, "there is 'Books'"),
        ({"protocol": "cases", "cases": "no.csv"}, DataError, "no.csv: no such file"),
    ],
)
def test_what_makes_no_sense_is_one_clear_line(shop_index, options, error, words):
    with pytest.raises(error, match=words):
        evaluate(shop_index, **options)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"protocol": "cross-cold", "target_category": "Boks"}, QueryError, "there is 'Books'"),
        ({"protocol": "temporal", "interactions": None}, DataError, "no usable event"),
        ({"protocol": "search"}, QueryError, "--queries FILE --qrels FILE"),
        ({"protocol": "cases", "cases": "{}"}, DataError, "no target of 2 cases is in the cat"),
    ],
)
def test_what_cannot_be_asked_is_known_before_anything_is_encoded(
    shop_files, tmp_path, monkeypatch, options, error, words
):
    def encoded(*given, **named):
        raise AssertionError("encoded in vain")

    monkeypatch.setattr(Encoder, "encode_documents", encoded)
    cases = tmp_path / "cases.csv"
    cases.write_text("history,targets\nb-roses,gone\nb-roses,gone\n")
    options = {name: str(cases) if value == "{}" else value for name, value in options.items()}
    files = {name: shop_files / f"{name}.csv" for name in ("items", "interactions")}
    with pytest.raises(error, match=words):
        evaluate(**(files | options))
    with pytest.raises(AssertionError, match="in vain"):
        evaluate(protocol="warm", **files)


def test_encoding_files_is_told(shop_files):
    told = set()
    files = {name: shop_files / f"{name}.csv" for name in ("items", "interactions")}
    evaluate(**files, only=("system",), progress=lambda step, done, total: told.add(step))
    assert {"reading items", "encode", "fit system", "asking system", "intervals"} <= told


def test_across_categories_the_table_has_only_what_can_differ(crossrec):
    few = ("evaluate", "--only", "popularity")
    code, out, err = crossrec(*few, "--protocol", "cross-cold", "--target-category", "Books")
    assert code == 0
    assert "diversity@10" in out
    assert "calibration@10" not in out
    assert "cross_share@10" not in out
    row = re.search("^popularity .*$", out, re.MULTILINE)
    assert set(row[0].split()) == {"popularity", "-"}
    assert "note: popularity cannot tell the candidates apart" in err
    _, out, _ = crossrec(*few, "--protocol", "warm")
    assert "calibration@10" in out


def test_intervals_are_written_with_to(crossrec):
    _, out, _ = crossrec("evaluate", "--only", "text", "--protocol", "warm")
    assert re.search(r"0\.\d{3} \(0\.\d{3} to 0\.\d{3}\)", out)
    assert not re.search(r"\d-\d|-\d", out)


def test_command(crossrec, tmp_path):
    few = ("evaluate", "--users", 30, "--only", "popularity")
    code, out, err = crossrec(*few, "--protocol", "warm")
    assert code == 0
    assert "warm: 30 cases" in out
    assert "ahead of popularity by +" in out
    assert "controls: recall@10 falls to" in out
    code, out, err = crossrec(*few, "--protocol", "validation", "--json")
    document = json.loads(out)
    assert document["protocol"] == "validation"
    assert set(document["system"]["ndcg@10"]) == {"value", "low", "high"}
    code, out, err = crossrec(*few)
    assert "note: protocol temporal, because" in err


def test_a_report_has_the_numbers_beside_it(crossrec, tmp_path):
    folder = tmp_path / "report"
    code, out, _ = crossrec("evaluate", "--only", "popularity", "--report", folder, "--json")
    assert code == 0
    assert json.loads((folder / "evaluation.json").read_text("utf-8")) == json.loads(out)
    assert (folder / "index.html").exists()
