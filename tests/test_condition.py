from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from crossrec_llm.condition import Condition
from crossrec_llm.generation import Generation
from crossrec_llm.safekeeping import LastBackup, last_backup
from crossrec_llm.store import Index
from tests.small_index import build_tiny, tiny_recipe


@pytest.fixture(scope="module")
def index(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("condition")
    build_tiny(folder / "index", tiny_recipe(folder))
    return folder / "index"


@pytest.fixture
def found(index: Path) -> Condition:
    with Index.open(index) as opened:
        return Condition.of(index, Generation.load(opened.generation))


def test_what_to_see_to_comes_in_order(found: Condition):
    now = datetime(2026, 5, 20, tzinfo=UTC)
    old = LastBackup((now - timedelta(days=9)).isoformat(), "/copies/1", 3)
    due = replace(found.due, due=True, changes=2_000, share=0.5)
    bad = replace(found, unfinished=("cut off",), due=due, notes=("unread",), backup=old)

    assert [one.partition(":")[0] for one in bad.to_see_to(now)] == [
        "cut off",
        "a build is due",
        "unread",
        "the last backup is 9 days old",
    ]
    assert replace(found, backup=replace(old, made=now.isoformat())).to_see_to(now) == []
    json.dumps(bad.to_dict())


def test_generations_of_older_versions_have_no_audits(index, tmp_path):
    copy = Path(shutil.copytree(index, tmp_path / "index"))
    for file in copy.glob("generations/*/audits.json"):
        file.unlink()
    with Index.open(copy) as opened:
        assert Condition.of(copy, Generation.load(opened.generation)).audits == {}


def test_a_record_of_a_backup_that_cannot_be_read_is_none(tmp_path):
    assert last_backup(tmp_path) is None
    (tmp_path / "backup.json").write_text("{")
    assert last_backup(tmp_path) is None
