from __future__ import annotations

from crossrec_llm.evaluation.measures import Interval
from crossrec_llm.evaluation.words import apart, counted, number, people, signed, spread


def test_one_is_singular():
    assert [counted(n, "item") for n in (0, 1, 2000)] == ["0 items", "1 item", "2,000 items"]
    assert counted(1, "query", "queries") == "1 query"
    assert counted(2, "query", "queries") == "2 queries"
    assert (people(1), people(2)) == ("1 person", "2 people")


def test_below_0_is_a_minus_sign_and_never_a_hyphen():
    assert number(-0.0123) == "−0.012"
    assert (number(-0.0001), signed(-0.0001)) == ("0.000", "+0.000")
    assert (signed(0.5, 1), signed(-0.5, 1)) == ("+0.5", "−0.5")
    assert spread(Interval(0.005, -0.01, 0.02)) == "0.005 (−0.010 to 0.020)"
    assert apart(Interval(0.005, -0.01, 0.02)) == "+0.005 (−0.010 to +0.020)"
