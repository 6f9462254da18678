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

_AMOUNT = r"((?:-\s*)?(?:\d(?:[\d.,]|['’\s](?=\d{3}(?!\d)))*|(?<![^\W\d])[.,]\d+))"
_NUMBER = re.compile(_AMOUNT + r"(?:[eE]([+-]?\d{1,3})(?!\w))?")
_UP_TO = re.compile(r"\D{0,5}?(?:[-–—]|to|bis)\D{0,5}?" + _NUMBER.pattern + r"\D{0,5}")
_GROUPED = re.compile(r"-?(?:\d*|\d{1,3}(?:[.,]\d{2,3})*[.,]\d{3})")  # "1,23,456" in India
_COMMA_DECIMAL = re.compile(r",\d{1,2}(?!\d)\D*$")
_POINT_DECIMAL = re.compile(r"\.\d{1,2}(?!\d)\D*$")
_THREE_DIGITS = re.compile(r"\D*[1-9]\d{0,2}\.\d{3}\D*")


def parse_prices(texts: Iterable[str], *, comma_decimals: bool = False) -> dict[str, float | None]:
    """The amount in each spelling of one column; None where there is none, or digits are left over.

    "1.234,56 €", "$1,234.50", "12.00 EUR", "1'234.50", "1.5E+03"; a range gives its lower end,
    "free" 0. A lone "1.234" or "1,234" is read as the rest of the column writes its decimals, or
    as `comma_decimals` says where the rest has none.
    """
    texts = list(texts)
    commas, points = _decimals(texts)
    comma = commas > points or (commas == points == 0 and comma_decimals)
    return {text: _price(text, comma) for text in texts}


def thousands_in_doubt(texts: Iterable[str]) -> bool:
    """Whether a column has prices like "1.234", and none that tells what the point means."""
    texts = list(texts)
    return not any(_decimals(texts)) and any(map(_THREE_DIGITS.fullmatch, texts))


def _decimals(texts: list[str]) -> tuple[int, int]:
    """How many texts end with a decimal comma, and with a decimal point."""
    commas = sum(1 for text in texts if _COMMA_DECIMAL.search(text))
    return commas, sum(1 for text in texts if _POINT_DECIMAL.search(text))


def _price(text: str, comma_decimal: bool) -> float | None:
    found = _NUMBER.search(text)
    if found is None:
        return 0.0 if text.strip().casefold().startswith("free") else None
    value = _amount(found, comma_decimal)
    rest = text[found.end() :]
    if value is not None and any(char.isdigit() for char in rest):
        upper = _UP_TO.fullmatch(rest)
        most = upper and _amount(upper, comma_decimal)
        return value if most is not None and value <= most else None
    return value


def _amount(found: re.Match[str], comma_decimal: bool) -> float | None:
    number, exponent = re.sub(r"[\s'’]", "", found[1]).rstrip(".,"), found[2]
    comma, point = number.rfind(","), number.rfind(".")
    if comma >= 0 and point >= 0:
        decimal = "," if comma > point else "."
    elif comma >= 0 or point >= 0:
        mark = "," if comma >= 0 else "."
        thousands = number.count(mark) > 1 or (
            exponent is None
            and len(number) - number.rfind(mark) == 4
            and len(number.lstrip("-")) > 4
            and not number.lstrip("-").startswith("0")
            and comma_decimal != (mark == ",")
        )
        decimal = "" if thousands else mark
    else:
        decimal = ""
    whole, _, fraction = number.rpartition(decimal) if decimal else (number, "", "")
    if not _GROUPED.fullmatch(whole):
        return None
    value = float(f"{re.sub('[.,]', '', whole)}.{fraction}e{exponent or 0}")
    return value if 0 <= value < 1e15 else None


# ------------------------------------------------------------------ booleans

