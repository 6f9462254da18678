from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from crossrec_llm.evaluation import evaluate, split
from crossrec_llm.generation import Generation
from crossrec_llm.store import Index
from tests.cli.test_cli import crossrec  # noqa: F401

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def found(shop_index):
    return evaluate(shop_index)


def test_meaning_and_behaviour_beat_popularity_on_the_shop(found):
    assert found.system["recall@10"].value > 2 * found.baselines["popularity"]["recall@10"].value
    assert found.ahead["popularity"].low > 0
    assert 0 < found.coverage <= 1
    assert found.users == 60


def test_shuffled_targets_fall(found):
    assert found.control < found.system["recall@10"].value / 2


def test_slices_share_the_people(found):
    assert {"target seen < 10 times", "history of at most 5"} <= set(found.slices)


def test_the_same_seed_gives_the_same_numbers(found, shop_index):
    again = evaluate(shop_index)
    assert again.system == found.system
    assert again.control == found.control
    assert evaluate(shop_index, users=20).users == 20


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


def test_a_planted_leak_shows(found, shop_index, tmp_path, monkeypatch):
    """With the hidden events left in the training part the numbers jump: the guard is real."""
    index = tmp_path / "index"
    shutil.copytree(shop_index, index)

    def leaking(protocol, catalogue, events, options):
        parts = split(protocol, catalogue, events, options)
        return type(parts)(protocol, events, parts.cases)

    monkeypatch.setattr("crossrec_llm.evaluation.runner.split", leaking)
    leaked = evaluate(index)
    assert leaked.system["ndcg@10"].value > found.system["ndcg@10"].value + 0.05


def test_command(crossrec):  # noqa: F811
    code, out, _ = crossrec("evaluate", "--users", 30)
    assert code == 0
    assert "warm: 30 people" in out
    assert "ahead of popularity by +" in out
    code, out, _ = crossrec("evaluate", "--users", 30, "--protocol", "validation", "--json")
    document = json.loads(out)
    assert document["protocol"] == "validation"
    assert set(document["system"]["ndcg@10"]) == {"value", "low", "high"}
