from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from crossrec_llm.errors import DataError, IndexLocked, StoreUnavailable
from crossrec_llm.store import Appended, Ledger, Put, basis, content_digest
from crossrec_llm.store.database import Database
from crossrec_llm.store.merging import Base
from crossrec_llm.tables import EVENTS_SCHEMA, ITEMS_SCHEMA
from tests.store.small import EVENTS, ITEMS, make_events, make_items, make_older


def one_event(
    user: str, item: str, *, time: float | None = None, value: float | None = None
) -> Any:
    row = {"user_id": user, "item_id": item, "timestamp": time, "event": "buy", "value": value}
    return pa.Table.from_pylist([row], schema=EVENTS_SCHEMA)


def titled(item_id: str, title: str) -> pa.Table:
    row = make_items([item_id]).to_pylist()[0]
    return pa.Table.from_pylist([{**row, "title": title}], schema=ITEMS_SCHEMA)


def titles(ledger: Ledger) -> dict[str, str]:
    return {row["item_id"]: row["title"] for row in ledger.items().to_pylist()}


def test_events_are_there_at_once_for_every_process(ledger: Ledger, path: Path) -> None:
    with Ledger.open(path, write=False) as reader:
        assert reader.change == 0
        event = one_event("dan", "i3", time=7.0)
        assert ledger.append(event) == Appended(1, 0)
        assert reader.events_of("dan").equals(event)
        assert reader.change == 1
        assert reader.users_since(0) == ["dan"]
        assert reader.users_since(1) == []
        assert reader.event_count == len(EVENTS) + 1
        assert reader.users_of("i3") == ["dan"]
    assert ledger.append(one_event("ann", "i3", time=8.0)).added == 1
    assert ledger.events_of("ann")["item_id"].to_pylist() == ["i1", "i2", "i1", "i3"]
    assert ledger.users_since(0) == ["ann", "dan"]


def test_the_same_event_is_there_once(ledger: Ledger) -> None:
    assert ledger.append(EVENTS) == Appended(0, len(EVENTS))
    assert ledger.change == 0
    twice = pa.concat_tables([one_event("ann", "i5")] * 2)
    assert ledger.append(twice) == Appended(1, 1)
    assert ledger.append(one_event("ann", "i5", time=1.0)).added == 1
    assert ledger.append(one_event("ann", "i5", time=1.0, value=2.0)).added == 1


def test_what_a_build_added_up_is_there(ledger: Ledger) -> None:
    bought = one_event("ann", "i5", time=1.0, value=3.0)
    build(ledger, ITEMS, pa.concat_tables([EVENTS, bought]))
    assert ledger.append(one_event("ann", "i5", time=1.0, value=1.0)) == Appended(0, 1)
    assert ledger.append(one_event("ann", "i5", time=2.0, value=1.0)) == Appended(1, 0)
    assert ledger.append(one_event("ann", "i5", value=1.0)) == Appended(1, 0)


def test_an_event_id_is_taken_once(ledger: Ledger) -> None:
    same = pa.concat_tables([one_event("ann", "i5")] * 3)
    assert ledger.append(same, ["a", "b", "a"]) == Appended(2, 1)
    assert ledger.append(one_event("bob", "i6"), ["b"]) == Appended(0, 1)
    assert ledger.append(one_event("ann", "i5"), [None]) == Appended(0, 1)


def test_an_event_about_nothing_writes_nothing(ledger: Ledger) -> None:
    ledger.remove_items(["i6"])
    for item in ("i99", "i6"):
        both = pa.concat_tables([one_event("new", "i1"), one_event("new", item)])
        with pytest.raises(DataError, match=f"about '{item}'"):
            ledger.append(both, ["x", "y"])
    assert not ledger.has_user("new")
    assert ledger.append(one_event("ann", "i1"), ["x"]).added == 1


def test_putting_items(ledger: Ledger) -> None:
    assert ledger.put_items(ITEMS) == Put(0, 0, len(ITEMS))
    assert ledger.change == 0
    both = pa.concat_tables([titled("i2", "other"), titled("new", "new"), ITEMS.slice(3, 1)])
    assert ledger.put_items(both) == Put(1, 1, 1)
    assert titles(ledger) == {**titles_of(ITEMS), "i2": "other", "new": "new"}
    since = ledger.items_since(0)
    assert since.items.equals(both.slice(0, 2))
    assert since.removed == ()
    assert len(ledger.items_since(1).items) == 0