# Yes and no, true and false, in stock and sold out in the languages of Europe.
_TRUE = frozenset(
    "true|yes|y|t|1|on|in stock|instock|available|active|published|preorder|pre order|backorder"
    "|on backorder|onbackorder|limited availability|limited|low stock|publish|visible"
    "|ja|oui|sí|si|sì|sim|da|tak|ano|áno|igen|kyllä|jah|jā|taip|evet|já|ναι|да|так"
    "|wahr|vrai|verdadero|vero|verdadeiro|waar|prawda|auf lager|vorrätig|verfügbar|lieferbar"
    "|en stock|disponible|disponibile|disponível|op voorraad|i lager|på lager|skladem".split("|")
)
_FALSE = frozenset(
    "false|no|n|f|0|off|out of stock|outofstock|sold out|soldout|unavailable|not available"
    "|inactive|discontinued|draft|archived|private|hidden"
    "|nein|non|não|nao|nee|nej|nei|nie|ne|nu|nem|ei|nē|hayır|hayir|όχι|нет|не|ні"
    "|falsch|faux|falso|onwaar|fałsz|ausverkauft|vergriffen|nicht auf lager|nicht vorrätig"
    "|nicht verfügbar|nicht lieferbar|épuisé|rupture de stock|en rupture de stock|indisponible"
    "|agotado|no disponible|esaurito|non disponibile|esgotado|uitverkocht|slutsåld|udsolgt"
    "|vyprodáno".split("|")
)
_STOCK = re.compile(
    r"[>≥]? ?(-?\d+(?:[.,]\d+)*)\+?(?: (?:in stock|left|available|pcs|pieces|units|stk|stück))?"
)


def parse_available(text: str) -> bool | None:
    """Whether an item can be had; a number is a stock. None = not understood."""
    written = text.strip().casefold()
    plain = written.rsplit("/", 1)[-1].replace("_", " ").replace("-", " ")
    if plain in _TRUE or plain in _FALSE:
        return plain in _TRUE
    stock = _STOCK.fullmatch(written)
    return None if stock is None else stock[1][0] != "-" and stock[1].strip("0.,") != ""


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
_EARLIEST, _LATEST = -2_209_075_200, 4_134_067_200  # 1900 to 2100, and a day for time zones
_COMPACT = r"^(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])$"


def parse_times(column: pa.Array | pa.ChunkedArray, order: DateOrder = "auto") -> np.ndarray:
    """(n,) float64 epoch seconds (UTC), NaN = unknown, not understood, or not in 1900 to 2100.

    Numbers are seconds, or milli-, micro- or nanoseconds where they are too large for that; texts
    are numbers, ISO 8601 with or without zone, yyyymmdd (when the whole column is), day and month
    first, or with a month's name. Without a zone it is UTC.

    Parameters
    ----------
    order : of day and month in "03/04/2020"; "auto" looks for a part above 12 in the column, and
        takes the day first when there is none.
    """
    times = _times(column, order)
    with np.errstate(invalid="ignore"):
        return np.where((times > _EARLIEST) & (times < _LATEST), times, np.nan)


def _times(column: pa.Array | pa.ChunkedArray, order: DateOrder) -> np.ndarray:
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


def date_doubt(texts: pa.Array | pa.ChunkedArray) -> str:
    """What `parse_times` has to assume about "03/04/2020" in a column, in words; "" = nothing."""
    texts = pc.unique(pc.utf8_trim_whitespace(texts))
    found = pc.extract_regex(texts, _XXY)
    texts, found = texts.filter(found.is_valid()), found.drop_null()
    first, second = (_number(found.field(name)) for name in ("a", "b"))
    read = "day" if _order(first, second) == "dmy" else "month"
    dotted = pc.match_substring_regex(texts, r"^\d+\.").to_numpy(zero_copy_only=False)
    open_ = (first != second) & ~dotted  # with dots the day is always first
    days = [np.flatnonzero(part > 12) for part in (first, second)]
    if len(days[0]) and len(days[1]):
        shown = " and ".join(repr(texts[int(places[0])].as_py()) for places in days)
        return f"dates of both orders, like {shown}; what fits both was read {read} first"
    if len(days[0]) or len(days[1]) or not open_.any():
        return ""
    return f"dates like {texts[int(open_.argmax())].as_py()!r}, which were read {read} first"


def _order(first: np.ndarray, second: np.ndarray) -> Literal["dmy", "mdy"]:
    return "mdy" if (second > 12).sum() > (first > 12).sum() else "dmy"


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
            order = _order(first, second)
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
