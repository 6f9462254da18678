"""Answers while the Chroma server of an index is away, slow, back, or empty."""

from __future__ import annotations

import math
import shutil
import time

import pytest

from crossrec_llm import Recommender, build, gc, rehearse, verify
from crossrec_llm.builder import tune
from crossrec_llm.errors import StoreUnavailable
from crossrec_llm.recipe import Recipe
from crossrec_llm.store import ChromaStore
from tests import shop
from tests.small_index import build_tiny, tiny_recipe
from tests.store.conftest import own_server  # noqa: F401
from tests.store.servers import Server

pytestmark = [pytest.mark.model, pytest.mark.server]
NOTE = "the Chroma server does not answer: found by the exact scan"


def asked(recommender):
    """The ids and the notes of one answer from Chroma."""
    answer = recommender.like("a present for a gardener")
    return [r.item.item_id for r in answer.items], [n for n in answer.notes if "Chroma" in n]


def test_away_slow_back_and_empty(own_server: Server, shop_files, tmp_path):  # noqa: F811
    server = own_server
    files, index = (shop_files / "items.csv", shop_files / "interactions.csv"), tmp_path / "index"
    recipe = Recipe.from_dict(
        {
            "store": {"url": server.url, "retries": 3},
            "search": {"exact_below": 0, "overfetch": 1_000_000},
            "blend": {"tune": False},
        }
    )
    build(*files, index, recipe=recipe)
    with Recommender.open(index) as recommender:
        standby = recommender.generation.standby
        ids, notes = asked(recommender)
        assert notes == []

        server.kill()
        assert asked(recommender) == (ids, [NOTE])
        assert NOTE in recommender.audience("p-chess-set").notes
        with Recommender.open(index) as another:
            assert asked(another) == (ids, [NOTE]), "opened while it is away"

        server.start()
        standby._rest._until = 0
        assert asked(recommender) == (ids, [])

        server.stop_answering()
        started = time.perf_counter()
        assert asked(recommender) == (ids, [NOTE])
        assert time.perf_counter() - started > 2, "it hangs: this question has patience"
        standby._rest._until = math.inf
        started = time.perf_counter()
        assert asked(recommender) == (ids, [NOTE])
        assert time.perf_counter() - started < 10, "and the next has none"
        server.go_on()

        server.kill()
        shutil.rmtree(server.folder)
        server.start()
        standby._rest._until = 0
        assert asked(recommender) == (
            ids,
            ["the Chroma server is damaged: found by the exact scan"],
        )

        build(*files, index, recipe=recipe)
        standby._rest._until = 0
        assert not build(*files, index, recipe=recipe).report
    with Recommender.open(index) as recommender:
        assert asked(recommender) == (ids, [])


def test_what_can_be_done_while_it_is_away(own_server: Server, tmp_path):  # noqa: F811
    server, index = own_server, tmp_path / "index"
    recipe = tiny_recipe(tmp_path, store={"url": server.url})
    first = build_tiny(index, recipe).generation
    items = shop.items()
    build(items, shop.interactions().slice(1), index, recipe=recipe)
    assert verify(index).ok

    server.kill()
    started = time.perf_counter()
    found = verify(index)
    assert found.ok, "what was not looked at is not damaged"
    assert any("was not looked at" in note and server.url in note for note in found.notes)
    with pytest.raises(StoreUnavailable, match="no Chroma server answers"):
        build(items, None, index, recipe=recipe, progress=lambda *_: pytest.fail("it was read"))
    with pytest.raises(StoreUnavailable, match="no Chroma server answers"):
        tune(index, progress=lambda *_: pytest.fail("it was fitted"))
    with pytest.raises(StoreUnavailable, match="no Chroma server answers"):
        rehearse(index, progress=lambda *_: pytest.fail("it was read"))
    done = gc(index, keep=1)
    assert done.removed == (first,)
    assert [server.url in note for note in done.notes] == [True]
    assert time.perf_counter() - started < 20, "nobody waits for it again and again"

    server.start()
    assert gc(index, keep=1).notes == ()
    with ChromaStore.server(server.url) as store:
        assert store._names()
        assert not [name for name in store._names() if first in name]
