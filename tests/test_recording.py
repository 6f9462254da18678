from __future__ import annotations

import itertools
from typing import get_args

import pytest

from crossrec_llm import Recommender
from crossrec_llm.errors import UnknownUser
from crossrec_llm.recording import StepName, recorded, recording, step
from tests.small_index import build_tiny, tiny_recipe


@pytest.fixture(scope="module")
def rec(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("recording")
    build_tiny(folder / "index", tiny_recipe(folder))
    with Recommender.open(folder / "index") as opened:
        yield opened


def test_an_answer_tells_its_steps(rec: Recommender) -> None:
    user_id = rec.generation.users.ids[0]

    with recording() as record:
        answer = rec.for_user(user_id)

    assert {one.name for one in record.steps} == set(get_args(StepName)) - {"encoding"}
    assert record.answers == [answer]
    assert record.candidates[0] >= len(answer)
    assert record.fallbacks == 0


def test_no_step_lies_within_another(rec: Recommender) -> None:
    with recording() as record:
        rec.like("a warm jacket", user=rec.generation.users.ids[0], k=3, diversity=0.5)

    in_order = sorted(record.steps, key=lambda one: one.began)
    assert "encoding" in {one.name for one in in_order}
    assert all(a.ended <= b.began for a, b in itertools.pairwise(in_order))
    assert all(one.seconds >= 0 for one in in_order)


def test_without_reasons_there_is_no_such_step(rec: Recommender) -> None:
    with recording() as record:
        rec.for_user(rec.generation.users.ids[0], explain=False)

    assert "reasons" not in {one.name for one in record.steps}


def test_a_question_that_fails_has_steps_and_no_answer(rec: Recommender) -> None:
    with recording() as record, pytest.raises(UnknownUser):
        rec.for_user("nobody")

    assert [one.name for one in record.steps] == ["following", "history"]
    assert record.answers == []


def test_nothing_is_recorded_outside(rec: Recommender) -> None:
    with recording() as record:
        pass
    rec.for_user(rec.generation.users.ids[0])
    with step("signals"):
        pass

    assert recorded() is None
    assert record.steps == []


def test_records_lie_within_one_another() -> None:
    with recording() as outer:
        with recording() as inner, step("signals"):
            pass
        with step("reasons"):
            pass

    assert [one.name for one in inner.steps] == ["signals"]
    assert [one.name for one in outer.steps] == ["reasons"]
