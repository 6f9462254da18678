from __future__ import annotations

import itertools
import random

import numpy as np
import pytest

from crossrec_llm.assessing.quality import near_pairs, text_groups, text_quality
from crossrec_llm.tables import Suspicion
from tests.small import catalogue_of

ENGLISH = "all-MiniLM-L6-v2"


def found_in(*items, model=ENGLISH, suspicious=()):
    """The findings of a small catalogue, by name."""
    catalogue = catalogue_of(*({"item_id": f"i{n}", **item} for n, item in enumerate(items)))
    texts = [f"{item.get('title', f'i{n}')} {item.get('description', '')}" for n, item in
             enumerate(items)]  # fmt: skip
    quality = text_quality(catalogue, texts, text_groups(texts), model, suspicious, seed=0)
    return {finding.check: finding for finding in quality.findings}, quality


def test_short_texts_are_counted_and_shown():
    found, quality = found_in(
        {"title": "Lamp"},
        {"title": "A lamp"},
        {"title": "Lamp", "description": "of oak"},
        {"title": "A lamp of oak"},
    )
    assert found["short texts"].value == 0.5
    assert found["short texts"].grade == "look"
    assert found["short texts"].examples == ("'Lamp'", "'A lamp'")
    assert quality.words["median"] == 2.5


def test_scripts_without_spaces_are_not_short():
    found, _ = found_in({"title": "木製のランプ、リビング用"})
    assert found["short texts"].value == 0


def test_one_text_under_several_ids():
    found, _ = found_in(*[{"title": t} for t in ("Oak lamp", "oak lamp!", "Oak  LAMP", "Elm lamp")])
    assert found["same text"].value == 0.5
    assert found["same text"].grade == "bad"
    assert found["same text"].examples == ("3 ids: 'Oak lamp'",)


def test_empty_descriptions_are_no_text_of_their_own():
    found, _ = found_in({"title": "A fine lamp"}, {"title": "A fine chair"})
    assert found["same text"].value == 0
    assert found["boilerplate"].value == 0


def test_near_pairs_are_those_of_all_pairs():
    rng = random.Random(5)
    words = [f"w{n}" for n in range(400)]
    texts = [" ".join(rng.sample(words, 30)) for _ in range(60)]
    for text in texts[:20]:  # one word of thirty changed: Jaccard 29 / 31
        texts.append(" ".join([*text.split()[1:], "new"]))
    for text in texts[20:30]:  # five changed: 25 / 35
        texts.append(" ".join([*text.split()[5:], "a", "b", "c", "d", "e"]))
    sets = [set(text.split()) for text in texts]
    near = [
        (a, b)
        for a, b in itertools.combinations(range(len(sets)), 2)
        if len(sets[a] & sets[b]) >= 0.9 * len(sets[a] | sets[b])
    ]
    assert len(near) == 20
    found = near_pairs(texts)
    assert set(found) <= set(near)
    assert len(found) >= 19
    assert near_pairs(["", "a"]) == near_pairs([]) == []


def test_a_catalogue_in_another_language_is_bad_for_an_english_encoder_only():
    german = [{"title": f"Lampe {n} und Tisch für das Zimmer mit Holz"} for n in range(4)]
    found, quality = found_in(*german, {"title": "A lamp for the table"})
    assert found["other languages"].grade == "bad"
    assert found["other languages"].value == 0.8
    assert quality.languages == {"German": 4, "English": 1}
    found, _ = found_in(*german, model="paraphrase-multilingual-MiniLM-L12-v2")
    assert found["other languages"].grade == "ok"


def test_boilerplate_is_found_with_its_words():
    promise = "Free shipping on all orders over fifty"
    items = [{"title": f"t{n}", "description": f"thing number {n}. {promise}"} for n in range(20)]
    items += [{"title": f"u{n}", "description": f"nothing like it {n}"} for n in range(20)]
    found, _ = found_in(*items)
    assert found["boilerplate"].value == 0.5
    assert found["boilerplate"].examples == (f"20 times: {promise.lower()!r}",)


def test_one_description_for_all_is_boilerplate_and_one_thing_many_times_is_not():
    promise = "Free shipping on all orders over fifty"
    found, _ = found_in(*({"title": f"t{n}", "description": promise} for n in range(30)))
    assert found["boilerplate"].value == 1
    found, _ = found_in(*({"title": "A", "description": promise} for n in range(30)))
    assert found["boilerplate"].value == 0


def test_left_overs():
    found, _ = found_in(
        {"title": "see https://shop.example/x"},
        {"title": "two\\nlines"},
        {"title": "CloverhillÂ® Danish"},
        {"title": "fine"},
        suspicious=[Suspicion("markup", 1, ("i9",))],
    )
    assert found["left-overs"].value == 1
    assert "an address 1" in found["left-overs"].words
    assert "markup 1" in found["left-overs"].words


def test_categories():
    items = [{"category": ["A"]}] * 5 + [{"category": ["B"]}] + [{}] * 2
    found, _ = found_in(*items)
    assert found["no category"].value == 0.25
    assert found["largest category"].words.startswith("5 of 8 items")
    assert found["tiny categories"].examples == ("'B': 1",)
    found, _ = found_in({"category": ["A"]})
    assert found["largest category"].words == "there is one top category"
    found, _ = found_in({})
    assert "largest category" not in found
    assert found["no category"].grade == "bad"


def test_every_finding_names_its_limit():
    found, _ = found_in({"title": "Lamp"})
    assert found["short texts"].limit == "look above 10%, bad above 50%"
    assert all(finding.limit for finding in found.values())


@pytest.mark.parametrize("texts", [["a b", "A, b.", "b a"]])
def test_groups_set_case_and_punctuation_aside(texts):
    assert text_groups(texts).tolist() == [0, 0, 1]
    assert text_groups(["!!", "??"]).tolist() == [0, 1]
    assert isinstance(text_groups([]), np.ndarray)
