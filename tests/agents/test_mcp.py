"""The server, asked by the client of the SDK."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
import unicodedata
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import jsonschema
import pytest
import typer
from fastapi.testclient import TestClient
from mcp import Client, MCPError, StdioServerParameters, stdio_client
from typer.testing import CliRunner

from crossrec_llm import Recommender
from crossrec_llm.agents.documents import HISTORY, LONG, SHORT
from crossrec_llm.agents.listening import Gate, run_http
from crossrec_llm.agents.server import create_server
from crossrec_llm.agents.tools import LONGEST
from crossrec_llm.cli.main import app as command_line
from crossrec_llm.errors import QueryError
from crossrec_llm.service import RateOptions
from crossrec_llm.service.headers import POLICY
from crossrec_llm.service.keys import SCOPES, Keys, add_key
from crossrec_llm.service.rates import Rates

READING = {"recommend", "like", "similar", "explain", "profile"}
LIST = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
JSON = {"accept": "application/json, text/event-stream", "mcp-protocol-version": "2025-06-18"}
WRITING = {"add_events", "pin", "strike", "undo"}


@pytest.fixture
def written(tiny_made: tuple[Path, Any], tmp_path: Path) -> Path:
    """An index of its own."""
    return shutil.copytree(tiny_made[0], tmp_path / "index")


@pytest.fixture(scope="module")
def rec(tiny_made: tuple[Path, Any]) -> Iterator[Recommender]:
    with Recommender.open(tiny_made[0]) as opened:
        yield opened


@pytest.fixture(scope="module")
def ask(rec: Recommender) -> Callable[..., Any]:
    """Calls one tool of a server that only reads."""

    def call(name: str, **arguments: Any) -> Any:
        return _asked(create_server(rec), lambda client: client.call_tool(name, arguments))

    return call


def _asked(place: Any, question: Callable[[Client], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        async with Client(place) as client:
            return await question(client)

    return anyio.run(run)


async def _everything(client: Client) -> dict[str, Any]:
    """Lists and calls every tool, and reads every resource; gives what came by name."""
    listed = {tool.name: tool for tool in (await client.list_tools()).tools}
    got: dict[str, Any] = {"tools": listed}

    async def call(name: str, **arguments: Any) -> dict[str, Any]:
        given = await client.call_tool(name, arguments)
        assert not given.is_error, given.content
        assert json.loads(given.content[0].text) == given.structured_content
        jsonschema.validate(given.structured_content, listed[name].output_schema)
        got[name] = given.structured_content
        return given.structured_content

    answer = await call("recommend", user_id="u0", k=5, filter={"cross": "any"}, diversity=0.3)
    first = answer["items"][0]["item_id"]
    await call("like", text="a mug for coffee", user_id="u0", liked=[first], k=5)
    await call("similar", item_id=first, mode="alike", k=5)
    await call("explain", user_id="u0", item_id=first, k=5, diversity=0.3)
    known = await call("profile", user_id="u0")
    if "pin" in listed:
        event = {"user_id": "newcomer", "item_id": first, "timestamp": "2026-01-31T12:00:00Z"}
        await call("add_events", events=[event, event])
        await call("pin", user_id="u0", sentence="I bake my own bread")
        await call("strike", user_id="u0", item_ids=[known["history"][0]["item_id"]])
        both = (await call("profile", user_id="u0"))["corrections"]
        assert [one["kind"] for one in both] == ["pin", "strike"]
        assert [one["number"] for one in both] == [
            got[kind]["number"] for kind in ("pin", "strike")
        ]
        await call("undo", user_id="u0")
        await call("profile", user_id="u0")
    for uri in ("crossrec://categories", f"crossrec://items/{first}"):
        read = await client.read_resource(uri)
        got[uri] = json.loads(read.contents[0].text)
    got["first"] = first
    got["templates"] = (await client.list_resource_templates()).resource_templates
    return got


def test_over_stdio_every_tool_is_listed_and_called(written: Path) -> None:
    command = ["-m", "crossrec_llm", "mcp", "--index", str(written), "--write"]
    stdio = stdio_client(StdioServerParameters(command=sys.executable, args=command))

    got = _asked(stdio, _everything)

    assert got["tools"].keys() == READING | WRITING
    assert got["add_events"]["added"] == 1
    assert got["undo"] == {"kind": "undo", "number": None}
    assert [one["kind"] for one in got["profile"]["corrections"]] == ["pin"]
    with Recommender.open(written) as rec:
        assert rec.profile("newcomer").history[0].item.item_id == got["first"]


def test_what_is_changed_is_in_the_next_answer(written: Path) -> None:
    with Recommender.open(written) as rec:
        got = _asked(create_server(rec, written), _everything)

        assert got["add_events"] == {
            "added": 1,
            "repeated": 1,
            "erased": 0,
            "rejected": 0,
            "notes": got["add_events"]["notes"],
        }
        assert rec.profile("newcomer").history[0].item.item_id == got["first"]
        assert [one.sentence for one in rec.profile("u0").corrections] == ["I bake my own bread"]


def test_over_http_every_tool_is_listed_and_called(tiny_made: tuple[Path, Any]) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "crossrec_llm",
        "mcp",
        "--http",
        "--port",
        str(port),
        "--quiet",
    ]
    started = subprocess.Popen(
        [*command, "--index", str(tiny_made[0])], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        for _ in range(600):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        got = _asked(f"http://127.0.0.1:{port}/mcp", _everything)
    finally:
        started.terminate()
        printed, _ = started.communicate()

    assert got["tools"].keys() == READING
    assert printed == b""


def test_stdout_has_the_protocol_and_nothing_else(tiny_made: tuple[Path, Any]) -> None:
    """What a library prints while a tool runs goes to stderr."""
    start = (
        "import sys\n"
        "from crossrec_llm import Recommender\n"
        "from crossrec_llm.agents.server import create_server, run_stdio\n"
        "rec = Recommender.open(sys.argv[1])\n"
        "asked = rec.for_user\n"
        "rec.for_user = lambda *a, **b: print('noise') or asked(*a, **b)\n"
        "run_stdio(create_server(rec))\n"
    )
    hello = {"protocolVersion": "2025-06-18", "capabilities": {}}
    hello["clientInfo"] = {"name": "t", "version": "1"}
    lines = [
        {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 2, "method": "tools/call",
         "params": {"name": "recommend", "arguments": {"user_id": "u0"}}},
    ]  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-c", start, str(tiny_made[0])],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("".join(json.dumps(line) + "\n" for line in lines))
    process.stdin.flush()
    said = [json.loads(process.stdout.readline()) for _ in range(2)]
    rest, stderr = process.communicate()

    assert [one["id"] for one in said] == [1, 2]
    assert said[1]["result"]["structuredContent"]["items"]
    assert rest == ""
    assert "noise" in stderr


def test_without_write_nothing_can_be_changed(rec: Recommender) -> None:
    async def question(client: Client) -> Any:
        tools = (await client.list_tools()).tools
        return tools, [await client.call_tool(name, {"user_id": "u0"}) for name in sorted(WRITING)]

    tools, given = _asked(create_server(rec), question)

    assert {tool.name for tool in tools} == READING
    assert all(tool.annotations.read_only_hint for tool in tools)
    assert all(one.is_error and "Unknown tool" in one.content[0].text for one in given)


def test_tools_say_what_they_do_and_what_they_may_change(rec: Recommender, tmp_path: Path) -> None:
    tools = _asked(create_server(rec, tmp_path), lambda client: client.list_tools()).tools

    hints = {tool.name: tool.annotations for tool in tools}
    assert {name for name, hint in hints.items() if not hint.read_only_hint} == WRITING
    assert {name for name, hint in hints.items() if hint.destructive_hint} == {"strike", "undo"}
    assert not any(hint.open_world_hint for hint in hints.values())
    for tool in tools:
        assert tool.title
        assert 20 < len(tool.description) < 400
        assert tool.input_schema["additionalProperties"] is False
        told = json.dumps(tool.output_schema)
        assert tool.name in WRITING or '"title": {"description": "Untrusted text' in told


def test_answers_are_those_of_the_recommender(rec: Recommender, ask: Callable[..., Any]) -> None:
    user, item = rec.for_user("u0", k=5), rec.catalogue.ids[3]

    def ids(given: Any) -> list[str]:
        return [one["item_id"] for one in given.structured_content["items"]]

    assert ids(ask("recommend", user_id="u0", k=5)) == user.ids
    assert ids(ask("recommend", history=[item], k=5)) == rec.for_history([item], k=5).ids
    assert ids(ask("like", text="seeds", k=5)) == rec.like("seeds", k=5).ids
    assert ids(ask("similar", item_id=item, k=5)) == rec.similar(item, k=5).ids


def test_an_explanation_adds_up_and_is_really_asked_again(
    rec: Recommender, ask: Callable[..., Any]
) -> None:
    item_id = rec.for_user("u0", k=5).ids[1]

    told = ask("explain", user_id="u0", item_id=item_id, k=5).structured_content

    assert told["recommendation"]["rank"] == 2
    total = sum(one["value"] for one in told["contributions"])
    assert total == pytest.approx(told["recommendation"]["score"], abs=5e-3)
    assert told["counterfactuals"]
    for one in told["counterfactuals"]:
        after = rec.for_user("u0", k=5, without=[one["without"]["item_id"]]).ids
        assert one["rank"] == (after.index(item_id) + 1 if item_id in after else None)


@pytest.mark.parametrize(
    ("tool", "arguments", "words"),
    [
        ("recommend", {"user_id": "u0x"}, "no user 'u0x' in this index; did you mean 'u0'"),
        ("recommend", {}, "give either user_id or history"),
        ("recommend", {"user_id": "u0", "k": LONGEST + 1}, "k: Input should be less than"),
        ("recommend", {"user_id": "u0", "n": 3}, "n: Extra inputs are not permitted"),
        ("recommend", {"user_id": "u0", "filter": {"colour": "red"}}, "filter.colour: Extra"),
        ("recommend", {"user_id": "u0", "filter": {"category": ["Gardn"]}}, "'Garden'"),
        ("recommend", {"user_id": "u0", "filter": {"since": "soon"}}, "'soon' is not a date"),
        ("like", {"text": "  "}, "the text to look up is empty"),
        ("similar", {"item_id": "g-tomato"}, "did you mean 'g-tomato-seeds'"),
        ("explain", {"user_id": "u0", "item_id": "g-pruner"}, "is not among the 10"),
    ],
)
def test_what_cannot_be_answered_is_said_in_one_line(
    ask: Callable[..., Any], tool: str, arguments: dict[str, Any], words: str
) -> None:
    given = ask(tool, **arguments)

    assert given.is_error
    assert words in given.content[0].text
    assert "\n" not in given.content[0].text
    assert "Error executing" not in given.content[0].text


def test_a_bug_tells_nothing_of_itself(
    rec: Recommender, ask: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr(rec, "profile", broken)

    given = ask("profile", user_id="u0")

    assert given.is_error
    assert given.content[0].text == "Error executing tool profile"


def test_a_number_is_taken_for_the_id_that_it_is_written_as(ask: Callable[..., Any]) -> None:
    assert "no user '7'" in ask("profile", user_id=7).content[0].text


def test_an_unknown_item_is_no_resource(rec: Recommender) -> None:
    async def question(client: Client) -> None:
        for uri in ("crossrec://items/nope", "crossrec://items/..%2F..%2Fmanifest.json"):
            with pytest.raises(MCPError, match="in this index"):
                await client.read_resource(uri)

    _asked(create_server(rec), question)


def test_categories_count_what_lies_below_them(rec: Recommender) -> None:
    read = _asked(create_server(rec), lambda client: client.read_resource("crossrec://categories"))

    told = {one["path"]: one["items"] for one in json.loads(read.contents[0].text)["categories"]}
    assert told["Garden"] == rec.catalogue.under("Garden").sum()
    assert told["Garden > Seeds"] == rec.catalogue.under("Garden > Seeds").sum()


def test_hostile_titles_stay_data(hostile_index: Path) -> None:
    """Of 200 items with hostile texts: ids are candidates, and texts are clean and bounded."""
    with Recommender.open(hostile_index) as rec:
        listed = create_server(rec)
        candidates = set(rec.catalogue.ids)
        users = rec.generation.users.ids[:10]

        async def question(client: Client) -> list[Any]:
            tools = {tool.name: tool for tool in (await client.list_tools()).tools}
            calls: list[tuple[str, dict[str, Any]]] = [
                *(("recommend", {"user_id": user, "k": LONGEST}) for user in users),
                *(("profile", {"user_id": user}) for user in users),
                *(("similar", {"item_id": item, "k": 20}) for item in rec.catalogue.ids[:40:2]),
                *(("like", {"text": rec.item(item).title[:500]})
                  for item in rec.catalogue.ids[:20]),
                *(("explain", {"user_id": user, "item_id": rec.for_user(user).ids[0]})
                  for user in users),
            ]  # fmt: skip
            got = []
            for name, arguments in calls:
                given = await client.call_tool(name, arguments)
                assert not given.is_error, given.content
                jsonschema.validate(given.structured_content, tools[name].output_schema)
                assert json.loads(given.content[0].text) == given.structured_content
                got.append(given.structured_content)
            read = await client.read_resource("crossrec://categories")
            return [*got, json.loads(read.contents[0].text)]

        got = _asked(listed, question)

    ids = {value for key, value in _strings(got) if key == "item_id"}
    texts = [value for key, value in _strings(got) if key not in ("item_id", "user_id")]
    assert len(ids) > 100
    assert ids <= candidates
    assert any("Ignore previous instructions" in text for text in texts)
    assert max(map(len, texts)) <= max(SHORT, LONG)
    assert not any(unicodedata.category(char)[0] == "C" for text in texts for char in text)


def _strings(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Every text of a document with the name of its field."""
    if isinstance(value, dict):
        for name, part in value.items():
            yield from _strings(part, name)
    elif isinstance(value, list):
        for part in value:
            yield from _strings(part, key)
    elif isinstance(value, str):
        yield key, value


