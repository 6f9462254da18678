from __future__ import annotations

import numpy as np
import pytest

from crossrec_llm.errors import DataError
from crossrec_llm.tables import Taken, TakenSince
from tests.small import N_ITEMS, histories_of

TAKEN = [[0, 1, 2], [2], [5, 1]]


def test_what_is_saved_is_read_back(tmp_path):
    made = Taken.of(histories_of(TAKEN), N_ITEMS)
    made.save(tmp_path / "taken.arrow")
    read = Taken.open(tmp_path / "taken.arrow", N_ITEMS)
    assert len(read) == 3
    assert [sorted(read.of_user(f"u{u}").tolist()) for u in range(3)] == [[0, 1, 2], [2], [1, 5]]
    assert read.of_user("nobody").tolist() == []
    assert read.users_of(np.array([1, 5])) == ["u0", "u2"]
    np.testing.assert_array_equal(read.by_user.toarray(), made.by_user.toarray())


def test_what_cannot_be_read_is_said(tmp_path):
    path = tmp_path / "taken.arrow"
    with pytest.raises(DataError, match="cannot be opened"):
        Taken.open(path, N_ITEMS)
    path.write_bytes(b"something else")
    with pytest.raises(DataError, match="cannot be opened"):
        Taken.open(path, N_ITEMS)


def test_what_people_have_now_stands_in_for_what_they_had():
    """By hand: u1 took item 12, which is new, beside 2; u2 has nothing left; item 0 is gone."""
    gone = np.zeros(N_ITEMS + 1, bool)
    gone[0] = True
    now = {"u1": np.array([2, 12]), "u2": np.array([], int), "u9": np.array([12])}
    since = TakenSince(Taken.of(histories_of(TAKEN), N_ITEMS), now, N_ITEMS + 1, gone)
    assert np.flatnonzero(since.people).tolist() == [1, 2, 12]
    assert since.people[[1, 2, 12]].tolist() == [1, 2, 2]
    together = since.together(np.array([2, 12, 5])).toarray()
    assert together[0, [0, 1, 2, 12]].tolist() == [0, 1, 2, 1]
    assert together[1, [2, 12]].tolist() == [1, 2]
    assert not together[2].any()
