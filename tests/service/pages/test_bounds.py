"""Whatever is sent to a page, no answer of it is a bug."""

from __future__ import annotations

import random

import pytest
from fastapi.testclient import TestClient

FORMS = {
    "/people/pin": ("user", "sentence"),
    "/people/strike": ("user", "item"),
    "/people/strike-interest": ("user", "number"),
    "/people/undo": ("user", "number"),
    "/judgements": ("user", "said", "shown", "back"),
    "/sign-in": ("key",),
}
ADDRESSES = {
    "/": ("user", "text", "item", "k", "mode", "category", "boost", "without", "why_not", "since"),
    "/compare": ("user", "a.generation", "b.k", "b.quota", "category", "a.cross_share"),
    "/people": ("user",),
    "/map": ("q", "item", "user", "again"),
    "/map/titles": ("generation", "rows"),
    "/bridges": ("home", "target", "sort", "view"),
    "/reports/file": ("report", "file"),
    "/suggest": ("of", "user", "item", "q"),
}
USUAL = {"user": "u1", "item": "b-roses", "said": "up:b-roses", "generation": "x", "number": "1"}
HOSTILE = (
    "",
    "0",
    "-1",
    str(10**30),
    "9" * 5_000,
    "1e999",
    "nan",
    "[" * 100_000,
    '["\\ud800"]',
    "\x00",
    "é\u202e\U0001f600",
    "=",
    "brand:=2",
    "../../etc/passwd",
    "up:\n",
    "x" * 3_000,
)


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/people/undo", {"user": "u1", "number": str(10**30)}),
        ("/people/strike-interest", {"user": "u1", "number": str(10**30)}),
        ("/judgements", {"user": "u1", "said": "up:b-roses", "shown": "[" * 100_000}),
    ],
)
def test_what_no_number_or_list_can_be_is_refused(own: TestClient, path: str, form) -> None:
    assert own.post(path, data=form).status_code == 422


def test_programs_are_refused_it_too(own: TestClient) -> None:
    sent = {"user_id": "u1", "undo": 10**30}
    assert own.post("/v1/profile/corrections", json=sent).status_code == 422


@pytest.mark.parametrize("path", [*FORMS, *ADDRESSES])
def test_nothing_that_is_sent_is_a_bug(own: TestClient, path: str) -> None:
    rng = random.Random(path)
    for _ in range(25):
        names = FORMS.get(path) or ADDRESSES[path]
        sent = {name: USUAL.get(name, "") for name in names}
        for name in rng.sample(names, rng.randint(1, min(2, len(names)))):
            sent[name] = rng.choice(HOSTILE)
        if path in FORMS:
            told = own.post(path, data=sent, follow_redirects=False)
        else:
            told = own.get(path, params={name: value[:3_000] for name, value in sent.items()})
        assert told.status_code < 500, (sent, told.text[:300])
