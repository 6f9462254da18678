from __future__ import annotations

import pytest

from crossrec_llm.assessing.overlap import overlap
from tests.small import histories_of, plain_catalogue

CATALOGUE = plain_catalogue()  # even rows in A, odd ones in B


def test_by_hand():
    """Two people in A only, one in B only, one in both."""
    found = overlap(CATALOGUE, histories_of([[0, 2], [0], [1, 3], [0, 1, 5]]))
    assert (found.people, found.items, found.pairs) == (4, 12, 8)
    assert found.density == pytest.approx(8 / 48)
    assert (found.untaken, found.under_5, found.under_10) == (7, 12, 12)
    assert found.lengths["median"] == 2
    assert [(c.category, c.items, c.taken, c.people) for c in found.categories] == [
        ("A", 6, 2, 3),
        ("B", 6, 3, 2),
    ]
    across = {(c.home, c.target): c for c in found.crossings}
    assert across["A", "B"].both == across["B", "A"].both == 1
    assert across["A", "B"].share == pytest.approx(1 / 3)
    assert across["B", "A"].share == pytest.approx(1 / 2)
    assert across["A", "B"].reach == pytest.approx(2 / 6)
    assert not across["A", "B"].enough


def test_nobody_in_both():
    found = overlap(CATALOGUE, histories_of([[0, 2], [1, 3]]))
    findings = {f.check: f for f in found.findings}
    assert [c.both for c in found.crossings] == [0, 0]
    assert [c.reach for c in found.crossings] == [0, 0]
    assert findings["stay in one category"].grade == "bad"
    assert findings["pairs too thin"].grade == "bad"


def test_enough_people_in_both():
    found = overlap(CATALOGUE, histories_of([[0, 1, 2]] * 50))
    findings = {f.check: f for f in found.findings}
    assert all(c.enough for c in found.crossings)
    assert findings["pairs too thin"].grade == "ok"
    assert findings["stay in one category"].value == 0


def test_one_category_has_no_crossings():
    found = overlap(CATALOGUE, histories_of([[0, 2, 4]]))
    assert found.crossings == ()
