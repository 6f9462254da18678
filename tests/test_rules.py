"""The rules of a shop, the whole way: Python, the recipe, the command line."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from crossrec_llm import Filter, Recipe, Recommender, build
from crossrec_llm.answering import quota
from crossrec_llm.cli.main import app
from crossrec_llm.errors import QueryError, UnknownItem
from tests import shop

GOODS = {good.item_id: good for theme in shop.THEMES for good in shop.of_theme(theme)}
IDS = sorted(GOODS)
BRANDS = sorted({good.brand for good in GOODS.values() if good.brand})

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def recommender(shop_index):
    with Recommender.open(shop_index) as opened:
        yield opened


@pytest.fixture(scope="module")
def narrow(recommender):
    """The same shop with a pool that is smaller than the catalogue."""
    recipe = Recipe.from_dict({"answering": {"n_candidates": 5}})
    return Recommender(recommender.generation.asked_by(recipe))


ids = st.lists(st.sampled_from(IDS), max_size=3, unique=True).map(tuple)
share = st.one_of(st.none(), st.sampled_from([0.0, 0.2, 0.5, 1.0]))
most = st.one_of(st.none(), st.integers(1, 3))
targets = st.sampled_from(
    [*IDS[:3], f"brand:{BRANDS[0]}", f"category:{shop.CATEGORIES[0]}", "fresh:60", "new"]
)


@st.composite
def questions(draw):
    """(history, keywords of for_history): any rules together."""
    paths = draw(st.lists(st.sampled_from(shop.CATEGORIES), max_size=2, unique=True))
    quotas = {path: draw(st.sampled_from([0.1, 0.3, 0.5])) for path in paths}
    filter = Filter(
        price_max=draw(st.sampled_from([None, None, 25.0])),
        available=draw(st.booleans()),
        exclude=draw(ids),
        added_within=draw(st.sampled_from([None, None, 200.0])),
        pin=draw(ids),
        boost=draw(st.dictionaries(targets, st.sampled_from([0.2, 1.0]), max_size=2)),
        bury=tuple(draw(st.lists(targets, max_size=1))),
        max_per_brand=draw(most),
        max_per_category=draw(most),
        max_per_top_category=draw(most),
        quota=quotas,
        new_share=draw(share),
        calibration=draw(share),
    )
    asked = {
        "k": draw(st.integers(1, 12)),
        "filter": filter,
        "cross_share": None if quotas else draw(share),
        "diversity": draw(st.sampled_from([None, 0.5])),
    }
    return draw(ids), asked


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(questions(), st.booleans())
def test_every_rule_with_every_other(recommender, narrow, question, small):
    history, asked = question
    who = narrow if small else recommender
    filter, k = asked["filter"], asked["k"]
    answer = who.for_history(history, **asked)
    assert json.dumps(answer.to_dict()) == json.dumps(who.for_history(history, **asked).to_dict())

    found = [GOODS[item_id] for item_id in answer.ids]
    assert len(set(answer.ids)) == len(found)
    assert not set(answer.ids) & (set(filter.exclude) | set(history))
    for good in found:
        assert good.available or not filter.available
        assert filter.price_max is None or good.price <= filter.price_max

    said = answer.shortfall or ""
    assert len(found) == k or said.startswith(f"{len(found)} of {k}: no more items pass the filter")
    pinned = [r.item_id for r in answer if "pin" in r.rules]
    assert answer.ids[: len(pinned)] == pinned
    assert pinned == [item_id for item_id in filter.pin if item_id in pinned]
    if len(pinned) < len(filter.pin):
        assert any(
            n.startswith(f"pinned: {len(pinned)} of {len(filter.pin)},") for n in answer.notes
        )
    assert all(r.reasons[0].kind == "pinned" for r in answer if "pin" in r.rules)

    for name, of in (
        ("brand", lambda g: g.brand),
        ("category", lambda g: g.category),
        ("top_category", lambda g: g.category[0]),
    ):
        cap = getattr(filter, f"max_per_{name}")
        fullest = max(Counter(of(g) for g in found if of(g)).values(), default=0)
        if cap is not None and fullest > cap:
            assert f"max_per_{name} {cap}: {fullest} came, as they are pinned" in answer.notes
    for path, wanted in filter.quota:
        got = sum(good.category[0] == path for good in found)
        assert abs(got - k * wanted) < 1 or "lie in" in said or len(found) < k
    new = sum(r.cold for r in answer)
    wanted = quota(k, filter.new_share or 0)
    assert new >= wanted or f"{new} instead of {wanted} of {k} are new" in said
    if asked["cross_share"] is not None and answer.query["home"]:
        cross = sum(r.cross for r in answer)
        assert cross == quota(k, asked["cross_share"]) or said


def test_caps_reach_beyond_the_pool(narrow):
    answer = narrow.for_history(["b-roses"], k=10, filter=Filter(max_per_category=1))
    assert len({r.category for r in answer}) == len(answer) == 10
    assert answer.shortfall is None
    assert any("max_per_category" in r.rules for r in answer)


def test_a_pin_comes_first_and_says_so(recommender):
    plain = recommender.for_user("u1", k=5)
    assert "b-roses" not in plain.ids
    answer = recommender.for_user("u1", k=5, filter=Filter(pin=("b-roses", plain.ids[3])))
    assert answer.ids[:3] == ["b-roses", plain.ids[3], plain.ids[0]]
    first = answer[0]
    assert first.rules == ("pin",)
    assert [(x.kind, x.text, x.share) for x in first.reasons] == [
        ("pinned", "pinned by a rule", 1.0)
    ]
    assert first.to_dict()["rules"] == ["pin"]
    assert "rules" not in plain[0].to_dict()
    assert "standing" not in plain.query


def test_a_boost_brings_forward_and_burying_puts_back(recommender):
    def places(answer):
        return [r.rank for r in answer if r.item.category[0] == "Books"]

    plain = recommender.for_user("u1", k=30)
    boosted = recommender.for_user("u1", k=30, filter=Filter(boost={"category:Books": 0.5}))
    assert sum(places(boosted)) / len(places(boosted)) < sum(places(plain)) / len(places(plain))
    assert all(("boost category:Books" in r.rules) == (r.rank in places(boosted)) for r in boosted)
    buried = recommender.for_user("u1", k=10, filter=Filter(bury="category:Books"))
    assert not places(buried)
    everything = recommender.for_user("u1", k=200, filter=Filter(bury="category:Books"))
    books = places(everything)
    assert books == list(range(len(everything) - len(books) + 1, len(everything) + 1))


def test_new_items_and_quotas(recommender):
    answer = recommender.for_user("u1", k=10, filter=Filter(new_share=0.5))
    assert sum(r.cold for r in answer) >= 5
    assert any("new_share" in r.rules for r in answer)
    asked = Filter(quota={"Books": 0.5, "Kitchen": 0.2})
    answer = recommender.for_user("u1", k=10, filter=asked)
    assert Counter(r.item.category[0] for r in answer)["Books"] == 5
    assert Counter(r.item.category[0] for r in answer)["Kitchen"] == 2


def test_calibration_comes_nearer_to_the_history(recommender):
    def books(strength):
        history = [i for i in IDS if GOODS[i].category[0] == "Books"][:4]
        history += [i for i in IDS if GOODS[i].category[0] == "Kitchen"][:4]
        asked = Filter(calibration=strength)
        counts = Counter(r.item.category[0] for r in recommender.for_history(history, filter=asked))
        return abs(counts["Books"] - 5) + abs(counts["Kitchen"] - 5)

    assert books(0.9) < books(0.0)
    assert books(0.9) <= 2


def test_standing_rules_hold_in_every_answer(shop_files, tmp_path):
    def built(rules):
        recipe = Recipe.from_dict({"rules": rules, "blend": {"tune": False}})
        files = shop_files / "items.csv", shop_files / "interactions.csv"
        build(*files, tmp_path / "index", recipe=recipe)
        return Recommender.open(tmp_path / "index")

    with built({}) as plain:
        before = plain.like("chess").ids
    rules = {"pin": ["b-roses", "gone"], "max_per_category": 2, "boost": {"new": 0.3}}
    with built(rules) as standing:
        for answer in (
            standing.for_user("u1"),
            standing.like("chess"),
            standing.similar("p-chess-set"),
        ):
            assert answer.ids[0] == "b-roses"
            assert max(Counter(r.category for r in answer).values()) <= 2
            assert answer.query["standing"]["max_per_category"] == 2
            assert any("standing rule pin passed over: no item 'gone'" in n for n in answer.notes)
        own = standing.like("chess", filter=Filter(pin="p-chess-set", max_per_category=5))
        assert own.ids[:2] == ["p-chess-set", "b-roses"]
        assert standing.like("chess", filter=Filter(standing=False)).ids == before


def test_unknown_names_are_errors(recommender):
    with pytest.raises(UnknownItem, match="did you mean 'p-chess-set'"):
        recommender.for_user("u1", filter=Filter(pin="p-ches-set"))
    with pytest.raises(QueryError, match="Books"):
        recommender.for_user("u1", filter=Filter(boost={"category:Book": 0.1}))


def test_from_the_command_line(shop_index, recommender, monkeypatch):
    monkeypatch.setenv("CROSSREC_INDEX", str(shop_index))

    def run(*words):
        result = CliRunner().invoke(app, [str(word) for word in words])
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result.exit_code, result.stdout, result.stderr

    words = [
        "user", "u1", "-k", 6, "--pin", "b-roses", "--boost", "category:Books=0.4", "--boost",
        "new", "--bury", "category:Garden", "--max-per-brand", 1, "--max-per-category", 2,
        "--max-per-top-category", 4, "--quota", "Books=0.5", "--new-share", 0.3,
        "--calibration", 0.2, "--added-within", 400, "--no-standing",
    ]  # fmt: skip
    code, out, _ = run(*words, "--json")
    assert code == 0
    asked = Filter(
        pin="b-roses",
        boost={"category:Books": 0.4, "new": 0.25},
        bury="category:Garden",
        max_per_brand=1,
        max_per_category=2,
        max_per_top_category=4,
        quota={"Books": 0.5},
        new_share=0.3,
        calibration=0.2,
        added_within=400,
        standing=False,
    )
    assert json.loads(out) == json.loads(
        json.dumps(recommender.for_user("u1", 6, filter=asked).to_dict())
    )
    code, out, _ = run("user", "u1", "-k", 2, "--pin", "b-roses")
    assert "[pin]" in out
    assert "pinned by a rule" in out
    code, _, err = run("user", "u1", "--pin", "p-ches-set")
    assert code == 2
    assert err.startswith("crossrec: no item 'p-ches-set' in this index; did you mean")
    code, _, err = run("user", "u1", "--quota", "Books")
    assert code == 2
    assert "needs a number" in err