def test_a_long_history_is_told_in_part(rec: Recommender, ask: Callable[..., Any]) -> None:
    told = ask("profile", user_id="u0").structured_content

    assert told["history_length"] == len(rec.profile("u0").history)
    assert len(told["history"]) == min(HISTORY, told["history_length"])
    assert told["history"][0]["item_id"] == rec.profile("u0").history[-1].item.item_id


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, dict[str, Any]]]:
    """What uvicorn would have served, and how."""
    import uvicorn

    served: list[tuple[Any, dict[str, Any]]] = []
    monkeypatch.setattr(uvicorn, "run", lambda app, **how: served.append((app, how)))
    return served


def test_without_keys_http_listens_on_loopback_only(rec: Recommender, ran: list[Any]) -> None:
    run_http(create_server(rec), "127.0.0.1", 8001)
    with pytest.raises(QueryError, match="without keys only this machine is answered"):
        run_http(create_server(rec), "0.0.0.0", 8001)

    assert [how["host"] for _, how in ran] == ["127.0.0.1"]


def test_every_address_of_loopback_is_this_machine(rec: Recommender, ran: list[Any]) -> None:
    run_http(create_server(rec), "127.0.0.2", 8001)
    hosts = ("127.0.0.2:8001", "localhost:8001", "rebound.example:8001")
    with TestClient(ran[0][0]) as client:
        got = [
            client.post("/mcp", json=LIST, headers=JSON | {"host": host}).status_code
            for host in hosts
        ]

    assert got == [200, 200, 421]


