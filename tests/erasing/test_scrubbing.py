from __future__ import annotations

import numpy as np

from crossrec_llm.erasing.scrubbing import FEW, prune
from crossrec_llm.signals import ItemToItem, Walk
from tests.small import histories_of

N = 8
ALL = np.arange(N)


def full() -> ItemToItem:
    """Every item leads to every other one, with a value that tells the pair."""
    rows = [(np.delete(ALL, i), np.array([10.0 * i + j for j in ALL if j != i])) for i in ALL]
    return ItemToItem.from_rows(rows, N, Walk("ease", "neighbours", 1.0, 10))


def pairs(matrix: ItemToItem) -> set[tuple[int, int]]:
    owners = np.repeat(np.arange(len(matrix)), np.diff(matrix.indptr))
    return set(zip(owners.tolist(), matrix.columns.tolist(), strict=True))


def test_what_only_the_erased_person_made_goes():
    # Three people took 0, 1 and 2; two took 3 with them; nobody took the others.
    left = histories_of([[0, 1, 2], [0, 1, 2, 3], [0, 1, 2, 3]], N)
    kept = prune(full(), ALL, left, [np.array([0, 1, 3])])
    # 3 was taken by fewer than three others, and by the erased person: it goes as a whole.
    assert pairs(kept) == {(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)}
    assert FEW == 3


def test_pairs_that_the_erased_did_not_take_stay():
    left = histories_of([[0, 1], [0, 1], [2, 3], [2, 3], [0, 4], [1, 4], [4, 5]], N)
    kept = pairs(prune(full(), ALL, left, [np.array([0, 4])]))
    assert {(0, 1), (2, 3), (5, 2)} <= kept
    assert not {(0, 4), (4, 0)} & kept


def test_erased_items_leave_their_rows_and_the_others_move_up():
    rows = np.delete(ALL, 1)
    left = histories_of([list(range(N - 1))] * 3, N - 1)
    kept = prune(full(), rows, left, [])
    assert len(kept) == N - 1
    for i, one in enumerate(rows):
        for j, other in enumerate(rows):
            expected = 0.0 if i == j else 10.0 * one + other
            assert kept.entries(np.array([i]), np.array([j]))[0, 0] == expected


def test_without_erased_people_only_what_was_filled_in_goes():
    left = histories_of([[0, 1, 2, 3]], N)
    assert {i for pair in pairs(prune(full(), ALL, left, [])) for i in pair} == {0, 1, 2, 3}
