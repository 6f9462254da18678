"""The map over HTTP: what is sent, and what is not."""

from __future__ import annotations

import json
import re
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from fastapi.testclient import TestClient

from crossrec_llm import Recommender, add_events, add_items, remove_items
from crossrec_llm.atlas import NOWHERE, make_map
from crossrec_llm.service import ServiceOptions
from crossrec_llm.service.app import create_app
from crossrec_llm.service.pages import mapping
from tests.small_index import build_tiny, tiny_recipe

WALL = "Books"


def serving(index: Path) -> TestClient:
    app = create_app(ServiceOptions(tenants={"default": index}))
    return TestClient(app, "http://127.0.0.1", raise_server_exceptions=False)


@pytest.fixture(scope="module")
def mapped(tmp_path_factory) -> Path:
    """With books behind a wall, and a map."""
    folder = tmp_path_factory.mktemp("mapped")
    build_tiny(folder / "index", tiny_recipe(folder, histories={"walls": [WALL]}))
    make_map(folder / "index")
    return folder / "index"


@pytest.fixture(scope="module")
def open_map(mapped: Path):
    with serving(mapped) as client:
        yield client


def read(content: bytes) -> tuple[dict, np.ndarray, np.ndarray, np.ndarray]:
    length = int.from_bytes(content[:4], "little")
    header = json.loads(content[4 : 4 + length])
    n, start = header["items"], 4 + length
    positions = np.frombuffer(content, "<u2", 2 * n, start).reshape(n, 2)
    codes = np.frombuffer(content, "<u2", n, start + 4 * n)
    marks = np.frombuffer(content, np.uint8, n, start + 6 * n)
    assert len(content) == start + 7 * n
    assert start % 4 == 0
    return header, positions, codes, marks