def test_a_page_elsewhere_cannot_reach_loopback_by_a_name_of_its_own(
    rec: Recommender, ran: list[Any]
) -> None:
    run_http(create_server(rec), "127.0.0.1", 8001)
    with TestClient(ran[0][0], base_url="http://rebound.example") as client:
        assert client.post("/mcp", json=LIST, headers=JSON).status_code == 421


def test_with_keys_it_takes_one_that_is_known(
    rec: Recommender, ran: list[Any], tmp_path: Path
) -> None:
    file = tmp_path / "keys.json"
    reader, _ = add_key(file, "reader", tenant="default")
    other, _ = add_key(file, "other", tenant="other", scopes=("read", "write"))

    run_http(create_server(rec), "0.0.0.0", 8001, Gate(Keys(file)))
    got = []
    with TestClient(ran[0][0]) as client:
        for secret in ("", "crk_wrong", reader, other):
            got.append(client.post("/mcp", json=LIST, headers=_with(secret)).status_code)
        file.chmod(0o644)
        got.append(client.post("/mcp", json=LIST, headers=_with(reader)).status_code)

    assert got == [401, 401, 200, 401, 503]


def test_a_key_calls_the_tools_of_its_scopes(written: Path, ran: list[Any], tmp_path: Path) -> None:
    """A whole history is told to admins only, by whichever tool."""
    file = tmp_path / "keys.json"
    secrets = {
        scope: add_key(file, scope, tenant="default", scopes=(scope,))[0] for scope in SCOPES
    }
    may: dict[str, set[str]] = {scope: set() for scope in SCOPES}
    with Recommender.open(written) as rec:
        struck = rec.profile("u0").history[0].item
        listed = rec.for_user("u0").ids[0]
        run_http(create_server(rec, written), "0.0.0.0", 8001, Gate(Keys(file)))
        with TestClient(ran[0][0]) as client:

            def said(scope: str, method: str, **params: Any) -> str:
                body = {**LIST, "method": method, "params": params}
                answer = client.post("/mcp", json=body, headers=_with(secrets[scope]))
                return json.dumps(answer.json())

            for scope in SCOPES:
                for name, arguments in {
                    "recommend": {"user_id": "u0"},
                    "like": {"text": "seeds"},
                    "similar": {"item_id": listed},
                    "explain": {"user_id": "u0", "item_id": listed},
                    "profile": {"user_id": "u0"},
                    "add_events": {"events": [{"user_id": "u1", "item_id": listed}]},
                    "pin": {"user_id": "u0", "sentence": "I bake my own bread"},
                    "strike": {"user_id": "u0", "item_ids": [struck.item_id]},
                    "undo": {"user_id": "u0"},
                }.items():
                    text = said(scope, "tools/call", name=name, arguments=arguments)
                    if "structuredContent" in text:
                        may[scope].add(name)
                    else:
                        assert "this key has no " in text, text
                    assert name not in WRITING or struck.title not in text
                if "contents" in said(scope, "resources/read", uri="crossrec://categories"):
                    may[scope].add("categories")

    assert may == {
        "read": READING - {"profile"} | {"categories"},
        "write": WRITING,
        "admin": {"profile"},
    }


