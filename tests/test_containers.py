"""The image and the services, as far as they can be followed without an engine."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import threading
import tomllib
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from crossrec_llm import Recipe
from crossrec_llm.cli.main import app

ROOT = Path(__file__).resolve().parents[1]
UID = "10001:10001"


def _instructions() -> list[list[tuple[str, str]]]:
    """(instruction, the rest) of each stage; what stands before the first FROM is its own."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "Dockerfile").read_text("utf-8"), flags=re.MULTILINE)
    stages: list[list[tuple[str, str]]] = [[]]
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        if not line.strip():
            continue
        word, _, rest = line.partition(" ")
        if word == "FROM":
            stages.append([])
        stages[-1].append((word, rest))
    return stages


BEFORE, BUILD, LAST = _instructions()
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))


def _of(stage: list[tuple[str, str]], word: str) -> list[str]:
    return [rest for name, rest in stage if name == word]


def _parses(arguments: list[str]) -> None:
    """As the command line takes them; it exits where it does not."""
    group: Any = typer.main.get_command(app)
    verb = group.commands[arguments[0]]
    verb.make_context(arguments[0], arguments[1:])


def test_the_linter_finds_nothing() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    if not hadolint.exists():
        pytest.skip("hadolint is not installed")
    done = subprocess.run([hadolint, "Dockerfile"], cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_base_is_of_one_version_and_a_python_that_is_supported() -> None:
    (argument,) = _of(BEFORE, "ARG")
    version = re.fullmatch(r"PYTHON=(3)\.(\d+)\.\d+-slim-\w+", argument)
    assert version is not None
    assert int(version[2]) >= 11
    assert [stage[0][1] for stage in (BUILD, LAST)] == [
        "python:${PYTHON} AS build",
        "python:${PYTHON}",
    ]


def test_what_is_copied_is_there_and_reaches_the_builder() -> None:
    wanted = [word for rest in _of(BUILD, "COPY") for word in rest.split()[:-1]]
    let_in = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    assert {"crossrec_llm", "index", "prompts", "pyproject.toml"} <= set(wanted)
    for name in wanted:
        assert (ROOT / name).exists(), name
        assert f"!{name}" in let_in, name
    assert "*" in let_in
    assert let_in.index("index/store") > let_in.index("!index")


def test_the_extras_that_are_installed_exist() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    (found,) = re.findall(r"'\.\[([\w,]+)\]'", " ".join(_of(BUILD, "RUN")))
    assert set(found.split(",")) == {"mcp", "model", "serve"}
    assert set(found.split(",")) <= project["optional-dependencies"].keys()


def test_the_last_stage_runs_as_nobody_and_has_nothing_to_build_with() -> None:
    assert _of(LAST, "USER") == [UID]
    assert LAST.index(("USER", UID)) > max(n for n, (word, _) in enumerate(LAST) if word == "RUN")
    ran = " ".join(_of(LAST, "RUN"))
    assert "pip uninstall --yes pip" in ran
    assert re.findall(r"apt-get install [-\w ]*?((?:(?<= )[a-z]\w+ ?)+)&&", ran) == ["libgomp1 "]
    assert _of(LAST, "COPY") == ["--from=build /app /app"]
    assert _of(LAST, "VOLUME") == ["/data"]
    assert "CROSSREC_INDEX=/data/" in " ".join(_of(LAST, "ENV"))


def test_it_starts_what_the_command_line_has() -> None:
    assert json.loads(_of(LAST, "ENTRYPOINT")[0]) == ["crossrec"]
    arguments = json.loads(_of(LAST, "CMD")[0])
    assert arguments[0] == "serve"
    assert "--keys" in arguments
    _parses(arguments)


def test_the_commands_that_are_told_of_parse() -> None:
    text = (ROOT / "compose.yaml").read_text("utf-8").replace("\\\n#", "")
    told = re.findall(r"docker compose run --rm .*?\bcrossrec (.+)", text)
    assert [words.split()[0] for words in told] == ["keys", "build"]
    for words in told:
        _parses(shlex.split(words))


@pytest.mark.parametrize("path", ["/healthz", "/elsewhere"])
def test_the_health_check_goes_by_the_answer(path: str) -> None:
    command = json.loads(_of(LAST, "HEALTHCHECK")[0].partition("CMD ")[2])
    assert command[:2] == ["python", "-c"]

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == path else 503)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Answering)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    code = command[2].replace(":8000", f":{server.server_port}")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    server.shutdown()
    server.server_close()
    assert (done.returncode == 0) == (path == "/healthz")


@pytest.mark.parametrize("name", ["crossrec", "chroma"])
def test_each_service_can_do_little(name: str) -> None:
    service = COMPOSE["services"][name]
    assert service["user"] == UID
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert any(mount.startswith("/tmp:") for mount in service["tmpfs"])
    assert not service.get("privileged")
    volume, _, place = service["volumes"][0].partition(":")
    assert volume in COMPOSE["volumes"]
    assert place == "/data"
    assert set(service["networks"]) <= COMPOSE["networks"].keys()


def test_the_vectors_are_reached_by_the_service_alone() -> None:
    services = COMPOSE["services"]
    assert "ports" not in services["chroma"]
    assert services["chroma"]["networks"] == ["vectors"]
    assert COMPOSE["networks"]["vectors"]["internal"] is True
    assert all(port.startswith("127.0.0.1:") for port in services["crossrec"]["ports"])
    assert services["crossrec"]["depends_on"]["chroma"]["condition"] == "service_healthy"


def test_the_recipe_asks_the_server_that_is_started() -> None:
    recipe = Recipe.from_dict(tomllib.loads(COMPOSE["configs"]["recipe"]["content"]))
    command = COMPOSE["services"]["chroma"]["command"]
    port = command[command.index("--port") + 1]
    assert recipe.store.url == f"http://chroma:{port}"
    place = COMPOSE["services"]["crossrec"]["configs"][0]["target"]
    assert place in (ROOT / "compose.yaml").read_text("utf-8").partition("services:")[0]