def test_points_are_those_of_the_map_and_nothing_behind_a_wall(open_map, mapped):
    answer = open_map.get("/map/points")

    assert answer.status_code == 200
    header, positions, codes, marks = read(answer.content)
    with Recommender.open(mapped) as rec:
        walled, catalogue = rec.catalogue.under(WALL), rec.catalogue
        assert header["generation"] == rec.generation.name
    assert (marks[walled] == NOWHERE).all()
    assert not positions[walled].any()
    assert not codes[walled].any()
    seen = ~walled
    assert (codes[seen] == catalogue.top_codes[seen]).all()
    names = [name if name != WALL else "" for name in catalogue.top_names]
    assert [one["name"] for one in header["categories"]] == names
    counts = np.bincount(catalogue.top_codes[seen], minlength=len(catalogue.top_names))
    assert [one["count"] for one in header["categories"]] == counts.tolist()
    again = open_map.get("/map/points", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_titles_are_told_by_row_and_bounded(open_map, mapped):
    with Recommender.open(mapped) as rec:
        generation, catalogue = rec.generation.name, rec.catalogue
        rows = np.flatnonzero(~catalogue.under(WALL))[:3].tolist()
        hidden = int(np.flatnonzero(catalogue.under(WALL))[0])

    def ask(rows, of=generation):
        asked = {"generation": of, "rows": ",".join(map(str, rows))}
        return open_map.get("/map/titles", params=asked)

    told = ask([*rows, hidden, 999_999]).json()["items"]
    assert [one["row"] for one in told] == rows
    assert [one["id"] for one in told] == [catalogue.ids[row] for row in rows]
    assert ask(range(51)).status_code == 422
    assert ask(rows, "0000-another").status_code == 409
    assert open_map.get("/map/titles?generation=x&rows=../x").status_code == 422


def rows_of(page: str, role: str) -> list[int]:
    return [int(row) for row in re.findall(rf'data-role="{role}" data-row="(\d+)"', page)]


def test_search_finds_words_and_ids_but_not_behind_a_wall(open_map, mapped):
    with Recommender.open(mapped) as rec:
        catalogue = rec.catalogue
        seen = np.flatnonzero(~catalogue.under(WALL)).tolist()
        one = catalogue.item(seen[5])
        book = catalogue.item(int(np.flatnonzero(catalogue.under(WALL))[0]))
    words = one.title.upper().split()[:2]

    by_id = rows_of(open_map.get("/map", params={"q": one.item_id}).text, "found")
    by_words = rows_of(open_map.get("/map", params={"q": " ".join(reversed(words))}).text, "found")

    assert by_id[0] == seen[5]
    assert seen[5] in by_words
    assert not rows_of(open_map.get("/map", params={"q": book.item_id}).text, "found")
    assert "No item with" in open_map.get("/map", params={"q": "zzzzz"}).text
    many = open_map.get("/map", params={"q": "e"}).text
    assert len(rows_of(many, "found")) == 20
    assert "the 20 that most people took" in many
    assert open_map.get("/map", params={"item": book.item_id}).status_code == 404


def test_an_item_has_its_like_and_a_person_their_path(open_map, mapped):
    with Recommender.open(mapped) as rec:
        catalogue = rec.catalogue
        item = catalogue.ids[int(np.flatnonzero(~catalogue.under(WALL))[0])]
        similar = catalogue.rows([one.item_id for one in rec.similar(item).items]).tolist()
        history = [one.item.item_id for one in rec.profile("u1").history][-30:]
        wanted = catalogue.rows([one.item_id for one in rec.for_user("u1").items]).tolist()

    page = open_map.get("/map", params={"item": item}).text
    assert rows_of(page, "item") == [catalogue.row(item)]
    assert rows_of(page, "similar") == similar
    page = open_map.get("/map", params={"user": "u1"}).text
    assert rows_of(page, "path") == catalogue.rows(history).tolist()
    assert rows_of(page, "recommended") == wanted


def test_what_goes_is_hidden_at_once_and_what_comes_waits(mapped, tmp_path):
    index = Path(shutil.copytree(mapped, tmp_path / "index"))
    with serving(index) as client:
        before = client.get("/map/points")
        _, positions, _, marks = read(before.content)
        row = int(np.flatnonzero(marks != NOWHERE)[0])
        with Recommender.open(index) as rec:
            gone = rec.catalogue.ids[row]
        remove_items(index, gone)
        new = {"item_id": ["new-one"], "title": ["A lamp"], "category": ["Garden"]}
        add_items(index, pa.table(new))
        after = client.get("/map/points")
        page = client.get("/map", params={"q": "new-one"}).text

    assert positions[row].any()
    assert after.headers["etag"] != before.headers["etag"]
    _, positions, _, marks = read(after.content)
    assert (marks[row], positions[row].tolist()) == (NOWHERE, [0, 0])
    assert "1 item came since the build" in page
    assert "not on the map" in page


def test_a_map_is_begun_when_it_is_first_asked_for(service_index, tmp_path):
    index = Path(shutil.copytree(service_index, tmp_path / "index"))
    with serving(index) as client:
        assert client.get("/map/points").status_code == 404
        page = client.get("/map?q=chess").text
        assert "The map is being made" in page
        assert "not on the map" in page  # the list is there all the same
        for _ in range(300):
            if "data-version" in (page := client.get("/map").text):
                break
            time.sleep(0.2)
        assert "data-version" in page
        assert client.get("/map/points").status_code == 200


def test_a_map_that_failed_is_tried_again_when_asked(service_index, tmp_path):
    index = Path(shutil.copytree(service_index, tmp_path / "index"))
    with Recommender.open(index) as rec:
        log = index / "derived" / rec.generation.name / "map.log"
    log.parent.mkdir(parents=True)
    log.write_text("failed: no room\n")
    with serving(index) as client:
        assert "no room" in client.get("/map").text
        assert "no room" in client.get("/map").text
        assert "The map is being made" in client.get("/map?again=true").text
        for child in client.app.state.maps._making.values():
            child.wait(60)
        assert "data-version" in client.get("/map").text


def test_threads_share_one_map_of_each_index_and_read_it_once(mapped, monkeypatch):
    reads = []
    read = mapping.stored_map
    monkeypatch.setattr(mapping, "stored_map", lambda *of: reads.append(of) or read(*of))
    maps = mapping.Maps()
    with Recommender.open(mapped) as rec, ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(maps.points, mapped, rec) for _ in range(100)]
        found = {id(one.result()) for one in asked}

    assert len(reads) == len(found) == 1


def test_what_comes_live_does_not_have_the_map_read_again(mapped, tmp_path, monkeypatch):
    index = Path(shutil.copytree(mapped, tmp_path / "index"))
    with serving(index) as client:
        before = client.get("/map/points")
        monkeypatch.setattr(mapping, "stored_map", None)
        add_events(index, pa.table({"user_id": ["n1"], "item_id": ["b-roses"], "event": ["view"]}))
        assert client.get("/map/points").headers["etag"] == before.headers["etag"]
        with Recommender.open(index) as rec:
            row = int(np.flatnonzero(read(before.content)[3] != NOWHERE)[0])
            remove_items(index, rec.catalogue.ids[row])
        after = client.get("/map/points")

    assert read(after.content)[3][row] == NOWHERE
