"""Which language a short text is in, from its script and a few small words; "" when not sure."""

from __future__ import annotations

import re

_WORDS = {
    "English": (
        "the and with for of from this that your you are by or to in on at it not will can has "
        "have our these their was"
    ),
    "German": (
        "und mit für der die das ist ein eine von aus zum zur auf bei den dem im nicht auch oder "
        "sie wird sind ohne in"
    ),
    "French": (
        "et avec pour les des une dans sur est ce cette vos votre par pas qui aux sans ou du au en "
        "le la de"
    ),
    "Spanish": "con para los las una del el por que su es más en como sin la de un",
    "Portuguese": "com para os as uma um do da dos das em não por que mais seu sua sem ou de",
    "Italian": "con per il lo gli di della dei delle un una che non sono alla nel da senza anche",
    "Dutch": "en met voor het een van de is niet ook op te zijn wordt uit bij zonder in",
    "Polish": "do na dla jest nie oraz się to od jak lub ze",
    "Swedish": "och med för en ett av att är på som till inte den det från",
    "Danish or Norwegian": "og med til for en et af på er som den det ikke fra av",
    "Czech": "na pro je se do že není nebo bez jsou ze to",
    "Turkish": "ve ile için bir bu çok da de olan en",
}
# Words that stand in English texts too (names, fonts, cities, addresses): never enough.
_ALSO_ENGLISH = frozenset(
    "die das den des les los las del con per sans par pas sur est et en de la le el il di da "
    "do dos du au van met op te no es su un una um as os com em ou qui du mit im am zum ist "
    "bei der ein lo mega bin por que pro na se ze to is in on at til er og av af som fra den "
    "det ve bu od jak je bez non pour sin von ce".split()
)
_OWNERS: dict[str, list[str]] = {}
for _language, _list in _WORDS.items():
    for _word in _list.split():
        _OWNERS.setdefault(_word, []).append(_language)

_SCRIPTS = {
    "Japanese": re.compile("[\u3040-\u30ff]"),
    "Chinese": re.compile("[\u3400-\u4dbf\u4e00-\u9fff]"),
    "Korean": re.compile("[\uac00-\ud7af\u1100-\u11ff]"),
    "in Cyrillic letters": re.compile("[\u0400-\u04ff]"),
    "in Arabic letters": re.compile("[\u0600-\u06ff]"),
    "Hebrew": re.compile("[\u0590-\u05ff]"),
    "Greek": re.compile("[\u0370-\u03ff]"),
    "Thai": re.compile("[\u0e00-\u0e7f]"),
    "in an Indian script": re.compile("[\u0900-\u0dff]"),
}
_LETTER = re.compile(r"[^\W\d_]")
_WORD = re.compile(r"[^\W\d_]+")

_MULTILINGUAL = (
    "multilingual", "labse", "bge-m3", "gte-multi", "qwen", "jina-embeddings-v3", "embeddinggemma",
    "nomic-embed-text-v2", "arctic-embed-l-v2", "arctic-embed-m-v2", "xlm",
)  # fmt: skip
_ENGLISH = ("all-minilm", "all-mpnet", "all-distilroberta", "english", "multi-qa", "msmarco")


def language(text: str) -> str:
    """The language of a text, or how its letters are called; "" when nothing tells for sure.

    Another script than Latin decides where it has at least half of the letters. Latin texts are
    told by small words, each of which counts less the more languages have it: the language with
    most, if it has more than twice as much as the next, and at least one word that does not stand
    in English texts too.
    """
    if not text.isascii() and (script := _script(text)):
        return script
    words = set(_WORD.findall(text.casefold()))
    hits: dict[str, float] = {}
    for word in words & _OWNERS.keys():
        for name in _OWNERS[word]:
            hits[name] = hits.get(name, 0.0) + 1 / len(_OWNERS[word])
    if not hits:
        return ""
    best, *rest = sorted(hits, key=hits.__getitem__, reverse=True)
    if rest and hits[best] <= 2 * hits[rest[0]]:
        return ""
    own = (word for word in words if best in _OWNERS.get(word, ()))
    return best if best == "English" or any(word not in _ALSO_ENGLISH for word in own) else ""


def _script(text: str) -> str:
    letters = len(_LETTER.findall(text))
    counts = {name: len(pattern.findall(text)) for name, pattern in _SCRIPTS.items()}
    if counts["Japanese"]:
        counts["Japanese"] += counts.pop("Chinese")
    name = max(counts, key=counts.__getitem__)
    return name if counts[name] and 2 * counts[name] >= letters else ""


def knows(model: str) -> frozenset[str] | None:
    """The languages an encoder was made for, by its name; None = all of them, or not known."""
    name = model.casefold()
    if any(mark in name for mark in _MULTILINGUAL):
        return None
    last = re.split(r"[/\\]", name.rstrip("/\\"))[-1]
    english = any(mark in last for mark in _ENGLISH) or re.search(r"(^|[-_])en([-_.]|$)", last)
    return frozenset({"English"}) if english else None
