"""Repairs of text, and what looks suspicious in it."""

from __future__ import annotations

import html
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from annotated_types import Ge

from crossrec_llm.records import STRICT
from crossrec_llm.tables.values import DateOrder

T = TypeVar("T")


@dataclass(frozen=True)
class CleaningOptions:
    """How values are cleaned.

    Parameters
    ----------
    max_text : characters of a cell that are kept; more are cut off, and counted.
    max_id : a row whose id is longer is rejected.
    date_order : day or month first in "03/04/2020"; "auto" looks at the whole column.
    category_separator : between the parts of a category path; "" = found out for each column,
        "none" = the cells are plain names.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    max_text: Annotated[int, Ge(1)] = 100_000
    max_id: Annotated[int, Ge(1)] = 10_000
    date_order: DateOrder = "auto"
    category_separator: str = ""


_MISSING = frozenset(("nan", "none", "null", "n/a", "#n/a", "<na>", "\\n"))
# Only to decide whether a parser is needed; markup itself is never read with an expression.
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>|<!--|<!\[CDATA\[")
_BLOCKS = (
    "p,br,div,li,ul,ol,dl,dt,dd,tr,td,th,table,h1,h2,h3,h4,h5,h6,hr,section,article,header,footer,"
    "blockquote,pre,option"
)
# Soft hyphen, zero-width space, word joiner, byte order mark, and what turns text around.
_INVISIBLE = re.compile("[­​⁠﻿‪-‮⁦-⁩]")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f]")
_UNCLEAN = r"[<&\x00-\x1f\x7f]|[^\x00-\x7f]|^\s|\s$|\s\s"


def clean_texts(
    texts: pa.Array, max_text: int, repairs: Counter[str], *, empty_words: bool = True
) -> pa.Array:
    """Texts without markup, control characters and surplus space, in NFC; "" for a missing one.

    Parameters
    ----------
    texts : string array, nulls allowed.
    max_text : longer ones are cut to this many characters.
    repairs : counts are added to it, by kind.
    empty_words : whether a lone "null", "nan", "n/a" ... is a missing text.
    """
    texts = texts.fill_null("")
    long = pc.greater(pc.binary_length(texts), max_text)
    if pc.any(long).as_py():
        cut = pc.utf8_slice_codeunits(texts, 0, max_text)
        repairs["long texts cut"] += pc.sum(pc.not_equal(cut, texts)).as_py()
        texts = cut
    missing = says_nothing(texts)
    if empty_words and (n := pc.sum(missing).as_py()):
        repairs['words for "nothing" emptied'] += n
        texts = pc.if_else(missing, "", texts)
    unclean = pc.match_substring_regex(texts, _UNCLEAN)
    dirty = texts.filter(unclean)
    if len(dirty) == 0:
        return texts
    cleaned = pa.array([_clean(text, repairs) for text in dirty.to_pylist()], pa.string())
    return pc.replace_with_mask(texts, unclean, cleaned)


def says_nothing(texts: pa.Array) -> pa.BooleanArray:
    """Which texts are a lone "null", "nan", "n/a" ..."""
    return pc.is_in(pc.utf8_lower(texts), pa.array(sorted(_MISSING)))


def _clean(text: str, repairs: Counter[str]) -> str:
    if _TAG.search(text):
        text = without_markup(text)
        repairs["markup removed"] += 1
    elif "&" in text and (plain := html.unescape(text)) != text:
        text = plain
        repairs["HTML entities replaced"] += 1
    if not text.isascii():
        if not unicodedata.is_normalized("NFC", text):
            text = unicodedata.normalize("NFC", text)
            repairs["Unicode composed (NFC)"] += 1
        if _INVISIBLE.search(text):
            text = _INVISIBLE.sub("", text)
            repairs["invisible characters removed"] += 1
    if _CONTROL.search(text):
        text = _CONTROL.sub("", text)
        repairs["control characters removed"] += 1
    folded = " ".join(text.split())
    if folded != text:
        repairs["whitespace folded"] += 1
    return folded


def without_markup(text: str) -> str:
    """The text a browser would show, blocks set apart by spaces."""
    from selectolax.lexbor import LexborHTMLParser

    tree = LexborHTMLParser(text)
    for node in tree.css("script,style,template,noscript"):
        node.decompose()
    for node in tree.css(_BLOCKS):
        node.insert_before(" ")
        node.insert_after(" ")
    return tree.body.text(separator="") if tree.body is not None else ""


# ------------------------------------------------------------------ suspicious text

_INSTRUCTIONS = (
    r"(?i)\b(?:ignore|disregard|forget)\s+(?:\w+\s+){0,3}(?:previous|prior|above|earlier|preceding)"
    r"\b|\b(?:system prompt|as an ai (?:language )?model|you are (?:now )?an? (?:\w+ )?(?:ai|"
    r"assistant|language model|chatbot))\b|\b(?:always|must) (?:recommend|rank) (?:this|it)\b"
    r"|<\|im_start\|>|\[/?INST\]|<\|(?:system|user|assistant)\|>"
)
_MARKUP = (
    r"</?[a-zA-Z][a-zA-Z0-9]*(?:\s[^<>]*)?/?>|&[a-zA-Z]{2,8};|&#\d+;|\{\{[^}]*\}\}|\{%[^%]*%\}"
)
_WORD = re.compile(r"\w{4,}")
_STUFFED_WORDS = 12
_STUFFED_TIMES = 6


def suspicious(texts: pa.Array) -> dict[str, np.ndarray]:
    """Kind -> (m,) positions of texts that look like it, in ascending order.

    "instructions" (to a language model), "markup" (left over after cleaning), "stuffing" (one word
    at least six times, and a quarter of a text of a dozen words), a word for "nothing" as a title.
    """
    found = {
        "instructions": _positions(pc.match_substring_regex(texts, _INSTRUCTIONS)),
        'a word for "nothing"': _positions(says_nothing(texts)),
        "markup": _positions(pc.match_substring_regex(texts, _MARKUP)),
    }
    long = _positions(pc.greater(pc.binary_length(texts), 5 * _STUFFED_WORDS))
    stuffed = [
        at
        for at, text in zip(long.tolist(), texts.take(pa.array(long)).to_pylist(), strict=True)
        if _is_stuffed(text)
    ]
    found["stuffing"] = np.array(stuffed, np.int64)
    return {kind: places for kind, places in found.items() if len(places)}


def _positions(mask: pa.BooleanArray) -> np.ndarray:
    return np.flatnonzero(mask.to_numpy(zero_copy_only=False))


def _is_stuffed(text: str) -> bool:
    words = _WORD.findall(text.lower())
    if len(words) < _STUFFED_WORDS or 4 * len(set(words)) > 3 * len(words) + 4:
        return False
    top = Counter(words).most_common(1)[0][1]
    return top >= _STUFFED_TIMES and 4 * top >= len(words)


def mapped(texts: pa.Array, parse: Callable[[list[str]], Mapping[str, T]]) -> list[T]:
    """Parses each distinct text once; one value a row."""
    encoded = texts.dictionary_encode()
    distinct = encoded.dictionary.to_pylist()
    parsed = parse(distinct)
    values = [parsed[text] for text in distinct]
    return [values[code] for code in encoded.indices.to_pylist()]


def as_text(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Any column as text: whole floats without ".0", lists and objects as JSON; nulls stay."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    kind = column.type
    if pa.types.is_string(kind):
        return column
    if pa.types.is_floating(kind):
        column = pc.if_else(pc.is_nan(column), None, column)
        finite = pc.is_finite(column)
        whole = pc.and_(pc.equal(pc.floor(column), column), pc.less(pc.abs(column), 2.0**53))
        ints = pc.if_else(pc.and_(finite, whole), column, None).cast(pa.int64())
        return pc.coalesce(ints.cast(pa.string()), column.cast(pa.string()))
    if pa.types.is_nested(kind):
        import json

        return pa.array(
            [
                None if v is None else json.dumps(v, ensure_ascii=False, default=str)
                for v in column.to_pylist()
            ],
            pa.string(),
        )
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return pa.array(
            [None if v is None else v.decode("utf-8", "replace") for v in column.to_pylist()],
            pa.string(),
        )
    return column.cast(pa.string())


def clean_ids(column: pa.Array | pa.ChunkedArray, repairs: Counter[str]) -> pa.Array:
    """Ids as text, only stripped; "" for a missing one. "12.0" becomes "12" where all are so."""
    texts = as_text(column).fill_null("")
    stripped = pc.utf8_trim_whitespace(texts)
    changed = pc.sum(pc.not_equal(texts, stripped)).as_py()
    if changed:
        repairs["spaces around ids removed"] += changed
    decimal = pc.match_substring_regex(stripped, r"^\d+\.0$")
    filled = pc.not_equal(stripped, "")
    if pc.any(filled).as_py() and pc.all(decimal.filter(filled)).as_py():
        repairs["ids written as decimals"] += pc.sum(filled).as_py()
        stripped = pc.replace_substring_regex(stripped, r"\.0$", "")
    return stripped
