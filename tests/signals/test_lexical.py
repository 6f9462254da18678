from __future__ import annotations

import math

import numpy as np
import pytest

from crossrec_llm.answering import make_query
from crossrec_llm.errors import IndexDamaged
from crossrec_llm.signals.lexical import Lexical, LexicalOptions
from tests.small import catalogue_of

FLAT = LexicalOptions(brand=1, category=1)


def lexical_of(*titles: str, options: LexicalOptions = FLAT) -> Lexical:
    items = ({"item_id": f"i{i}", "title": title} for i, title in enumerate(titles))
    return Lexical.fit(catalogue_of(*items), options)


def scores(signal: Lexical, text: str | None) -> np.ndarray:
    return signal.score(make_query("like", text=text), np.arange(signal.postings.n_items))


def found(signal: Lexical, text: str) -> list[int]:
    n = signal.postings.n_items
    return signal.propose(make_query("like", text=text), n, np.ones(n, bool)).tolist()


def test_the_score_is_bm25():
    # "red" is in 2 of 3 items, "drill" in 1; the mean length is 2 words.
    signal = lexical_of("red drill red", "red", "blue saw")
    red, drill = math.log(1 + 1.5 / 2.5), math.log(1 + 2.5 / 1.5)

    def saturated(times: int, length: int) -> float:
        return times / (times + 1.2 * (0.25 + 0.75 * length / 2))

    expected = [red * saturated(2, 3) + drill * saturated(1, 3), red * saturated(1, 1), 0]
    np.testing.assert_allclose(scores(signal, "Red drill"), expected, rtol=1e-5)


def test_a_field_of_weight_three_counts_as_three_mentions():
    by_field = catalogue_of({"item_id": "a", "title": "drill", "brand": "bosch"})
    options = LexicalOptions(brand=3)
    spelled_out = lexical_of("drill bosch bosch bosch", options=options)
    signal = Lexical.fit(by_field, options)
    np.testing.assert_array_equal(scores(signal, "bosch drill"), scores(spelled_out, "bosch drill"))


def test_an_item_of_the_brand_comes_before_one_that_mentions_it():
    made_by = {"item_id": "a", "title": "drill", "brand": "Bosch", "description": "with a case"}
    mentions = {"item_id": "b", "title": "drill", "brand": "Else", "description": "fits bosch"}
    signal = Lexical.fit(catalogue_of(mentions, made_by), LexicalOptions())
    assert found(signal, "bosch drill") == [1, 0]


def test_a_category_word_finds_the_items_in_it():
    shoes = {"item_id": "a", "title": "gel kayano", "category": ["Sports", "Running shoes"]}
    signal = Lexical.fit(catalogue_of(shoes, {"item_id": "b"}), LexicalOptions())
    assert found(signal, "shoe") == [0]


def test_nothing_to_say_is_nan():
    signal = lexical_of("red drill", "saw")
    for text in (None, "zzzzzz", "...", ""):
        assert np.isnan(scores(signal, text)).all()
    assert found(signal, "zzzzzz") == []


def test_only_allowed_items_are_proposed_best_first_and_ties_by_row():
    signal = lexical_of("red saw", "red", "red", "blue", "red red")
    query = make_query("like", text="red")
    allowed = np.array([True, True, True, True, False])
    assert signal.propose(query, 10, allowed).tolist() == [1, 2, 0]
    assert signal.propose(query, 2, allowed).tolist() == [1, 2]


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("batteries", "battery"),
        ("watch", "watches"),
        ("headphone", "headphones"),
        ("glass", "glasses"),
        ("cafe creme", "Café crème"),
        ("STRASSE", "straße"),
        ("500gb", "500 GB disk"),
        ("500 gb", "500GB disk"),
        ("wh1000xm4", "Sony WH-1000XM4"),
        ("wh 1000xm4", "Sony WH-1000XM4"),
        ("wh-1000xm4", "Sony WH1000XM4"),
        ("1000xm4", "Sony WH-1000XM4"),
        ("blue tooth", "Bluetooth"),
        ("wifi", "Wi-Fi router"),
        ("dont", "don’t panic"),
        ("1,5 l", "1.5 l"),
        ("coretm2", "coretm2"),
        ("ヘッドホン", "ソニーのワイヤレスヘッドホン"),
        ("茶", "緑茶パック"),
        ("หูฟัง", "ซื้อหูฟังไร้สาย"),
        ("이어폰", "무선이어폰을"),
        ("हिन्दी", "हिन्दी किताब"),
    ],
)
def test_a_word_is_found_however_it_is_written(text, title):
    assert found(lexical_of("something else", title), text) == [1]


@pytest.mark.parametrize(("text", "title"), [("car", "care"), ("bus", "bu"), ("3.5mm", "35mm")])
def test_different_words_stay_different(text, title):
    signal = lexical_of(title, text, options=LexicalOptions(near=0))
    assert found(signal, text)[0] == 1
    assert scores(signal, text)[0] < scores(signal, text)[1]


@pytest.mark.parametrize(
    "typo", ["haedphones", "hedphones", "headdphones", "hedphons", "headphonse"]
)
def test_a_misspelled_word_finds_what_was_meant_and_counts_less(typo):
    signal = lexical_of("headphones", "saw")
    right, wrong = scores(signal, "headphones"), scores(signal, typo)
    np.testing.assert_allclose(wrong, FLAT.near * right, rtol=1e-6)
    assert np.isnan(scores(lexical_of("headphones", options=LexicalOptions(near=0)), typo)).all()


