from __future__ import annotations

import codecs
from pathlib import Path

import pytest

from crossrec_llm.errors import DataError
from tests.tables.samples import raw

WESTERN = "id,title\n1,Café au lait “Crème brûlée” naïve\n2,Größe\n3,plain\n"
CHINESE = "id,title\n1,中文商品标题 茶叶\n2,咖啡 coffee\n"
CZECH = "id,title\n1,Příliš žluťoučký kůň\n2,Dětská kniha o zvířatech\n"
TURKISH = "id,title\n1,Kırmızı şapka\n2,Ağaç süsü ışıklı\n"
RUSSIAN = "id,title\n1,Русский товар\n2,Чай чёрный листовой\n"


@pytest.mark.parametrize(
    ("text", "encoding", "found"),
    [
        (WESTERN, "utf-8", "utf-8"),
        (WESTERN, "utf-8-sig", "utf-8"),
        (WESTERN, "cp1252", "cp1252"),
        (WESTERN, "utf-16", "utf-16"),
        (WESTERN, "utf-16-le", "utf-16-le"),
        (WESTERN, "utf-16-be", "utf-16-be"),
        (WESTERN, "utf-32", "utf-32"),
        (CHINESE, "gb18030", "gb18030"),
        (CHINESE, "utf-8", "utf-8"),
        (RUSSIAN, "cp1251", "cp1251"),
        (CZECH, "cp1250", "cp1250"),
        (CZECH, "iso-8859-2", "iso8859-2"),
        (TURKISH, "cp1254", "cp1254"),
        ("id,title\n1,Coração\n2,Educação\n", "cp1252", "cp1252"),
        ("id,title\n1,繁體中文商品標題\n", "big5", "big5"),
        ("id,title\n1,日本語の商品です\n", "shift_jis", "shift_jis"),
        ("id,title\n1,한국어 상품 제목\n", "euc_kr", "euc_kr"),
    ],
)
def test_encodings_are_found(tmp_path: Path, text: str, encoding: str, found: str) -> None:
    table = raw(tmp_path, text.encode(encoding))
    assert table.encoding == found
    assert table.table.column_names == ["id", "title"]
    assert table.table["title"].to_pylist() == [line[2:] for line in text.splitlines()[1:]]
    assert not table.repairs


@pytest.mark.parametrize(
    ("encoding", "options", "guessed"),
    [
        ("cp1250", {}, True),
        ("cp1250", {"encoding": "cp1250"}, False),
        ("utf-8", {}, False),
        ("utf-16", {}, False),
        ("utf-16-le", {}, False),
    ],
)
def test_a_guess_is_called_one(
    tmp_path: Path, encoding: str, options: dict[str, str], guessed: bool
) -> None:
    assert raw(tmp_path, CZECH.encode(encoding), **options).guessed == guessed


def test_a_guess_in_json_lines(tmp_path: Path) -> None:
    table = raw(tmp_path, '{"id": "1", "title": "Crème brûlée"}\n'.encode("cp1252"), "f.jsonl")
    assert (table.format, table.encoding, table.guessed) == ("json lines", "cp1252", True)


def test_a_few_broken_bytes_in_utf8_are_replaced_and_counted(tmp_path: Path) -> None:
    good = "id,title\n" + "\n".join(f"{i},Café {i}" for i in range(50)) + "\n"
    table = raw(tmp_path, good.encode() + b"99,Caf\xe9\n")
    assert table.encoding == "utf-8"
    assert table.table["title"][0].as_py() == "Café 0"
    assert table.table["title"][-1].as_py() == "Caf\ufffd"
    assert table.repairs == {"characters that are not utf-8 replaced": 1}


def test_given_encoding_wins_but_not_over_a_mark(tmp_path: Path) -> None:
    czech = "id,title\n1,Žluťoučký kůň\n"
    assert raw(tmp_path, czech.encode("cp1250"), encoding="cp1250").table["title"][0].as_py() == (
        "Žluťoučký kůň"
    )
    marked = codecs.BOM_UTF8 + czech.encode()
    assert raw(tmp_path, marked, encoding="cp1250").encoding == "utf-8"


def test_unknown_encoding(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no encoding is called 'utf9'"):
        raw(tmp_path, b"id,title\n1,a\n", encoding="utf9")


def test_nul_bytes_are_removed_and_counted(tmp_path: Path) -> None:
    table = raw(tmp_path, b"id,title\n1,a\0b\0\n")
    assert table.table["title"].to_pylist() == ["ab"]
    assert table.repairs == {"NUL characters removed": 2}


def test_binary_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"f\.csv: is no text"):
        raw(tmp_path, bytes(range(1, 32)) * 100)