def titles_of(items: pa.Table) -> dict[str, str]:
    return dict(zip(items["item_id"].to_pylist(), items["title"].to_pylist(), strict=True))


def test_the_last_of_an_id_stands(ledger: Ledger) -> None:
    ledger.put_items(pa.concat_tables([titled("new", "one"), titled("new", "two")]))
    assert titles(ledger)["new"] == "two"


def test_a_removed_item_is_nowhere_and_comes_back_with_its_events(ledger: Ledger) -> None:
    assert ledger.remove_items(["i1", "i1", "none"]) == 1
    assert "i1" not in titles(ledger)
    assert ledger.events()["item_id"].to_pylist() == ["i2", "i7"]
    assert ledger.events_of("ann")["item_id"].to_pylist() == ["i2"]
    assert ledger.events_of("cy").equals(EVENTS_SCHEMA.empty_table())
    assert ledger.users_of("i1") == []
    assert (ledger.item_count, ledger.event_count) == (7, 2)
    assert ledger.items_since(0).removed == ("i1",)
    assert ledger.remove_items(["i1"]) == 0
    assert ledger.change == 1

    assert ledger.put_items(ITEMS.slice(1, 1)) == Put(1, 0, 0)
    assert ledger.items().equals(ITEMS)
    assert ledger.events().equals(EVENTS)
    assert ledger.items_since(1).items.equals(ITEMS.slice(1, 1))


def test_content_tells_what_came_live(ledger: Ledger) -> None:
    base = ledger.content
    ledger.append(one_event("ann", "i5"))
    first = ledger.content
    ledger.remove_items(["i5"])
    assert len({base, first, ledger.content}) == 3


def test_one_moment_stays_as_it_was(ledger: Ledger) -> None:
    with ledger.moment() as then:
        ledger.append(one_event("dan", "i3"))
        ledger.remove_items(["i1"])
        assert then.change == 0
        assert then.items().equals(ITEMS)
        assert then.events().equals(EVENTS)
    assert ledger.change == 2


# ------------------------------------------------------------------ builds


def build(ledger: Ledger, items: pa.Table, events: pa.Table) -> None:
    """What a build does with the records."""
    merged = ledger.merged(items, events)
    content = content_digest(merged.items, merged.events)
    ledger.merge(items, events, upto=merged.change, content=content)
    assert ledger.items().equals(merged.items)
    assert sorted_rows(ledger.events()) == sorted_rows(merged.events)
    assert ledger.content == content


def sorted_rows(table: pa.Table) -> list[str]:
    return sorted(json.dumps(row) for row in table.to_pylist())


def with_title(items: pa.Table, item_id: str, title: str) -> pa.Table:
    rows = [{**r, "title": title} if r["item_id"] == item_id else r for r in items.to_pylist()]
    return pa.Table.from_pylist(rows, schema=ITEMS_SCHEMA)


def test_without_live_changes_the_files_are_all(ledger: Ledger) -> None:
    merged = ledger.merged(ITEMS, EVENTS)
    assert merged.items is ITEMS
    assert merged.events is EVENTS
    assert merged.change == 0


def test_what_came_live_stays_over_files_that_say_nothing_new(ledger: Ledger) -> None:
    ledger.put_items(titled("i2", "live"))
    ledger.put_items(titled("new", "new"))
    ledger.remove_items(["i1"])
    ledger.append(one_event("dan", "i3"))
    for _ in range(2):
        build(ledger, ITEMS, EVENTS)
        known = titles(ledger)
        assert known["i2"] == "live"
        assert known["new"] == "new"
        assert "i1" not in known
        assert ledger.users_of("i3") == ["dan"]
    ledger.put_items(ITEMS.slice(1, 1))
    assert ledger.users_of("i1") == ["ann", "cy"], "its events were kept"


