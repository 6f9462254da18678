"""The whole way, with the real model and a real Chroma, on a shop with obvious answers."""

from __future__ import annotations

import json
import statistics
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from crossrec_llm import Filter, Recommender, build
from crossrec_llm import encoding as encoding_module
from crossrec_llm.answering import Situation, Tuned, TunedBlend
from crossrec_llm.errors import IndexMismatch, IndexMissing, QueryError, UnknownItem, UnknownUser
from crossrec_llm.generation import Generation
from tests import shop

THEME = {good.item_id: good.theme for theme in shop.THEMES for good in shop.of_theme(theme)}
TOP = {good.item_id: good.category[0] for theme in shop.THEMES for good in shop.of_theme(theme)}
NEW = {good.item_id for theme in shop.THEMES for good in shop.of_theme(theme) if good.is_new}
USERS = [f"u{number}" for number in range(shop.N_USERS)]

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def recommender(shop_index):
    with Recommender.open(shop_index) as opened:
        yield opened


def history_of(user_id):
    rows = shop.interactions().to_pylist()
    return {row["item_id"] for row in rows if row["user_id"] == user_id}


def test_people_get_the_themes_they_follow(recommender):
    shares = []
    for user_id in USERS:
        answer = recommender.for_user(user_id, k=3)
        shares.append(statistics.mean(THEME[i] in shop.user_themes(user_id) for i in answer.ids))
    by_chance = 1.3 / len(shop.THEMES)
    assert statistics.mean(shares) > max(0.8, 3 * by_chance)


def test_a_visitor_with_the_same_history_gets_the_same(recommender):
    rows = shop.interactions().to_pylist()
    taken = [r["item_id"] for r in rows if r["user_id"] == "u1" and r["event"] != "dislike"]
    visitor = recommender.for_history([taken[-1], *taken], k=3)
    assert [THEME[i] for i in visitor.ids] == [THEME[i] for i in recommender.for_user("u1", 3).ids]
    assert not set(taken) & set(recommender.for_history(taken, k=200).ids)


def test_crossing_keeps_the_theme(recommender):
    """Someone only ever seen in one category gets their theme from the others."""
    at_home = [user_id for user_id in USERS if shop.stays_home(user_id)]
    firsts = []
    for user_id in at_home:
        answer = recommender.for_user(user_id, k=3, filter=Filter(cross="only"))
        assert all(r.cross and r.item.category[0] not in answer.query["home"] for r in answer)
        firsts.append(THEME[answer.ids[0]] in shop.user_themes(user_id))
    assert statistics.mean(firsts) > 0.8


def test_what_was_seen_or_disliked_does_not_come_again(recommender):
    for user_id in USERS:
        assert not history_of(user_id) & set(recommender.for_user(user_id, k=200).ids)


def test_seen_items_come_again_when_asked_but_dislikes_never(recommender):
    rows = shop.interactions().to_pylist()
    user_id = next(row["user_id"] for row in rows if row["event"] == "dislike")
    disliked = {r["item_id"] for r in rows if r["user_id"] == user_id and r["event"] == "dislike"}
    answer = recommender.for_user(user_id, k=200, filter=Filter(include_seen=True))
    assert history_of(user_id) - disliked <= set(answer.ids)
    assert not disliked & set(answer.ids)


def test_reasons_name_history_items_and_shares(recommender):
    answer = recommender.for_user("u0", k=5)
    for r in answer:
        assert 1 <= len(r.reasons) <= 3
        assert sum(reason.share for reason in r.reasons) <= 1 + 1e-6
        lead = next(x for x in r.reasons if x.item_id)
        rest = [x.share for x in r.reasons if x is not lead]
        assert rest == sorted(rest, reverse=True)
        assert all(x.item_id is None or x.item_id in history_of("u0") for x in r.reasons)
        assert r.why == r.reasons[0].text
    assert any(r.reasons[0].item_id for r in answer)
    assert all(not r.reasons for r in recommender.for_user("u0", k=5, explain=False))


def test_cold_items_are_recommended_and_labelled(recommender):
    found = {}
    for user_id in USERS:
        for r in recommender.for_user(user_id, k=10):
            found[r.item_id] = r.cold
    assert any(found.values())
    assert all((item_id in NEW) == cold for item_id, cold in found.items())


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 1.0])
def test_cross_share_is_exact(recommender, share):
    answer = recommender.for_user("u1", k=10, cross_share=share)
    assert sum(r.cross for r in answer) == round(10 * share)
    assert answer.shortfall is None


def test_cross_share_that_cannot_be_had_is_said(recommender):
    only = tuple(i for i in TOP if TOP[i] in recommender.for_user("u1", k=1).query["home"])
    answer = recommender.for_user("u1", k=4, cross_share=0.5, filter=Filter(only=only))
    assert len(answer) == 4
    assert answer.shortfall == (
        "0 instead of 2 of 4 lie outside the home categories: "
        "no more items outside them pass the filter"
    )


