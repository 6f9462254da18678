"""Text in whatever encoding -> UTF-8."""

from __future__ import annotations

import codecs
import re
from collections import Counter
from dataclasses import dataclass

import numpy as np

from crossrec_llm.errors import DataError
from crossrec_llm.tables.alphabets import likeliest
from crossrec_llm.tables.raw import FormatOptions

_SAMPLE = 1 << 16
_BOMS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
# What charset-normalizer may choose from. To it cp1250 and its like look the same as cp1252, so
# these are told apart by `likeliest`.
_LEGACY = ["gb18030", "big5", "shift_jis", "euc_kr", "cp1251", "cp1252"]
# Control characters that no delimited text has; some exports use those left out as delimiters.
_NO_TEXT = [bytes([code]) for code in (*range(4, 9), 11, 12, *range(14, 27))]
_PAIR = re.compile(rb"(?<=[A-Za-z])[\x80-\xff]{2}(?=[A-Za-z])")


@dataclass(frozen=True)
class Text:
    """Text in UTF-8 without byte order mark and NUL.

    Attributes
    ----------
    encoding : what it was; `guessed` : whether that is no more than the likeliest one.
    repairs : kind -> count.
    """

    data: bytes
    encoding: str
    guessed: bool
    repairs: Counter[str]


def as_utf8(data: bytes, label: str, options: FormatOptions) -> Text:
    """The same text in UTF-8.

    Raises
    ------
    DataError : `options.encoding` does not exist, or this is no text.
    """
    encoding, guessed = _encoding(data, label, options)
    repairs = Counter[str]()
    if encoding == "utf-8":
        data = data.removeprefix(codecs.BOM_UTF8)
    text = data.decode(encoding, "replace")
    if broken := text.count("�"):
        repairs[f"characters that are not {encoding} replaced"] += broken
    if broken or encoding != "utf-8":
        data = text.encode("utf-8", "replace")
    if zeros := data.count(b"\0"):
        _refuse(zeros > len(data) / 4, label)
        data = data.replace(b"\0", b"")
        repairs["NUL characters removed"] += zeros
    head = data[:_SAMPLE]
    _refuse(sum(map(head.count, _NO_TEXT)) > len(head) / 50, label)
    return Text(data, encoding, guessed, repairs)


def _refuse(binary: bool, label: str) -> None:
    if binary:
        raise DataError("is no text; expected CSV, JSON lines or parquet", source=label)


def _encoding(data: bytes, label: str, options: FormatOptions) -> tuple[str, bool]:
    """The encoding, and whether it is a guess."""
    for bom, name in _BOMS.items():
        if data.startswith(bom):
            return name, False
    if options.encoding:
        try:
            return codecs.lookup(options.encoding).name, False
        except LookupError as error:
            raise DataError(
                f"no encoding is called {options.encoding!r}; correct encoding in the recipe",
                source=label,
            ) from error
    head = data[:_SAMPLE]
    # Western text written as UTF-16 has a zero in every other byte.
    for name, high in (("utf-16-le", head[1::2]), ("utf-16-be", head[0::2])):
        if len(head) > 3 and high.count(0) > 0.4 * len(high):
            return name, False
    try:
        data.decode()
    except UnicodeDecodeError:
        return ("utf-8", False) if _mostly_utf8(data) else (_legacy(data), True)
    return "utf-8", False


def _mostly_utf8(data: bytes) -> bool:
    """Whether only a few of the characters beyond ASCII are broken."""
    text = data[: 64 * _SAMPLE].decode("utf-8", "replace")
    broken = text.count("�")
    other = len(text) - len(text.encode("ascii", "ignore")) - broken
    return other > 4 * broken


def _legacy(data: bytes) -> str:
    """Latin when most bytes beyond ASCII stand alone, as accents do; else what fits best."""
    telling = b"\n".join(line for line in data.splitlines() if not line.isascii())[:_SAMPLE]
    high = np.concatenate([[False], np.frombuffer(telling, np.uint8) > 0x7F, [False]])
    alone = high[1:-1] & ~high[:-2] & ~high[2:]
    # So they do in pairs between plain letters; the bytes of Chinese or Japanese seldom lie so.
    joined = 2 * len(_PAIR.findall(telling))
    if 2 * (alone.sum() + joined) > high.sum():
        return likeliest(telling)
    from charset_normalizer import from_bytes

    best = from_bytes(telling, cp_isolation=_LEGACY).best()
    found = best.encoding if best is not None else "cp1252"
    return likeliest(telling) if found == "cp1252" else found