def test_files_that_say_something_new_have_the_last_word(ledger: Ledger) -> None:
    ledger.put_items(titled("i2", "live"))
    ledger.put_items(titled("new", "live"))
    ledger.remove_items(["i1", "i4"])
    files = with_title(with_title(ITEMS, "i2", "file"), "i1", "file")
    files = pa.concat_tables([files, titled("new", "file")])
    build(ledger, files, EVENTS)
    known = titles(ledger)
    assert (known["i1"], known["i2"], known["new"]) == ("file", "file", "file")
    assert "i4" not in known
    assert ledger.users_of("i1") == ["ann", "cy"]
    build(ledger, ITEMS, EVENTS)
    assert "new" not in titles(ledger), "it was in the last files, and is in these no more"


def test_a_file_that_comes_to_agree_says_nothing_new_later(ledger: Ledger) -> None:
    ledger.put_items(titled("i2", "live"))
    agreeing = with_title(ITEMS, "i2", "live")
    build(ledger, agreeing, EVENTS)
    ledger.put_items(titled("i2", "later"))
    build(ledger, agreeing, EVENTS)
    assert titles(ledger)["i2"] == "later"


def test_what_the_last_files_had_and_these_have_not_is_gone(ledger: Ledger) -> None:
    ledger.put_items(titled("i2", "live"))
    ledger.append(one_event("dan", "i2"))
    ledger.remove_items(["i1"])
    build(ledger, ITEMS.slice(3), make_events([("bob", "i7")]))
    assert list(titles(ledger)) == ["i3", "i4", "i5", "i6", "i7"]
    assert ledger.put_items(ITEMS.slice(1, 1)).added == 1
    assert ledger.users_of("i1") == []


def test_events_of_files_and_live_are_there_once(ledger: Ledger) -> None:
    known = pa.concat_tables([one_event("dan", "i3", time=5.0, value=1.0)] * 2)
    ledger.append(known, ["a", "b"])
    ledger.append(one_event("dan", "i4", value=1.0))
    ledger.append(one_event("dan", "i5", value=1.0))
    files = pa.concat_tables(
        [
            one_event("dan", "i3", time=5.0, value=2.0),  # both, added up
            one_event("dan", "i4", value=1.0),
            one_event("dan", "i5", value=2.0),  # without a time it is another one
        ]
    )
    build(ledger, ITEMS, files)
    assert ledger.event_count == 4
    assert ledger.append(known, ["a", "b"]) == Appended(0, 2), "their ids are known for good"


def test_changes_while_a_build_runs_stay_on_top(ledger: Ledger) -> None:
    ledger.put_items(titled("i2", "before"))
    files = with_title(with_title(ITEMS, "i2", "file"), "i3", "file")
    merged = ledger.merged(files, EVENTS)
    content = content_digest(merged.items, merged.events)
    ledger.put_items(titled("i3", "meanwhile"))
    ledger.put_items(titled("new", "meanwhile"))
    ledger.remove_items(["i4"])
    ledger.append(one_event("dan", "i5"))
    ledger.merge(files, EVENTS, upto=merged.change, content=content)
    known = titles(ledger)
    assert (known["i2"], known["i3"], known["new"]) == ("file", "meanwhile", "meanwhile")
    assert "i4" not in known
    assert ledger.users_of("i5") == ["dan"]
    since = ledger.items_since(merged.change)
    assert since.items["item_id"].to_pylist() == ["i3", "new"]
    assert since.removed == ("i4",)
    assert ledger.users_since(merged.change) == ["dan"]
    assert ledger.content != content
    build(ledger, files, EVENTS)
    assert titles(ledger) == known


def test_replacing_drops_what_came_live_up_to_a_change(ledger: Ledger) -> None:
    ledger.put_items(titled("i2", "live"))
    ledger.append(one_event("ann", "i5"), ["a"])
    upto = ledger.change
    ledger.put_items(titled("new", "later"))
    ledger.append(one_event("ann", "new"), ["b"])
    assert ledger.replace(ITEMS, EVENTS, upto=upto)
    assert titles(ledger) == {**titles_of(ITEMS), "new": "later"}
    assert ledger.append(pa.concat_tables([one_event("ann", "i5")] * 2), ["b", "a"]).added == 1
    assert ledger.replace(ITEMS, EVENTS)
    assert ledger.items().equals(ITEMS)
    assert ledger.events().equals(EVENTS)
    assert ledger.unfiled() == 0
    since = ledger.items_since(0)
    assert (since.items["item_id"].to_pylist(), since.removed) == (["i2"], ("new",))
    assert not ledger.replace(ITEMS, EVENTS)


