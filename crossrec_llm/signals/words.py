"""The search terms of a text: words without case, accents and plurals, and parts of names."""

from __future__ import annotations

import re
import unicodedata
from itertools import pairwise

# Scripts that set no spaces between words (Thai, Lao, Burmese, Khmer, kana, ideographs), and
# Hangul, which glues particles to them.
_SOLID = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af" + (
    "\U00020000-\U0003ffff"
)
# A letter, digit or combining mark of any script: what is no space, sign or punctuation.
_CHAR = (
    r"[^\s\x00-/:-@\[-`{-\u00a9\u00ab-\u00b4\u00b6-\u00b9\u00bb-\u00bf\u00d7\u00f7\u0964\u0965"
    r"\u2000-\u2bff\u3000-\u3004\u3007-\u3020\u3030\ud800-\udfff\ufe00-\ufe0f]"
)
CHUNK = re.compile(rf"{_CHAR}+(?:(?:[-'’._]|(?<=\d),(?=\d)){_CHAR}+)*")
_WORD = re.compile(r"\d+(?:[.,]\d+)+(?!\w)|[^-'’._,]+")
_PART = re.compile(rf"\d+(?:[.,]\d+)*|[{_SOLID}]+|[^\d{_SOLID}.,'’_-]+")
IS_SOLID = re.compile(f"[{_SOLID}]")
_ACCENTS = re.compile("[\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0670]")
_SIGNS = str.maketrans(dict.fromkeys("®©™℠", " "))
_MOST_WORDS_JOINED = 4


def chunks(text: str) -> list[str]:
    return CHUNK.findall(fold(text))


def fold(text: str) -> str:
    """Without case, accents and compatibility forms."""
    if text.isascii():
        return text.lower()
    text = unicodedata.normalize("NFKD", text.translate(_SIGNS).casefold())
    return unicodedata.normalize("NFKC", _ACCENTS.sub("", text)).casefold()


def terms(chunk: str) -> dict[str, None]:
    """The search terms of one run of characters, distinct, in their order.

    "wh-1000xm4" gives its parts (wh, 1000, xm, 4), "1000xm4" and "wh1000xm4", so that it is found
    however it is spaced. Scripts without spaces give each character and each two neighbours.
    """
    parts = _PART.findall(chunk)
    if len(parts) == 1 and not IS_SOLID.match(chunk):
        return {singular(parts[0].replace(",", ".")): None}
    found = [term for part in parts for term in _terms_of_part(part)]
    if not IS_SOLID.search(chunk):
        words = _WORD.findall(chunk)
        found += [singular(word) for word in words if len(_PART.findall(word)) > 1]
        if 1 < len(words) <= _MOST_WORDS_JOINED:
            found.append(singular("".join(words)))
    return dict.fromkeys(found)


def _terms_of_part(part: str) -> list[str]:
    if not IS_SOLID.match(part):
        return [singular(part.replace(",", "."))]
    return [*part, *(a + b for a, b in pairwise(part))]


def singular(word: str) -> str:
    """Without the -s of a plural (the S-stemmer of Harman 1991, and -es after a hiss)."""
    if len(word) < 4 or not word.endswith("s") or not word.isalpha():
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "xes", "ches", "shes")):
        return word[:-2]
    return word if word.endswith(("ss", "us", "is")) else word[:-1]
