from __future__ import annotations

import pytest

from crossrec_llm.assessing.languages import knows, language


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A book about roses and how to grow them with care", "English"),
        ("Der Garten und die Küche, mit Liebe für das Detail", "German"),
        ("Une lampe pour le salon avec un pied dans le style ancien", "French"),
        ("Una lámpara para el salón con los pies de madera", "Spanish"),
        ("Uma lâmpada para a sala com os pés em madeira", "Portuguese"),
        ("Una lampada per il salotto che è anche della nonna", "Italian"),
        ("Een lamp voor het salon met poten van hout", "Dutch"),
        ("Lampa dla dzieci oraz do salonu, nie jest ze szkła", "Polish"),
        ("En lampa för barn och vuxna som är av trä", "Swedish"),
        ("Çocuk odası için bir lamba ve masa", "Turkish"),
        ("木製のランプ、リビング用", "Japanese"),
        ("木制台灯", "Chinese"),
        ("Деревянная лампа", "in Cyrillic letters"),
        ("مصباح خشبي", "in Arabic letters"),
    ],
)
def test_a_sentence_tells_its_language(text, expected):
    assert language(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "12345 - 99",
        "Non-stick pan, 12 cm",
        "Le Creuset Au Gratin dish",
        "Las Vegas neon sign",
        "M4N98TD EVO motherboard",
    ],
)
def test_names_and_lone_words_tell_nothing(text):
    assert language(text) == ""


def test_what_an_encoder_was_made_for():
    assert knows("all-MiniLM-L6-v2") == {"English"}
    assert knows("/models/bge-small-en-v1.5/") == {"English"}
    assert knows("paraphrase-multilingual-MiniLM-L12-v2") is None
    assert knows("intfloat/multilingual-e5-small") is None
    assert knows("acme/our-own-encoder") is None