def test_a_key_is_of_the_tenant_and_does_not_ask_too_often(
    rec: Recommender, ran: list[Any], tmp_path: Path
) -> None:
    file = tmp_path / "keys.json"
    secrets = [add_key(file, tenant, tenant=tenant)[0] for tenant in ("default", "garden")]
    gate = Gate(Keys(file), "garden", Rates(RateOptions(key=2)))

    run_http(create_server(rec), "0.0.0.0", 8001, gate)
    with TestClient(ran[0][0]) as client:
        got = [
            client.post("/mcp", json=LIST, headers=_with(secret))
            for secret in (*secrets, secrets[1], secrets[1])
        ]

    assert [one.status_code for one in got] == [401, 200, 200, 429]
    assert int(got[3].headers["retry-after"]) > 0
    assert "more than 2 requests a minute by this key" in got[3].text
    for one in got:
        assert one.headers["content-security-policy"] == POLICY
        assert one.headers["x-content-type-options"] == "nosniff"


def _with(secret: str) -> dict[str, str]:
    return JSON | ({"authorization": f"Bearer {secret}"} if secret else {})


def test_the_command_says_what_is_missing(
    tiny_made: tuple[Path, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*words: str) -> str:
        index = ["--index", str(tiny_made[0])]
        done = CliRunner().invoke(command_line, ["mcp", *words, *index])
        assert (done.exit_code, done.stdout) == (2, "")
        return done.stderr

    assert "give --http too" in refused("--port", "9")
    assert "without keys only this machine" in refused("--http", "--host", "0.0.0.0")
    assert "give --keys too" in refused("--http", "--tenant", "garden")
    none = str(tmp_path / "none.json")
    assert "there is no file of keys" in refused("--http", "--keys", none)
    monkeypatch.setitem(sys.modules, "crossrec_llm.agents.listening", None)
    assert "crossrec-llm[mcp]" in refused()


def test_the_documentation_has_every_tool_and_a_start_that_parses(
    rec: Recommender, tmp_path: Path
) -> None:
    told = (Path(__file__).resolve().parents[2] / "docs" / "agents.md").read_text("utf-8")
    start = json.loads(told.partition("```json\n")[2].partition("```")[0])["mcpServers"]["shop"]
    tools = _asked(create_server(rec, tmp_path), lambda client: client.list_tools()).tools

    group: Any = typer.main.get_command(command_line)
    verb, *arguments = start["args"]
    assert start["command"] == "crossrec"
    group.commands[verb].make_context(verb, arguments)
    assert {tool.name for tool in tools} == READING | WRITING
    rows = [line for line in told.splitlines() if line.startswith("| `")]
    for tool in tools:
        (row,) = [line for line in rows if f"`{tool.name}`" in line.split("|")[1]]
        assert ("`--write`" in row) == (tool.name in WRITING)
