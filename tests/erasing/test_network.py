"""What a network learned of the erased is nowhere, and the rest answers until a build."""

from __future__ import annotations

import pytest

from crossrec_llm.erasing.scrubbing import scrub
from crossrec_llm.generation import Generation
from crossrec_llm.recipe import Recipe
from crossrec_llm.recommender import Recommender
from tests.small import events_of, plain_catalogue, unit_rows

RECIPE = Recipe.from_dict(
    {
        "signals": {"sequence": {"minutes": 4, "least_steps": 1, "width": 8, "passes": 1}},
        "blend": {
            "user": {"weights": {"sequence": 1, "text": 0.1}, "sources": ["sequence", "text"]}
        },
    }
)
LOG = [[0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5]]


@pytest.fixture
def old():
    return Generation.fit(RECIPE, plain_catalogue(), unit_rows(12, 16, seed=1), events_of(LOG))


def test_an_erasure_removes_the_network_and_says_so(old):
    assert old.signals.sequence is not None
    found = scrub(old, old.catalogue.ids, events_of(LOG[:3]), {})
    new = found.generation
    assert new.signals.sequence is None
    assert "the next build learns it anew" in new.signals.left_out["sequence"]
    learned = {one.part: one for one in found.learned}
    assert learned["sequence"].done == new.signals.left_out["sequence"]
    assert "sequence" in found.waiting([])
    before, after = (Recommender(one).for_history(["i0", "i1"], k=5) for one in (old, new))
    assert len(before.ids) == len(after.ids) == 5
    kinds = [{reason.kind for item in one for reason in item.reasons} for one in (before, after)]
    assert "sequence" in kinds[0] - kinds[1]


def test_one_that_was_not_there_keeps_its_reason(old):
    once = scrub(old, old.catalogue.ids, events_of(LOG[:3]), {}).generation
    again = scrub(once, once.catalogue.ids, events_of(LOG[:2]), {})
    assert again.generation.signals.left_out["sequence"] == once.signals.left_out["sequence"]
    assert "sequence" not in {one.part for one in again.learned}
    assert "sequence" in again.waiting(["sequence"])