def test_diversity_lowers_the_similarity_in_the_list(recommender):
    def closeness(diversity):
        rows = recommender.catalogue.rows(recommender.for_user("u2", k=10, diversity=diversity).ids)
        cosines = recommender.generation.vectors[rows] @ recommender.generation.vectors[rows].T
        return (cosines.sum() - len(rows)) / (len(rows) * (len(rows) - 1))

    assert closeness(0.7) < closeness(0.0)


def test_free_text_finds_what_it_says(recommender):
    answer = recommender.like("something to improve my chess endgame", k=5)
    assert statistics.mean(THEME[i] == "chess" for i in answer.ids) >= 0.8
    assert answer[0].reasons[0].kind == "asked"
    assert answer[0].why == "matches “something to improve my chess endgame”"


def test_free_text_bends_toward_a_person_and_examples(recommender):
    def themes(**bent):
        return [THEME[i] for i in recommender.like("a good present", k=10, **bent).ids]

    gardener = next(u for u in USERS if shop.user_themes(u) == ("gardening",))
    assert themes(user=gardener).count("gardening") > themes().count("gardening")
    chess = [good.item_id for good in shop.of_theme("chess")]
    assert themes(liked=chess[:3]).count("chess") > themes().count("chess")
    games = recommender.like("a board game", k=20)
    away = recommender.like("a board game", k=20, disliked=[chess[0]])
    assert chess[0] not in away.ids

    def place_of_chess(answer):
        return statistics.mean(r.rank for r in answer if THEME[r.item_id] == "chess")

    assert place_of_chess(away) > place_of_chess(games)


def test_similar_finds_the_theme_and_not_itself(recommender):
    hits = []
    for item_id, theme in THEME.items():
        answer = recommender.similar(item_id, k=3)
        assert item_id not in answer.ids
        hits.extend(THEME[i] == theme for i in answer.ids)
    assert statistics.mean(hits) > 0.8


def test_similar_across_categories(recommender):
    answer = recommender.similar("p-chess-set", k=3, filter=Filter(cross="only"))
    assert {TOP[i] for i in answer.ids}.isdisjoint({"Games"})
    assert THEME[answer.ids[0]] == "chess"


def test_audience_follows_the_theme_and_leaves_owners_out(recommender):
    hits = []
    for item_id, theme in THEME.items():
        answer = recommender.audience(item_id, k=3)
        assert all(item_id not in history_of(member.user_id) for member in answer)
        hits.extend(theme in shop.user_themes(member.user_id) for member in answer)
    assert statistics.mean(hits) > 0.6


def test_audience_of_everybody_says_there_is_no_more(recommender):
    answer = recommender.audience("p-chess-set", k=1000)
    assert answer.shortfall.startswith(f"{len(answer)} of 1000")


def test_a_history_of_dislikes_gets_what_is_popular_labelled(shop_files, tmp_path):
    events = tmp_path / "events.csv"
    lines = (shop_files / "interactions.csv").read_text().splitlines()
    events.write_text("\n".join([*lines, '"grump","p-chess-set",1.7e9,"dislike",']))
    build(shop_files / "items.csv", events, tmp_path / "index")
    with Recommender.open(tmp_path / "index") as recommender:
        answer = recommender.for_user("grump", k=3, filter=Filter(cross="only"))
        assert {r.reasons[0].kind for r in answer} == {"popular"}
        assert "no history to go by" in answer.notes[0]
        assert "crossing was not restricted" in answer.notes[1]
        asked = recommender.like("espresso", user="grump", k=3)
        assert THEME[asked.ids[0]] == "espresso"


def test_a_catalogue_without_a_log_answers_by_meaning(shop_files, tmp_path):
    build(shop_files / "items.csv", index=tmp_path / "index")
    with Recommender.open(tmp_path / "index") as recommender:
        assert THEME[recommender.like("chess", k=1).ids[0]] == "chess"
        assert THEME[recommender.similar("p-chess-set", k=1).ids[0]] == "chess"
        assert len(recommender.audience("p-chess-set")) == 0
        with pytest.raises(UnknownUser):
            recommender.for_user("u1")


def test_too_few_items_is_a_stated_shortfall(recommender):
    answer = recommender.for_user("u0", k=10, filter=Filter(brand=("Tempo",)))
    assert 0 < len(answer) < 10
    assert answer.shortfall == f"{len(answer)} of 10: no more items pass the filter"


def test_nothing_passes(recommender):
    answer = recommender.for_user("u0", k=5, filter=Filter(price_min=1e9), cross_share=0.5)
    assert len(answer) == 0
    assert answer.shortfall == "0 of 5: no more items pass the filter"


def test_unknown_ids_name_near_ones(recommender):
    with pytest.raises(UnknownUser, match="did you mean 'u5"):
        recommender.for_user("u5x")
    with pytest.raises(UnknownItem, match="did you mean 'p-chess-set'"):
        recommender.similar("p-ches-set")
    with pytest.raises(UnknownItem):
        recommender.audience("nothing like it")


