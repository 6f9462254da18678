"""What a key of which scopes is told."""

from __future__ import annotations

from pathlib import Path

from fastapi.testclient import TestClient

from crossrec_llm import Recommender
from crossrec_llm.judging import judge
from crossrec_llm.service import ServiceOptions
from crossrec_llm.service.app import create_app
from crossrec_llm.service.keys import add_key


def test_who_people_are_and_what_they_said_is_told_to_admins(
    own_index: Path, tmp_path: Path
) -> None:
    with Recommender.open(own_index) as rec:
        judge(rec, "u1", rec.for_user("u1").ids[0], True)
    file = tmp_path / "scopes.json"
    told = {}
    secrets = {
        scopes: add_key(file, "+".join(scopes), tenant="default", scopes=scopes)[0]
        for scopes in (("read",), ("read", "write"), ("read", "admin"))
    }
    app = create_app(ServiceOptions(tenants={"default": own_index}, keys=file))
    with TestClient(app, "http://127.0.0.1") as client:
        for scopes, secret in secrets.items():
            headers = {"Authorization": f"Bearer {secret}"}

            def ask(address: str, headers: dict[str, str] = headers) -> str:
                answer = client.get(address, headers=headers)
                assert answer.status_code == 200, answer.text
                return answer.text

            told[scopes] = (
                "u59" in ask("/suggest?of=user&user=u5"),
                "b-roses" in ask("/suggest?of=item&item=b-ro"),
                ask("/compare?user=u1").count('aria-pressed="true"'),
            )

    assert told == {
        ("read",): (False, True, 0),
        ("read", "write"): (False, True, 0),
        ("read", "admin"): (True, True, 2),
    }
