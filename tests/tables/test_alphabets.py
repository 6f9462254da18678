from __future__ import annotations

import pytest

from crossrec_llm.tables.alphabets import likeliest

CZECH = "Příliš žluťoučký kůň úpěl ďábelské ódy. Dětská kniha o zvířatech. Černý čaj"
SLOVAK = "Čierny čaj. Detská kniha o zvieratách. Ľahká stolička. Veľký hrniec so sklom, mäkká deka"
POLISH = "Zażółć gęślą jaźń. Krzesło ogrodowe składane. Młynek do kawy ręczny, mała łyżka"
HUNGARIAN = "Árvíztűrő tükörfúrógép. Kávéfőző, női cipő, fehér bögre"
CROATIAN = "Čaj od kamilice. Dječja knjiga, šalica za kavu, žuta stolica, ćevapčići"
ROMANIAN = "Cană de cafea roşie. Băutură răcoritoare. Mobilă şi ţesături"
TURKISH = "Türk kahvesi. Kırmızı şapka, çocuk kitabı, ışıklı ağaç süsü. İstanbul'da güneşli gün"
GERMAN = "Schwarzer Tee – Übergröße. Kaffeemühle für Anfänger, schöne Töpfe, Käse & Öl"
FRENCH = "Café au lait “Crème brûlée”. Thé noir à l’orange, œuvre complète, où est le garçon ?"
SPANISH = "Señal de tráfico nº 5. Lámpara de araña. ¿Qué? Tostador eléctrico"
PORTUGUESE = "Pão de açúcar. Cafeteira elétrica. Educação física. João e Maria 1ª edição"
ITALIAN = "Tè verde. Caffè. La città è più bella. Perché però"
DANISH = "Rød grød med fløde. Blåbær. Stol i træ. Smørrebrød"
ICELANDIC = "Íslensk þjóðlög. Það er kaffi. Rauður bolli"
ENGLISH = "Café Nestlé 1½ kg. Häagen-Dazs crème. 5 m³ bag, 10 µF, 20 °C. Price: £5 – Brand™ cup ®"

CENTRAL = [CZECH, SLOVAK, POLISH, HUNGARIAN, CROATIAN, ROMANIAN]
WESTERN = [GERMAN, FRENCH, SPANISH, PORTUGUESE, ITALIAN, DANISH, ICELANDIC, ENGLISH]


@pytest.mark.parametrize(
    ("encoding", "text"),
    [("cp1252", text) for text in WESTERN]
    + [("cp1250", text) for text in CENTRAL]
    + [("cp1254", TURKISH), ("iso8859-2", CZECH), ("iso8859-2", POLISH), ("iso8859-2", CROATIAN)],
)
def test_letters_tell_encodings_apart(encoding: str, text: str) -> None:
    for times in (1, 100):
        assert likeliest("\n".join([text] * times).encode(encoding)) == encoding


@pytest.mark.parametrize("text", WESTERN)
def test_western_text_in_capitals_stays_western(text: str) -> None:
    assert likeliest(text.upper().encode("cp1252", "ignore")) == "cp1252"


def test_languages_of_the_west_may_mix() -> None:
    assert likeliest("\n".join(WESTERN).encode("cp1252")) == "cp1252"


def test_the_euro_and_the_oe_of_latin_9() -> None:
    text = "Cœur de bœuf à 5 €. Une œuvre complète. Sœur Thérèse"
    assert likeliest(text.encode("iso8859-15")) == "iso8859-15"
    assert likeliest(text.encode("cp1252")) == "cp1252"


@pytest.mark.parametrize(
    "word", ["Café", "São", "CRÈME BRÛLÉE", "œuvre", "Øl", "½", "Škoda", "Þórr"]
)
def test_one_word_leaves_doubt(word: str) -> None:
    assert likeliest(word.encode("cp1252")) == "cp1252"