def test_numbers_outlive_a_build_from_files(ledger: Ledger) -> None:
    ledger.put_items(titled("x1", "new"))
    ledger.append(pa.concat_tables([one_event("zoe", "x1"), one_event("zoe", "i3", time=5.0)]))
    ledger.remove_items(["i5"])
    ledger.put_items(titled("i2", "live"))
    before = ledger.items_since(0)
    files = pa.concat_tables([ITEMS.slice(0, 5), ITEMS.slice(6), titled("x1", "new")])
    told = [EVENTS, one_event("zoe", "x1"), one_event("zoe", "i3", time=5.0, value=2.0)]
    build(ledger, files, pa.concat_tables(told))
    assert ledger.users_since(0) == ["zoe"]
    assert ledger.events_of("zoe")["value"].to_pylist() == [None, 2.0]
    assert ledger.items_since(0).items.sort_by("item_id").equals(before.items.sort_by("item_id"))
    assert ledger.items_since(0).removed == ("i5",)
    assert ledger.unfiled() == 1, "only i2 is not as the files have it"
    build(ledger, pa.concat_tables([ITEMS.slice(0, 5), ITEMS.slice(7)]), EVENTS)
    assert ledger.users_since(0) == [], "files that told of events take them along"
    assert ledger.items_since(0).removed == ("i5", "x1")
    assert ledger.items_since(3).items["item_id"].to_pylist() == ["i2"]


def test_what_is_gone_is_forgotten_with_the_last_generation_that_needs_it(ledger: Ledger) -> None:
    ledger.put_items(titled("x1", "new"))
    ledger.put_items(titled("x2", "new"))
    build(ledger, pa.concat_tables([ITEMS, titled("x1", "new"), titled("x2", "new")]), EVENTS)
    build(ledger, ITEMS, EVENTS)
    assert ledger.items_since(0).removed == ("x1", "x2")
    merged = ledger.merged(ITEMS, EVENTS.slice(1))
    content = content_digest(merged.items, merged.events)
    ledger.merge(ITEMS, EVENTS.slice(1), upto=merged.change, content=content, oldest=1)
    assert ledger.items_since(0).removed == ("x2",)


def test_files_in_another_order_change_nothing(ledger: Ledger) -> None:
    rows = ITEMS.take(pa.array(range(len(ITEMS))[::-1]))
    again = EVENTS.take(pa.array([4, 3, 0, 1, 2]))
    merged = ledger.merged(rows, again)
    assert merged.items.equals(ITEMS)
    assert merged.events.equals(EVENTS)
    assert content_digest(merged.items, merged.events) == ledger.content


