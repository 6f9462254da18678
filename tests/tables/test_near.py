from __future__ import annotations

import pyarrow as pa
import pytest

from crossrec_llm.tables import near_matches


@pytest.mark.parametrize("wanted", ["item-4x2", "ITEM-42", " item-42 ", "item42"])
def test_finds_what_looks_alike(wanted: str) -> None:
    names = [f"item-{i}" for i in range(300)]
    assert "item-42" in near_matches(wanted, names)


def test_nothing_looks_alike() -> None:
    assert near_matches("zzz", ["apple", "pear"]) == []
    assert near_matches("", ["apple"]) == []
    assert near_matches("apple", []) == []


@pytest.mark.parametrize("wanted", ["B0001234X5", "b000123455", "X000123455"])
def test_finds_one_among_many(wanted: str) -> None:
    names = pa.array([f"B{i:09d}" for i in range(350_000)])
    assert near_matches(wanted, names)
    assert near_matches("x" * 5000, names) == []


def test_longer_names_that_begin_so_come_when_none_is_alike() -> None:
    names = [f"tea-{i}" for i in range(2000)] + ["coffee-beans-whole-1kg", "coffee-beans-ground"]
    assert near_matches("coffee", names) == ["coffee-beans-ground", "coffee-beans-whole-1kg"]
