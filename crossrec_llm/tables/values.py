"""Prices, dates, booleans and category paths in their usual spellings -> values."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

DateOrder = Literal["auto", "dmy", "mdy"]
Paths = tuple[tuple[str, ...], ...]

# ------------------------------------------------------------------ prices

_NUMBER = re.compile(r"-?\s*\d(?:[\d.,'’]|\s(?=\d))*|-?[.,]\d+")
_COMMA_DECIMAL = re.compile(r",\d{1,2}(?!\d)\D*$")
_POINT_DECIMAL = re.compile(r"\.\d{1,2}(?!\d)\D*$")


def parse_prices(texts: Iterable[str]) -> dict[str, float | None]:
    """The amount in each spelling of one column; None where there is none.

    "1.234,56 €", "$1,234.50", "12.00 EUR", "1'234.50"; a range gives its lower end, "free" 0. A
    lone "1.234" or "1,234" is read as the rest of the column writes its decimals.
    """
    texts = list(texts)
    commas = sum(1 for text in texts if _COMMA_DECIMAL.search(text))
    points = sum(1 for text in texts if _POINT_DECIMAL.search(text))
    return {text: _price(text, commas > points) for text in texts}


def _price(text: str, comma_decimal: bool) -> float | None:
    found = _NUMBER.search(text)
    if found is None:
        return 0.0 if text.strip().casefold().startswith("free") else None
    number = re.sub(r"[\s'’]", "", found.group()).rstrip(".,")
    comma, point = number.rfind(","), number.rfind(".")
    if comma >= 0 and point >= 0:
        decimal = "," if comma > point else "."
    elif comma >= 0 or point >= 0:
        mark = "," if comma >= 0 else "."
        thousands = number.count(mark) > 1 or (
            len(number) - number.rfind(mark) == 4
            and len(number.lstrip("-")) > 4
            and not number.lstrip("-").startswith("0")
            and comma_decimal != (mark == ",")
        )
        decimal = "" if thousands else mark
    else:
        decimal = ""
    for mark in {",", "."} - {decimal}:
        number = number.replace(mark, "")
    value = float(number.replace(decimal, ".") if decimal else number)
    return value if 0 <= value < 1e15 else None


# ------------------------------------------------------------------ booleans

_TRUE = frozenset(
    "true|yes|y|t|1|on|in stock|instock|available|active|published|preorder|pre order|backorder"
    "|on backorder|onbackorder|limited availability|limited|low stock|publish|visible".split("|")
)
_FALSE = frozenset(
    "false|no|n|f|0|off|out of stock|outofstock|sold out|soldout|unavailable|not available"
    "|inactive|discontinued|draft|archived|private|hidden".split("|")
)


def parse_available(text: str) -> bool | None:
    """Whether an item can be had; a number is a stock. None = not understood."""
    plain = text.strip().casefold().rsplit("/", 1)[-1].replace("_", " ").replace("-", " ")
    if plain in _TRUE or plain in _FALSE:
        return plain in _TRUE
    try:
        return float(plain) > 0
    except ValueError:
        return None


# ------------------------------------------------------------------ categories

_SEPARATORS = (">", "»", "›", "|", "/")


def parse_categories(
    texts: Iterable[str], *, separator: str = "", equals: bool = False
) -> dict[str, Paths]:
    """The category paths in each cell of one column, the main one first.

    A path ("A > B", "A/B", "A|B"), a JSON list (the parts of one path, or several paths), a list of
    lists, or several paths joined by commas.

    Parameters
    ----------
    separator : between the parts of a path; "" = the first of > » › | / that the column uses ("/"
        only when at least half of the distinct cells have it), "none" = cells are names.
    equals : the parts of a cell are categories side by side (genres), not a path.
    """
    cells = {text: _listed(text) for text in texts}
    flat = [part for cell in cells.values() for path in cell for part in path]
    separator = separator or _separator(flat)
    tops = {part.split(separator)[0].strip() for part in flat}
    return {text: _paths(cell, separator, tops, equals) for text, cell in cells.items()}


def _separator(parts: list[str]) -> str:
    for separator in _SEPARATORS:
        hits = sum(1 for part in parts if separator in part.strip(separator))
        if hits and (separator != "/" or 2 * hits >= len(set(parts))):
            return separator
    return "none"


def _listed(text: str) -> list[list[str]]:
    """The cell as lists of written paths or parts: one list for each path where it says so."""
    if text.startswith(("[", "{")):
        for read in (json.loads, _python_list):
            try:
                value = read(text)
            except (ValueError, SyntaxError, RecursionError, MemoryError):
                continue
            if isinstance(value, list):
                nested = [v for v in value if isinstance(v, list)]
                rows = nested or [value]
                return [[_name(v) for v in row if _name(v)] for row in rows]
    return [[text]]


def _python_list(text: str) -> object:
    import ast

    return ast.literal_eval(text)


def _name(value: object) -> str:
    if isinstance(value, dict):
        value = next((value[k] for k in ("name", "description", "title") if k in value), "")
    return "" if value is None else str(value).strip()


def _paths(cell: list[list[str]], separator: str, tops: set[str], equals: bool) -> Paths:
    found: dict[tuple[str, ...], None] = {}
    for parts in cell:
        split = [path for part in parts for path in _split(part, separator, tops)]
        if equals:
            found.update(dict.fromkeys((name,) for path in split for name in path))
        elif len(parts) > 1 and any(len(path) > 1 for path in split):
            found.update(dict.fromkeys(split))  # a list of whole paths
        elif len(parts) > 1:
            found[tuple(path[0] for path in split)] = None
        else:
            found.update(dict.fromkeys(split))
    return tuple(path for path in found if path)


def _split(text: str, separator: str, tops: set[str]) -> list[tuple[str, ...]]:
    """The paths in a text; a comma parts two of them only where a top category follows it."""
    if separator == "none":
        return [(text.strip(),)] if text.strip() else []
    paths = [text]
    if ", " in text:
        pieces = text.split(", ")
        if all(separator in p and p.split(separator)[0].strip() in tops for p in pieces):
            paths = pieces
    split = (tuple(p.strip() for p in path.split(separator) if p.strip()) for path in paths)
    return [path for path in split if path]


# ------------------------------------------------------------------ times

_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
_CLOCK = (
    r"(?:[T ,]+(?:at )?(?P<H>\d{1,2}):(?P<M>\d{2})(?::(?P<S>\d{2})(?:[.,](?P<f>\d{1,9})\d*)?)?"
    r" ?(?P<ap>[AaPp]\.?[Mm]\.?)?)? ?(?P<z>Z|z|UTC|GMT|[+-]\d{2}:?\d{2}|[+-]\d{2})?$"
)
_YMD = r"^(?P<y>\d{4})[-/.](?P<m>\d{1,2})[-/.](?P<d>\d{1,2})" + _CLOCK
_XXY = r"^(?P<a>\d{1,2})[-/. ](?P<b>\d{1,2})[-/., ]+(?P<y>\d{4})" + _CLOCK
_MDY_NAMED = (
    r"^(?:Posted:? |Released:? )?(?:[A-Za-z]{3,9}, )?(?P<mon>[A-Za-z]{3,9})\.? (?P<d>\d{1,2})"
    r"(?:st|nd|rd|th)?,? (?P<y>\d{4})\.?" + _CLOCK
)
_DMY_NAMED = (
    r"^(?:[A-Za-z]{3,9},? )?(?P<d>\d{1,2})(?:st|nd|rd|th)?[ -](?P<mon>[A-Za-z]{3,9})\.?,?[ -]"
    r"(?P<y>\d{4})" + _CLOCK
)
# "Fri Sep 08 10:44:24 -0700 2017"
_CTIME = (
    r"^[A-Za-z]{3} (?P<mon>[A-Za-z]{3}) +(?P<d>\d{1,2}) (?P<H>\d{2}):(?P<M>\d{2}):(?P<S>\d{2})"
    r"(?P<f>X)?(?P<ap>X)? ?(?P<z>[+-]\d{4}|UTC|GMT)? (?P<y>\d{4})$"
)
_COMPACT = r"^(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])$"


def parse_times(column: pa.Array | pa.ChunkedArray, order: DateOrder = "auto") -> np.ndarray:
    """(n,) float64 epoch seconds (UTC), NaN = unknown or not understood.

    Numbers are seconds, or milli-, micro- or nanoseconds where they are too large for that; texts
    are numbers, ISO 8601 with or without zone, yyyymmdd (when the whole column is), day and month
    first, or with a month's name. Without a zone it is UTC.

    Parameters
    ----------
    order : of day and month in "03/04/2020"; "auto" looks for a part above 12 in the column, and
        takes the day first when there is none.
    """
    kind = column.type
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        micros = column.cast(
            pa.timestamp("us", "UTC" if getattr(kind, "tz", None) else None), False
        )
        return _number(micros.cast(pa.int64())) / 1e6
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return _scaled(_number(column))
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        return np.full(len(column), np.nan)
    encoded = column.dictionary_encode()
    values = _text_times(pc.utf8_trim_whitespace(encoded.dictionary), order)
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return np.asarray(np.append(values, np.nan)[codes])


def _number(column: pa.Array) -> np.ndarray:
    return np.asarray(column.cast(pa.float64(), False).to_numpy(zero_copy_only=False), np.float64)


def _scaled(times: np.ndarray) -> np.ndarray:
    size = np.abs(times)
    unit = np.select([size < 1e11, size < 1e14, size < 1e17], [1.0, 1e3, 1e6], 1e9)
    with np.errstate(invalid="ignore"):
        return np.where(np.isfinite(times), times / unit, np.nan)


def _text_times(texts: pa.Array, order: DateOrder) -> np.ndarray:
    times = np.full(len(texts), np.nan)
    if len(texts) == 0:
        return times
    filled = pc.not_equal(texts, "")
    if pc.all(pc.match_substring_regex(texts.filter(filled), _COMPACT)).as_py():
        texts = pc.replace_substring_regex(texts, r"^(\d{4})(\d{2})(\d{2})$", r"\1-\2-\3")
    numeric = pc.match_substring_regex(texts, r"^[+-]?\d{1,19}(\.\d+)?([eE]\+?\d+)?$")
    times = _scaled(_number(pc.if_else(numeric, texts, None)))
    for pattern in (_YMD, _XXY, _MDY_NAMED, _DMY_NAMED, _CTIME):
        todo = np.flatnonzero(np.isnan(times))
        if not len(todo):
            break
        found = pc.extract_regex(texts.take(pa.array(todo)), pattern)
        hit = found.is_valid().to_numpy(zero_copy_only=False)
        if hit.any():
            times[todo[hit]] = _from_parts(found.filter(pa.array(hit)), order)
    return times


def _from_parts(found: pa.StructArray, order: DateOrder) -> np.ndarray:
    names = [found.type.field(i).name for i in range(found.type.num_fields)]
    part = {name: found.field(i) for i, name in enumerate(names)}

    def number(name: str) -> np.ndarray:
        return _number(pc.if_else(pc.equal(part[name], ""), "0", part[name]))

    if "mon" in part:
        short = pc.utf8_lower(pc.utf8_slice_codeunits(part["mon"], 0, 3))
        place = pc.index_in(short, pa.array(_MONTHS)).fill_null(-1)
        month, day = _number(place) + 1, number("d")
    elif "a" in part:
        first, second = number("a"), number("b")
        if order == "auto":
            order = "mdy" if (second > 12).sum() > (first > 12).sum() else "dmy"
        day, month = (first, second) if order == "dmy" else (second, first)
        # What cannot be a month is a day, whatever the column says.
        swap = (month > 12) & (day <= 12)
        day, month = np.where(swap, month, day), np.where(swap, day, month)
    else:
        month, day = number("m"), number("d")
    year, hour = number("y"), number("H")
    evening = pc.starts_with(pc.utf8_lower(part["ap"]), "p").to_numpy(zero_copy_only=False)
    morning = pc.starts_with(pc.utf8_lower(part["ap"]), "a").to_numpy(zero_copy_only=False)
    hour = np.where(evening & (hour < 12), hour + 12, np.where(morning & (hour == 12), 0, hour))
    minute, second = number("M"), number("S")
    good = (month >= 1) & (month <= 12) & (day >= 1) & (hour < 25) & (minute < 60) & (second < 61)
    months = (year.astype(np.int64) - 1970) * 12 + np.where(good, month, 1).astype(np.int64) - 1
    starts = months.astype("datetime64[M]")
    lengths = ((starts + 1).astype("datetime64[D]") - starts.astype("datetime64[D]")).astype(int)
    days = starts.astype("datetime64[D]").astype(np.int64) + day - 1
    digits = number("f") / 10.0 ** pc.utf8_length(part["f"]).to_numpy(zero_copy_only=False)
    seconds = days * 86400 + hour * 3600 + minute * 60 + second + digits - _zone(part["z"])
    return np.where(good & (day <= lengths), seconds, np.nan)


def _zone(zones: pa.Array) -> np.ndarray:
    """(n,) float64 seconds east of UTC."""
    digits = pc.replace_substring_regex(zones, r"^[+-](\d{2}):?(\d{2})?$", r"\1\2")
    offset = pc.match_substring_regex(zones, r"^[+-]")
    padded = pc.if_else(
        pc.equal(pc.utf8_length(digits), 2), pc.binary_join_element_wise(digits, "00", ""), digits
    )
    clock = _number(pc.if_else(offset, padded, "0"))
    sign = np.where(pc.starts_with(zones, "-").to_numpy(zero_copy_only=False), -1.0, 1.0)
    return np.asarray(sign * (clock // 100 * 3600 + clock % 100 * 60))
