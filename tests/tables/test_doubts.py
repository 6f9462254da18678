"""What is not understood, contradicts itself or looks odd is told."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from crossrec_llm.tables import CleaningOptions, EventColumns, TableReport, Tables
from tests.tables.test_reading import ITEMS, csv_file, log, read


def told(tables: Tables) -> str:
    return "\n".join(tables.report.lines())


def interactions(tables: Tables) -> TableReport:
    assert tables.report.interactions is not None
    return tables.report.interactions


def test_what_is_not_understood_is_told_apart_from_repairs(tmp_path: Path) -> None:
    path = csv_file(
        tmp_path / "i.csv",
        "id,title,price,available,added",
        "a,A,1e3,ja,2020-01-01",
        "b,B,2 for 5,vielleicht,soon",
        "c,C,n/a,nein,",
        "d,D,null,perhaps,9999-12-31",
    )
    tables = read(path)
    assert tables.catalogue.available.tolist() == [True, True, False, True]
    assert tables.catalogue.prices[0] == 1000
    text = told(tables)
    assert "    not understood 1: price (line 3 '2 for 5')" in text
    assert "    not understood 2: available (line 3 'vielleicht', line 5 'perhaps')" in text
    assert "    not understood 2: added (line 3 'soon', line 5 '9999-12-31')" in text
    source = tables.report.items.sources[0]
    assert not source.repairs
    plain = json.loads(json.dumps(tables.report.to_dict()))["items"]["sources"][0]["lost"]
    assert plain[0] == {"column": "price", "count": 1, "examples": [{"line": 3, "text": "2 for 5"}]}


def test_values_and_times_that_are_not_understood() -> None:
    rows = [("u", "a", "later", "1.234,5"), ("v", "a", None, "x" * 99), ("w", "a", "", "nan")]
    source = interactions(read(ITEMS, log(*rows, names="user item time rating"))).sources[0]
    assert [(lost.column, lost.count) for lost in source.lost] == [("timestamp", 1), ("value", 2)]
    assert [len(cell.text) for cell in source.lost[1].examples] == [7, 40]


def test_rows_that_end_early_are_kept_when_id_and_title_are_there(tmp_path: Path) -> None:
    path = csv_file(tmp_path / "i.csv", "id,title,price", "a,A,1", "b,B", "c", "d,D,1,extra")
    source = read(path).report.items.sources[0]
    assert (source.kept, source.repairs) == (2, {"missing fields at the end left empty": 2})
    assert dict(source.rejects) == {
        "too many fields (4 where 3 are expected)": 1,
        "empty title": 1,
    }


@pytest.mark.parametrize(("others", "price"), [(["1,5", "2"], 2500.0), (["1.5", "2"], 2.5)])
def test_other_columns_tell_what_a_point_means(others: list[str], price: float) -> None:
    table = {"id": ["a", "b"], "title": ["A", "B"], "price": ["2.500", "1.234"], "weight": others}
    tables = read(pa.table(table))
    assert tables.catalogue.prices[0] == price
    noted = "prices like 1.234 were read as decimals" in told(tables)
    assert noted is (price == 2.5)


def test_ids_of_several_files_that_clash(tmp_path: Path) -> None:
    files = [csv_file(tmp_path / f"{n}.csv", "id,title", f"1,{n}", f"2,{n}") for n in "xy"]
    (note,) = read(files).report.items.notes
    assert note.startswith("2 of the contradicting rows are from another file")
    assert '[tables] prefix_ids = "items"' in note
    assert read(files, prefix_ids="items").report.items.notes == ()
    alone = csv_file(tmp_path / "z.csv", "id,title", "1,a", "1,b")
    assert read(alone).report.items.notes == ()


def test_a_log_of_other_ids(tmp_path: Path) -> None:
    files = [csv_file(tmp_path / f"dup_{n}.csv", "id,title", f"1,{n}") for n in "ab"]
    ratings = csv_file(tmp_path / "ratings.csv", "user,item,time", "u,1,5", "v,1,5")
    (note,) = interactions(read(files, ratings, prefix_ids="items")).notes
    assert note.startswith("2 of 2 events are on unknown items")
    assert "'ratings:1' in the log, 'dup_a:1' in the catalogue" in note
    assert "source_names" in note
    paired = read(files, ratings, prefix_ids="items", source_names=("a", "b"))
    assert interactions(paired).notes == ()
    assert paired.events["item_id"].to_pylist() == ["a:1", "a:1"]


def test_no_usable_event_for_other_reasons() -> None:
    tables = read(ITEMS, log(("", "a", 1), names="user item time"))
    assert interactions(tables).notes == ()
    assert interactions(tables).reasons == "1 empty user id (row 1)"


@pytest.mark.parametrize(
    ("names", "rows", "rejected"),
    [
        ("user item time quantity", [("u", "a", 1, 0), ("u", "a", 2, -1), ("u", "a", 3, 2)], 2),
        ("user item time Menge", [("u", "a", 1, "-1"), ("u", "a", 2, "")], 1),
        ("user item time rating", [("u", "a", 1, 0), ("u", "a", 2, -1)], 0),
        ("user item time value", [("u", "a", 1, 0)], 0),
        ("user item qty event", [("u", "a", -1, "Return"), ("u", "a", -1, "purchase")], 1),
        ("user item qty event", [("u", "a", 0, "rating"), ("u", "a", 0, "")], 1),
    ],
)
def test_quantities_of_nothing(names: str, rows: Sequence[Any], rejected: int) -> None:
    columns = {"value": "Menge"} if "Menge" in names else {}
    tables = read(ITEMS, log(*rows, names=names), event_columns=EventColumns(**columns))
    rejects = {"quantity not above 0": rejected} if rejected else {}
    assert dict(interactions(tables).sources[0].rejects) == rejects
    assert len(tables.events) == len(rows) - rejected


def test_ratings_that_contradict_each_other() -> None:
    rows = [
        ("u", "a", 1, 2),
        ("u", "a", 1, 5),
        ("u", "a", 1, 5),
        ("v", "b", 1, 3),
        ("v", "b", 1, 3),
    ]
    tables = read(ITEMS, log(*rows, names="user item timestamp rating"))
    report = interactions(tables)
    assert (report.merged, report.conflicts, report.conflict_examples) == (3, 1, ("user u on a",))
    assert (
        "  1 merged ratings contradict the last of the same user, item and time, which was kept:"
        " user u on a"
    ) in told(tables)
    bought = read(ITEMS, log(*rows, names="user item timestamp quantity"))
    assert interactions(bought).conflicts == 0


def test_dates_in_doubt_are_noted() -> None:
    table = log(("u", "a", "03/04/2020"), ("u", "b", "04/05/2020"), names="user item date")
    (note,) = interactions(read(ITEMS, table)).notes
    assert "date has dates like '03/04/2020', which were read day first" in note
    assert 'date_order = "dmy" or "mdy" under [tables.cleaning]' in note
    given = read(ITEMS, table, cleaning=CleaningOptions(date_order="mdy"))
    assert interactions(given).notes == ()


def test_facts_of_both_tables() -> None:
    items = pa.table(
        {
            "id": list("abcde"),
            "title": list("ABCDE"),
            "price": ["1", "2,50", "1.234,00", "", "5"],
            "category": ["Home > Light", "Home", "Toys", "Garden", "Audio"],
            "stock": [1, 0, 5, 1, None],
            "added": ["2019-01-02", None, "2020-03-04", None, None],
        }
    )
    events = log(
        ("u", "a", "2020-01-01", "view", 1),
        ("u", "b", "2020-02-01", "view", 2.5),
        ("v", "b", "2020-01-05", "buy", None),
        ("v", "c", "2020-01-05", "", None),
    )
    tables = read(items, events)
    assert tables.report.items.facts == (
        "prices 1.00 to 1,234.00 (4 of 5 items); added 2019-01-02 to 2020-03-04;"
        " 4 of 5 items available",
        "top categories 4: Home 2, Audio 1, Garden 1 ...",
    )
    assert interactions(tables).facts == (
        "users 2; items 3; 2020-01-01 to 2020-02-01; values 1 to 2.5",
        "events: view 2, buy 1, without a name 1",
    )
    assert "  events: view 2, buy 1" in told(tables)


def test_facts_where_little_is_known() -> None:
    tables = read(ITEMS, log(("u", "a", 1), ("u", "b", 7), names="user item time"))
    assert tables.report.items.facts == ("3 of 3 items available", "no categories")
    assert interactions(tables).facts == (
        "users 1; items 2; positions 1 to 7",
        "events: without a name 2",
    )
    assert interactions(read(ITEMS, log(("u", "zz"), names="user item"))).facts == ()
