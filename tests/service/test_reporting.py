"""Reports: listed, shown so that they can do nothing, and nothing beside them."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from crossrec_llm.service import ServiceOptions
from crossrec_llm.service.app import create_app
from crossrec_llm.service.keys import add_key
from crossrec_llm.service.options import PageOptions

HOSTILE = "a & b <script>alert(1)</script>"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "reports"
    for name in ("first", HOSTILE.replace("/", "∕")):
        (folder / name).mkdir(parents=True)
        (folder / name / "index.html").write_text(f"<h1>{name}</h1>", "utf-8")
    evaluation = {"protocol": "warm", "users": 1_234}
    (folder / "first" / "evaluation.json").write_text(json.dumps(evaluation))
    (folder / "assessed").mkdir()
    (folder / "assessed" / "assessment.json").write_text('{"verdict": {}, "ok": false}')
    (folder / "broken").mkdir()
    (folder / "broken" / "x.json").write_text("[1]")
    (folder / "other").mkdir()
    (folder / "other" / "notes.txt").write_text("no report")
    (folder / "loose.html").write_text("no folder of its own")
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "index.html").write_text("secret")
    (folder / "linked").symlink_to(secret)
    (folder / "first" / "linked.html").symlink_to(secret / "index.html")
    return folder


@pytest.fixture
def client(service_index: Path, folder: Path):
    options = ServiceOptions(tenants={"default": service_index}, pages=PageOptions(folder))
    with TestClient(create_app(options), "http://127.0.0.1") as opened:
        yield opened


def get(client, report: str, file: str):
    return client.get("/reports/file", params={"report": report, "file": file})


def test_reports_are_listed_with_what_they_are(client):
    page = client.get("/reports").text

    assert "evaluation, protocol warm, 1,234 people" in page
    assert "assessment: not for you" in page
    assert "broken" in page
    for absent in ("notes.txt", "loose", "linked", "<script>alert"):
        assert absent not in page
    for address in re.findall(r'href="(/reports/file[^"]+)"', page):
        assert client.get(html.unescape(address)).status_code == 200


def test_a_report_runs_nothing_and_loads_nothing(client):
    answer = get(client, "first", "index.html")

    assert answer.text == "<h1>first</h1>"
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("sandbox; default-src 'none'")
    assert "script" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert get(client, "first", "evaluation.json").json()["users"] == 1_234


@pytest.mark.parametrize(
    ("report", "file"),
    [
        ("..", "index.html"),
        ("../secret", "index.html"),
        (".", "loose.html"),
        ("", "loose.html"),
        ("linked", "index.html"),
        ("first", "linked.html"),
        ("first", "../../secret/index.html"),
        ("first", "/etc/passwd"),
        ("other", "notes.txt"),
        ("first/", "index.html"),
        ("first\x00", "index.html"),
        ("nothing", "index.html"),
    ],
)
def test_nothing_outside_is_shown(client, report, file):
    answer = get(client, report, file)

    assert answer.status_code == 404
    assert "secret" not in answer.text


def test_large_files_are_left_out(client, folder):
    with (folder / "first" / "large.html").open("wb") as file:
        file.truncate(51 * 2**20)

    assert get(client, "first", "large.html").status_code == 404


def test_without_any_it_says_how_to_make_one(service_index, tmp_path):
    for pages, words in (
        (PageOptions(), "reports = "),
        (PageOptions(tmp_path / "none"), f"{tmp_path}/none/NAME"),
    ):
        options = ServiceOptions(tenants={"default": service_index}, pages=pages)
        with TestClient(create_app(options), "http://127.0.0.1") as opened:
            assert words in opened.get("/reports").text
            assert get(opened, "x", "index.html").status_code == 404


def test_the_folder_is_beside_the_settings(tmp_path):
    file = tmp_path / "service.toml"
    file.write_text('[pages]\nreports = "here"\n')

    assert ServiceOptions.load(file).pages.reports == tmp_path / "here"


def test_no_tenant_sees_the_reports_of_another(service_index, tmp_path):
    reports = tmp_path / "reports"
    for tenant in ("a", "b"):
        (reports / tenant / f"of-{tenant}").mkdir(parents=True)
        (reports / tenant / f"of-{tenant}" / "index.html").write_text(f"what {tenant} measured")
    (reports / "index.html").write_text("of nobody")
    keys = tmp_path / "keys.json"
    secrets = {name: add_key(keys, name, tenant=name, scopes=("admin",))[0] for name in "ab"}
    options = ServiceOptions(
        tenants=dict.fromkeys("ab", service_index), keys=keys, pages=PageOptions(reports)
    )
    with TestClient(create_app(options), "http://127.0.0.1") as client:
        for own, other in ("ab", "ba"):
            client.headers["authorization"] = f"Bearer {secrets[own]}"
            page = client.get("/reports").text
            assert f"of-{own}" in page
            assert f"of-{other}" not in page
            assert get(client, f"of-{own}", "index.html").text == f"what {own} measured"
            for report in (f"of-{other}", other, f"../{other}/of-{other}"):
                assert get(client, report, "index.html").status_code == 404
