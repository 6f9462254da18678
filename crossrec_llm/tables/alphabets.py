"""Which encoding of Latin letters a text has: the one in which its accents make sense."""

from __future__ import annotations

import math
import operator
import re
import unicodedata
from collections import Counter

_ENCODINGS = ("cp1252", "cp1250", "cp1254", "iso8859-2", "iso8859-15")
_DOUBT, _DOUBT_EACH = 1.5, 0.3  # nats another one must gain on cp1252; and per character changed
# Letters beyond ASCII, the most frequent first, of languages and of English texts with loan words.
_ALPHABETS = (
    "éèñüöâçêäåóíáôàïûøæ",  # English
    "éàèêçûùâîœôëï",  # French
    "üäößé",  # German
    "óíáéñúü",  # Spanish
    "ãçáéíóêõâúàô",  # Portuguese
    "àèùòìé",  # Italian
    "àóéèíçòúïü",  # Catalan
    "éëïöüèêç",  # Dutch
    "äöåé",  # Swedish, Finnish
    "øæåéòôê",  # Danish, Norwegian
    "ðáíþóæöéúý",  # Icelandic
    "ıüşçğöiâî",  # Turkish; "i" stands for its capital with a dot
    "íáěéýřžčšůúťňďó",  # Czech
    "áíéčýžúšľťôňäďóŕĺ",  # Slovak
    "łęóąćśżńź",  # Polish
    "éáöőóíüűú",  # Hungarian
    "ăîşţâ",  # Romanian
    "šžčćđ",  # Croatian, Slovene
)
_SIGNS = frozenset("‘’‚“”„«»‹›–—…•·°®©™€£§±×½¼¾²³ºªµ¿¡´\u00a0\u00ad")
_SIGNS_INSIDE = frozenset("’´·\u00ad")
_SIGN, _RARE, _FOREIGN, _ODD = (math.log(p) for p in (0.3, 0.02, 0.002, 0.0001))
_CROWDED = 1.2  # nats for each neighbour that is a vowel beside a vowel, or no vowel beside another
_BEYOND = re.compile(r"[^\x00-\x7f]")


def likeliest(data: bytes) -> str:
    """The encoding of text in a European language with Latin letters.

    In each encoding the text has a log likelihood under each language: the frequencies of its
    letters, taken as 1 / rank; small for letters the language does not have, and tiny for signs
    and capitals inside a word. Vowels and consonants should take turns. The best language counts.
    """
    texts = {encoding: data.decode(encoding, "replace") for encoding in _ENCODINGS}
    scores = {encoding: _likelihood(text) for encoding, text in texts.items()}
    best = max(scores, key=scores.__getitem__)
    changed = sum(map(operator.ne, texts[best], texts["cp1252"]))
    gain = scores[best] - scores["cp1252"]
    return best if gain > _DOUBT + _DOUBT_EACH * changed else "cp1252"


def _likelihood(text: str) -> float:
    letters = Counter[str]()
    fixed = 0.0
    text = f" {text} "
    for at in (match.start() for match in _BEYOND.finditer(text)):
        before, char, after = text[at - 1], text[at], text[at + 1]
        inside = before.isalpha() and after.isalpha()
        if char in _SIGNS_INSIDE or (char in _SIGNS and not inside):
            fixed += _SIGN
        elif char in _SIGNS or not char.isalpha():
            fixed += _ODD if inside or not char.isprintable() else _RARE
        elif char.isupper() and before.islower():
            fixed += _ODD
        elif not before.isalpha() and not after.isalpha():
            fixed += _RARE
        else:
            letters["i" if char == "İ" else char.lower()] += 1
            if char not in "œŒ":  # "œu"
                crowd = [_is_vowel(c) == _is_vowel(char) for c in (before, after) if c.isalpha()]
                fixed -= _CROWDED * sum(crowd)
    return fixed + max(
        sum(n * known.get(letter, _FOREIGN) for letter, n in letters.items())
        for known in _LOG_FREQUENCIES
    )


def _is_vowel(char: str) -> bool:
    return unicodedata.normalize("NFD", char.lower())[0] in "aeiouyæœøı"


def _frequencies(alphabet: str) -> dict[str, float]:
    total = sum(1 / rank for rank in range(1, len(alphabet) + 1))
    return {letter: -math.log(rank * total) for rank, letter in enumerate(alphabet, 1)}


_LOG_FREQUENCIES = tuple(map(_frequencies, _ALPHABETS))