def test_a_commoner_word_was_meant_more_often():
    # "lmap" is one swap from "lamp" and one dropped letter from "map".
    signal = lexical_of("lamp", "lamp", "lamp", "map", "saw")
    assert found(signal, "lmap") == [0, 1, 2, 3]
    near = [signal.postings.words[word] for word, _ in signal.postings.near({"lmap"})]
    shares = [share for _, share in signal.postings.near({"lmap"})]
    assert near == ["lamp", "map"]
    assert shares == [1, 1 / 3]


def test_a_known_word_and_a_number_are_never_guessed():
    signal = lexical_of("lamp", "lmap", "xm4")
    assert found(signal, "lmap") == [1]
    assert found(lexical_of("1234567"), "1234568") == []


def test_spelled_corrects_only_what_no_item_has():
    signal = lexical_of("wireless headphones", "Sony WH-1000XM4")
    text = "Wireles hedphones, SONY wh-1000xm5 ヘッドホン!"
    assert signal.spelled(text) == "wireless headphone, SONY wh-1000xm5 ヘッドホン!"
    off = lexical_of("wireless headphones", options=LexicalOptions(near=0))
    assert off.spelled("hedphones") == "hedphones"


def test_one_question_is_computed_once(monkeypatch):
    signal = lexical_of("red drill", "saw")
    asked = []
    compute = signal._scores
    monkeypatch.setattr(signal, "_scores", lambda text: asked.append(text) or compute(text))
    query = make_query("like", text="red")
    signal.propose(query, 2, np.ones(2, bool))
    signal.score(query, np.arange(2))
    signal.score(make_query("like", text="red"), np.arange(2))
    assert asked == ["red", "red"]


def test_saved_and_loaded_is_the_same_and_equal_input_gives_equal_bytes(tmp_path):
    titles = ("red drill", "Sony WH-1000XM4", "", "緑茶")
    for name in ("a", "b"):
        lexical_of(*titles).save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    loaded, signal = Lexical.load(tmp_path / "a", FLAT), lexical_of(*titles)
    for text in ("drill", "wh1000xm4", "drlil"):
        np.testing.assert_array_equal(scores(loaded, text), scores(signal, text))


@pytest.mark.parametrize("titles", [(), ("", "...")])
def test_a_catalogue_without_words(titles, tmp_path):
    lexical_of(*titles).save(tmp_path / "f")
    signal = Lexical.load(tmp_path / "f", FLAT)
    assert np.isnan(scores(signal, "drill")).all()
    assert signal.spelled("drill") == "drill"


def test_the_file_is_read_at_the_first_text_only(tmp_path):
    with pytest.raises(FileNotFoundError):
        Lexical.load(tmp_path / "missing", FLAT)
    (tmp_path / "f").write_bytes(b"nothing of the kind")
    signal = Lexical.load(tmp_path / "f", FLAT)
    query = make_query("user", [0], [1.0])
    assert np.isnan(signal.score(query, np.arange(3))).all()
    with pytest.raises(IndexDamaged, match="crossrec build"):
        signal.score(make_query("like", text="drill"), np.arange(3))


def test_new_and_changed_items_are_found_by_the_words_they_have_now():
    was = catalogue_of(*(item_of(n, f"plain cup number {n}") for n in range(30)))
    late = [item_of(3, "walnut spoon"), item_of(30, "walnut bowl zirconia")]
    gone = np.zeros(31, bool)
    now = was.grown(catalogue_of(*late).table, gone)
    lexical = Lexical.fit(was, LexicalOptions())
    grown = lexical.grown(now, np.array([3, 30]))
    scored = np.arange(31)
    for text, rows in (("walnut", [3, 30]), ("zirconia", [30]), ("spoon", [3])):
        scores = grown.score(make_query("like", text=text), scored)
        assert np.flatnonzero(scores > 0).tolist() == rows
    cups = grown.score(make_query("like", text="cup"), scored)
    assert np.flatnonzero(cups == 0).tolist() == [3, 30]
    assert grown.spelled("zircomia") == "zirconia"
    assert np.isnan(lexical.score(make_query("like", text="walnut"), scored[:30])).all()


@pytest.mark.parametrize("b", [0.0, 0.75])
def test_values_are_those_of_a_fit_where_nothing_else_changed(b):
    """Rarity and mean length are those of the build, so the same texts give the same values."""
    titles = [
        f"{'red blue green'.split()[n % 3]} cup {'with lid ' * (n % 4)}{n}" for n in range(40)
    ]
    catalogue = catalogue_of(*(item_of(n, title) for n, title in enumerate(titles)))
    fitted = Lexical.fit(catalogue, LexicalOptions(b=b))
    grown = fitted.grown(catalogue, np.array([0, 7, 39])).postings
    assert grown.words == fitted.postings.words
    np.testing.assert_array_equal(grown.rows, fitted.postings.rows)
    np.testing.assert_array_equal(grown.indptr, fitted.postings.indptr)
    np.testing.assert_allclose(grown.values, fitted.postings.values, rtol=1e-5)


def test_a_catalogue_of_which_everything_changed_has_only_the_new_words():
    catalogue = catalogue_of(item_of(0, "old words"))
    now = catalogue.grown(catalogue_of(item_of(0, "walnut spoon")).table, np.zeros(1, bool))
    grown = Lexical.fit(catalogue, LexicalOptions()).grown(now, np.array([0]))
    assert grown.score(make_query("like", text="spoon"), np.array([0]))[0] > 0
    assert not grown.score(make_query("like", text="old"), np.array([0]))[0] > 0


def item_of(number, title):
    return {"item_id": f"i{number}", "title": title}
