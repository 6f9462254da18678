from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossrec_llm.tables.values import (
    date_doubt,
    parse_available,
    parse_categories,
    parse_prices,
    parse_times,
    thousands_in_doubt,
)


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("1.234,56 €", 1234.56),
        ("$1,234.50", 1234.5),
        ("12.00 EUR", 12.0),
        ("1 234,50 zł", 1234.5),
        ("CHF 1'234.50", 1234.5),
        ("€ 1.234.567", 1_234_567.0),
        ("12,5", 12.5),
        ("1,234", 1234.0),
        ("1.234", 1.234),
        ("0.125", 0.125),
        (".99", 0.99),
        ("12.-", 12.0),
        ("$12.99 - $15.99", 12.99),
        ("Free to Play", 0.0),
        ("-3", None),
        ("on request", None),
        ("1e3", 1000.0),
        ("1.5E+03", 1500.0),
        ("1,234E+05 €", 123_400.0),
        ("1e-2", 0.01),
        ("12 EUR", 12.0),
        ("Rs.500", 500.0),
        ("1,23,456.50", 123_456.5),
        ("12-15", 12.0),
        ("12,99 € – 15,99 €", 12.99),
        ("5 to 7 EUR", 5.0),
        ("2 for 5.00", None),
        ("12.00 (19% VAT)", None),
        ("2020-01-02", None),
        ("$5-pack of 3", None),
        ("1.2.3", None),
        ("1,2345.00", None),
        ("5 10", None),
        ("x" + " " * 100_000 + "y", None),
        ("1e3x", None),
        ("1e999", None),
        ("", None),
    ],
)
def test_price_spellings(text: str, amount: float | None) -> None:
    assert parse_prices([text]) == {text: amount}


def test_the_column_decides_what_a_lone_mark_means() -> None:
    assert parse_prices(["1.234", "1,50"])["1.234"] == 1234
    assert parse_prices(["1,234", "1.50"])["1,234"] == 1234
    assert parse_prices(["1.234", "1.50"])["1.234"] == 1.234
    assert parse_prices(["1.234", "5"], comma_decimals=True)["1.234"] == 1234
    assert parse_prices(["1.234", "1.50"], comma_decimals=True)["1.234"] == 1.234


@pytest.mark.parametrize(
    ("texts", "doubt"),
    [
        (["1.234", "€ 12.500", "7"], True),
        (["1.234", "1.50"], False),
        (["1.234", "1,50"], False),
        (["0.125"], False),
        (["1,234"], False),
        ([], False),
    ],
)
def test_thousands_in_doubt(texts: list[str], doubt: bool) -> None:
    assert thousands_in_doubt(texts) is doubt


@given(st.integers(0, 10**9), st.sampled_from(["us", "de", "ch", "fr"]))
def test_prices_round_trip_through_local_spellings(cents: int, place: str) -> None:
    us = f"{cents / 100:,.2f}"
    marks = {"us": (",", "."), "de": (".", ","), "ch": ("'", "."), "fr": (" ", ",")}[place]
    text = us.replace(",", "\0").replace(".", marks[1]).replace("\0", marks[0])
    assert parse_prices([text])[text] == pytest.approx(cents / 100)


