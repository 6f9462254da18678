from __future__ import annotations

from pathlib import Path

import pytest

from crossrec_llm.errors import DataError, StoreUnavailable
from crossrec_llm.tables import SourceReport
from crossrec_llm.tables.report import EXAMPLES, RejectLog


def source(**changes: object) -> SourceReport:
    fields: dict[str, object] = {
        "source": "f",
        "format": "table",
        "encoding": "",
        "delimiter": "",
        "columns": {},
        "unused": (),
        "rows_read": 3,
        "kept": 1,
        "merged": 1,
        "rejected": 1,
        "repairs": {},
        "rejects": {"bad": 1},
        "examples": (),
    }
    return SourceReport(**{**fields, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changes", [{"rows_read": 4}, {"kept": 0}, {"rejects": {}}, {"rejected": 2, "merged": 0}]
)
def test_an_account_that_does_not_balance_cannot_be_made(changes: dict[str, object]) -> None:
    assert source().kept == 1
    with pytest.raises(AssertionError, match="this is a bug"):
        source(**changes)


def test_the_log_counts_all_and_shows_a_few() -> None:
    with RejectLog(None) as log:
        log.add("f", "bad", range(1, 4), list)
        log.add("f", "bad", range(4, 10), list)
        log.add("f", "worse", [7], list)
    assert log.counts["f"] == {"bad": 9, "worse": 1}
    lines = [reject.line for reject in log.examples["f"] if reject.reason == "bad"]
    assert lines == list(range(1, 1 + EXAMPLES))


FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="no /dev/full here")


@needs_full
@pytest.mark.parametrize("rows", [0, 1, 10_000])  # the last do not wait for the file to be closed
def test_a_full_disk_is_one_clear_line(rows: int) -> None:
    with (
        pytest.raises(StoreUnavailable, match=r"^/dev/full: the disk is full.*free some space"),
        RejectLog(FULL) as log,
    ):
        log.add("f", "bad", range(rows), lambda: ["content"] * rows)


@needs_full
def test_a_full_disk_does_not_hide_an_earlier_error() -> None:
    with pytest.raises(KeyError, match="first"), RejectLog(FULL):
        raise KeyError("first")


def test_rejects_that_cannot_be_written(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none" / "rejects.csv"):
        with (
            pytest.raises(DataError, match=r"cannot be written there.*another file") as got,
            RejectLog(path),
        ):
            pass
        assert got.value.source == str(path)
