from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossrec_llm.errors import IndexDamaged, IndexMismatch
from crossrec_llm.store import FORMAT, GenerationRecord, Manifest, differences

MANIFEST = Manifest(
    "0002-abc",
    {
        "0001-fff": GenerationRecord({"encoder": "é"}, {"items": 3}, "00"),
        "0002-abc": GenerationRecord({"encoder": "mini"}, {"items": 4, "users": 2}, "11"),
    },
)


def test_written_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    MANIFEST.write(path)
    assert Manifest.read(path) == MANIFEST
    assert MANIFEST.current.counts == {"items": 4, "users": 2}
    assert [file.name for file in tmp_path.iterdir()] == ["manifest.json"]


@given(st.data())
def test_any_flipped_bit_is_noticed(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("manifest") / "manifest.json"
    MANIFEST.write(path)
    content = bytearray(path.read_bytes().rstrip())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    try:
        assert Manifest.read(path) == MANIFEST  # white space between the tokens
    except (IndexDamaged, IndexMismatch) as error:
        assert str(path) in str(error)  # noqa: PT017


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b'"text"', b"{}", b"\xff\xfe", b'{"format": 1}', b"[" * 5000],
)
def test_a_damaged_manifest_is_one_clear_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "manifest.json"
    path.write_bytes(content)
    with pytest.raises(IndexDamaged, match=r"manifest is damaged .*crossrec build") as caught:
        Manifest.read(path)
    assert "\n" not in str(caught.value)


def test_an_active_generation_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    Manifest("0009-x", MANIFEST.generations).write(path)
    with pytest.raises(IndexDamaged, match="0009-x"):
        Manifest.read(path)


def test_a_newer_format_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    MANIFEST.write(path)
    data = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps({**data, "format": FORMAT + 1, "new": 1}), "utf-8")
    with pytest.raises(IndexMismatch, match=rf"format {FORMAT + 1}.*up to {FORMAT}; upgrade"):
        Manifest.read(path)


def test_none_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Manifest.read(tmp_path / "manifest.json")


def test_differences_in_words() -> None:
    assert differences({"encoder": "a", "space": "s"}, {"encoder": "b", "space": "s"}) == [
        "encoder: index has a, asked b"
    ]
    assert differences({}, {"recipe": "r"}) == ["recipe: index has none, asked r"]
    assert differences({"x": "1"}, {"x": "1"}) == []


def test_the_order_in_which_generations_went_live() -> None:
    record = GenerationRecord({}, {}, "00")
    first = Manifest("0001-a", {"0001-a": record})
    assert (first.published, first.previous, first.waiting) == (("0001-a",), None, [])
    added = first.adding("0002-b", record).adding("0003-c", record)
    assert (added.active, added.waiting) == ("0001-a", ["0002-b", "0003-c"])
    live = added.activating("0003-c")
    assert (live.published, live.previous) == (("0001-a", "0003-c"), "0001-a")
    back = live.activating("0001-a")
    assert (back.active, back.waiting) == ("0001-a", ["0002-b", "0003-c"])
    assert back.keeping(1, waiting=1).generations.keys() == {"0001-a", "0003-c"}
    assert live.keeping(1, waiting=0).generations.keys() == {"0003-c"}
    assert live.keeping(9, waiting=9).generations.keys() == {"0001-a", "0002-b", "0003-c"}


@pytest.mark.parametrize("published", [["0001-fff"], ["0009-x", "0002-abc"]])
def test_what_was_published_must_be_there_and_end_with_the_active_one(
    tmp_path: Path, published: list[str]
) -> None:
    path = tmp_path / "manifest.json"
    Manifest(MANIFEST.active, MANIFEST.generations, tuple(published)).write(path)
    with pytest.raises(IndexDamaged, match="what was published is not what is there"):
        Manifest.read(path)