@pytest.mark.parametrize(
    ("text", "iso"),
    [
        ("2020-01-02", "2020-01-02"),
        ("2020-01-02T03:04:05Z", "2020-01-02T03:04:05"),
        ("2020-01-02 03:04:05.250+02:00", "2020-01-02T01:04:05.250"),
        ("2021-03-04T05:06:07-0330", "2021-03-04T08:36:07"),
        ("2017/01/31", "2017-01-31"),
        ("31/12/2019", "2019-12-31"),
        ("12/31/2019", "2019-12-31"),
        ("31.12.2019 23:59", "2019-12-31T23:59"),
        ("01/02/2020 3:04 PM", "2020-02-01T15:04"),
        ("01/02/2020 12:04 AM", "2020-02-01T00:04"),
        ("Jan 5, 2017", "2017-01-05"),
        ("Posted November 5, 2011.", "2011-11-05"),
        ("5-Mar-2019", "2019-03-05"),
        ("Tue, 05 Mar 2019 10:00:00 GMT", "2019-03-05T10:00"),
        ("Fri Sep 08 10:44:24 -0700 2017", "2017-09-08T17:44:24"),
        ("1577934245", "2020-01-02T03:04:05"),
        ("1577934245000", "2020-01-02T03:04:05"),
        ("20170131", "2017-01-31"),
        ("2020-02-30", None),
        ("2020-13-01", None),
        ("31/31/2020", None),
        ("soon", None),
        ("", None),
        ("1900-01-01", "1900-01-01"),
        ("2100-12-31", "2100-12-31"),
        ("1812-12-31", None),
        ("9999-12-31", None),
        ("0001-01-01", None),
        ("5000000000", None),
    ],
)
def test_time_spellings(text: str, iso: str | None) -> None:
    got = parse_times(pa.array([text]))[0]
    if iso is None:
        assert np.isnan(got)
    else:
        moment = dt.datetime.fromisoformat(iso).replace(tzinfo=dt.UTC)
        assert got == pytest.approx(moment.timestamp(), abs=1e-3)


@given(st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2100, 12, 31)), st.integers(-12, 14))
def test_iso_times_agree_with_the_standard_library(naive: dt.datetime, hours: int) -> None:
    moment = naive.replace(tzinfo=dt.timezone(dt.timedelta(hours=hours)))
    got = parse_times(pa.array([moment.isoformat()]))[0]
    assert got == pytest.approx(moment.timestamp(), abs=1e-4)


@pytest.mark.parametrize("unit", [1, 10**3, 10**6, 10**9])
def test_epoch_units(unit: int) -> None:
    got = parse_times(pa.array([1_577_934_245 * unit, None]))
    assert got[0] == pytest.approx(1_577_934_245)
    assert np.isnan(got[1])


def test_typed_times() -> None:
    moment = dt.datetime(2020, 1, 1, 12)
    assert parse_times(pa.array([moment, None]))[0] == 1_577_880_000
    zoned = pa.array([moment], pa.timestamp("ns", "Europe/Paris"))
    assert parse_times(zoned)[0] == 1_577_880_000
    assert parse_times(pa.chunked_array([pa.array([moment.date()])]))[0] == 1_577_836_800
    assert np.isnan(parse_times(pa.array([True]))[0])
    assert np.isnan(parse_times(pa.nulls(1))[0])
    assert len(parse_times(pa.array([], pa.string()))) == 0


def test_small_numbers_are_positions_and_stay() -> None:
    assert parse_times(pa.array([0, 1, 2])).tolist() == [0, 1, 2]


def test_day_and_month_order_is_read_off_the_column() -> None:
    def day(texts: list[str], order: str = "auto") -> int:
        seconds = parse_times(pa.array(texts), order)[0]  # type: ignore[arg-type]
        return dt.datetime.fromtimestamp(seconds, dt.UTC).day

    assert day(["03/04/2020"]) == 3
    assert day(["03/04/2020", "03/25/2020"]) == 4
    assert day(["03/04/2020"], "mdy") == 4


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["03/04/2020", "2020-01-01"], "dates like '03/04/2020', which were read day first"),
        (
            ["12/13/2020", "13/12/2020 10:00", "01/02/2020"],
            "dates of both orders, like '13/12/2020 10:00' and '12/13/2020'; what fits both was"
            " read day first",
        ),
        (
            ["12/13/2020", "12/14/2020", "14/12/2020"],
            "dates of both orders, like '14/12/2020' and '12/13/2020'; what fits both was read"
            " month first",
        ),
        (["03/04/2020", "13/04/2020"], ""),
        (["04/04/2020", "03.04.2020", None, "x"], ""),
        ([], ""),
    ],
)
def test_dates_in_doubt(texts: list[str | None], words: str) -> None:
    assert date_doubt(pa.array(texts, pa.string())) == words


