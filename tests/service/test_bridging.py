"""The heat map of bridges has the numbers of the bridges."""

from __future__ import annotations

import html
import re
import shutil
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from crossrec_llm import Recommender
from crossrec_llm.answering import Bridge, Bridges, TunedBlend
from crossrec_llm.service import ServiceOptions
from crossrec_llm.service.app import create_app
from crossrec_llm.store.files import sha256_of
from tests.small_index import resealed

PAIRS = (
    Bridge("Books", "Garden", 0.4, 0.1, 0.6, 51, "behaviour", True),
    Bridge("Books", "Games", 0.0, 0.0, 0.2, 60, "meaning", False),
    Bridge("Garden", "Books", 0.8, 0.7, 0.9, 52, "behaviour", True),
)


@pytest.fixture(scope="module")
def crossed(service_index: Path, tmp_path_factory) -> Path:
    """An index that was tuned, as far as its bridges go."""
    index = Path(shutil.copytree(service_index, tmp_path_factory.mktemp("crossed") / "index"))
    blend = next(index.glob("generations/*/blend.json"))
    TunedBlend(bridges=Bridges(PAIRS, untested_open=False)).save(blend)
    resealed(index, lambda files: files.update({"blend.json": sha256_of(blend)}))
    return index


@pytest.fixture(scope="module")
def client(crossed: Path):
    app = create_app(ServiceOptions(tenants={"default": crossed}))
    with TestClient(app, "http://127.0.0.1", raise_server_exceptions=False) as opened:
        yield opened


def test_every_cell_is_its_pair(client, crossed):
    page = html.unescape(client.get("/bridges").text)

    cells = re.findall(
        r'<td class="heat s(\d) (open|closed)"><a [^>]*title="(.+?) to (.+?): credibility ([\d.]+)',
        page,
    )
    with Recommender.open(crossed) as rec:
        pairs = rec.bridges()
    told = {
        (home, target): (float(value), state == "open") for _, state, home, target, value in cells
    }
    assert told == {(one.home, one.target): (one.credibility, one.open) for one in pairs}
    assert {int(shade) for shade, *_ in cells} == {0, 5, 9}
    assert "pairs that cannot be judged are closed" in page


@pytest.mark.parametrize(
    ("sort", "first"),
    [
        ("credibility", "Garden"),
        ("home", "Books"),
        ("target", "Garden"),
        ("evidence", "Books"),
        ("basis", "Books"),
        ("open", "Books"),
    ],
)
def test_the_list_is_sorted_as_asked(client, sort, first):
    page = client.get("/bridges", params={"view": "list", "sort": sort}).text

    rows = re.findall(r"<td><bdi>(\w+)</bdi></td>\s*<td><a [^>]*><bdi>(\w+)</bdi>", page)
    assert len(rows) == 3
    assert rows[0][0] == first
    assert page.count("aria-sort") == 1


def test_a_pair_leads_to_what_it_brings(client):
    page = html.unescape(client.get("/bridges?home=Books&target=Garden").text)

    assert "95% from 0.10 to 0.60" in page
    examples = re.findall(r'href="(/\?item=[^"]+&category=Garden&cross=only)"', page)
    assert examples
    assert client.get(examples[0]).status_code == 200


def test_a_pair_that_nobody_was_seen_in_is_said_to_be_so(client):
    page = client.get("/bridges?home=Garden&target=Games").text

    assert "nothing: too few people were seen in both" in page


@pytest.mark.parametrize("asked", ["home=Books", "home=Books&target=Nowhere", "sort=luck"])
def test_what_cannot_be_asked(client, asked):
    assert client.get(f"/bridges?{asked}").status_code == 422


def test_without_bridges_it_says_so(service_index):
    app = create_app(ServiceOptions(tenants={"default": service_index}))
    with TestClient(app, "http://127.0.0.1") as opened:
        assert "No bridges were fitted" in opened.get("/bridges").text
