from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from crossrec_llm.errors import DataError, QueryError, UnknownExposure, UnknownUser
from crossrec_llm.records import Offer
from crossrec_llm.store import Exposure, Ledger, Outcome, Recorded, Unfinished
from tests.store.small import make_older

NOW = 1.7e9
OFFERS = (
    Offer("i1", 0, 1, 1, 0.8, 0.1),
    Offer("i2", 0, 2, 0, 0.8, 0.1),
    Offer("i3", 0, 0, 2, 0.0, 0.1),
)
QUESTION = {"k": 2, "filter": {}, "cross_share": None, "diversity": None, "explore": "day"}
SHOWN = Exposure("ann", NOW, "e", "a", "0001", "r", "h", 0, QUESTION, OFFERS)


def rows(ledger: Ledger) -> dict[str, int]:
    tables = ("exposures", "offers", "outcomes")
    return {name: ledger._database.one(f"SELECT count(*) FROM {name}") for name in tables}


def test_an_exposure_and_its_outcomes_are_there_once(ledger: Ledger) -> None:
    exposures = ledger.exposures
    assert exposures.expose(SHOWN) == Recorded(1, 0)
    assert exposures.expose(replace(SHOWN, at=NOW + 60, change=3)) == Recorded(0, 1)
    assert exposures.expose(replace(SHOWN, at=NOW + 86_400)) == Recorded(1, 0), "another day"
    click = Outcome(SHOWN.exposure_id, "i3")
    buy = Outcome(SHOWN.exposure_id, "i3", "buy", 9.5, NOW)
    assert exposures.record([click, buy, replace(click, value=7.0)]) == Recorded(2, 1)

    one, other = exposures.log()

    assert one.exposure == SHOWN
    assert one.exposure_id == SHOWN.exposure_id
    assert one.outcomes == {("i3", "click"): 1.0, ("i3", "buy"): 9.5}
    assert [offer.item_id for offer in one.exposure.shown] == ["i1", "i3"]
    assert [offer.propensity for offer in OFFERS] == [0.8, 0.0, 0.1]
    assert other.outcomes == {}
    assert exposures.log("another") == []
    assert exposures.log("e", offers=False)[0].exposure.offers == ()


def test_what_is_refused_writes_nothing(ledger: Ledger) -> None:
    exposures = ledger.exposures
    exposures.expose(SHOWN)
    good = Outcome(SHOWN.exposure_id, "i1")
    with pytest.raises(UnknownExposure, match="no exposure 'x' in this index"):
        exposures.record([good, Outcome("x", "i1")])
    with pytest.raises(DataError, match="did not show an item 'i2'"):
        exposures.record([good, Outcome(SHOWN.exposure_id, "i2")])
    with pytest.raises(UnknownUser):
        exposures.expose(replace(SHOWN, user_id="nobody"))
    assert rows(ledger) == {"exposures": 1, "offers": 3, "outcomes": 0}


def test_experiments_run_one_at_a_time(ledger: Ledger) -> None:
    exposures = ledger.exposures
    begun = exposures.begin("one", {"arms": []})
    assert exposures.experiments() == (begun,)
    with pytest.raises(QueryError, match="'one' still runs"):
        exposures.begin("two", {})
    assert exposures.end("one")
    assert not exposures.end("one")
    exposures.begin("two", {})
    with pytest.raises(QueryError, match="there was an experiment 'one' before"):
        exposures.begin("one", {})
    assert [(one.name, one.ended is None) for one in exposures.experiments()] == [
        ("one", False),
        ("two", True),
    ]


def test_a_person_is_erased_with_what_they_were_shown(ledger: Ledger) -> None:
    exposures = ledger.exposures
    exposures.expose(SHOWN)
    bobs = replace(SHOWN, user_id="bob")
    exposures.expose(bobs)
    exposures.record([Outcome(SHOWN.exposure_id, "i1"), Outcome(bobs.exposure_id, "i1")])

    done = ledger.erasures.erase("user", ["ann"], Unfinished(moment=NOW))

    assert (done.removed.exposures, done.removed.outcomes) == (1, 1)
    assert rows(ledger) == {"exposures": 1, "offers": 3, "outcomes": 1}
    with pytest.raises(UnknownExposure):
        exposures.record([Outcome(SHOWN.exposure_id, "i1")])


def test_an_item_is_erased_from_what_people_were_shown(ledger: Ledger) -> None:
    exposures = ledger.exposures
    asked = {**QUESTION, "filter": {"boost": {"item:i3": 0.2}}}
    named = replace(SHOWN, user_id="bob", question=asked)
    for one in (SHOWN, named):
        exposures.expose(one)
        exposures.record([Outcome(one.exposure_id, "i3"), Outcome(one.exposure_id, "i1")])

    assert ledger.erasures.has("item", "i3")
    done = ledger.erasures.erase("item", ["i3"], Unfinished(moment=NOW)).removed

    assert (done.exposures, done.offers, done.outcomes) == (1, 1, 3)
    (left,) = exposures.log()
    assert [offer.item_id for offer in left.exposure.offers] == ["i1", "i2"]
    assert left.outcomes == {("i1", "click"): 1.0}
    assert not ledger.erasures.has("item", "i3")


def test_what_is_older_is_forgotten(ledger: Ledger) -> None:
    exposures = ledger.exposures
    exposures.expose(SHOWN)
    exposures.expose(replace(SHOWN, user_id="bob", at=NOW + 9 * 86_400))
    exposures.record([Outcome(SHOWN.exposure_id, "i1")])

    assert exposures.forget_older(0, now=NOW + 1e9) == 0
    assert exposures.forget_older(10, now=NOW + 11 * 86_400) == 1
    assert rows(ledger) == {"exposures": 1, "offers": 3, "outcomes": 0}


def test_records_of_an_older_layout_have_none(ledger: Ledger, path: Path) -> None:
    ledger.close()
    make_older(path, 2)
    with Ledger.open(path, write=False) as old:
        assert old.exposures.experiments() == ()
        assert old.exposures.log() == []
