from __future__ import annotations

import pytest

from crossrec_llm.assessing.trial import Bridge, Trial
from crossrec_llm.assessing.verdict import RULES, decide, too_little
from crossrec_llm.evaluation.measures import Interval


def trial(
    ahead, *, ndcg=(0.02, 0.10, 0.08), users=1000, bridges=(), over=(0.05, 0.05), drawn=False
):
    """`ahead`: (value, low, high) over popularity, neighbours, text; `ndcg` of the same.

    `over`: the low ends of neighbours and text minus popularity.
    """
    names = ("popularity", "neighbours", "text")
    systems = {name: {"ndcg@10": Interval(v, v, v)} for name, v in zip(names, ndcg, strict=True)}
    return Trial(
        protocol="warm",
        users=users,
        items=500,
        events=5000,
        drawn=drawn,
        systems=systems,
        ahead={name: Interval(*values) for name, values in zip(names, ahead, strict=True)},
        over_popularity={
            name: Interval(low + 0.01, low, low + 0.02)
            for name, low in zip(names[1:], over, strict=True)
        },
        bridges=tuple(bridges),
        controls={},
        tied=(),
        notes=(),
        seconds={},
    )


WINS, LOSES, UNSURE = (0.02, 0.01, 0.03), (-0.01, -0.02, 0.001), (0.01, -0.01, 0.03)


def test_ahead_of_all_three_is_a_yes_with_its_interval():
    verdict = decide(trial([WINS, WINS, WINS]))
    assert verdict.answer == "together"
    assert not verdict.is_no
    assert "item neighbours, by +0.020 (+0.010 to +0.030) NDCG@10 (+20%)" in verdict.words
    assert len(verdict.reasons) == 3


@pytest.mark.parametrize(
    ("ahead", "ndcg", "answer", "is_no"),
    [
        ([WINS, LOSES, WINS], (0.02, 0.10, 0.08), "neighbours", True),
        ([LOSES, LOSES, LOSES], (0.12, 0.10, 0.08), "popularity", True),
        ([WINS, WINS, LOSES], (0.02, 0.08, 0.10), "text", False),
        ([WINS, LOSES, LOSES], (0.02, 0.08, 0.10), "text", False),
        ([WINS, UNSURE, WINS], (0.02, 0.10, 0.08), "open", False),
        ([UNSURE, UNSURE, UNSURE], (0.02, 0.01, 0.01), "open", False),
    ],
)
def test_rules(ahead, ndcg, answer, is_no):
    verdict = decide(trial(ahead, ndcg=ndcg))
    assert (verdict.answer, verdict.is_no) == (answer, is_no)


def test_popularity_where_neighbours_do_no_better():
    even = {"ndcg": (0.035, 0.036, 0.004)}
    assert decide(trial([LOSES, LOSES, WINS], **even, over=(-0.001, -0.03))).answer == "popularity"
    assert decide(trial([LOSES, LOSES, WINS], **even, over=(0.0005, -0.03))).answer == "neighbours"


def test_a_lead_below_a_tenth_is_none():
    assert decide(trial([WINS, (0.004, -0.001, 0.009), WINS])).answer == "neighbours"
    assert decide(trial([WINS, (0.004, -0.001, 0.011), WINS])).answer == "open"


def test_an_open_verdict_says_how_many_people_would_tell():
    """Half the interval is twice the difference, so four times the people."""
    verdict = decide(trial([WINS, (0.01, -0.01, 0.03), WINS]))
    assert "about 4,000 would tell" in verdict.words
    verdict = decide(trial([WINS, (-0.001, -0.02, 0.02), WINS]))
    assert "no number of people" in verdict.words


def test_few_people_say_nothing():
    verdict = decide(trial([WINS, WINS, WINS], users=99))
    assert verdict.answer == "open"
    assert "99 people can be asked, and at least 100 are needed" in verdict.words
    assert "minutes" not in verdict.words
    assert too_little("nobody has 3 items").answer == "open"


def test_a_sample_that_was_too_small_asks_for_more_minutes():
    words = decide(trial([WINS, WINS, WINS], users=1, drawn=True)).words
    assert words.startswith("Too small a sample to tell: 1 person can be asked")
    assert "give it more minutes" in words


def test_numbers_below_0_have_a_minus_sign():
    verdict = decide(trial([WINS, UNSURE, WINS]))
    assert verdict.reasons[1].endswith("item neighbours: +0.010 (−0.010 to +0.030) NDCG@10")


@pytest.mark.parametrize(
    ("low", "ahead", "users", "credible"),
    [
        (0.05, 0.01, 30, "yes"),  # though the interval of each alone holds the other
        (0.05, -0.01, 30, "open"),
        (0.05, -0.01, 100, "no"),
        (0.05, 0.0, 100, "no"),
        (0.01, 0.01, 100, "no"),  # not above chance
    ],
)
def test_a_bridge_stands_where_the_paired_difference_lies_above_0(low, ahead, users, credible):
    recall = {"system": Interval(0.08, low, 0.1), "popularity": Interval(0.06, 0.03, 0.09)}
    bridge = Bridge("A", "B", users, recall, Interval(0.02, ahead, 0.05), 0.02)
    (found,) = decide(trial([WINS, WINS, WINS], bridges=[bridge])).bridges
    assert found.credible == credible
    assert ("no credible bridge" in found.words) == (credible == "no")
    assert f"recall 0.080 ({low:.3f} to 0.100), popularity 0.060, apart +0.020" in found.words


def test_the_rules_name_their_numbers():
    assert "Fewer than 100 people" in RULES
    assert "10%" in RULES