@pytest.mark.parametrize(
    ("yes", "no"),
    [
        ("ja", "nein"),
        ("Oui", "Non"),
        ("sí", "no"),
        ("sì", "no"),
        ("sim", "não"),
        ("ja", "nee"),
        ("ja", "nej"),
        ("tak", "nie"),
        ("ano", "ne"),
        ("da", "nu"),
        ("igen", "nem"),
        ("kyllä", "ei"),
        ("evet", "HAYIR"),
        ("да", "нет"),
        ("Auf Lager", "ausverkauft"),
        ("en stock", "épuisé"),
    ],
)
def test_yes_and_no_in_many_languages(yes: str, no: str) -> None:
    assert parse_available(yes) is True
    assert parse_available(no) is False


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("in stock", True),
        ("12,5", True),
        ("1.000", True),
        ("10+", True),
        ("> 5", True),
        ("3 in stock", True),
        ("0,0", False),
        ("-5", False),
        ("2 weeks", None),
        ("In_Stock", True),
        ("https://schema.org/InStock", True),
        ("https://schema.org/OutOfStock", False),
        ("preorder", True),
        ("sold out", False),
        ("TRUE", True),
        ("5", True),
        ("0", False),
        ("0.0", False),
        ("maybe", None),
    ],
)
def test_availability(text: str, expected: bool | None) -> None:
    assert parse_available(text) is expected


@pytest.mark.parametrize(
    ("cells", "paths"),
    [
        (["A > B"], [(("A", "B"),)]),
        (["A>B > C"], [(("A", "B", "C"),)]),
        (["A|B"], [(("A", "B"),)]),
        (["A/B"], [(("A", "B"),)]),
        (["/A/B/"], [(("A", "B"),)]),
        (["A » B"], [(("A", "B"),)]),
        (["Arts, Crafts > X"], [(("Arts, Crafts", "X"),)]),
        (["A > B, C > D", "C > E"], [(("A", "B"), ("C", "D")), (("C", "E"),)]),
        (['["A", "B"]'], [(("A", "B"),)]),
        (["['A', 'B']"], [(("A", "B"),)]),
        (['[["A", "B"], ["C"]]'], [(("A", "B"), ("C",))]),
        (['["A > B", "C > D"]'], [(("A", "B"), ("C", "D"))]),
        (['[{"id": "1", "name": "A"}]'], [(("A",),)]),
        (["[sale] shoes"], [(("[sale] shoes",),)]),
        (["[]", "", "A"], [(), (), (("A",),)]),
        (["A/B", "C", "D", "E"], [(("A/B",),), (("C",),), (("D",),), (("E",),)]),
        (["A > Audio/Video", "Audio/Video"], [(("A", "Audio/Video"),), (("Audio/Video",),)]),
    ],
)
def test_category_spellings(cells: list[str], paths: list[tuple[tuple[str, ...], ...]]) -> None:
    assert list(parse_categories(cells).values()) == paths


def test_genres_stand_side_by_side() -> None:
    read = parse_categories(["Adventure|Animation"], equals=True)
    assert read == {"Adventure|Animation": (("Adventure",), ("Animation",))}


def test_separator_can_be_given() -> None:
    assert parse_categories(["a.b"], separator=".") == {"a.b": (("a", "b"),)}
    assert parse_categories(["a > b"], separator="none") == {"a > b": (("a > b",),)}


def test_a_comma_parts_two_paths_only_before_a_top_category() -> None:
    cells = ["Shirts > Plain, Sale > Shirts", "Sale > Hats", "Grocery > Noodles, Pasta > Dry"]
    assert parse_categories(cells) == {
        cells[0]: (("Shirts", "Plain"), ("Sale", "Shirts")),
        cells[1]: (("Sale", "Hats"),),
        cells[2]: (("Grocery", "Noodles, Pasta", "Dry"),),
    }
