from __future__ import annotations

import hashlib
import hmac
import json
import time
from pathlib import Path

import pytest

from crossrec_llm.errors import DataError, QueryError
from crossrec_llm.service import keys as service_keys
from crossrec_llm.service.keys import Keys, add_key, revoke_key


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def test_a_key_is_shown_once_and_kept_as_a_hash(file: Path) -> None:
    secret, key = add_key(file, "shop", tenant="default", scopes=["write", "read"])
    other, _ = add_key(file, "other", tenant="default")

    assert len(secret) == len("crk_") + 43
    assert secret != other
    assert secret not in file.read_text()
    assert key.sha256 == hashlib.sha256(secret.encode()).hexdigest()
    assert key.scopes == ("read", "write")
    assert "sha256" not in key.to_dict()
    found = Keys(file)
    assert (found.find(secret), found.find(other).name) == (key, "other")
    assert found.find(secret[:-1]) is None
    assert found.find("") is None
    assert file.stat().st_mode & 0o777 == 0o600


def test_every_key_is_compared_in_constant_time(file: Path, monkeypatch) -> None:
    secrets = [add_key(file, f"k{n}", tenant="default")[0] for n in range(4)]
    found, compared = Keys(file), []

    def compare(one: str, two: str) -> bool:
        compared.append(one)
        return same(one, two)

    same = hmac.compare_digest
    monkeypatch.setattr(service_keys.hmac, "compare_digest", compare)
    for secret in (secrets[0], secrets[3], "nobody's"):
        compared.clear()
        found.find(secret)
        assert len(compared) == 4, "none is left out after the one that is found"


def test_a_key_expires(file: Path, monkeypatch) -> None:
    secret, _ = add_key(file, "brief", tenant="default", expires=time.time() + 60)
    found = Keys(file)
    assert found.find(secret) is not None

    later = time.time() + 61
    monkeypatch.setattr(service_keys.time, "time", lambda: later)
    assert found.find(secret) is None


def test_what_is_revoked_is_refused_at_once(file: Path) -> None:
    one, _ = add_key(file, "one", tenant="default")
    two, _ = add_key(file, "two", tenant="default")
    found = Keys(file)
    assert found.find(one)

    assert revoke_key(file, "one").name == "one"

    assert found.find(one) is None
    assert found.find(two).name == "two"
    three, _ = add_key(file, "three", tenant="default")
    assert found.find(three).name == "three"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"name": ""}, "printable"),
        ({"name": "a\nb"}, "printable"),
        ({"scopes": ["root"]}, "scopes are read, write, admin, not root"),
        ({"scopes": []}, "not none"),
        ({"expires": 1.0}, "later date"),
        ({"name": "shop"}, "'shop'.*already"),
    ],
)
def test_a_key_that_makes_no_sense(file: Path, given: dict, words: str) -> None:
    add_key(file, "shop", tenant="default")
    with pytest.raises(QueryError, match=words):
        add_key(file, **{"name": "new", "tenant": "default", **given})


def test_no_key_of_this_name(file: Path) -> None:
    with pytest.raises(DataError, match="no file of keys"):
        revoke_key(file, "x")
    add_key(file, "shop", tenant="default")
    with pytest.raises(QueryError, match=r"no key 'x'.*'shop'"):
        revoke_key(file, "x")


def test_a_file_that_others_may_read_is_refused(file: Path) -> None:
    add_key(file, "shop", tenant="default")
    found = Keys(file)
    file.chmod(0o640)
    for use in (found.all, lambda: Keys(file)):
        with pytest.raises(DataError, match="chmod 600"):
            use()


@pytest.mark.parametrize("text", ["", "{}", '{"keys": [{"name": "x"}]}', "[]", '{"keys": 7}'])
def test_a_file_that_is_something_else(file: Path, text: str) -> None:
    file.write_text(text)
    file.chmod(0o600)
    with pytest.raises(DataError, match="is not a file of keys"):
        Keys(file)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "none").touch()
    with pytest.raises(DataError, match="cannot be written"):
        add_key(tmp_path / "none" / "keys.json", "shop", tenant="default")


def test_the_command(file: Path, command) -> None:
    code, secret, note = command(
        "keys", "add", "shop", "--file", file, "--scope", "read", "--scope", "write",
        "--expires", "2999-01-31",
    )  # fmt: skip
    assert code == 0
    assert "shop may read, write for default; this is shown once" in note
    assert Keys(file).find(secret.strip()).name == "shop"

    shown = command("keys", "list", "--file", file)[1]
    assert "shop: default, read write, since " in shown
    assert "until 2999-01-31 00:00" in shown
    listed = json.loads(command("keys", "list", "--file", file, "--json")[1])["keys"]
    assert [one["name"] for one in listed] == ["shop"]
    assert "sha256" not in listed[0]

    added = json.loads(command("keys", "add", "two", "--file", file, "--json")[1])
    assert Keys(file).find(added["key"]).scopes == ("read",)
    assert "two is revoked" in command("keys", "revoke", "two", "--file", file)[1]
    assert json.loads(command("keys", "revoke", "shop", "--file", file, "--json")[1])["name"]
    assert command("keys", "revoke", "--file", file)[0] == 2
    assert "not a date" in command("keys", "add", "x", "--file", file, "--expires", "soon")[2]
