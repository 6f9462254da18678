"""From an experiment's file to its report, over a tiny index."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from service import experiments as simulated

from crossrec_llm import (
    Filter,
    Outcome,
    Recipe,
    Recommender,
    Recorder,
    add_events,
    backup,
    begin_experiment,
    build,
    end_experiment,
    forget_user,
    gc,
    judge_recipe,
    report_experiment,
    restore,
    verify,
)
from crossrec_llm.errors import (
    QueryError,
    RecipeError,
    StoreUnavailable,
    UnknownExperiment,
    UnknownExposure,
)
from crossrec_llm.experimenting import recording
from crossrec_llm.store import Ledger

ARMS = """
outcome = "buy"
[[arms]]
name = "plain"
share = 0.5
[[arms]]
name = "diverse"
share = 0.5
recipe.answering.diversity = 0.5
"""
EXPLORING = {"experiments": {"explore": 0.3}}


@pytest.fixture
def index(tiny: tuple[Path, Recipe]) -> Path:
    return tiny[0]


@pytest.fixture
def begun(index: Path, tmp_path: Path) -> Path:
    (tmp_path / "arms.toml").write_text(ARMS)
    begin_experiment(index, "lists", tmp_path / "arms.toml")
    return index


def shown_to(index: Path, people: int = 30, *, buys: str = "diverse") -> list[recording.Shown]:
    """A list for each, recorded; who is in one of the arms buys the first item."""
    with Recommender.open(index) as rec, Recorder(rec.asked_by(EXPLORING)) as recorder:
        shown = [recorder.for_user(user, k=4) for user in rec.generation.users.ids[:people]]
        for one in shown:
            if one.arm == buys:
                told = Outcome(one.exposure_id, one.answer.ids[0], "buy", 2.0)
                recorder.record(told)
        return shown


def test_everybody_is_answered_by_their_arm(begun: Path) -> None:
    shown = shown_to(begun)

    arms = {one.answer.query["user_id"]: one.arm for one in shown}
    assert set(arms.values()) == {"plain", "diverse"}
    assert {one.answer.query["diversity"] for one in shown if one.arm == "diverse"} == {0.5}
    assert {one.answer.query["diversity"] for one in shown if one.arm == "plain"} == {0.0}
    again = {one.answer.query["user_id"]: one.arm for one in shown_to(begun)}
    assert again == arms, "another process splits people in the same way"
    with Ledger.open(begun / "records.sqlite", write=False) as ledger:
        log = ledger.exposures.log("lists")
    assert len(log) == len(shown), "the same list on the same day is one exposure"
    for one, logged in zip(shown, log, strict=True):
        assert logged.exposure_id == one.exposure_id
        assert logged.exposure.offers == one.answer.offers
        assert logged.exposure.question["diversity"] is None


def test_a_report_tells_the_arms_apart(begun: Path) -> None:
    shown = shown_to(begun)

    found = report_experiment(begun, "lists")

    plain, diverse = found.arms
    assert (plain.name, plain.outcomes) == ("plain", 0)
    assert diverse.outcomes == diverse.people == sum(one.arm == "diverse" for one in shown)
    assert diverse.per_person is not None
    assert diverse.per_person.value == 2.0
    (apart,) = found.differences
    assert apart.per_person is not None
    assert apart.per_exposure is not None
    assert apart.per_person.value == apart.per_exposure.value == 2.0
    assert not found.mismatched
    assert (found.judged, found.outcome) == (None, "buy")
    assert found.notes == () or all("fewer than 30" in note for note in found.notes)
    assert json.dumps(found.to_dict())
    other = report_experiment(begun, "lists", outcome="click")
    assert "no outcome of the kind 'click' was recorded; there is buy" in other.notes


def test_a_split_that_is_not_the_stated_one_is_told_of(begun: Path) -> None:
    with Recommender.open(begun) as rec, Recorder(rec) as recorder:
        for user in rec.generation.users.ids[:40]:
            recorder.expose(rec.for_user(user, 3), experiment="lists", arm="plain")

    found = report_experiment(begun, "lists")

    assert found.mismatched
    assert any("the split is not the stated one" in note for note in found.notes)
    assert any("another arm than the one they are in" in note for note in found.notes)
    (apart,) = found.differences
    assert apart.per_person is apart.needed is None


def test_an_experiment_that_ended_answers_nobody(begun: Path) -> None:
    assert end_experiment(begun, "lists").ended
    with Recommender.open(begun) as rec, Recorder(rec) as recorder:
        shown = recorder.for_user("u1", 3)
    assert (shown.experiment, shown.arm) == ("", "")
    with pytest.raises(UnknownExperiment, match="did you mean 'lists'"):
        end_experiment(begun, "list")
    with pytest.raises(UnknownExperiment):
        report_experiment(begun, "another")


def test_an_arm_that_would_need_a_build_is_refused(index: Path) -> None:
    arms = {
        "arms": [{"name": "a", "share": 0.5}, {"name": "b", "share": 0.5, "recipe": {"space": {}}}]
    }
    from crossrec_llm import Experiment

    with pytest.raises(RecipeError, match=r"arm 'b'.*\n.*space: what is fitted depends on it"):
        begin_experiment(index, "one", Experiment.from_dict(arms))
    with Ledger.open(index / "records.sqlite", write=False) as ledger:
        assert ledger.exposures.experiments() == ()


def test_only_what_a_person_is_shown_is_recorded(index: Path) -> None:
    with Recommender.open(index) as rec, Recorder(rec) as recorder:
        history = rec.profile("u1").history
        for answer in (
            rec.like("tea"),
            rec.for_history(["p-chess-set"]),
            rec.for_user("u1", without=[history[0].item.item_id]),
        ):
            with pytest.raises(QueryError, match="only what a known person is shown"):
                recorder.expose(answer)
        with pytest.raises(QueryError, match="the one of today"):
            recorder.for_user("u1", without=["x"])
        memory = Recommender(rec.generation.asked_by(rec.recipe), rec.ledger)
        with pytest.raises(QueryError, match="in memory"):
            recorder.expose(memory.for_user("u1"))


def test_a_recipe_is_judged_by_what_people_were_known_by_then(begun: Path) -> None:
    shown = shown_to(begun)
    user, item = shown[0].answer.query["user_id"], shown[0].answer.ids[0]
    add_events(begun, {"user_id": user, "item_id": item, "event": "purchase", "timestamp": 2e9})

    found = judge_recipe(begun, {}, experiment="lists", outcome="buy")

    assert found.exposures == len(shown), "what came since is not known when it is asked again"
    assert found.notes == ()
    assert found.support > 0.7
    assert "effective sample size" in found.why or "could have been shown" in found.why
    target = report_experiment(begun, "lists", target={}).judged
    assert target == found


def test_what_cannot_be_asked_again_is_left_out(begun: Path, tiny) -> None:
    shown = shown_to(begun, 10)
    from crossrec_llm import strike

    with Recommender.open(begun) as rec:
        user = shown[0].answer.query["user_id"]
        strike(rec, user, [rec.profile(user).history[0].item.item_id])
    steps: list[tuple[str, int, int]] = []
    found = judge_recipe(begun, {}, progress=lambda *step: steps.append(step))
    assert steps[-1] == ("ask again", 10, 10)
    assert found.exposures == 10, "a correction that was made since"

    with Recommender.open(begun) as rec, Recorder(rec) as recorder:
        recorder.for_user(user, 3)
        from crossrec_llm import undo

        undo(rec, user)
    found = judge_recipe(begun, {})
    assert found.exposures == 10
    assert any("1 exposures left out: of people of whom" in note for note in found.notes)

    build(index=begun, recipe=tiny[1].overlaid({"answering": {"n_candidates": 400}}))
    found = judge_recipe(begun, {})
    assert found.exposures == 0
    assert any("11 exposures left out: shown by another generation" in note for note in found.notes)


def test_a_person_is_erased_and_nothing_of_them_is_left(begun: Path) -> None:
    shown = shown_to(begun, 5, buys="")
    with Recommender.open(begun) as rec, Recorder(rec) as recorder:
        for one in shown:
            recorder.record(Outcome(one.exposure_id, one.answer.ids[0]))
        user = shown[0].answer.query["user_id"]
        receipt = forget_user(begun, user, prove=True)

        assert (receipt.removed["exposures"], receipt.removed["outcomes"]) == (1, 1)
        assert receipt.scan is not None
        assert not receipt.scan["hits"]
        with pytest.raises(UnknownExposure):
            recorder.record(Outcome(shown[0].exposure_id, shown[0].answer.ids[0]))
        with pytest.raises(LookupError):
            recorder.for_user(user)
        assert recorder.record(Outcome(shown[1].exposure_id, shown[1].answer.ids[0])).repeated == 1
    assert verify(begun).problems == ()


def test_a_backup_has_what_was_shown_and_a_recorder_goes_on_with_it(
    begun: Path, tmp_path: Path
) -> None:
    with Recommender.open(begun) as rec, Recorder(rec) as recorder:
        first = recorder.for_user("u1", 3)
        backup(tmp_path / "copy", begun)
        recorder.for_user("u2", 3)
        restore(tmp_path / "copy", begun, force=True)
        recorder.record(Outcome(first.exposure_id, first.answer.ids[0]))
        recorder.for_user("u3", 3)
    with Ledger.open(begun / "records.sqlite", write=False) as ledger:
        users = [one.exposure.user_id for one in ledger.exposures.log("lists")]
    assert users == ["u1", "u3"]


def test_gc_forgets_what_the_recipe_keeps_no_longer(begun: Path, monkeypatch) -> None:
    with Recommender.open(begun) as rec, Recorder(rec) as recorder:
        monkeypatch.setattr(recording, "time", _Clock(1.6e9))
        recorder.for_user("u1", 3, filter=Filter(cross="only"))
        monkeypatch.undo()
        recorder.for_user("u1", 3)
    assert gc(begun).exposures == 1
    assert gc(begun).exposures == 0


class _Clock:
    """The clock of another day."""

    def __init__(self, now: float) -> None:
        self._now = now

    def time(self) -> float:
        return self._now

    def gmtime(self):
        import time

        return time.gmtime(self._now)

    def strftime(self, *given):
        import time

        return time.strftime(*given)


def test_reports_are_right_about_people_whose_clicks_are_known(tiny_made) -> None:
    """The short form of scripts/bench experiments."""
    with Recommender.open(tiny_made[0]) as rec:
        world = simulated.World.of(rec, rec.generation.users.ids[:12])
    assert simulated.frequencies(world, 1_500) > 1e-4

    found = simulated.measured(world, 6, 500, seed=20)

    assert found["A/B intervals that hold the truth"] >= 0.6
    assert found["splits that were called broken, of sound ones"] == 0
    assert found["runs in which a recipe without support was not told of"] == 1
    assert found["SNIPS intervals that hold the truth"] >= 0.6
    assert found["doubly robust intervals that hold the truth"] >= 0.6


def test_nothing_is_kept_of_an_experiment_that_ended(begun: Path) -> None:
    with Recommender.open(begun) as rec, Recorder(rec) as recorder:
        arms = {recorder.for_user(f"u{n}").arm for n in range(12)}
        assert recorder._arms.keys() == arms
        end_experiment(begun, "lists")
        assert recorder.for_user("u0").arm == ""
        assert recorder._arms == {}


def test_a_recorder_that_was_closed_records_nothing(begun: Path) -> None:
    with Recommender.open(begun) as rec:
        recorder = Recorder(rec)
        shown = recorder.for_user("u1")
        recorder.close()
        for again in (
            lambda: recorder.for_user("u1"),
            lambda: recorder.expose(shown.answer),
            lambda: recorder.record([]),
        ):
            with pytest.raises(StoreUnavailable, match="was closed"):
                again()
        recorder.close()
        assert recorder._open is None
