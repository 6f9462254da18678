from __future__ import annotations

from pathlib import Path

import pytest

from crossrec_llm.errors import IndexLocked, StoreUnavailable
from crossrec_llm.store import Ledger
from crossrec_llm.tables import history_digest
from tests.store.small import EVENTS, ITEMS, make_older


def test_corrections_come_back_in_order(ledger: Ledger) -> None:
    said = ledger.add_correction("ann", sentence="I grow “roses” 🌹")
    struck = ledger.add_correction("ann", items=["i1", "i,2\n"])
    ledger.add_correction("bob", sentence="tea")
    assert ledger.corrections_of("ann") == (said, struck)
    assert (said.sentence, said.items) == ("I grow “roses” 🌹", ())
    assert (struck.sentence, struck.items) == ("", ("i1", "i,2\n"))
    assert said.number < struck.number
    assert ledger.users_with_strikes() == ["ann"]
    assert ledger.corrections_of("cy") == ()


def test_another_open_ledger_sees_them_at_once(ledger: Ledger, path: Path) -> None:
    with Ledger.open(path, write=False) as reader:
        assert reader.corrections_of("ann") == ()
        made = ledger.add_correction("ann", items=["i1"])
        assert reader.corrections_of("ann") == (made,)


def test_undo_leaves_nothing(ledger: Ledger, path: Path) -> None:
    made = ledger.add_correction("ann", sentence="secret-sentence-4711")
    other = ledger.add_correction("ann", items=["i1"])
    ledger.undo("bob", made.number)
    assert ledger.corrections_of("ann") == (made, other)
    ledger.undo("ann", made.number)
    assert ledger.corrections_of("ann") == (other,)
    assert ledger.add_correction("ann", items=["i2"]).number > other.number
    ledger.close()
    assert b"secret-sentence-4711" not in b"".join(f.read_bytes() for f in path.parent.iterdir())


def test_a_number_is_never_given_twice(ledger: Ledger) -> None:
    first = ledger.add_correction("ann", items=["i1"]).number
    ledger.undo("ann", first)
    assert ledger.add_correction("ann", items=["i1"]).number > first


def test_a_new_truth_keeps_them(ledger: Ledger) -> None:
    made = ledger.add_correction("ann", items=["i1"])
    assert ledger.replace(ITEMS, EVENTS.slice(1))
    assert ledger.corrections_of("ann") == (made,)


def test_an_older_file_is_read_and_brought_up_to_date(ledger: Ledger, path: Path) -> None:
    ledger.close()
    make_older(path, 1)
    with Ledger.open(path, write=False) as reader:
        assert reader.events().equals(EVENTS)
        assert reader.corrections_of("ann") == ()
        assert reader.users_with_strikes() == []
        with Ledger.open(path, write=True) as writer:
            made = writer.add_correction("ann", items=["i1"])
            assert writer.events().equals(EVENTS)
        assert reader.corrections_of("ann") == (made,)


def test_a_reader_cannot_write_them(ledger: Ledger, path: Path) -> None:
    with (
        Ledger.open(path, write=False) as reader,
        pytest.raises(StoreUnavailable, match="readonly"),
    ):
        reader.add_correction("ann", items=["i1"])


def test_who_waits_too_long_is_told(ledger: Ledger, path: Path) -> None:
    with Ledger.open(path, write=True) as other, ledger._database.transaction():
        other._database._connection.execute("PRAGMA busy_timeout = 10")
        with pytest.raises(IndexLocked, match="another process"):
            other.add_correction("ann", items=["i1"])


def test_the_digest_of_a_history_has_the_corrections(ledger: Ledger) -> None:
    events = ledger.events_of("ann")
    plain = history_digest(events)
    assert history_digest(events, ()) == plain
    pinned = ledger.add_correction("ann", sentence="i1")
    struck = ledger.add_correction("ann", items=["i1"])
    digests = {plain, history_digest(events, [pinned]), history_digest(events, [struck])}
    assert len(digests | {history_digest(events, [pinned, struck])}) == 4
    ledger.undo("ann", struck.number)
    again = ledger.add_correction("ann", items=["i1"])
    assert history_digest(events, [struck]) == history_digest(events, [again])
