"""Addresses and what they ask for; the same question elsewhere."""

from __future__ import annotations

import html
import json
import os
import re
import shlex
import subprocess
from pathlib import Path
from urllib.parse import parse_qsl

import httpx
import pytest
from fastapi.exceptions import RequestValidationError
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from crossrec_llm import Recommender
from crossrec_llm.cli.main import app as commands
from crossrec_llm.errors import QueryError
from crossrec_llm.service import ServiceOptions
from crossrec_llm.service.keys import add_key
from crossrec_llm.service.pages.copying import copies
from crossrec_llm.service.pages.foryou import items_like, people_like
from crossrec_llm.service.pages.settings import Settings
from tests.service.pages.conftest import serving

TEXTS = st.text(min_size=1, max_size=20).map(str.strip).filter(bool)
SHARES = st.none() | st.integers(0, 100).map(lambda n: n / 100)
ANY = st.builds(
    Settings,
    user=st.none() | TEXTS,
    text=st.none() | TEXTS,
    k=st.integers(1, 200),
    category=st.lists(TEXTS, max_size=3),
    exclude=st.lists(TEXTS, max_size=3),
    cross_share=SHARES,
    diversity=SHARES,
    price_max=st.none() | st.floats(0, 1e6),
    available=st.booleans(),
    boost=st.dictionaries(TEXTS, st.sampled_from([0.25, 0.5]), max_size=2),
    standing=st.booleans(),
)


@given(ANY)
def test_an_address_says_all_of_the_settings(settings: Settings) -> None:
    pairs = parse_qsl(settings.address(), keep_blank_values=True)
    assert Settings.of(pairs) == settings


def test_what_is_left_to_the_scores_is_not_set() -> None:
    read = Settings.of([("user", " u1 "), ("auto", "diversity"), ("diversity", "0.5"), ("k", "")])
    assert read.set_fields() == {"user": "u1"}
    assert Settings.of([("boost", "new")]).boost == {"new": 0.25}
    assert Settings.of([("only", "a"), ("only", "b")]).only == ["a", "b"]


@pytest.mark.parametrize("pair", [("nonsense", "1"), ("k", "many"), ("cross_share", "2")])
def test_what_cannot_be_used_is_named(pair: tuple[str, str]) -> None:
    with pytest.raises(RequestValidationError) as refused:
        Settings.of([pair])
    assert [entry["loc"] for entry in refused.value.errors()] == [("query", pair[0])]


def test_an_item_and_a_person_are_not_asked_at_once(service_index: Path) -> None:
    with Recommender.open(service_index) as rec:
        with pytest.raises(QueryError, match="not both"):
            Settings(user="u1", item="b-roses").answer(rec)
        with pytest.raises(QueryError, match="give a person"):
            Settings().answer(rec)
        assert people_like(rec, "u59") == [("u59", "")]
        assert items_like(rec, "") == []
        assert items_like(rec, "b-roses")[0][0] == "b-roses"


QUESTIONS = [
    Settings(user="u1"),
    Settings(user="u1", k=4, category=["Books", "Kitchen > Coffee"], diversity=0.3,
             not_category=["Books > Hobbies"], price_max=60, max_per_brand=1),
    Settings(user="u2", cross_share=0.4, available=True, include_seen=True, standing=False,
             boost={"brand:Rook & Sons": 0.5, "new": 0.25}, exclude=["b-roses", "it's"]),
    Settings(user="u3", brand=["Rook & Sons", "Castle Books"], cross="any", quota={"Books": 0.5}),
    Settings(text="it's \"a\" warm $HOME `jacket`; --k 3 \\ \u00fc\u202e", user="u1", k=3),
    Settings(text="--explain", price_min=5.5),
    Settings(item="p-chess-set", mode="alike", k=5),
    Settings(item="p-chess-set", pin=["b-roses"], bury=["category:Games > Chess"]),
]  # fmt: skip


@pytest.mark.parametrize("settings", QUESTIONS, ids=lambda one: one.address()[:50])
def test_copies_ask_the_same(settings, served: str, pages_index: Path, monkeypatch) -> None:
    monkeypatch.setenv("CROSSREC_INDEX", str(pages_index))
    copied = copies(settings, served + "/")
    with Recommender.open(pages_index) as rec:
        wanted = settings.answer(rec).ids
    assert wanted

    words = shlex.split(copied.curl)
    assert words[0] == "curl"
    told = subprocess.run(
        ["curl", "-sS", *words[1:]], capture_output=True, check=True, timeout=30
    ).stdout
    assert [item["item_id"] for item in json.loads(told)["items"]] == wanted

    answers: list = []
    exec(copied.python, {"print": answers.append})
    assert answers[0].ids == wanted

    words = shlex.split(copied.command)
    assert words[0] == "crossrec"
    ran = CliRunner().invoke(commands, [words[1], "--json", *words[2:]])
    assert ran.exit_code == 0, ran.output
    assert [item["item_id"] for item in json.loads(ran.stdout)["items"]] == wanted


def test_the_command_line_has_no_word_for_a_list_of_candidates() -> None:
    assert copies(Settings(user="u1", only=["a"]), "http://x").command == ""


def test_curl_has_a_key_where_the_service_asks_for_one(service_index: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    secret, _ = add_key(keys, "reader", tenant="default", scopes=("read",))
    options = ServiceOptions(tenants={"default": service_index}, keys=keys)
    with serving(service_index, options) as base:
        headers = {"authorization": f"Bearer {secret}"}
        shown = html.unescape(httpx.get(f"{base}/?user=u1", headers=headers).text)
        line = re.search(r"<pre id=\"copied-1\"[^>]*>(curl .*?)</pre>", shown)
        assert line
        assert secret not in shown
        told = subprocess.run(
            ["sh", "-c", f"{line[1]} -sS"],
            capture_output=True,
            check=True,
            timeout=30,
            env={**os.environ, "CROSSREC_KEY": secret},
        ).stdout
    assert len(json.loads(told)["items"]) == 10
