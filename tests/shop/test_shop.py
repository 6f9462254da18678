"""The invented shop keeps what the other tests take from it."""

from __future__ import annotations

import json
from collections import defaultdict

import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet

from tests import shop
from tests.shop.goods import GOODS


def test_two_calls_give_equal_tables():
    assert shop.items().equals(shop.items())
    assert shop.interactions().equals(shop.interactions())


def test_themes_run_across_categories():
    for theme in shop.THEMES:
        tops = {good.category[0] for good in shop.of_theme(theme)}
        assert len(tops) >= 4, theme
        assert shop.home_category(theme) in tops


def test_it_has_the_gaps_that_a_real_shop_has():
    goods = shop.items().to_pylist()
    touched = set(shop.interactions()["item_id"].to_pylist())
    assert 80 <= len(goods) <= 120
    assert len({good["item_id"] for good in goods}) == len(goods)
    assert sum(not good["available"] for good in goods) >= 5
    assert sum(good["price"] is None for good in goods) >= 3
    assert sum(good["description"] == "" for good in goods) >= 3
    cold = {good["item_id"] for good in goods} - touched
    assert cold == {good.item_id for good in GOODS if good.is_new}


def test_users_follow_their_themes():
    goods = {good.item_id: good for good in GOODS}
    seen = defaultdict(set)
    for event in shop.interactions().to_pylist():
        good = goods[event["item_id"]]
        follows = good.theme in shop.user_themes(event["user_id"])
        assert follows == (event["event"] != "dislike")
        if follows:
            seen[event["user_id"]].add(good.category[0])
    assert len(seen) == shop.N_USERS
    for user_id, tops in seen.items():
        assert len(tops) == 1 or not shop.stays_home(user_id)
    assert sum(len(tops) >= 3 for tops in seen.values()) >= shop.N_USERS / 2


def test_the_three_formats_hold_the_same(tmp_path):
    wanted = shop.interactions().to_pylist()
    for kind in ("csv", "jsonl", "parquet"):
        items, interactions = shop.write(tmp_path, kind)
        assert items.name == f"items.{kind}"
        if kind == "csv":
            found = pa_csv.read_csv(interactions)["item_id"].to_pylist()
        elif kind == "parquet":
            found = pa_parquet.read_table(interactions)["item_id"].to_pylist()
        else:
            lines = interactions.read_text(encoding="utf-8").splitlines()
            found = [json.loads(line)["item_id"] for line in lines]
        assert found == [row["item_id"] for row in wanted]