def test_what_comes_while_the_difference_is_found_stays(
    ledger: Ledger, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = basis._Difference.of

    def found(then: Database, made: Base) -> basis._Difference:
        difference = find(then, made)
        with Ledger.open(path, write=True) as other:  # nobody keeps it waiting
            other.append(pa.concat_tables([one_event("bob", "i0"), one_event("new", "i3")]))
            other.append(pa.concat_tables([one_event("cy", "i1"), one_event("ann", "i4")]))
            other.put_items(pa.concat_tables([titled("i2", "late"), titled("x", "late")]))
            other.put_items(titled("i5", "late"))
            other.remove_items(["i6"])
        return difference

    monkeypatch.setattr(basis._Difference, "of", found)
    files = with_title(pa.concat_tables([ITEMS.slice(1, 4), ITEMS.slice(6)]), "i2", "file")
    files = pa.concat_tables([with_title(files, "i6", "file"), titled("x", "file")])
    events = make_events([("ann", "i2"), ("new", "i1"), ("eve", "i1")])
    merged = ledger.merged(files, events)
    content = content_digest(merged.items, merged.events)
    ledger.merge(files, events, upto=merged.change, content=content)
    known = titles(ledger)
    assert (known["i2"], known["x"], known["i5"]) == ("late", "late", "late")
    assert "i0" not in known, "the files have it no more"
    assert ledger.items_since(0).removed == ("i0", "i6")
    assert ledger.events_of("ann")["item_id"].to_pylist() == ["i2", "i4"]
    assert ledger.events_of("cy")["item_id"].to_pylist() == ["i1"]
    assert ledger.events_of("new")["item_id"].to_pylist() == ["i1", "i3"]
    assert ledger.users_of("i1") == ["cy", "new", "eve"]
    monkeypatch.undo()
    build(ledger, files, events)
    assert titles(ledger) == known, "the files say nothing new"


def test_an_event_of_the_files_that_is_told_again_with_an_id_is_there_once(ledger: Ledger) -> None:
    known = EVENTS.slice(0, 3)
    assert ledger.append(known, ["a", "b", "c"]) == Appended(0, 3)
    assert ledger.append(known, ["a", "b", "c"]) == Appended(0, 3)
    assert ledger.event_count == len(EVENTS)
    assert ledger.append(known.slice(1, 1), ["d"]).added == 1, "another one, by its id"
    build(ledger, ITEMS, EVENTS)
    assert ledger.event_count == len(EVENTS)


# ------------------------------------------------------------------ layouts, locks and kills


@pytest.mark.parametrize("layout", [1, 2])
def test_older_layouts_are_read_and_brought_up_to_date(
    ledger: Ledger, path: Path, layout: int
) -> None:
    ledger.close()
    make_older(path, layout)
    with Ledger.open(path, write=False) as reader:
        assert reader.items().equals(ITEMS)
        assert reader.events_of("ann").equals(EVENTS.slice(0, 3))
        assert (reader.change, reader.users_since(0), reader.count_since(0)) == (0, [], 0)
        assert reader.items_since(0).items.equals(ITEMS_SCHEMA.empty_table())
        assert reader.merged(ITEMS, EVENTS).items is ITEMS
        assert (reader.item_count, reader.event_count) == (len(ITEMS), len(EVENTS))
        content = reader.content
        with Ledger.open(path, write=True) as writer:
            assert writer.content == content
            writer.remove_items(["i1"])
        assert reader.items_since(0).removed == ("i1",)
        assert "i1" not in titles(reader)


def test_two_bring_a_file_up_to_date_at_once(ledger: Ledger, path: Path) -> None:
    ledger.close()
    make_older(path, 1)
    code = "import sys; from pathlib import Path; from crossrec_llm.store import Ledger; "
    code += "Ledger.open(Path(sys.argv[1]), write=True).close()"
    both = [subprocess.Popen([sys.executable, "-c", code, path]) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    with Ledger.open(path, write=False) as reader:
        assert reader.items().equals(ITEMS)


@pytest.mark.parametrize(
    "change",
    [
        lambda ledger: ledger.append(one_event("ann", "i5")),
        lambda ledger: ledger.put_items(titled("i2", "live")),
        lambda ledger: ledger.remove_items(["i2"]),
    ],
)
def test_who_cannot_begin_in_time_is_refused(ledger: Ledger, path: Path, change: Any) -> None:
    with Ledger.open(path, write=True) as other, ledger._database.transaction():
        started = time.perf_counter()
        with pytest.raises(IndexLocked, match="another process"):
            change(other)
        assert time.perf_counter() - started < 8, "0.8 s, on a machine that is not overloaded"
    with Ledger.open(path, write=False) as reader, pytest.raises(StoreUnavailable):
        change(reader)


def test_what_was_acknowledged_survives_a_kill(ledger: Ledger, path: Path) -> None:
    ledger.close()
    code = """
        import sys
        from pathlib import Path
        from crossrec_llm.store import Ledger
        from tests.store.test_changes import one_event, titled
        ledger = Ledger.open(Path(sys.argv[1]), write=True)
        for n in range(10_000):
            ledger.put_items(titled(f"x{n}", "new"))
            ledger.append(one_event("eve", f"x{n}"))
            print(n, flush=True)
    """
    run = [sys.executable, "-c", textwrap.dedent(code), path]
    with subprocess.Popen(run, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(20)]
        os.kill(process.pid, signal.SIGKILL)
        last = int([*said, *process.stdout.readlines()][-1])
    with Ledger.open(path, write=False) as reader:
        events = reader.events_of("eve")["item_id"].to_pylist()
        assert events[: last + 1] == [f"x{n}" for n in range(last + 1)]
        assert set(events) <= set(titles(reader))