@pytest.mark.parametrize(
    ("question", "named"),
    [
        (lambda r: r.for_user("u0", k=0), "k must be 1 or more"),
        (lambda r: r.for_user("u0", cross_share=1.5), "between 0 and 1"),
        (lambda r: r.for_user("u0", diversity=-1), "between 0 and 1"),
        (lambda r: r.like("  "), "is empty"),
        (
            lambda r: r.for_user("u0", cross_share=0.5, filter=Filter(cross="only")),
            "one of the two",
        ),
    ],
)
def test_senseless_questions_are_refused(recommender, question, named):
    with pytest.raises(QueryError, match=named):
        question(recommender)


def test_the_same_question_gives_the_same_bytes(recommender, shop_index):
    with Recommender.open(shop_index) as other:
        for user_id in USERS[:10]:
            one, two = recommender.for_user(user_id), other.for_user(user_id)
            assert json.dumps(one.to_dict()) == json.dumps(two.to_dict())


def test_scores_fall(recommender):
    answer = recommender.for_user("u0", k=10)
    scores = [r.score for r in answer]
    assert scores == sorted(scores, reverse=True)
    assert set(answer[0].signals) == set(recommender.recipe.blend.user.weights)


def test_k_beyond_the_catalogue_gives_what_there_is(recommender):
    answer = recommender.for_user("u0", k=10**9)
    assert len(answer) == len(recommender.catalogue) - len(history_of("u0"))
    assert len(recommender.audience("p-chess-set", k=10**9)) < shop.N_USERS


def test_chroma_and_the_exact_scan_agree(recommender):
    catalogue, vectors = recommender.catalogue, recommender.generation.vectors
    for collection, matrix in (("items", vectors), ("texts", recommender.generation.raw)):
        search = recommender.generation.chroma_search(collection)
        rows, scores = search.nearest(matrix[:20], 5)
        exact = np.sort(matrix[:20] @ matrix.T, axis=1)[:, ::-1][:, :5]
        assert len(search) == len(catalogue)
        np.testing.assert_allclose(scores, exact, atol=1e-5)
        assert (rows[:, 0] == np.arange(20)).all()


def test_no_index(tmp_path):
    with pytest.raises(IndexMissing, match="crossrec build"):
        Recommender.open(tmp_path / "nothing")


def test_another_model_is_refused_in_words(shop_files, tmp_path, monkeypatch):
    build(shop_files / "items.csv", index=tmp_path / "index")
    from crossrec_llm.meaning import Encoder

    with Recommender.open(tmp_path / "index") as recommender:
        monkeypatch.setattr(Encoder, "fingerprint", "f" * 64)
        with pytest.raises(
            IndexMismatch, match=r"encoder: index has sentence-transformers.*crossrec build"
        ):
            recommender.like("chess")


def test_a_blend_without_popularity_still_has_something_for_newcomers(shop_index):
    """What was fitted may give popularity no weight; a person without a history needs it."""
    with Recommender.open(shop_index) as opened:
        meaning = Tuned(Situation({"text": 1.0}, ("text",)))
        blend = TunedBlend({"user": meaning, "cross": meaning})
        recommender = Recommender(opened.generation.blended_by(blend))
        answer = recommender.for_history([], k=5)
        people = opened.generation.signals.popularity.people
        taken = [people[recommender.catalogue.row(item_id)] for item_id in answer.ids]
    assert taken == sorted(people, reverse=True)[:5]
    assert {r.reasons[0].kind for r in answer} == {"popular"}


def test_threads_that_ask_at_once_load_the_encoder_once(shop_index, monkeypatch):
    loaded = []

    def slowly(load):
        def wrapped(*given):
            loaded.append(load)
            time.sleep(0.05)
            return load(*given)

        return wrapped

    encoder, templates = encoding_module.Encoder, Generation.templates
    monkeypatch.setattr(encoding_module, "Encoder", slowly(encoder))
    monkeypatch.setattr(Generation, "templates", slowly(templates))
    with Recommender.open(shop_index) as opened, ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: (opened.templates, opened.encoder), range(8)))
    assert len(set(found)) == 1
    assert sorted(map(loaded.count, (encoder, templates))) == [1, 1]


def test_many_threads_get_the_answers_of_one(shop_index):
    def asked(recommender, n):
        with_text = recommender.like(shop.THEMES[n % len(shop.THEMES)], user=f"u{n}", k=5)
        return [recommender.for_user(f"u{n}").ids, with_text.ids, recommender.audience("b-roses")]

    with Recommender.open(shop_index) as alone:
        one_by_one = [asked(alone, n) for n in range(16)]
    with Recommender.open(shop_index) as opened, ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda n: asked(opened, n), range(16)))
    assert repr(together) == repr(one_by_one)


def test_what_an_index_lacks_is_saved_with_it(shop_files, tmp_path):
    report = build(shop_files / "items.csv", index=tmp_path / "index")
    assert report.left_out["ease"].startswith("nobody took anything")
    again = build(shop_files / "items.csv", index=tmp_path / "index")
    assert again.unchanged
    assert again.left_out == report.left_out == again.to_dict()["left_out"]
    with Recommender.open(tmp_path / "index") as opened:
        assert opened.generation.signals.left_out == report.left_out
